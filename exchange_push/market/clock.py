"""Market time.

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


class MarketClock:
    """Market time in ms since the epoch; 0 before the first event. `now_ms` is always the monotonic clock."""

    __slots__ = ("_grace_ms", "heard", "heard_ms", "leaps", "standing", "time")

    def __init__(self, grace_ms: int) -> None:
        self._grace_ms = grace_ms
        self.standing = False
        """Whether it goes on where an earlier run stopped, and the feed was not heard since."""
        self.heard = 0
        """Highest event time."""
        self.heard_ms = 0
        """When that came."""
        self.time = 0
        self.leaps: list[tuple[int, int]] = []
        """Jumps (from, to) over more than 1,500 s since they were last cleared."""

    def read(self, now_ms: int) -> int:
        """Market time at `now_ms`."""
        if self.heard and not self.standing:
            carried = self.heard + now_ms - self.heard_ms - self._grace_ms
            if carried > self.time:
                self.time = carried
        return self.time

    def hear(self, time_ms: int, now_ms: int) -> None:
        """An event of this time came at `now_ms`."""
        if self.standing:
            self.standing = False
            self.heard_ms = now_ms
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
        self.standing = False
        self.leaps = []

    def restore(self, heard: int, time: int) -> None:
        """Go on where an earlier run stopped. Time stands until the feed is heard again: what is asked for again, or
        still on its way, is not late."""
        self.heard, self.time = heard, time
        self.standing = True
