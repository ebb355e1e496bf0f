"""Many members, the same pieces for each: added to the chain of what each of them waits for.

`hand_each` is the one loop that runs for each client and publication: compiled where the wheel was built with a
compiler (_handing.c), otherwise one that keeps Python out of it as far as it can, with the same outcome.
"""

from collections import deque
from itertools import repeat
from typing import TypeVar

M = TypeVar("M")
P = TypeVar("P")


def hand_each_in_python(audience: dict[M, list[P]], pieces: list[P], waiting: dict[M, list[P]]) -> None:
    """Add the pieces to each member's chain; `waiting` gets the members whose chain was empty, with it."""
    waiting.update([item for item in audience.items() if not item[1]])
    # A deque that keeps nothing runs through them without Python: there may be thousands.
    deque(map(list.extend, audience.values(), repeat(pieces)), maxlen=0)


try:
    from exchange_push.pubsub._handing import hand_each as hand_each
except ImportError:
    hand_each = hand_each_in_python
