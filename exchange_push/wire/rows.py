"""Rows of CSV files in which a market's past is handed on: trades, aggregated trades, candles.

What each field is says a header, the operator, or, of files without one, the order in which Binance publishes.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from exchange_push.errors import WireError, quoted
from exchange_push.market.bars import Bar
from exchange_push.market.events import Trade
from exchange_push.market.interval import Interval
from exchange_push.wire.events import ID_END, TIME_END_MS, decimal_fault, trade_fault

TRADE: Final = ("id", "price", "qty", "time", "side", "maker", "first_id", "last_id")
CANDLE: Final = (
    "time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "count",
    "taker_volume",
    "taker_quote_volume",
    "first_id",
    "last_id",
)
IGNORED: Final = "-"

_Kind = Literal["trades", "candles"]
_NEEDED: Final[dict[_Kind, tuple[str, ...]]] = {"trades": ("price", "qty", "time"), "candles": CANDLE[:10]}
# Orders of data.binance.vision: of trades, aggregated trades and candles, without and with what is ignored at the end.
_TRADES: Final = ("id", "price", "qty", "-", "time", "maker", "-")
_AGGREGATED: Final = ("-", "price", "qty", "first_id", "last_id", "time", "maker", "-")
_CANDLES: Final = (*CANDLE[:6], "-", *CANDLE[6:10], "-")
_ORDERS: Final[dict[tuple[_Kind, int], tuple[str, ...]]] = {
    ("trades", 6): _TRADES[:6],
    ("trades", 7): _TRADES,
    ("trades", 8): _AGGREGATED,
    ("candles", 11): _CANDLES[:11],
    ("candles", 12): _CANDLES,
}
_SYNONYMS: Final = {
    "tradeid": "id",
    "quantity": "qty",
    "size": "qty",
    "timestamp": "time",
    "transacttime": "time",
    "opentime": "time",
    "start": "time",
    "isbuyermaker": "maker",
    "firsttradeid": "first_id",
    "lasttradeid": "last_id",
    "takerbuyvolume": "taker_volume",
    "takerbuyquotevolume": "taker_quote_volume",
    "takerbuybaseassetvolume": "taker_volume",
    "takerbuyquoteassetvolume": "taker_quote_volume",
    "numberoftrades": "count",
    "trades": "count",
    "quoteassetvolume": "quote_volume",
}
_MAKER: Final[dict[str, Literal["buy", "sell"]]] = {"true": "sell", "1": "sell", "false": "buy", "0": "buy"}
_SIDES: Final[dict[str, Literal["buy", "sell"]]] = {"buy": "buy", "sell": "sell"}
_OLDEST_MS: Final = 946_684_800_000  # the year 2000: a time in s lies before it
_NUMBER: Final = re.compile(r"[0-9.]+").fullmatch
_WHOLE: Final = re.compile(r"[0-9]{1,19}").fullmatch


class Layout(NamedTuple):
    """In which place of a row each field stands."""

    places: dict[str, int]
    header: bool
    """Whether the first row was one, and is none of data."""

    @property
    def has_ids(self) -> bool:
        return "id" in self.places or "first_id" in self.places


def layout(kind: _Kind, first: Sequence[str], columns: Sequence[str] | None = None) -> Layout:
    """What the fields of a file's rows are, by its first row. Raises WireError."""
    header = not any(_NUMBER(field.strip()) for field in first)
    if columns is not None:
        names = list(columns)
    elif header:
        names = [_name(kind, field) for field in first]
    else:
        order = _ORDERS.get((kind, len(first)))
        if order is None:
            raise WireError(f"{len(first)} fields and no header, expected --columns to say what they are")
        names = list(order)
    places = {name: place for place, name in enumerate(names) if name != IGNORED}
    if len(places) < len(names) - names.count(IGNORED):
        twice = next(name for name in names if name != IGNORED and names.count(name) > 1)
        raise WireError(f"{twice} is there twice, expected each column once")
    _check(kind, places)
    return Layout(places, header)


def _name(kind: _Kind, field: str) -> str:
    known = TRADE if kind == "trades" else CANDLE
    bare = re.sub("[^a-z0-9]", "", field.lower())
    name = _SYNONYMS.get(bare, bare)
    return next((one for one in known if name in (one, one.replace("_", ""))), IGNORED)


def _check(kind: _Kind, places: dict[str, int]) -> None:
    missing = [name for name in _NEEDED[kind] if name not in places]
    if kind == "trades" and not {"side", "maker"} & places.keys():
        missing.append("side or maker")
    if ("first_id" in places) != ("last_id" in places):
        missing.append("first_id and last_id together")
    if missing:
        raise WireError(f"no column of {', '.join(missing)}; found {', '.join(places) or 'none that is known'}")


