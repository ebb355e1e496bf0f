from collections.abc import Mapping, Sequence
from typing import TypeVar

from exchange_push.edge.sending import Piece

M = TypeVar("M")

def send_each(chains: Mapping[M, Sequence[Piece]], sockets: dict[M, int], /) -> list[tuple[M, int]]: ...
