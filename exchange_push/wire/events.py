"""Checks what an engine sent: event arrays, from msgpack or JSON alike, become the values of market/events.py.

What is not well-formed is counted and left out; it takes none of its neighbours with it. Whether events fit together
(ids that follow each other, times that go on) is not looked at here but in market/.
"""

import math
import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from exchange_push.errors import WireError, quoted
from exchange_push.market.events import (
    BookSnapshot,
    DepthChange,
    FeedEvent,
    Funding,
    IndexPrice,
    Level,
    Trade,
    UserEvent,
)
from exchange_push.pubsub.channel import SYMBOL, UID

TIME_END_MS: Final = 253_402_300_800_000  # the year 10000; a time in µs or ns lies beyond
ID_END: Final = 1 << 63
_UID_END: Final = 1 << 53  # what a JSON reader with doubles still tells apart
_DEPTH_LIMIT: Final = 32  # of a user event's data: far more than any, far less than what a client's parser bears
_TEXT_CHARS: Final = 128  # order ids and index sources

_DECIMAL: Final = r"[0-9]{1,20}+(?:\.[0-9]{1,18}+)?+"
_PRICE: Final = re.compile(_DECIMAL).fullmatch
_RATE: Final = re.compile(f"-?{_DECIMAL}").fullmatch
_SIDE: Final = re.compile(f"(?:{_DECIMAL} )*+").fullmatch
_TRADE: Final = re.compile(f"{SYMBOL.pattern} {_DECIMAL} {_DECIMAL}").fullmatch
_SYMBOL: Final = SYMBOL.fullmatch


class DecodedEvents(NamedTuple):
    events: list[FeedEvent]
    """The well-formed ones, in their order. A UserEvent's uid is text."""
    malformed: int
    unknown: int
    """Events of a type that we do not know."""
    extended: int = 0
    """Events with more fields than we know; they are among `events`, without these."""


class _Batch(msgspec.Struct, array_like=True):
    """A struct, since msgspec keeps what it worked out of a struct's types: 0.2 µs for one event instead of 5."""

    events: list[FeedEvent]


class _One(msgspec.Struct, array_like=True):
    event: FeedEvent


class _RawUser(msgspec.Struct, array_like=True):
    type: str
    uid: object
    kind: str
    data: msgspec.Raw


def decode_events(raw: Sequence[object]) -> DecodedEvents:
    """Events of a packet as msgpack (or a JSON decoder) unpacked them. Never raises for what is in them."""
    try:
        events = msgspec.convert((raw,), _Batch).events
    except (msgspec.ValidationError, RecursionError):
        return _one_by_one(raw)
    extended = 0
    users = False
    for event, fields in zip(events, raw, strict=True):
        kind = type(event)
        fault, width = _RULES[kind]
        if fault(event) is not None:
            return _one_by_one(raw)
        if len(fields) > width:  # type: ignore[arg-type]  # an array, or it would not have converted
            extended += 1
        if kind is UserEvent:
            users = True
    if users:
        events = [_with_text_uid(event) for event in events]
    return DecodedEvents(events, 0, 0, extended)


def decode_json_events(events: list[msgspec.Raw]) -> DecodedEvents:
    """The same from JSON (push line, HTTP); a user event keeps its `data` as the bytes that came."""
    decoded: list[FeedEvent] = []
    malformed = unknown = extended = 0
    for raw in events:
        try:
            fields = msgspec.json.decode(raw)
            event = decode_event(fields)
            if isinstance(event, UserEvent):
                # a copy, or every such event would keep the whole body it came in
                data = msgspec.json.decode(raw, type=_RawUser).data.copy()
                event = UserEvent(event.uid, event.kind, data)
        except (WireError, msgspec.MsgspecError, UnicodeError, RecursionError):
            malformed += 1
            continue
        if event is None:
            unknown += 1
            continue
        decoded.append(event)
        extended += _is_extended(event, fields)
    return DecodedEvents(decoded, malformed, unknown, extended)


def decode_event(raw: object) -> FeedEvent | None:
    """One event; None where its type is not known. Raises WireError saying what is wrong with it."""
    if not isinstance(raw, list | tuple) or not raw or not isinstance(raw[0], str):
        raise WireError("event is no array that starts with its type")
    if raw[0] not in _TYPES:
        return None
    try:
        event = msgspec.convert((raw,), _One).event
    except (msgspec.ValidationError, RecursionError) as error:
        raise WireError(f"{raw[0]}: {quoted(str(error))}") from None
    fault = _RULES[type(event)].fault(event)
    if fault is not None:
        raise WireError(f"{raw[0]}: {fault}")
    return _with_text_uid(event)


def _one_by_one(raw: Sequence[object]) -> DecodedEvents:
    """The way of a packet in which something is wrong, or newer than we are."""
    events: list[FeedEvent] = []
    malformed = unknown = extended = 0
    for fields in raw:
        try:
            event = decode_event(fields)
        except WireError:
            malformed += 1
            continue
        if event is None:
            unknown += 1
        else:
            events.append(event)
            extended += _is_extended(event, fields)
    return DecodedEvents(events, malformed, unknown, extended)


def _is_extended(event: FeedEvent, fields: Any) -> bool:
    return len(fields) > _RULES[type(event)].width


def _with_text_uid(event: FeedEvent) -> FeedEvent:
    if type(event) is UserEvent and type(event.uid) is int:
        return UserEvent(str(event.uid), event.kind, event.data)
    return event