class TradeRows:
    """Reads trades, in which `next_id` stands in where a file has no ids."""

    def __init__(self, symbol: str, layout: Layout) -> None:
        self._symbol = symbol
        places = layout.places
        self._width = 1 + max(places.values())
        self._price, self._qty, self._time = places["price"], places["qty"], places["time"]
        self._side = places.get("side", places.get("maker", 0))
        self._sides = _SIDES if "side" in places else _MAKER
        self._first = places.get("first_id", places.get("id"))
        self._last = places.get("last_id", self._first)
        self._next_id = 0

    def decode(self, row: Sequence[str]) -> tuple[Trade, int]:
        """A trade, or several that were aggregated: `id` is the first one's, and beside it the last one's.
        Raises WireError."""
        if len(row) < self._width:
            raise WireError(f"{len(row)} fields, expected at least {self._width}")
        if self._first is None or self._last is None:
            first = last = self._next_id
            self._next_id += 1
        else:
            first = _whole("id", row[self._first], ID_END)
            last = first if self._last == self._first else _whole("last_id", row[self._last], ID_END)
            if last < first:
                raise WireError(f"last_id is {last}, expected at least first_id, {first}")
        side = self._sides.get(row[self._side]) or self._sides.get(row[self._side].strip().lower())
        if side is None:
            raise WireError(f"side is {quoted(row[self._side])}, expected one of {', '.join(self._sides)}")
        trade = Trade(self._symbol, first, row[self._price], row[self._qty], side, time_of(row[self._time]))
        fault = trade_fault(trade)
        if fault is not None:
            raise WireError(fault)
        return trade, last


class CandleRows:
    """Reads candles of one interval."""

    def __init__(self, interval: Interval, layout: Layout) -> None:
        self._interval = interval
        self._places = [layout.places[name] for name in CANDLE[:10]]
        self._ids = [layout.places[name] for name in ("first_id", "last_id") if name in layout.places]
        self._width = 1 + max(layout.places.values())

    def decode(self, row: Sequence[str]) -> tuple[int, Bar | None]:
        """Start in ms, and the trades, None where there were none. Raises WireError."""
        if len(row) < self._width:
            raise WireError(f"{len(row)} fields, expected at least {self._width}")
        time, *texts = [row[place] for place in self._places]
        opened, high, low, close, volume, _, count_text, _, _ = texts
        start = time_of(time)
        if start != self._interval.start(start):
            raise WireError(f"time is {start}, expected the start of a candle of {self._interval.name}")
        for name, text in zip(CANDLE[1:], texts, strict=False):
            fault = None if name == "count" else decimal_fault(name, text)
            if fault is not None:
                raise WireError(fault)
        count = _whole("count", count_text, ID_END)
        numbers = {name: Decimal(text) for name, text in zip(CANDLE[1:], texts, strict=False)}
        between = numbers["open"], numbers["close"]
        if numbers["low"] > min(between) or max(between) > numbers["high"]:
            raise WireError(f"open {opened} and close {close} lie outside low {low} and high {high}")
        for part, whole in (("taker_volume", "volume"), ("taker_quote_volume", "quote_volume")):
            if numbers[part] > numbers[whole]:
                raise WireError(f"{part} is {numbers[part]:f}, expected at most {whole}, {numbers[whole]:f}")
        if count == 0:
            if numbers["volume"]:
                raise WireError(f"count is 0 and volume {volume}, expected both or none to be 0")
            return start, None
        first, last = (_whole("id", row[place], ID_END) for place in self._ids) if self._ids else (-1, -1)
        if last < first:
            raise WireError(f"last_id is {last}, expected at least first_id, {first}")
        run = 0 if self._ids else order_of(start // 1_000)
        bar = Bar(
            start // 1_000,
            opened,
            high,
            low,
            close,
            "0",  # that of the last trade is not known
            numbers["high"],
            numbers["low"],
            numbers["volume"],
            numbers["quote_volume"],
            numbers["taker_volume"],
            numbers["taker_quote_volume"],
            count,
            first,
            last,
            run,
            run,
        )
        return start, bar


def order_of(second: int) -> int:
    """The run of a bar whose ids are not known: bars add up in order of time, and before all that has ids."""
    return second - (1 << 40)


def time_of(text: str) -> int:
    """In ms; written in ms or µs. Raises WireError."""
    time = _whole("time", text, 1 << 63)
    if time >= TIME_END_MS:
        time //= 1_000
    if not _OLDEST_MS <= time < TIME_END_MS:
        raise WireError(f"time is {quoted(text)}, expected ms or µs since the epoch, after the year 2000")
    return time


def _whole(name: str, text: str, end: int) -> int:
    if _WHOLE(text) is None or int(text) >= end:
        raise WireError(f"{name} is {quoted(text)}, expected a whole number")
    return int(text)
