from typing import TypeVar

M = TypeVar("M")
P = TypeVar("P")

def hand_each(audience: dict[M, list[P]], pieces: list[P], waiting: dict[M, list[P]], /) -> None: ...
