"""A second implementation of the market room, the plainest possible, made from the specification alone.

It keeps all events and goes over all of them whenever it is asked. It knows no ticks: what it tells is what a client
must have in the end, whatever the speed was.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any, NamedTuple
from zlib import crc32

DAY_MS = 86_400_000
LATE_MS = 60_000
FIXED_MS = {
    "1s": 1_000,
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
}
INTERVALS = (*FIXED_MS, "1w", "1M")


class Trade(NamedTuple):
    id: int
    price: str
    qty: str
    side: str
    time: int
    order: int | str | None

    @property
    def number(self) -> Fraction:
        return Fraction(self.price)

    @property
    def worth(self) -> Fraction:
        return Fraction(self.price) * Fraction(self.qty)


Sides = tuple[dict[Fraction, Fraction], dict[Fraction, Fraction]]


def candle_span(interval: str, time: int) -> tuple[int, int]:
    """Start and end of the candle that holds this time."""
    if interval in FIXED_MS:
        start = time // FIXED_MS[interval] * FIXED_MS[interval]
        return start, start + FIXED_MS[interval]
    day = datetime.fromtimestamp(time // DAY_MS * DAY_MS / 1000, UTC)
    if interval == "1w":
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1)
    return int(first.timestamp()) * 1000, int(last.timestamp()) * 1000


class ReferenceMarket:
    """What the events of a feed amount to, in the order of their numbers. `["session", n]` begins a new session."""

    def __init__(self, events: Iterable[list[Any]]) -> None:
        self.trades: dict[str, list[Trade]] = defaultdict(list)
        self.books: dict[tuple[str, int, int], Sides] = {}
        """Of every symbol, epoch and update id at which the book was known."""
        self.last_book: dict[str, tuple[int, int]] = {}
        """Epoch and update id at the end, where the book is known then."""
        self.times: list[int] = []
        self.indices: dict[str, dict[str, tuple[Fraction, Fraction]]] = defaultdict(dict)
        self.funding: dict[str, tuple[str, int]] = {}
        self._epoch = 1
        self._known: dict[str, tuple[int, bool]] = {}  # update id, and whether a whole book was the last to come
        self._sides: dict[str, Sides] = {}
        self._early: dict[str, list[list[Any]]] = defaultdict(list)
        self._by_start: dict[tuple[str, str], dict[int, list[Trade]]] = {}
        for event in events:
            self._take(event)

    def _take(self, event: list[Any]) -> None:
        kind, symbol, *fields = event
        if kind == "session":
            self._epoch = symbol
            self._known, self.last_book, self._early = {}, {}, defaultdict(list)
            return
        self.times.append(fields[{"trade": 4, "book": 1, "depth": 2, "index": 3, "funding": 2}[kind]])
        if kind == "trade":
            trade = Trade(*fields[:6])
            taken = self.trades[symbol]
            if not taken or trade.id > taken[-1].id or trade.time > max(t.time for t in taken):
                taken.append(trade)
        elif kind == "index":
            self.indices[symbol][fields[0]] = Fraction(fields[1]), Fraction(fields[2])
        elif kind == "funding":
            self.funding[symbol] = fields[0], fields[1]
        elif kind == "book":
            self._take_book(symbol, *fields)
        else:
            self._take_depth(symbol, event)

    def _take_book(self, symbol: str, id: int, time: int, bids: list[Any], asks: list[Any]) -> None:
        if symbol in self._known and id <= self._known[symbol][0]:
            return
        sides: Sides = {}, {}
        self._change(sides, bids, asks)
        self._sides[symbol] = sides
        self._note(symbol, id, whole=True)
        early, self._early[symbol] = self._early[symbol], []
        for event in early:
            self._take_depth(symbol, event)

    def _take_depth(self, symbol: str, event: list[Any]) -> None:
        _, _, first, last, _, bids, asks = event
        if symbol not in self._known:
            self._early[symbol].append(event)
            return
        id, whole = self._known[symbol]
        if last <= id:
            return
        if first == id + 1 or (whole and first <= id):
            self._change(self._sides[symbol], bids, asks)
            self._note(symbol, last, whole=False)
        else:
            del self._known[symbol], self.last_book[symbol]
            self._early[symbol].append(event)

    @staticmethod
    def _change(sides: Sides, bids: list[Any], asks: list[Any]) -> None:
        for side, levels in zip(sides, (bids, asks), strict=True):
            for price, qty in levels:
                side.pop(Fraction(price), None)
                if Fraction(qty):
                    side[Fraction(price)] = Fraction(qty)

    def _note(self, symbol: str, id: int, *, whole: bool) -> None:
        self._known[symbol] = id, whole
        self.last_book[symbol] = self._epoch, id
        bids, asks = self._sides[symbol]
        self.books[symbol, self._epoch, id] = dict(bids), dict(asks)

    # -- candles

    def candle(self, symbol: str, interval: str, start: int) -> dict[str, Any]:
        """The figures of the candle that starts there, as numbers; those of an empty one from the close before it."""
        candles = self._candles(symbol, interval)
        inside = candles.get(start)
        if not inside:
            close = candles[max(before for before in candles if before < start)][-1].number
            prices = dict.fromkeys(("open", "high", "low", "close"), close)
            sums = dict.fromkeys(("volume", "quoteVolume", "takerVolume", "takerQuoteVolume", "count"), Fraction(0))
            return {**prices, **sums, "firstId": -1, "lastId": -1}
        bought = [trade for trade in inside if trade.side == "buy"]
        return {
            "open": inside[0].number,
            "high": max(trade.number for trade in inside),
            "low": min(trade.number for trade in inside),
            "close": inside[-1].number,
            "volume": sum((Fraction(trade.qty) for trade in inside), Fraction(0)),
            "quoteVolume": sum((trade.worth for trade in inside), Fraction(0)),
            "takerVolume": sum((Fraction(trade.qty) for trade in bought), Fraction(0)),
            "takerQuoteVolume": sum((trade.worth for trade in bought), Fraction(0)),
            "count": len(inside),
            "firstId": inside[0].id,
            "lastId": inside[-1].id,
        }

    def _candles(self, symbol: str, interval: str) -> dict[int, list[Trade]]:
        if (symbol, interval) not in self._by_start:
            by_start = self._by_start[symbol, interval] = defaultdict(list)
            for trade in self.trades[symbol]:
                by_start[candle_span(interval, trade.time)[0]].append(trade)
        return dict(self._by_start[symbol, interval])

    def starts_with_trades(self, symbol: str, interval: str) -> set[int]:
        return set(self._candles(symbol, interval))

    def empty_starts(self, symbol: str, interval: str) -> Iterator[tuple[int, bool]]:
        """Starts of all candles without trades up to the last event, and whether there must be such a candle.

        In the minute before the end of a jump there may be one, made by a trade that came late.
        """
        with_trades = self.starts_with_trades(symbol, interval)
        jumps = list(self._jumps(1_500 * (FIXED_MS.get(interval) or (7 if interval == "1w" else 30) * DAY_MS)))
        start, last = min(with_trades), candle_span(interval, max(self.times))[0]
        while start < last:
            end = candle_span(interval, start)[1]
            if start not in with_trades:
                leapt = [to for since, to in jumps if since < start and end <= to]
                late = candle_span(interval, min(leapt) - LATE_MS)[0] if leapt else start
                if start < late:
                    end = late
                else:
                    yield start, not leapt
            start = end

    def _jumps(self, more_than_ms: int) -> Iterator[tuple[int, int]]:
        highest = self.times[0]
        for time in self.times:
            if time - highest > more_than_ms:
                yield highest, time
            highest = max(highest, time)

    # -- ticker

    def ticker(self, symbol: str, close_time: int) -> dict[str, Any]:
        """The figures of the day that ends there, all trades being in."""
        trades = self.trades[symbol]
        inside = [trade for trade in trades if close_time - DAY_MS <= trade.time < close_time]
        left = [trade for trade in trades if trade.time < close_time - DAY_MS]
        last = trades[-1]
        opened = inside[0] if inside else last
        volume = sum((Fraction(trade.qty) for trade in inside), Fraction(0))
        quote_volume = sum((trade.worth for trade in inside), Fraction(0))
        change = last.number - opened.number
        prices = [trade.number for trade in inside] or [last.number]
        return {
            "symbol": symbol,
            "open": opened.price,
            "high": max(prices),
            "low": min(prices),
            "last": last.price,
            "lastQty": last.qty,
            "change": change,
            "changePercent": _rounded(change * 100 / opened.number if opened.number else Fraction(0), 3),
            "weightedAvg": _rounded(quote_volume / volume if volume else last.number, 8),
            "prevClose": left[-1].price if left else None,
            "volume": volume,
            "quoteVolume": quote_volume,
            "count": len(inside),
            "firstId": inside[0].id if inside else -1,
            "lastId": last.id if inside else -1,
            "openTime": close_time - DAY_MS,
            "closeTime": close_time,
        }

    def quote(self, symbol: str) -> tuple[Fraction | None, Fraction | None, Fraction | None, Fraction | None]:
        """Best bid, its quantity, best ask, its quantity at the end."""
        if symbol not in self.last_book:
            return None, None, None, None
        return best_quote(self.books[(symbol, *self.last_book[symbol])])

    # -- mark price

    def index(self, symbol: str) -> str:
        weights = sum(weight for _, weight in self.indices[symbol].values())
        total = sum(price * weight for price, weight in self.indices[symbol].values())
        return _rounded(Fraction(total) / weights, 8)

    def mark_without_book(self, symbol: str, time: int, funding_hours: int = 8) -> str:
        """median(P1, P2, last), where no book is known and P2 therefore is the index."""
        weights = sum(weight for _, weight in self.indices[symbol].values())
        index = sum(price * weight for price, weight in self.indices[symbol].values()) / Fraction(weights)
        rate, next_time = self.funding[symbol]
        p1 = index * (1 + Fraction(rate) * max(next_time - time, 0) / (3_600_000 * funding_hours))
        return _rounded(sorted((p1, index, self.trades[symbol][-1].number))[1], 8)


def best_quote(sides: Sides) -> tuple[Fraction | None, Fraction | None, Fraction | None, Fraction | None]:
    bids, asks = sides
    bid, ask = max(bids, default=None), min(asks, default=None)
    return bid, None if bid is None else bids[bid], ask, None if ask is None else asks[ask]


def joins(before: Trade, trade: Trade) -> bool:
    """Whether the second is a further fill of the same execution at one price."""
    return (
        trade.id == before.id + 1
        and trade.number == before.number
        and trade.side == before.side
        and trade.order == before.order
        and (trade.order is not None or trade.time == before.time)
    )


def checksum(bids: dict[str, str], asks: dict[str, str]) -> int:
    """Of a client's own levels, by the text as it came."""
    best_bids = sorted(bids.items(), key=lambda level: -Fraction(level[0]))
    best_asks = sorted(asks.items(), key=lambda level: Fraction(level[0]))
    parts = []
    for place in range(25):
        parts += [":".join(side[place]) for side in (best_bids, best_asks) if place < len(side)]
    number = crc32(":".join(parts).encode())
    return number if number < 2**31 else number - 2**32


def _rounded(number: Fraction, digits: int) -> str:
    """Half-even, done on integers."""
    scaled = number * 10**digits
    whole = round(scaled)  # of a Fraction: half-even
    with localcontext() as context:
        context.prec = 200
        text = format(Decimal(whole).scaleb(-digits).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN), "f")
    return text.removeprefix("-") if whole == 0 else text
