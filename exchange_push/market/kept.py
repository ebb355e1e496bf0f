"""What a store gives back when a server starts: where the board stood after the last tick that was stored.

Of each symbol that is no more than its running candles and its window of 24 hours are made of; what is older stays in
the store. Bytes of it stand in an intake record too, so that a run can be repeated.
"""

from bisect import bisect_left
from copy import copy
from functools import cached_property
from typing import TypeAlias

import msgspec

from exchange_push.market.bars import Bar
from exchange_push.market.book import Numbering
from exchange_push.market.events import MarketEvent
from exchange_push.market.interval import INTERVALS
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import RecordedState, Taken
from exchange_push.market.window import HOUR, MINUTE, SECOND, Piece

DAY = 86_400


class State(msgspec.Struct, array_like=True):
    """Of all symbols together."""

    heard: int
    """Highest time of an event,"""
    time: int
    """and market time: both ms since the epoch."""
    recorded: RecordedState
    doubted: MarketEvent | None
    """An event far ahead of all others, not taken in yet."""
    books: dict[str, Numbering] = {}
    """By symbol."""

    def begun(self) -> "State":
        """It, once a server runs that goes on from there."""
        books = {symbol: numbering.as_of(self.heard) for symbol, numbering in self.books.items()}
        return msgspec.structs.replace(self, books=books)


Running: TypeAlias = dict[str, tuple[Bar | None, Bar | None]]
"""By interval: the trades of the running candle without the running second, and the newest ones before it."""


class KeptSymbol(msgspec.Struct, array_like=True):
    symbol: str
    taken: Taken
    before: Bar | None
    """The newest trades before all pieces."""
    pieces: list[Piece]
    """Oldest first, one after the other, the last the running second. `parts` says which."""
    trades: list[MergedTrade]
    """The newest, oldest first."""
    since: int
    """Start of the first candle of a minute."""
    mark: bytes | None = None
    """Of the mark price, as markprice.py keeps it."""


class Kept(msgspec.Struct, array_like=True, dict=True):
    state: State
    symbols: list[KeptSymbol]

    @property
    def second(self) -> int:
        """The running second, s since the epoch."""
        return self.state.time // 1_000

    @property
    def opened(self) -> int:
        """The first second of the windows."""
        return self.second - DAY

    @cached_property
    def running(self) -> dict[str, Running]:
        """By symbol. Ask within EXACT."""
        return {symbol.symbol: _running(symbol, self.second) for symbol in self.symbols}


class Part(msgspec.Struct, frozen=True):
    """Stored candles of an interval that start in `[start, end)`, s since the epoch."""

    interval: str
    length: int
    start: int
    end: int


def parts(second: int) -> list[Part]:
    """The candles that make up windows and running candles at this second: none overlaps another, and together they
    reach from the oldest running candle to the second, for as long as something is stored."""
    opened = second - DAY
    edge_minute, edge_hour = opened - opened % MINUTE, opened - opened % HOUR
    minute, hour = second - second % MINUTE, second - second % HOUR
    oldest = min(interval.start(second * 1_000) for interval in INTERVALS.values()) // 1_000
    edge_day = edge_hour - edge_hour % DAY
    return [
        Part("1d", DAY, oldest, edge_day),
        Part("1h", HOUR, edge_day, edge_hour),
        Part("1m", MINUTE, edge_hour, edge_minute),
        Part("1s", SECOND, edge_minute, edge_minute + MINUTE),
        Part("1m", MINUTE, edge_minute + MINUTE, edge_hour + HOUR),
        Part("1h", HOUR, edge_hour + HOUR, hour),
        Part("1m", MINUTE, hour, minute),
        Part("1s", SECOND, minute, second + 1),
    ]


def _running(symbol: KeptSymbol, second: int) -> Running:
    starts = {name: interval.start(second * 1_000) // 1_000 for name, interval in INTERVALS.items()}
    older = [piece.bar for piece in symbol.pieces if piece.start < second]
    places = [piece.start for piece in symbol.pieces if piece.start < second]
    found: Running = {}
    total: Bar | None = None
    # From the newest candle to the oldest, so that each goes on adding where the one before stopped.
    for name in sorted(starts, key=starts.__getitem__, reverse=True):
        while places and places[-1] >= starts[name]:
            places.pop()
            bar = copy(older.pop())
            if total is not None:
                bar.add(total)
            total = bar
        before = symbol.before
        if older:
            # Of the candle before, whose newest trade may be late and lie in an older piece.
            start = INTERVALS[name].start(places[-1] * 1_000) // 1_000
            candle = older[bisect_left(places, start) :]
            before = max(candle, key=lambda bar: (bar.last_run, bar.last_id))
        found[name] = copy(total), before
    return found
