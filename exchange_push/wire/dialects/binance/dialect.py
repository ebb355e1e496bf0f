"""The dialect: what goes in and out, put together. Flavours are shared by all connections that speak them."""

from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from exchange_push.errors import ClientError
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import SILENCE, Frame, Number, Publication, View
from exchange_push.pubsub.request import Request, RequestId
from exchange_push.wire.dialects.binance.requests import INVALID_REQUEST, Wrong, read
from exchange_push.wire.dialects.binance.shapes import Shapes, of_a_pair
from exchange_push.wire.dialects.binance.streams import CONTINUOUS, FUTURES, SPOT, channel_name, stream_name
from exchange_push.wire.frame import BINARY, TEXT, frame

# Channels that begin with what comes next: a client asks for the past over HTTP.
_UNGREETED: Final = frozenset(("trade", "trades", "depth", "depth_250ms", "depth_500ms", "depth_1s"))

_encode = msgspec.json.Encoder().encode


class Binance:
    """JSON in text frames, `combined` with the stream's name or raw; times in ms or µs (`micro`); shapes of spot or of
    futures."""

    def __init__(self, *, combined: bool, micro: bool, futures: bool) -> None:
        self._combined = combined
        self._micro = micro
        self._futures = futures
        self._shapes = Shapes(1_000 if micro else 1, futures=futures)
        self._kinds = FUTURES if futures else SPOT

    def __repr__(self) -> str:
        return f"Binance(combined={self._combined}, micro={self._micro}, futures={self._futures})"

    def decode(self, payload: bytes, binary: bool) -> Request:
        flavours = {
            value: speaking(combined=value, micro=self._micro, futures=self._futures) for value in (False, True)
        }
        return read(payload, flavours, self._combined)

    def channel_name(self, name: object) -> str:
        return channel_name(name, self._kinds)

    def name_of(self, channel: Channel) -> str:
        return stream_name(channel, self._kinds)

    def greets(self, kind: ChannelKind) -> bool:
        return kind.name not in _UNGREETED

    def done(self, request_id: RequestId) -> Frame:
        return self.result(request_id, None)

    def result(self, request_id: RequestId, result: object) -> Frame:
        return _text({"result": result, "id": request_id})

    def subscribed(self, request_id: RequestId, numbers: Mapping[str, Number], recovered: bool | None) -> Frame:
        return self.done(request_id)

    def error(self, request_id: RequestId, error: ClientError) -> Frame:
        if isinstance(error, Wrong):
            number, msg = error.number, error.msg
        else:
            number, msg = INVALID_REQUEST, f"Invalid request: {error.msg}"
        return _text({"error": {"code": number, "msg": msg}, "id": request_id})

    def pong(self, request_id: RequestId, time_ms: int) -> Frame:
        return self.result(request_id, {"serverTime": self._shapes.time(time_ms)})

    def message(self, message: str | bytes) -> Frame:
        if isinstance(message, str):
            return frame(message.encode(), TEXT)
        return frame(message, BINARY)

    def farewell(self, time_ms: int) -> Frame:
        return self._said("!serverShutdown", _encode({"e": "serverShutdown", "E": self._shapes.time(time_ms)}))

    def event(self, publication: Publication, view: View) -> Frame:
        if publication.message is not None:
            return self.message(publication.message)
        payloads = self._shapes.of(publication)
        if CONTINUOUS in view.name:
            payloads = [of_a_pair(candle) for candle in payloads]
        if len(payloads) == 1:
            return self._said(view.name, _encode(payloads[0]))
        if not payloads:
            return SILENCE
        return Frame(b"".join(self._said(view.name, _encode(payload)).wire for payload in payloads))

    def _said(self, stream: str, payload: bytes) -> Frame:
        if self._combined:
            payload = b'{"stream":"%b","data":%b}' % (stream.encode(), payload)
        return frame(payload, TEXT)


@cache
def speaking(*, combined: bool, micro: bool, futures: bool) -> Binance:
    """The one of its flavour, so that all who speak it share frames."""
    return Binance(combined=combined, micro=micro, futures=futures)


def _text(message: object) -> Frame:
    return frame(_encode(message), TEXT)
