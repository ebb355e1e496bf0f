from collections import defaultdict
from typing import TypeVar

M = TypeVar("M")
P = TypeVar("P")

def hand_each(members: dict[M, None] | list[M], pieces: list[P], waiting: defaultdict[M, list[P]], /) -> None: ...
