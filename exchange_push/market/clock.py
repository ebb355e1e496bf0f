"""Market time, and which of it was recorded.

Market time is the highest event time of the feed. Once no event has brought a higher one for the grace, the monotonic
clock carries it on, by that grace behind, until the next higher one: it never jumps on its own, and in a feed that is
played slower than it was recorded it is never further ahead than the last pause was long. (An event that repeats an
old time does not keep it standing: engines that resend an unchanged book every 100 ms would otherwise hold all candles
open.) It goes back only when the board starts over.
"""

# Over more intervals than this nobody made candles: the market was closed or the feed another.
LONGEST_RUN = 1_500
LEAP_MS = LONGEST_RUN * 1_000  # of the shortest interval, a second

LATE_MS = 60_000
"""A trade corrects every candle that it belongs to if it comes less than this after the end of its second. For an event
as far ahead of market time, another one must bear witness: wrong by less, its time does no harm that is not mended."""

PATIENCE_MS = 10_000
"""For how long market time withstands a feed that lies a leap behind it."""

_GAPS_KEPT = 1_000  # a monthly candle asks a month back; past this number the two oldest become one


class MarketClock:
    """Market time in ms since the epoch; 0 before the first event. `now_ms` is always the monotonic clock."""

    __slots__ = ("_grace_ms", "heard", "heard_ms", "leaps", "time")

    def __init__(self, grace_ms: int) -> None:
        self._grace_ms = grace_ms
        self.heard = 0
        """Highest event time."""
        self.heard_ms = 0
        """When that came."""
        self.time = 0
        self.leaps: list[tuple[int, int]] = []
        """Jumps (from, to) over more than 1,500 s since they were last cleared."""

    def read(self, now_ms: int) -> int:
        """Market time at `now_ms`."""
        if self.heard:
            carried = self.heard + now_ms - self.heard_ms - self._grace_ms
            if carried > self.time:
                self.time = carried
        return self.time

    def hear(self, time_ms: int, now_ms: int) -> None:
        """An event of this time came at `now_ms`."""
        if time_ms <= self.heard:
            return
        before = self.read(now_ms)
        self.heard = time_ms
        self.heard_ms = now_ms
        if time_ms > before:
            if before and time_ms - before > LEAP_MS:
                self.leaps.append((before, time_ms))
            self.time = time_ms

    def start_over(self) -> None:
        """Forget the time: the next event sets it."""
        self.heard = self.heard_ms = self.time = 0
        self.leaps = []


class Recorded:
    """Which market time was heard without loss."""

    __slots__ = ("_gaps", "_open", "begin")

    def __init__(self) -> None:
        self.begin: int | None = None
        """Time of the first event ever heard."""
        self._gaps: list[tuple[int, int]] = []
        self._open: int | None = None

    def start_over(self, time_ms: int) -> None:
        """Nothing before this time was recorded."""
        self.begin = time_ms
        self._gaps = []
        self._open = None

    @property
    def losing(self) -> bool:
        """Whether events are lost and it is not known yet up to when."""
        return self._open is not None

    def lose(self, time_ms: int) -> None:
        """Events after `time_ms` are lost; `resume` will tell up to when."""
        if self._open is None:
            self._open = time_ms

    def resume(self, time_ms: int) -> tuple[int, int] | None:
        """The feed goes on at `time_ms`; the stretch (from, to) that was lost, if any was."""
        if self._open is None:
            return None
        gap = (min(self._open, time_ms), max(self._open, time_ms))
        self._open = None
        self._gaps.append(gap)
        if len(self._gaps) > _GAPS_KEPT:
            (start, _), (_, end) = self._gaps[:2]
            self._gaps[:2] = [(start, end)]
        return gap

    def complete(self, start: int, end: int) -> bool:
        """Whether nothing is known to be missing in `[start, end)`."""
        if self.begin is None or start < self.begin or (self._open is not None and end > self._open):
            return False
        return not any(first < end and start <= last for first, last in reversed(self._gaps))