# What msgspec's types do not say. Each gives what is wrong, or None.


def trade_fault(event: Trade) -> str | None:
    # One match for all its texts, and the chained comparisons here: a trade comes 50,000 times a second.
    if (
        _TRADE(f"{event.symbol} {event.price} {event.qty}") is None
        or not 0 < event.time < TIME_END_MS
        or not 0 <= event.id < ID_END
    ):
        return (
            _symbol_fault(event.symbol)
            or decimal_fault("price", event.price)
            or decimal_fault("qty", event.qty)
            or _time_fault("time", event.time)
            or _id_fault("id", event.id)
        )
    order = event.order
    if order is None:
        return None
    if isinstance(order, int):
        return None if -ID_END <= order < ID_END else f"order is {quoted(order)}, expected 64 bits"
    return _text_fault("order", order)


def _book_fault(event: BookSnapshot) -> str | None:
    return (
        _symbol_fault(event.symbol)
        or _id_fault("id", event.id)
        or _time_fault("time", event.time)
        or _levels_fault("bids", event.bids)
        or _levels_fault("asks", event.asks)
    )


def _depth_fault(event: DepthChange) -> str | None:
    fault = (
        _symbol_fault(event.symbol)
        or _id_fault("first", event.first)
        or _id_fault("last", event.last)
        or _time_fault("time", event.time)
        or _levels_fault("bids", event.bids)
        or _levels_fault("asks", event.asks)
    )
    if fault is None and event.first > event.last:
        return f"first is {event.first}, expected at most last, {event.last}"
    return fault


def _index_fault(event: IndexPrice) -> str | None:
    return (
        _symbol_fault(event.symbol)
        or _text_fault("source", event.source)
        or decimal_fault("price", event.price)
        or decimal_fault("weight", event.weight)
        or _time_fault("time", event.time)
    )


def _funding_fault(event: Funding) -> str | None:
    if _RATE(event.rate) is None:
        return f"rate is {quoted(event.rate)}, expected a decimal like -0.0001"
    return _symbol_fault(event.symbol) or _time_fault("next_time", event.next_time) or _time_fault("time", event.time)


def _user_fault(event: UserEvent) -> str | None:
    uid = event.uid
    if not (1 <= uid < _UID_END if isinstance(uid, int) else UID.fullmatch(uid)):
        return f"uid is {quoted(uid)}, expected 1 to 2^53-1 or {UID.pattern}"
    return None if _is_json(event.data, _DEPTH_LIMIT) else "data holds what JSON cannot say, or is nested too deep"


def _symbol_fault(symbol: str) -> str | None:
    return None if _SYMBOL(symbol) else f"symbol is {quoted(symbol)}, expected {SYMBOL.pattern}"


def decimal_fault(name: str, text: str) -> str | None:
    return None if _PRICE(text) else f"{name} is {quoted(text)}, expected a decimal like 123.45"


def _time_fault(name: str, time_ms: int) -> str | None:
    return None if 0 < time_ms < TIME_END_MS else f"{name} is {quoted(time_ms)}, expected ms since the epoch"


def _id_fault(name: str, number: int) -> str | None:
    return None if 0 <= number < ID_END else f"{name} is {quoted(number)}, expected 0 to 2^63-1"


def _text_fault(name: str, text: str) -> str | None:
    # isprintable is false for the surrogates that stand for bytes outside UTF-8
    if 0 < len(text) <= _TEXT_CHARS and text.isprintable():
        return None
    return f"{name} is {quoted(text)}, expected 1 to {_TEXT_CHARS} printable characters"


def _levels_fault(name: str, levels: list[Level]) -> str | None:
    # One match for a whole side: a book of 2,000 levels has 4,000 texts. A space in one of them cannot hide another:
    # the pieces would be one more than the texts.
    texts = " ".join(chain.from_iterable(levels))
    if not levels or (_SIDE(texts + " ") and texts.count(" ") == 2 * len(levels) - 1):
        return None
    return f"{name} holds what is not a pair of decimals like 123.45"


def _is_json(value: Any, depth: int) -> bool:
    """Whether every dialect can say it: no bytes, extension types, NaN, or text that is no UTF-8."""
    kind = type(value)
    if kind is str:
        return value.isascii() or not _SURROGATE(value)
    if kind is dict:
        return depth > 0 and all(
            type(key) is str and _is_json(key, 0) and _is_json(item, depth - 1) for key, item in value.items()
        )
    if kind is list:
        return depth > 0 and all(_is_json(item, depth - 1) for item in value)
    if kind is float:
        return math.isfinite(value)
    return kind is int or kind is bool or value is None


_SURROGATE: Final = re.compile("[\ud800-\udfff]").search


class _Rule(NamedTuple):
    fault: Callable[[Any], str | None]
    width: int
    """Fields on the wire that we know, the type included."""


_RULES: Final[dict[type, _Rule]] = {
    Trade: _Rule(trade_fault, 8),
    BookSnapshot: _Rule(_book_fault, 6),
    DepthChange: _Rule(_depth_fault, 7),
    IndexPrice: _Rule(_index_fault, 6),
    Funding: _Rule(_funding_fault, 5),
    UserEvent: _Rule(_user_fault, 4),
}
_TYPES: Final = frozenset(str(kind.__struct_config__.tag) for kind in _RULES)  # type: ignore[attr-defined]
