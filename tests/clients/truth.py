"""What the engine told, worked out in the plainest way: the books, trades and orders that clients must have seen."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

TIMES = {"trade": 6, "book": 3, "depth": 4, "index": 5, "funding": 4}
"""Where the time of an event stands."""

Levels = dict[Decimal, Decimal]


class Trade(NamedTuple):
    id: int
    price: Decimal
    qty: Decimal
    side: str
    """Of the taker."""
    time: int
    at: float
    """When the engine told it, by the clock of the record."""
    heard: int
    """The highest time that the engine had told of before, of any symbol: candles up to it may have closed."""


class Summary(NamedTuple):
    """Of some trades."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    taker_volume: Decimal
    taker_quote_volume: Decimal
    count: int


def levels(pairs: Iterable[tuple[Any, Any]]) -> Levels:
    """Without those that are gone."""
    return {Decimal(price): Decimal(qty) for price, qty in pairs if Decimal(qty)}


def summary(trades: list[Trade]) -> Summary:
    prices = [trade.price for trade in trades]
    bought = [trade for trade in trades if trade.side == "buy"]
    return Summary(
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum((trade.qty for trade in trades), Decimal(0)),
        sum((trade.price * trade.qty for trade in trades), Decimal(0)),
        sum((trade.qty for trade in bought), Decimal(0)),
        sum((trade.price * trade.qty for trade in bought), Decimal(0)),
        len(trades),
    )


class Truth:
    """`lines`: of the engine's record. Books and trades are those of one symbol, user events those of all."""

    def __init__(self, symbol: str, lines: Iterable[dict[str, Any]]) -> None:
        self.books: dict[int, tuple[Levels, Levels]] = {}
        """Bids and asks by the id of the last update in them, as Binance's clients are told it."""
        self.told: dict[int, float] = {}
        """When the engine told of that update."""
        self.trades: dict[int, Trade] = {}
        self.user_events: dict[tuple[int, str], list[tuple[float, dict[str, Any]]]] = {}
        """By uid and kind, with the time at which they were told."""
        self._heard = 0
        self._last: int | None = None
        self._shift = 0
        for line in lines:
            if "session" in line:
                self._last = None
                continue
            at, event = line["at"], line["event"]
            if event[0] == "user":
                _, uid, kind, data = event
                self.user_events.setdefault((uid, kind), []).append((at, data))
            elif event[1] == symbol:
                self._take(at, *event)
            if event[0] in TIMES:
                self._heard = max(self._heard, event[TIMES[event[0]]])

    def _take(self, at: float, kind: str, _symbol: str, *fields: Any) -> None:
        if kind == "trade":
            number, price, qty, side, time, _order = fields
            self.trades[number] = Trade(number, Decimal(price), Decimal(qty), side, time, at, self._heard)
        elif kind == "book":
            last, _time, bids, asks = fields
            if self._last is None and self.books:  # a newer session: ids go on, and one is left out
                self._shift = max(self._shift, max(self.books) + 1 - last)
            self._set(at, last, levels(bids), levels(asks))
        elif kind == "depth" and self._last is not None:
            _first, last, _time, *changes = fields
            if last <= self._last:
                return
            sides: list[Levels] = [dict(side) for side in self.books[max(self.books)]]
            for side, changed in zip(sides, changes, strict=True):
                for price, qty in changed:
                    side.pop(Decimal(price), None)
                    side |= levels([(price, qty)])
            self._set(at, last, *sides)

    def _set(self, at: float, last: int, bids: Levels, asks: Levels) -> None:
        self._last = last
        self.books[last + self._shift] = bids, asks
        self.told.setdefault(last + self._shift, at)

    def top(self, last: int, count: int) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """The best levels of both sides."""
        bids, asks = self.books[last]
        return sorted(bids.items(), reverse=True)[:count], sorted(asks.items())[:count]

    def candle(self, start: int, length_ms: int) -> Summary:
        """With no trade in it, it stands still at the last price before."""
        trades = [trade for trade in self.trades.values() if start <= trade.time < start + length_ms]
        if trades:
            return summary(trades)
        close = [trade.price for trade in self.trades.values() if trade.time < start][-1]
        return Summary(close, close, close, close, *[Decimal(0)] * 4, 0)

    def until(self, last_id: int) -> Summary:
        """Of all trades up to that one."""
        return summary([trade for trade in self.trades.values() if trade.id <= last_id])
