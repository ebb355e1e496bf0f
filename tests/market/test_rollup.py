"""Candles of one interval added up to longer ones, compared with adding up each from scratch."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.bars import Bar
from exchange_push.market.exact import EXACT
from exchange_push.market.interval import INTERVALS
from exchange_push.market.rollup import Rollup

T = 1_704_067_200_000  # 2024-01-01, a Monday
_MINUTE = 60_000


def bar(start: int, first: int, last: int, prices: list[str], volume: str = "1.5") -> Bar:
    """Of trades at these prices, in their order."""
    numbers = [Decimal(price) for price in prices]
    high, low = max(numbers), min(numbers)
    texts = dict(zip(numbers, prices, strict=True))
    return Bar(
        start // 1_000,
        prices[0],
        texts[high],
        texts[low],
        prices[-1],
        "1",
        high,
        low,
        Decimal(volume),
        Decimal(volume) * 7,
        Decimal(volume) / 4,
        Decimal(volume),
        last - first + 1,
        first,
        last,
        0,
        0,
    )


def rolled(interval: str, bars: Iterable[tuple[int, Bar]]) -> dict[str, dict[int, list[Bar]]]:
    found: dict[str, dict[int, list[Bar]]] = {}
    with localcontext(EXACT):
        rollup = Rollup(interval, lambda name, start, bar: found.setdefault(name, {}).setdefault(start, []).append(bar))
        for start, one in bars:
            rollup.add(start, one)
        rollup.finish()
    return found


def calendar(name: str, time: int) -> int:
    """Start of a candle, by the calendar."""
    at = datetime.fromtimestamp(time / 1_000, UTC)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    unit, count = name[-1], int(name[:-1])
    if unit == "M":
        at = day.replace(day=1)
    elif unit == "w":
        at = day - timedelta(days=day.weekday())
    elif unit == "d":
        at = day - timedelta(days=(day - datetime(1970, 1, 1, tzinfo=UTC)).days % count)
    elif unit == "h":
        at = day.replace(hour=at.hour - at.hour % count)
    elif unit == "m":
        at = at.replace(minute=at.minute - at.minute % count, second=0, microsecond=0)
    return int(at.timestamp()) * 1_000


def month() -> list[tuple[int, Bar]]:
    """One-minute candles of January 2024, some minutes without trades."""
    random.seed(1)
    found, price, number = [], 42_000_00, 1
    for minute in range(31 * 1_440):
        if random.random() < 0.05:
            continue
        prices = []
        for _ in range(4):
            price += random.randrange(-900, 901)
            prices.append(f"{price // 100}.{price % 100:02}")
        count = random.randrange(1, 90)
        start = T + minute * _MINUTE
        found.append((start, bar(start, number, number + count - 1, prices, f"0.{random.randrange(1, 10**8):08}")))
        number += count
    return found


def test_a_month_of_minutes_gives_the_candles_of_all_longer_intervals() -> None:
    bars = month()
    found = rolled("1m", bars)
    assert set(found) == set(INTERVALS) - {"1s"}
    for name in set(INTERVALS) - {"1s"}:
        groups: dict[int, list[Bar]] = {}
        for start, one in bars:
            groups.setdefault(calendar(name, start), []).append(one)
        assert list(found[name]) == list(groups)
        for start, group in groups.items():
            [made] = found[name][start]
            assert (made.open, made.close) == (group[0].open, group[-1].close)
            assert (made.first_id, made.last_id) == (group[0].first_id, group[-1].last_id)
            assert made.high == max(group, key=lambda one: Decimal(one.high)).high
            assert made.low == min(group, key=lambda one: Decimal(one.low)).low
            assert made.count == sum(one.count for one in group)
            for sums in ("volume", "quote_volume", "taker_volume", "taker_quote_volume"):
                assert getattr(made, sums) == sum(getattr(one, sums) for one in group)


@pytest.mark.parametrize(
    ("interval", "longer"),
    [
        ("1s", set(INTERVALS)),
        ("3m", {"3m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"}),
        ("4h", {"4h", "8h", "12h", "1d", "3d", "1w", "1M"}),
        ("8h", {"8h", "1d", "3d", "1w", "1M"}),
        ("1d", {"1d", "3d", "1w", "1M"}),
    ],
)
def test_only_whole_multiples_are_made(interval: str, longer: set[str]) -> None:
    assert set(rolled(interval, [(T, bar(T, 1, 2, ["1", "2"]))])) == longer


@given(st.permutations(range(8)), st.lists(st.sampled_from([1, 59, 60, 61, 3_600, 86_400]), min_size=8, max_size=8))
def test_in_whatever_order_bars_come_the_parts_of_a_candle_hold_each_once(order: list[int], steps: list[int]) -> None:
    times = [T + 1_000 * sum(steps[: place + 1]) for place in range(8)]
    bars = [(time, bar(time, place, place, [f"{place + 1}"])) for place, time in enumerate(times)]
    found = rolled("1s", [bars[place] for place in order])
    for name, interval in INTERVALS.items():
        for start, parts in found[name].items():
            with localcontext(EXACT):
                for part in parts[1:]:
                    parts[0].add(part)
            inside = [place for place, time in enumerate(times) if interval.start(time) == start]
            assert parts[0].count == len(inside)
            assert (parts[0].first_id, parts[0].last_id) == (inside[0], inside[-1])
            assert parts[0].close == f"{inside[-1] + 1}"
