"""The same server that the end-to-end tests talk to."""

from tests.end_to_end.conftest import start

__all__ = ["start"]
