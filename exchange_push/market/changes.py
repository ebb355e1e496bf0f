"""What a store has to keep of the time since it was last asked for: all of it together leads from one state of the
board to a later one, so it is stored as a whole or not at all."""

from typing import NamedTuple

from exchange_push.market.bars import Bar
from exchange_push.market.interval import INTERVALS, Interval
from exchange_push.market.kept import State
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import Taken


class Late(NamedTuple):
    """Trades of a second that had ended: to be added to what is stored of the candles that had ended by `closed_s`."""

    symbol: str
    bar: Bar
    closed_s: int

    def intervals(self) -> list[tuple[Interval, int]]:
        """The candles that they correct: interval and start, in ms."""
        time = self.bar.second * 1_000
        starts = ((interval, interval.start(time)) for interval in INTERVALS.values())
        return [(interval, start) for interval, start in starts if interval.end(start) <= self.closed_s * 1_000]


class Amended(NamedTuple):
    """A candle that late trades corrected."""

    interval: str
    symbol: str
    start: int
    bar: Bar
    rev: int


class Changes:
    """A store applies them in this order: void, seconds and candles, late, trades, taken, state."""

    def __init__(self) -> None:
        self.void_from: int | None = None
        """Market time was set back: what is stored from here on, in ms, is void."""
        self.seconds: dict[tuple[str, int], Bar] = {}
        """By symbol and second: all trades of it up to now; the running one too, and without what is late."""
        self.candles: list[tuple[str, str, int, Bar]] = []
        """Candles that ended, with trades in them: interval, symbol, start in ms, and a bar of their own."""
        self.late: list[Late] = []
        self.trades: dict[str, list[MergedTrade]] = {}
        self.taken: dict[str, Taken] = {}
        self.marks: dict[str, bytes] = {}
        self.leaps: list[tuple[int, int]] = []
        """Jumps of market time over more than 1,500 s, from and to which."""
        self.state: State | None = None
        self.place: tuple[int, int] | None = None
        """Session and next number of the feed."""

    def void(self, time: int) -> None:
        """Nothing from this time on, in ms, counts any more."""
        self.void_from = time if self.void_from is None else min(time, self.void_from)
        self.seconds, self.candles, self.late = {}, [], []

    def holds(self, symbol: str, interval: str, before: int) -> bool:
        """Whether candles of a symbol that start before this time, in ms, are among them."""
        if interval == "1s":
            return any(of == symbol and second * 1_000 < before for of, second in self.seconds)
        return any(of == symbol and name == interval and start < before for name, of, start, _ in self.candles)
