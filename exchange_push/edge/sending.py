"""Many sockets, a chain of pieces of bytes for each: sent at once, as far as each socket takes it.

`send_each` is a loop over `sendmsg()` and nothing else: compiled where the wheel was built with a compiler
(_sending.c), in Python otherwise, with the same outcome.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TypeVar

M = TypeVar("M")


def send_each_in_python(chains: Mapping[M, Sequence[bytes]], sockets: dict[M, int]) -> list[tuple[M, int]]:
    """Send each member its chain, to the socket of that number; -1, or no number: it has none.

    Gives who did not take all, and how many bytes it took. Neighbours with the same chain share its bytes, joined once.
    A socket that is broken takes nothing; who hands the rest to its transport will hear why.
    """
    rest: list[tuple[M, int]] = []
    write = os.write
    last: Sequence[bytes] = ()
    wire = b""
    for member, chain in chains.items():
        if chain is not last and chain != last:
            last, wire = chain, chain[0] if len(chain) == 1 else b"".join(chain)
        socket = sockets.get(member, -1)
        try:
            taken = write(socket, wire) if socket >= 0 else 0
        except OSError:
            taken = 0
        if taken != len(wire):
            rest.append((member, taken))
    return rest


try:
    from exchange_push.edge._sending import send_each as send_each
except ImportError:
    send_each = send_each_in_python
