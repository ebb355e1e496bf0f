"""Many sockets, a chain of pieces of bytes for each: sent at once, as far as each socket takes it.

`send_each` is a loop over `sendmsg()` and nothing else: compiled where the wheel was built with a compiler
(_sending.c), in Python otherwise, with the same outcome.
"""

import os
from collections.abc import Sequence


def send_each_in_python(sockets: Sequence[int], chains: Sequence[Sequence[bytes]]) -> list[tuple[int, int]]:
    """Send to sockets by their numbers, -1: none there. Gives (index, bytes taken) for each that did not take all.

    Neighbours with the same chain share its bytes, joined once. A socket that is broken takes nothing; who hands the
    rest to its transport will hear why.
    """
    rest: list[tuple[int, int]] = []
    write = os.write
    last: Sequence[bytes] = ()
    wire = b""
    for index, (socket, chain) in enumerate(zip(sockets, chains, strict=True)):
        if chain is not last and chain != last:
            last, wire = chain, chain[0] if len(chain) == 1 else b"".join(chain)
        try:
            taken = write(socket, wire) if socket >= 0 else 0
        except OSError:
            taken = 0
        if taken != len(wire):
            rest.append((index, taken))
    return rest


try:
    from exchange_push.edge._sending import send_each as send_each
except ImportError:
    send_each = send_each_in_python
