"""A datagram of the engine's feed, to and from its bytes: one msgpack array `[1, session, seq, events]`; and the
datagram by which we ask the engine for events again, `[1, session, seq, count]`.

It looks at the frame only. The events inside stay as msgpack gave them, for wire/sequence.py to put in order and
wire/events.py to check. A datagram that cannot be read to its end is no packet at all: its numbers stay missing, so
that a gap shows for them. With a feed key, a packet is sealed: behind the array stands its BLAKE2b under the key.
"""

from collections.abc import Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, NamedTuple

import msgpack

from exchange_push.errors import MalformedPacket, quoted

VERSION: Final = 1
LIMIT_BYTES: Final = 65_507  # what one UDP datagram over IPv4 can carry
SEAL_BYTES: Final = 16
KEY_BYTES: Final = blake2b.MAX_KEY_SIZE
_NUMBER_END: Final = 1 << 63


class Packet(NamedTuple):
    session: int
    seq: int
    """Number of the first event; of a heartbeat and of the end: the number to come next."""
    events: list[object] | None
    """As unpacked, unchecked. `[]` is a heartbeat, None ends the session."""


class Rerequest(NamedTuple):
    """Events that the engine is asked for again: `count` of them from number `seq`."""

    session: int
    seq: int
    count: int  # type: ignore[assignment]  # tuple.count is of no use here


def decode(datagram: bytes) -> Packet:
    """Raises MalformedPacket."""
    if len(datagram) > LIMIT_BYTES:
        raise MalformedPacket(f"datagram of {len(datagram)} bytes, expected at most {LIMIT_BYTES}")
    try:
        # Text that is no UTF-8 comes through with surrogates, so that it costs its own event and not its neighbours:
        # wire/events.py finds them. Keys that are no text are refused here: chosen integers make a dict quadratic.
        fields = msgpack.unpackb(datagram, unicode_errors="surrogateescape", strict_map_key=True)
    except msgpack.ExtraData as error:
        raise MalformedPacket(f"{len(error.extra)} bytes after the packet, expected none") from None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MalformedPacket(f"not msgpack: {quoted(str(error) or type(error).__name__)}") from None
    if type(fields) is not list or len(fields) != 4:
        raise MalformedPacket(f"packet is {_shape(fields)}, expected [{VERSION}, session, seq, events]")
    version, session, seq, events = fields
    if type(version) is not int or version != VERSION:
        raise MalformedPacket(f"version is {_shape(version)}, expected {VERSION}")
    if type(session) is not int or not 1 <= session < _NUMBER_END:
        raise MalformedPacket(f"session is {_shape(session)}, expected an integer from 1 to 2^63-1")
    if events is not None and type(events) is not list:
        raise MalformedPacket(f"events is {_shape(events)}, expected an array or nil")
    if type(seq) is not int or not 1 <= seq < _NUMBER_END - len(events or ()):
        raise MalformedPacket(f"seq is {_shape(seq)}, expected an integer from 1 to 2^63-1")
    return Packet(session, seq, events)


def encode(session: int, seq: int, events: Sequence[object] | None, key: bytes | None = None) -> bytes:
    """The datagram of these events, each an array as in engine-feed; `[]`: heartbeat, None: end of the session.

    Sealed where there is a key. Raises ValueError where that is more than a datagram carries.
    """
    datagram: bytes = msgpack.packb([VERSION, session, seq, events])
    if key is not None:
        datagram += _seal(datagram, key)
    if len(datagram) > LIMIT_BYTES:
        raise ValueError(f"{len(events or ())} events make {len(datagram)} bytes, a datagram carries {LIMIT_BYTES}")
    return datagram


def unsealed(datagram: bytes, key: bytes) -> bytes | None:
    """The packet without its seal; None where the seal is not that of the key, or missing."""
    packet = datagram[:-SEAL_BYTES]
    return packet if compare_digest(datagram[-SEAL_BYTES:], _seal(packet, key)) else None


def encode_request(request: Rerequest) -> bytes:
    """Never sealed: it tells nothing, and changes nothing."""
    return bytes(msgpack.packb([VERSION, *request]))


def decode_request(datagram: bytes) -> Rerequest:
    """What an engine is asked for. Raises MalformedPacket."""
    try:
        fields = msgpack.unpackb(datagram)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MalformedPacket(f"not msgpack: {quoted(str(error) or type(error).__name__)}") from None
    if (
        type(fields) is not list
        or len(fields) != 4
        or any(type(field) is not int or not 1 <= field < _NUMBER_END for field in fields)
        or fields[0] != VERSION
    ):
        raise MalformedPacket(f"request is {_shape(fields)}, expected [{VERSION}, session, seq, count]")
    return Rerequest(*fields[1:])


def _seal(packet: bytes, key: bytes) -> bytes:
    return blake2b(packet, digest_size=SEAL_BYTES, key=key).digest()


def _shape(found: object) -> str:
    """Never the whole of it: quoting a list of 60,000 would cost more than reading it did."""
    return f"{type(found).__name__} of {len(found)}" if isinstance(found, list | dict | bytes | str) else quoted(found)
