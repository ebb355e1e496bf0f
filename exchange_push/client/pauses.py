"""How long a client waits before it tries again."""

from collections.abc import Callable
from typing import Final

_AFTER_A_CHANGE: Final = frozenset((1002, 1003, 1007, 1009))  # we broke the protocol: we would do it again


def comes_back(code: int, *, ours: bool = False) -> bool:
    """Whether a connection that was closed with this code is to be tried again. `ours`: we closed it for a fault."""
    return ours or not (code in _AFTER_A_CHANGE or 4500 <= code < 5000)


def back_off(attempts: int, random: Callable[[], float], first: float, most: float) -> float:
    """How long to wait after so many attempts in a row: twice as long each time, from half of it to all of it.

    `random` gives [0, 1): clients that lost a server together do not come back together.
    """
    whole: float = min(most, first * 2 ** min(attempts - 1, 30))
    return whole * (1 + random()) / 2
