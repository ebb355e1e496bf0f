"""Bytes to values and back: datagrams, pushes, client messages. Pure."""
