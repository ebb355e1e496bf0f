"""Latency: how long an event took to reach us, and from there to the clients, by the kind of channel it came out on.

Of each symbol and tick the first event is remembered; a publication is counted by the oldest of these that came within
its kind's cadence. So it costs nothing per event and client, and shows the worst of each publication, the wait for the
cadence included. Of many publications on one tick some are looked at, evenly. Publications without a new event (a
ticker whose trades leave the window) are not counted, and neither is what is pushed.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from exchange_push.market.events import BookSnapshot, DepthChange, Trade
from exchange_push.pubsub.channel import ALL, ChannelKind, Owner
from exchange_push.pubsub.publication import Publication

BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_LOOKED_AT: Final = 64  # of a tick's publications; up to twice as many, so that few are all looked at
_TICKS_KEPT: Final = 20  # of a second; what is published more rarely is counted by its last one


class Came(NamedTuple):
    """An event: the engine's time of it, and when it came by the monotonic clock, both ms."""

    tick: int
    time: int
    now_ms: int


class Histogram:
    """How many waits were as long as each of BOUNDS_MS or shorter, and how long all were together."""

    __slots__ = ("_counts", "sum_ms")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms = 0

    def add(self, ms: int) -> None:
        """Below 0, where the engine's clock is ahead of ours, counts as 0."""
        ms = max(ms, 0)
        self._counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.sum_ms += ms

    def counts(self) -> list[int]:
        """Of each bound, how many waits were at most that long; then of all."""
        total = 0
        return [total := total + count for count in self._counts]


class _Rule(NamedTuple):
    label: str
    stamps: dict[str, deque[Came]]
    """By symbol, of the events that it is made of."""
    ticks: int


class Latency:
    """`received`, from the engine's time to ours, and `written`, from there to the sockets; by the label of a kind."""

    def __init__(self, kinds: Iterable[ChannelKind], tick_ms: int) -> None:
        self._tick = 0
        self._trades: dict[str, deque[Came]] = {}
        self._books: dict[str, deque[Came]] = {}
        self._rules = {
            kind: _Rule(_label(kind), self._books if kind.of_book else self._trades, kind.every_ms // tick_ms)
            for kind in kinds
        }
        self.received = {rule.label: Histogram() for rule in self._rules.values()}
        self.written = {rule.label: Histogram() for rule in self._rules.values()}

    def take_trade(self, trade: Trade, now_ms: int) -> None:
        """The first trade of its symbol in this tick came."""
        _stamps(self._trades, trade.symbol).append(Came(self._tick, trade.time, now_ms))

    def take_book(self, event: BookSnapshot | DepthChange, now_ms: int) -> None:
        """The first event of its symbol's book in this tick came."""
        _stamps(self._books, event.symbol).append(Came(self._tick, event.time, now_ms))

    def flush(self, publications: Sequence[Publication]) -> list[tuple[str, Came]]:
        """The tick ends with these: the label of a publication's kind, and the oldest event since it was last due."""
        found: list[tuple[str, Came]] = []
        tick, rules = self._tick, self._rules
        step = len(publications) // _LOOKED_AT or 1
        for publication in publications[tick % step :: step]:
            kind, owner = publication.channel
            label, stamps, ticks = rules[kind]
            if owner == ALL:
                oldest = [came for some in stamps.values() if (came := _oldest(some, tick - ticks)) is not None]
                came = min(oldest, key=lambda came: came.now_ms, default=None)
            else:
                some = stamps.get(owner)
                came = _oldest(some, tick - ticks) if some else None
            if came is not None:
                found.append((label, came))
        self._tick += 1
        return found

    def count_received(self, found: Iterable[tuple[str, Came]], ahead_ms: int) -> None:
        """`ahead_ms`: of the monotonic clock is the wall clock, which the engine's times are compared with."""
        for label, came in found:
            self.received[label].add(came.now_ms + ahead_ms - came.time)

    def count_written(self, found: Iterable[tuple[str, Came]], now_ms: int) -> None:
        for label, came in found:
            self.written[label].add(now_ms - came.now_ms)


def _label(kind: ChannelKind) -> str:
    """The kind's name; all candles are one."""
    name = "kline" if kind.name.startswith("kline_") else kind.name
    return f"*@{name}" if kind.owner is Owner.EVERY else name


def _stamps(by_symbol: dict[str, deque[Came]], symbol: str) -> deque[Came]:
    found = by_symbol.get(symbol)
    if found is None:
        found = by_symbol[symbol] = deque(maxlen=_TICKS_KEPT)
    return found


def _oldest(stamps: Sequence[Came], since: int) -> Came | None:
    """The first one after the tick `since`."""
    if stamps[0].tick > since:
        return stamps[0]
    oldest = None
    for came in reversed(stamps):  # most cadences are of a tick or two
        if came.tick <= since:
            break
        oldest = came
    return oldest
