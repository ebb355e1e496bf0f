"""The WebSocket API (`/ws-api/v3`): requests with `method` and `params`, replies with `status`, and a user's events.
That of futures (`/ws-fapi/v1`) only answers questions.

An apiKey is a token of ours, which the exchange's auth service knows. Who signs with the secret that belongs to it is
not known here: a signature is asked for, and that it has the form of one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from exchange_push.errors import ClientError, CloseCode, Disconnect, quoted
from exchange_push.pubsub.channel import Channel, ChannelKind, Owner, client_name
from exchange_push.pubsub.publication import SILENCE, Frame, Number, Publication, View
from exchange_push.pubsub.request import (
    Auth,
    Dated,
    Logout,
    Question,
    Refused,
    Report,
    Request,
    RequestId,
    Standing,
    Subscribe,
    Unsubscribe,
)
from exchange_push.pubsub.terms import Opening
from exchange_push.wire.dialects.binance import params as read
from exchange_push.wire.dialects.binance.errors import BinanceError, Code, bad_value, missing, translated
from exchange_push.wire.dialects.binance.params import Params
from exchange_push.wire.dialects.binance.user import user_events
from exchange_push.wire.frame import BINARY, TEXT, frame

# What may be asked of the market, and the path of the REST endpoint that answers it.
QUESTIONS: Final = {
    "ping": "/api/v3/ping",
    "time": "/api/v3/time",
    "exchangeInfo": "/api/v3/exchangeInfo",
    "depth": "/api/v3/depth",
    "trades.recent": "/api/v3/trades",
    "trades.aggregate": "/api/v3/aggTrades",
    "klines": "/api/v3/klines",
    "uiKlines": "/api/v3/uiKlines",
    "avgPrice": "/api/v3/avgPrice",
    "ticker": "/api/v3/ticker",
    "ticker.24hr": "/api/v3/ticker/24hr",
    "ticker.price": "/api/v3/ticker/price",
    "ticker.book": "/api/v3/ticker/bookTicker",
}
FUTURES_QUESTIONS: Final = {
    "depth": "/fapi/v1/depth",
    "ticker.price": "/fapi/v1/ticker/price",
    "ticker.book": "/fapi/v1/ticker/bookTicker",
}

_ID_CHARS: Final = 36
_KEY: Final = re.compile(r"[\x21-\x7e]{1,4096}")
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/=_-]{40,1024}")
_WINDOW_MS: Final = 5_000
_LONGEST_WINDOW_MS: Final = 60_000
_MICROSECONDS: Final = 10**14  # times above it are not ms
_HIDDEN: Final = "***"  # instead of a key: what is not held cannot leak
# Subscriptions are numbered by Binance. A connection is one user's here, so there is one, and its number is 0.
_SUBSCRIPTION: Final = 0
_NAMES: Final = {"0@balance": "@balance", "0@order": "@order", "0@system": "system"}

Method = Callable[[RequestId, Params], Request]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Weighed(NamedTuple):
    """The answer to a question, and what the reply says of the weight used."""

    answer: object
    limits: Sequence[object]


class Api:
    """JSON in text frames. Each reply has `rateLimits`, empty where nothing was weighed: some clients need it.

    `questions`: what of QUESTIONS or FUTURES_QUESTIONS may be asked; `methods`: what may be asked beside them.
    """

    def __init__(self, questions: Mapping[str, str], methods: Mapping[str, Method]) -> None:
        self._questions = questions
        self._methods = methods

    def decode(self, payload: bytes, binary: bool) -> Request:
        if binary:
            raise Disconnect(CloseCode.UNSUPPORTED_DATA, "binary frame, expected JSON in text frames")
        request_id: RequestId = None
        try:
            try:
                message = _decode(payload)
            except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
                raise BinanceError(Code.UNKNOWN, f"Invalid JSON: {error}") from None
            if not isinstance(message, dict):
                raise BinanceError(Code.UNKNOWN, f"Expected an object, found {quoted(message)}.")
            request_id = _request_id(message)
            return self._request(request_id, message)
        except BinanceError as error:
            return Refused(request_id, error)

    def channel_name(self, name: object) -> str:
        return _NAMES.get(str(name), str(name))

    def name_of(self, channel: Channel) -> str:
        return client_name(channel)

    def greets(self, kind: ChannelKind) -> bool:
        return False

    def done(self, request_id: RequestId) -> Frame:
        return self.result(request_id, {})

    def result(self, request_id: RequestId, result: object) -> Frame:
        limits: object = []
        if isinstance(result, Weighed):
            result, limits = result
        return _text({"id": request_id, "status": 200, "result": result, "rateLimits": limits})

    def subscribed(self, request_id: RequestId, numbers: Mapping[str, Number], recovered: bool | None) -> Frame:
        return self.result(request_id, {"subscriptionId": _SUBSCRIPTION})

    def error(self, request_id: RequestId, error: ClientError) -> Frame:
        found = translated(error)
        return _text({"id": request_id, "status": found.status, "error": found.body, "rateLimits": found.limits})

    def pong(self, request_id: RequestId, time_ms: int) -> Frame:
        return self.result(request_id, {"serverTime": time_ms})

    def message(self, message: str | bytes) -> Frame:
        if isinstance(message, str):
            return frame(message.encode(), TEXT)
        return frame(message, BINARY)

    def farewell(self, time_ms: int) -> Frame:
        return _text({"event": {"e": "serverShutdown", "E": time_ms}})

    def event(self, publication: Publication, view: View) -> Frame:
        if publication.channel.kind.owner is Owner.NOBODY:
            if not isinstance(publication.data, dict) or publication.data.get("type") != "logout":
                return SILENCE
            if publication.data.get("reason") == "replaced":
                return SILENCE  # the subscription goes on, of another user
            return _event(_encode({"e": "eventStreamTerminated", "E": publication.time}))
        return Frame(b"".join(_event(event).wire for event in user_events(publication)))

    def _request(self, request_id: RequestId, message: Mapping[str, Any]) -> Request:
        method = message.get("method")
        if not isinstance(method, str):
            raise missing("method")
        params = dict(read.from_json(message.get("params")))
        params.pop("returnRateLimits", None)  # every reply has them: ccxt says false, binance-sdk-spot needs them
        if method in self._questions:
            return Question(request_id, self._questions[method], params)
        make = self._methods.get(method)
        if make is None:
            raise BinanceError(Code.UNSUPPORTED, f"Unsupported method {quoted(method)}.")
        return make(request_id, params)


def _event(event: bytes) -> Frame:
    return frame(b'{"subscriptionId":%d,"event":%b}' % (_SUBSCRIPTION, event), TEXT)


def _text(message: object) -> Frame:
    return frame(_encode(message), TEXT)


# -- requests


def _request_id(message: Mapping[str, Any]) -> RequestId:
    found = message.get("id")
    if found is None or (type(found) is int and -(2**63) <= found < 2**63):
        return found
    if isinstance(found, str) and len(found) <= _ID_CHARS:
        return found
    raise bad_value("id", f"a 64-bit integer, a string of at most {_ID_CHARS} characters, or null")


def _signed(request_id: RequestId, params: Params, then: Request) -> Request:
    """A request of the bearer of an apiKey; `then` is answered once the key is known."""
    key = read.needed(params, "apiKey")
    if not _KEY.fullmatch(key):
        raise BinanceError(Code.BAD_KEY, "API-key format invalid.")
    made_ms = read.number(params, "timestamp")
    if made_ms is None:
        raise missing("timestamp")
    if made_ms >= _MICROSECONDS:
        made_ms //= 1_000
    window_ms = read.number(params, "recvWindow")
    if window_ms is not None and window_ms > _LONGEST_WINDOW_MS:
        raise BinanceError(Code.WINDOW, f"'recvWindow' must be less than {_LONGEST_WINDOW_MS}.")
    if not _SIGNATURE.fullmatch(read.needed(params, "signature")):
        raise BinanceError(Code.SIGNATURE, "Signature for this request is not valid.")
    late = BinanceError(Code.TIMESTAMP, "Timestamp for this request is outside of the recvWindow.")
    return Dated(request_id, made_ms, window_ms or _WINDOW_MS, late, Auth(request_id, key, then))


def _logon(request_id: RequestId, params: Params) -> Request:
    return _signed(request_id, params, Report(request_id, _status))


def _subscribe(request_id: RequestId, params: Params) -> Request:
    return Subscribe(request_id, tuple(_NAMES))


def _subscribe_signed(request_id: RequestId, params: Params) -> Request:
    return _signed(request_id, params, _subscribe(request_id, params))


def _unsubscribe(request_id: RequestId, params: Params) -> Request:
    number = read.number(params, "subscriptionId")
    if number not in (None, _SUBSCRIPTION):
        raise BinanceError(Code.NO_SUBSCRIPTION, "The subscription does not exist.")
    return Unsubscribe(request_id, tuple(_NAMES))


def _status(standing: Standing) -> object:
    return {
        "apiKey": None if standing.uid is None else _HIDDEN,
        "authorizedSince": standing.login,
        "connectedSince": standing.since,
        "returnRateLimits": True,
        "serverTime": standing.now,
        "userDataStream": bool(_subscriptions(standing)),
    }


def _subscriptions(standing: Standing) -> list[dict[str, int]]:
    return [{"subscriptionId": _SUBSCRIPTION}] if _NAMES.keys() <= set(standing.names) else []


_METHODS: Final[dict[str, Method]] = {
    "session.logon": _logon,
    "session.status": lambda request_id, params: Report(request_id, _status),
    "session.logout": lambda request_id, params: Logout(request_id, Report(request_id, _status)),
    "session.subscriptions": lambda request_id, params: Report(request_id, _subscriptions),
    "userDataStream.subscribe": _subscribe,
    "userDataStream.subscribe.signature": _subscribe_signed,
    "userDataStream.unsubscribe": _unsubscribe,
}

API: Final = Api(QUESTIONS, _METHODS)
FUTURES_API: Final = Api(FUTURES_QUESTIONS, {})
_BY_PATH: Final = {"/ws-api/v3": API, "/ws-fapi/v1": FUTURES_API}


def open(path: str, query: str, subprotocols: Sequence[str]) -> Opening | None:
    api = _BY_PATH.get(path.removesuffix("/"))
    return None if api is None else Opening(api)
