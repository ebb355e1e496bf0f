"""Any dialect for clients that agreed to permessage-deflate (RFC 7692): publications that are long enough, compressed.

No message refers to one before it, so a publication is compressed once for all who see it alike. Replies are short and
stay as they are.
"""

import zlib
from collections.abc import Mapping
from functools import cache
from typing import Final

from exchange_push.errors import ClientError
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Frame, Number, Publication, View
from exchange_push.pubsub.request import Request, RequestId, Speak
from exchange_push.pubsub.terms import Dialect
from exchange_push.wire.frame import COMPRESSED, frame, payload_of, split

WINDOW_BITS: Final = 12
"""A window of 4 KiB compresses market data as well as one of 32 KiB, and is set up in a quarter of the time."""
_MEMORY_LEVEL: Final = 5
_LEVEL: Final = 3
_TAIL: Final = b"\x00\x00\xff\xff"  # of every flush: it is not sent (RFC 7692, 7.2.1)
_OPCODE: Final = 0x0F


def deflate(payload: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -WINDOW_BITS, _MEMORY_LEVEL)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


class Deflated:
    """`plain`, with its publications compressed. Made by `deflated`."""

    def __init__(self, plain: Dialect) -> None:
        self._plain = plain

    def decode(self, payload: bytes, binary: bool) -> Request:
        request = self._plain.decode(payload, binary)
        return request._replace(dialect=deflated(request.dialect)) if isinstance(request, Speak) else request

    def channel_name(self, name: object) -> object:
        return self._plain.channel_name(name)

    def name_of(self, channel: Channel) -> str:
        return self._plain.name_of(channel)

    def greets(self, kind: ChannelKind) -> bool:
        return self._plain.greets(kind)

    def done(self, request_id: RequestId) -> Frame:
        return self._plain.done(request_id)

    def result(self, request_id: RequestId, result: object) -> Frame:
        return self._plain.result(request_id, result)

    def subscribed(self, request_id: RequestId, numbers: Mapping[str, Number], recovered: bool | None) -> Frame:
        return self._plain.subscribed(request_id, numbers, recovered)

    def error(self, request_id: RequestId, error: ClientError) -> Frame:
        return self._plain.error(request_id, error)

    def pong(self, request_id: RequestId, time_ms: int) -> Frame:
        return self._plain.pong(request_id, time_ms)

    def message(self, message: str | bytes) -> Frame:
        return self._plain.message(message)

    def farewell(self, time_ms: int) -> Frame:
        return self._plain.farewell(time_ms)

    def event(self, publication: Publication, view: View) -> Frame:
        # Encoded once, also with those who do not compress.
        plain = publication.frame(view._replace(dialect=self._plain))
        least = publication.channel.kind.deflate_bytes
        if len(plain.wire) < least:
            return plain
        return Frame(b"".join(_compressed(wire, least) for wire in split(plain.wire)))


@cache
def deflated(plain: Dialect) -> Dialect:
    """One for all connections that speak it, so that they share frames."""
    return Deflated(plain)


def _compressed(wire: bytes, least: int) -> bytes:
    """The frame, compressed where that makes it shorter."""
    payload = payload_of(wire)
    if len(payload) < least:
        return wire
    compressed = deflate(payload)
    return frame(compressed, wire[0] & _OPCODE | COMPRESSED).wire if len(compressed) < len(payload) else wire
