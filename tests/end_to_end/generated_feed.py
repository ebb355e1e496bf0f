"""Feeds of every shape that an engine, or a capture turned into engine events, may have; seeded."""

from collections.abc import Iterator
from random import Random
from typing import Any

Event = list[Any]

SYMBOLS = ("BTC-USDT", "1000PEPE", "7")
WHOLE_BOOKS = "WHOLE_BOOKS"
NO_BOOK = "NOBOOK"
ALL_SYMBOLS = (*SYMBOLS, WHOLE_BOOKS, NO_BOOK)

PRICES = ("007.10", "7.1", "7.2", "7.05", "0.000000000000000001", "99999999999999999999", "0", "7")
QTYS = ("1", "0.250", "0.000000000000000001", "99999999999999999999.999999999999999999", "0", "12.5")

# How far market time goes on between two events, ms.
PACES = {
    "seconds": (0, 0, 0, 1, 3, 40, 200, 900),
    "minutes": (0, 0, 1, 700, 5_000, 40_000, 61_000, 100_000),
    "months": (0, 0, 0, 1, 5, 900),
}
# What comes once each in the course of the longest: over 1,500 seconds, minutes, half hours, quarters of a day.
JUMPS = (1_501_000, 93_600_000, 40 * 86_400_000, 400 * 86_400_000)


class GeneratedFeed:
    """Events of all symbols in the order of their numbers. `["session", n]` stands where a new session begins."""

    def __init__(self, seed: int, pace: str, count: int, *, begin_ms: int = 1_709_164_790_000) -> None:
        self._rng = Random(seed)
        self._pace = PACES[pace]
        self._now_ms = begin_ms
        self._trade_ids = {symbol: self._rng.choice((0, 1, 10**15)) for symbol in ALL_SYMBOLS}
        self._update_ids = {symbol: self._rng.randrange(10**12) for symbol in ALL_SYMBOLS}
        self._ahead: dict[str, list[Event]] = {}
        self.events: list[Event] = []
        for event in self._begin():
            self.events.append(event)
        for number in range(count):
            jump, is_due = divmod(number * (len(JUMPS) + 1), count)
            if pace == "months" and not is_due and jump:
                self._now_ms += JUMPS[jump - 1]
            if number and number % (count // 2) == 0:
                self.events.append(["session", 2 + number])
                self._now_ms += 30
                # The engine numbers its books anew.
                self._update_ids = {symbol: self._rng.randrange(100) for symbol in ALL_SYMBOLS}
                self.events += self._begin()
            self._now_ms += self._rng.choice(self._pace)
            self.events += self._event()
        for symbol in ALL_SYMBOLS:  # everyone's last word, so that there is something to wait for
            self.events.append(self._trade(symbol, 0))

    def _begin(self) -> Iterator[Event]:
        """Books that come when depth events are under way already, or before they are, or never."""
        for symbol in SYMBOLS:
            early = [self._depth(symbol) for _ in range(self._rng.randrange(4))]
            id = early[0][2] - 1 + self._rng.randrange(0, early[-1][3] - early[0][2] + 2) if early else None
            yield from early
            yield self._book(symbol, id, 40)
            yield from early[:1]  # it holds this one, or it came before: old in any case
        yield self._book(WHOLE_BOOKS, None, 5)
        yield ["funding", NO_BOOK, "-0.000100", self._now_ms + 3_600_000, self._now_ms]
        yield ["index", NO_BOOK, "one", "7.123456789", "0.25", self._now_ms]
        yield ["index", NO_BOOK, "two", "7.3", "0.5", self._now_ms]

    def _event(self) -> Iterator[Event]:
        rng = self._rng
        symbol = rng.choice(SYMBOLS)
        match rng.randrange(12):
            case 0 | 1 | 2 | 3 | 4:
                symbol = rng.choice(ALL_SYMBOLS)
                late_ms = rng.choice((0, 0, 0, 0, 5, 1_500, 50_000))
                for _ in range(rng.choice((1, 1, 3))):
                    yield self._trade(symbol, late_ms)
            case 5 | 6 | 7 | 8:
                yield self._depth(symbol)
            case 9:
                yield self._book(WHOLE_BOOKS, None, rng.choice((0, 1, 5, 30)))
            case 10:
                yield rng.choice((self._repeat(), self._old_book(symbol)))
            case 11:
                yield ["index", NO_BOOK, rng.choice(("one", "two")), rng.choice(PRICES[:4]), "0.5", self._now_ms]

    def _trade(self, symbol: str, late_ms: int) -> Event:
        rng = self._rng
        self._trade_ids[symbol] += rng.choice((1, 1, 1, 1, 1, 2, 500))
        side, order = rng.choice((("buy", None), ("sell", None), ("buy", 5), ("sell", "x-1")))
        price, qty = rng.choice(PRICES), rng.choice(QTYS)
        return ["trade", symbol, self._trade_ids[symbol], price, qty, side, self._now_ms - late_ms, order]

    def _levels(self, count: int, base: int, *, removing: bool) -> list[list[str]]:
        qtys = QTYS if removing else [qty for qty in QTYS if qty != "0"] + ["0.000"]
        return [[f"{base + self._rng.randrange(60)}.50", self._rng.choice(qtys)] for _ in range(count)]

    def _depth(self, symbol: str) -> Event:
        first = self._update_ids[symbol] + 1
        self._update_ids[symbol] += self._rng.choice((1, 1, 3, 900))
        bids = self._levels(self._rng.randrange(4), 100, removing=True)
        asks = self._levels(self._rng.randrange(4), 200, removing=True)
        return ["depth", symbol, first, self._update_ids[symbol], self._now_ms, bids, asks]

    def _book(self, symbol: str, id: int | None, levels: int) -> Event:
        """A price may come twice, and levels of nothing; one side or both may be empty."""
        if id is None:
            self._update_ids[symbol] += 1
            id = self._update_ids[symbol]
        bids, asks = self._levels(levels, 100, removing=False), self._levels(levels, 200, removing=False)
        if levels and symbol == WHOLE_BOOKS and self._rng.random() < 0.3:
            bids, asks = self._rng.choice(((bids, []), ([], asks)))
        # As it was asked for: a little before or after what the engine said last.
        return ["book", symbol, id, self._now_ms + self._rng.choice((-300, 0, 300)), bids, asks]

    def _repeat(self) -> Event:
        """An event of this session that came before: a duplicate or an old one, never news."""
        session = max((at for at, event in enumerate(self.events) if event[0] == "session"), default=0)
        said = [event for event in self.events[session:] if event[0] in ("trade", "depth")]
        return self._rng.choice(said) if said else self._trade(SYMBOLS[0], 0)

    def _old_book(self, symbol: str) -> Event:
        """One that came late: below what was said since, with a later time."""
        time_ms = max(event[4] for event in self.events if event[0] == "depth" and event[1] == symbol)
        return ["book", symbol, max(0, self._update_ids[symbol] - 1_000), time_ms + 5_000, [["1", "1"]], []]
