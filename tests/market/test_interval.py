from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.interval import INTERVALS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTHS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _slow_start(name: str, time: int) -> datetime:
    """By the calendar of the standard library."""
    moment = _EPOCH + timedelta(milliseconds=time)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "1M":
        return midnight.replace(day=1)
    if name == "1w":
        return midnight - timedelta(days=moment.weekday())
    if name == "3d":
        return midnight - timedelta(days=(midnight - _EPOCH).days % 3)
    length = timedelta(**{_LENGTHS[name[-1]]: int(name[:-1])})
    return midnight + (moment - midnight) // length * length


@given(st.sampled_from(sorted(INTERVALS)), st.integers(0, 250_000_000_000_000))
def test_candles_start_where_the_calendar_says(name: str, time: int) -> None:
    interval = INTERVALS[name]
    start = interval.start(time)
    assert _EPOCH + timedelta(milliseconds=start) == _slow_start(name, time)
    assert start <= time < interval.end(start)
    assert interval.start(interval.end(start)) == interval.end(start)
    assert interval.start(interval.end(start) - 1) == start


def test_all_intervals_of_the_protocol_are_there() -> None:
    assert " ".join(INTERVALS) == "1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M"


@pytest.mark.parametrize("year", [12_024, 9_999])
def test_a_month_of_a_far_year_is_one_too(year: int) -> None:
    # Past what datetime can hold: the calendar repeats every 400 years of 146,097 days.
    cycles = (year - 2_024 + 399) // 400
    shift = cycles * 146_097 * 86_400_000
    february = int(datetime(2024, 2, 1, tzinfo=UTC).timestamp() * 1_000)
    month = INTERVALS["1M"]
    assert month.start(february + 5 + shift) == february + shift
    assert month.end(february + shift) == february + shift + 29 * 86_400_000
