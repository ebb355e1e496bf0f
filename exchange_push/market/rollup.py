"""Adds candles of one interval up to those of all longer ones that are whole multiples of it."""

from collections.abc import Callable
from copy import copy
from typing import Final

from exchange_push.market.bars import Bar
from exchange_push.market.interval import INTERVALS, Interval, Month

# Each candle is made of the longest of these that fit, so that a bar is not added to all fifteen.
_STEPS: Final = ("1m", "1h", "1d")
_DAY_MS: Final = INTERVALS["1d"].length_ms


def _fits(part: Interval, whole: Interval) -> bool:
    length = _DAY_MS if isinstance(whole, Month) else whole.length_ms
    return part.length_ms < whole.length_ms and length % part.length_ms == 0


class Rollup:
    """Gives `write` (interval, start in ms, bar) what it is given, and what that adds up to.

    A candle may be written in several parts, which share no trade: in one where its bars come in order of time. Call
    within EXACT, and `finish` in the end.
    """

    def __init__(self, interval: str, write: Callable[[str, int, Bar], None]) -> None:
        self._write = write
        self._base = interval
        self._targets: dict[str, list[str]] = {interval: []}
        self._open: dict[str, tuple[int, Bar]] = {}
        base = INTERVALS[interval]
        for name, whole in INTERVALS.items():
            if _fits(base, whole):
                steps = [step for step in _STEPS if _fits(base, INTERVALS[step]) and _fits(INTERVALS[step], whole)]
                self._targets.setdefault(steps[-1] if steps else interval, []).append(name)

    def add(self, start: int, bar: Bar) -> None:
        """Take in a candle of the shortest interval; it is not changed, nor may it be later."""
        self._add(self._base, start, bar)

    def _add(self, name: str, start: int, bar: Bar) -> None:
        self._write(name, start, bar)
        for target in self._targets.get(name, ()):
            begin = INTERVALS[target].start(start)
            known = self._open.get(target)
            if known is not None and known[0] == begin:
                known[1].add(bar)
                continue
            self._open[target] = begin, copy(bar)
            if known is not None:
                self._add(target, *known)

    def finish(self) -> None:
        for name in INTERVALS:  # shorter ones first: they are part of the longer
            known = self._open.pop(name, None)
            if known is not None:
                self._add(name, *known)
