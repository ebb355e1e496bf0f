"""What a back end pushes to its users, as events of Binance's user data stream.

A payload that is such an event already (`"e":"executionReport"`) goes out as it came. Of others known names are read
(docs/reference/binance.md has the table): what the push does not say is not made up, but said to be 0 or left out. What
cannot be told at all, because it has no asset, or no order and symbol, gives no event.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from exchange_push.market.exact import EXACT, plain
from exchange_push.market.product import Product
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.dialects.binance.amount import NOTHING, amount

EVENTS: Final = frozenset(
    (
        "outboundAccountPosition",
        "balanceUpdate",
        "executionReport",
        "listStatus",
        "eventStreamTerminated",
        "externalLockUpdate",
    )
)
# The names under which a value is looked for, in this order.
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "asset": ("asset", "currency", "coin"),
    "free": ("free", "available", "balance"),
    "locked": ("locked", "frozen", "hold"),
    "delta": ("delta", "change"),
    "time": ("time", "timestamp", "updateTime"),
    "symbol": ("symbol",),
    "order": ("orderId", "id"),
    "client order": ("clientOrderId", "clientId"),
    "side": ("side",),
    "type": ("type", "orderType"),
    "time in force": ("timeInForce",),
    "quantity": ("qty", "quantity", "origQty", "amount"),
    "price": ("price",),
    "stop price": ("stopPrice",),
    "status": ("status",),
    "reason": ("rejectReason", "reason"),
    "filled": ("filled", "executedQty", "filledQty", "cumQty"),
    "filled value": ("filledValue", "cummulativeQuoteQty", "cumQuote"),
    "last quantity": ("lastQty",),
    "last price": ("lastPrice",),
    "trade": ("tradeId",),
    "maker": ("maker", "isMaker"),
    "fee": ("fee", "commission"),
    "fee asset": ("feeAsset", "commissionAsset"),
    "created": ("created", "createTime", "createdTime"),
}
_STATUSES: Final = {"OPEN": "NEW", "CANCELLED": "CANCELED", "PARTIAL": "PARTIALLY_FILLED"}
_EXECUTIONS: Final = {"FILLED": "TRADE", "PARTIALLY_FILLED": "TRADE"}
_NUMBER_CHARS: Final = 40  # what no price or quantity comes near to
_WAITING: Final = ("NEW", "PARTIALLY_FILLED")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(float_hook=str).decode  # digits are kept
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

Payload = dict[str, Any]


def user_events(publication: Publication) -> list[bytes]:
    """The events, as JSON, that a push to `@balance` or `@order` is."""
    found: list[bytes] = []
    for text in _payloads(publication):
        payload = _decode(text)
        event = payload.get("e")
        if isinstance(event, str) and event in EVENTS:
            found.append(text)
        elif publication.channel.kind.name == "balance":
            found += map(_encode, _balance(payload, publication.time))
        elif publication.channel.kind.name == "order":
            found += map(_encode, _order(payload, publication.time))
    return found


def _payloads(publication: Publication) -> Iterator[bytes]:
    """The objects in a push: alone or in an array, bare or as `data` of one of our events."""
    if publication.message is None:
        text = _encode(publication.data)
    elif isinstance(publication.message, str):
        text = publication.message.encode()
    else:
        return
    try:
        if text.lstrip()[:1] == b"{":
            members = _members(text)
            if "event" in members and "data" in members:
                text = bytes(members["data"])
        objects = [bytes(item) for item in _items(text)] if text.lstrip()[:1] == b"[" else [text]
        yield from (text for text in objects if isinstance(_decode(text), dict))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return  # a back end may send what it likes; it is told to who listens in our own language


def _value(payload: Payload, what: str) -> Any:
    return next((payload[name] for name in NAMES[what] if payload.get(name) is not None), None)


def _text(payload: Payload, what: str, unknown: str = "") -> str:
    found = _value(payload, what)
    return unknown if found is None or isinstance(found, dict | list | bool) else str(found)


def _number(payload: Payload, what: str) -> Decimal | None:
    text = _text(payload, what)
    try:
        found = Decimal(text if len(text) <= _NUMBER_CHARS else "")
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < _NUMBER_CHARS else None


def _amount(number: Decimal | None) -> str:
    return NOTHING if number is None else amount(plain(number))


def _integer(payload: Payload, what: str, unknown: int) -> int:
    text = _text(payload, what)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else unknown


def _balance(payload: Payload, now_ms: int) -> list[Payload]:
    balances = payload.get("balances")
    parts = balances if isinstance(balances, list) else [payload]
    time = _integer(payload, "time", now_ms)
    held: list[Payload] = []
    found: list[Payload] = []
    for part in parts:
        asset = _text(part, "asset") if isinstance(part, dict) else ""
        if not asset:
            continue
        free, delta = _number(part, "free"), _number(part, "delta")
        if free is not None:
            held.append({"a": asset, "f": _amount(free), "l": _amount(_number(part, "locked"))})
        elif delta is not None:
            found.append({"e": "balanceUpdate", "E": now_ms, "a": asset, "d": _amount(delta), "T": time})
    if held:
        found.append({"e": "outboundAccountPosition", "E": now_ms, "u": time, "B": held})
    return found


def _order(payload: Payload, now_ms: int) -> list[Payload]:
    symbol, order, status = (_text(payload, what) for what in ("symbol", "order", "status"))
    if not (symbol and order and status):
        return []
    status = _STATUSES.get(status.upper(), status.upper())
    price, quantity, filled = (_number(payload, what) for what in ("price", "quantity", "filled"))
    last_quantity, last_price = _number(payload, "last quantity"), _number(payload, "last price")
    last_value = None
    if last_quantity is not None and last_price is not None:
        last_value = EXACT.multiply(last_quantity, last_price)
    return [
        {
            "e": "executionReport",
            "E": now_ms,
            "s": symbol,
            "c": _text(payload, "client order"),
            "S": _text(payload, "side").upper(),
            "o": _text(payload, "type").upper(),
            "f": _text(payload, "time in force").upper(),
            "q": _amount(quantity),
            "p": _amount(price),
            "P": _amount(_number(payload, "stop price")),
            "F": NOTHING,
            "g": -1,
            "C": "",
            "x": _EXECUTIONS.get(status, status),
            "X": status,
            "r": _text(payload, "reason", "NONE"),
            "i": _integer(payload, "order", -1) if order.isdecimal() else order,
            "l": _amount(last_quantity),
            "z": _amount(filled),
            "L": _amount(last_price),
            **_fee(payload, symbol, traded=status in _EXECUTIONS),
            "T": _integer(payload, "time", now_ms),
            "t": _integer(payload, "trade", -1),
            "w": status in _WAITING,
            "M": False,
            "Y": _amount(last_value),
            "Q": NOTHING,
            **_if_known(payload, filled),
        }
    ]


def _fee(payload: Payload, symbol: str, *, traded: bool) -> Mapping[str, object]:
    """Of a trade some asset is always named, or clients stumble: without a fee in the push, it is 0 of the quote."""
    asset = _text(payload, "fee asset") or None
    if asset is None and traded:
        asset = Product().assets(symbol)[1] or None
    return {"n": _amount(_number(payload, "fee")), "N": asset}


def _if_known(payload: Payload, filled: Decimal | None) -> Mapping[str, object]:
    """What clients take at its word, so that 0 would be wrong."""
    found: dict[str, object] = {}
    created, value, maker = _integer(payload, "created", 0), _number(payload, "filled value"), _value(payload, "maker")
    if created:
        found["O"] = created
    if value is not None or not filled:
        found["Z"] = _amount(value)
    if isinstance(maker, bool):
        found["m"] = maker
    return found
