"""The candles of a stretch of time, empty ones too: what a chart is drawn from."""

from collections.abc import Iterable
from typing import NamedTuple

from exchange_push.market.clock import LATE_MS, LONGEST_RUN
from exchange_push.market.interval import Interval
from exchange_push.market.recorded import Stretch


class Candle(NamedTuple):
    """A candle with trades, as a store has it: what is text here goes to clients as it is."""

    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    taker_volume: str
    taker_quote_volume: str
    count: int  # type: ignore[assignment]  # tuple.count is of no use here
    first_id: int
    last_id: int
    rev: int


class Candles(NamedTuple):
    """Candles of one symbol and interval that ended, oldest first."""

    rows: list[tuple[int, Candle | None]]
    """By start in ms; None: an empty one."""
    before: str
    """The close before the first; "" where there is none, so that empty ones at the beginning are no candles."""


def slots(
    interval: Interval, first: int, start: int | None, end: int, limit: int, leaps: Iterable[Stretch]
) -> list[int]:
    """The starts of candles in `[start, end)` that are not before `first`, in ms: the oldest `limit`, or without
    `start` the newest; none within a leap of market time, as kline.py makes none there."""
    begin = max(first, 0 if start is None else start)
    at = interval.start(begin)
    if at < begin:
        at = interval.end(at)
    skipped = [leap for leap in leaps if leap[1] - leap[0] > LONGEST_RUN * interval.length_ms]
    found: list[int] = []
    if start is not None:
        while at < end and len(found) < limit:
            leap = _leap(interval, at, skipped)
            if leap is None:
                found.append(at)
                at = interval.end(at)
            else:
                at = max(interval.start(leap[1] - LATE_MS), interval.end(at))
        return found
    lowest, at = at, interval.start(end - 1)
    while at >= lowest and len(found) < limit:
        leap = _leap(interval, at, skipped)
        if leap is None:
            found.append(at)
            at = interval.start(at - 1)
        else:
            at = min(interval.start(leap[0]), interval.start(at - 1))
    return found[::-1]


def _leap(interval: Interval, start: int, leaps: list[Stretch]) -> Stretch | None:
    """The leap in which the candle that starts here was not made."""
    if not leaps:
        return None
    return next(
        (leap for leap in leaps if leap[0] < start and interval.end(start) <= leap[1] and start < leap[1] - LATE_MS),
        None,
    )
