from collections.abc import Mapping, Sequence
from typing import TypeVar

M = TypeVar("M")

def send_each(chains: Mapping[M, Sequence[bytes]], sockets: dict[M, int], /) -> list[tuple[M, int]]: ...
