"""What a session learns of a token that the auth service knows."""

from typing import NamedTuple


class Login(NamedTuple):
    uid: str
    """As text, whatever it was on the wire: 1001 and "1001" are one user."""
    expires_in_s: float | None
    """The login ends that long after the answer came; None: never by itself."""
