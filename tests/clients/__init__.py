"""Unmodified clients of Binance against a whole server: `world.py` lets them run, the tests judge what they said.

The clients live in a virtual environment of their own, `make .venv-clients/.installed`, and hear of nothing but the
loopback (`guard.py`).
"""
