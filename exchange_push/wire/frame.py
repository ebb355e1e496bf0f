"""WebSocket frames as a server sends them (RFC 6455, 5.2): unmasked, whole messages."""

from struct import Struct
from typing import Final

from exchange_push.pubsub.publication import Frame

TEXT: Final = 1
BINARY: Final = 2
PING: Final = 9
PONG: Final = 10

COMPRESSED: Final = 0x40
"""Beside the opcode: the payload is compressed (RSV1, RFC 7692)."""

_FIN: Final = 0x80
_SHORT: Final = Struct(">BB").pack
_LONG: Final = Struct(">BBH").pack
_LONGEST: Final = Struct(">BBQ").pack


def payload_of(wire: bytes) -> bytes:
    """What a frame of ours carries."""
    return wire[{126: 4, 127: 10}.get(wire[1], 2) :]


def split(wire: bytes) -> list[bytes]:
    """The single frames of frames of ours in a row."""
    found: list[bytes] = []
    while wire:
        head = {126: 4, 127: 10}.get(wire[1], 2)
        end = head + (wire[1] if head == 2 else int.from_bytes(wire[2:head], "big"))
        found.append(wire[:end])
        wire = wire[end:]
    return found


def frame(payload: bytes, opcode: int) -> Frame:
    size = len(payload)
    if size < 126:
        head = _SHORT(_FIN | opcode, size)
    elif size < 65536:
        head = _LONG(_FIN | opcode, 126, size)
    else:
        head = _LONGEST(_FIN | opcode, 127, size)
    return Frame(head + payload)
