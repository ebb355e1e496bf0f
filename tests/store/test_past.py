"""A past that was loaded, and that a server goes on from it as if it had been there all the time."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange_push.errors import ConfigError
from exchange_push.load import Source
from exchange_push.market.events import Gap, MarketEvent, Trade
from exchange_push.market.interval import INTERVALS
from exchange_push.store.filling import FillableStore
from exchange_push.store.past import Summary
from tests.market.exchange import book, channel, trade, wire
from tests.store.stored import Stored, numbers

T = 1_704_067_200_000  # 2024-01-01, a Monday
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
KEEP_MS = {"1s": 90_000_000, "trades": 90_000_000}

Load = Callable[..., Summary]


def csv_of(trades: Sequence[Trade]) -> str:
    rows = (f"{one.id},{one.price},{one.qty},0,{one.time},{one.side == 'sell'},True\n" for one in trades)
    return "".join(rows)


def load_into(store: Path, file: Path, text: str, symbol: str = "S", interval: str = "") -> Summary:
    file.write_text(text)
    opened = FillableStore(str(store), KEEP_MS)
    try:
        return Source(file, symbol, interval or None, None).load(opened)
    finally:
        opened.close()


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load rows into the store of a test."""
    files = count()

    def load(text: str | Sequence[Trade], symbol: str = "S", interval: str = "") -> Summary:
        rows = text if isinstance(text, str) else csv_of(text)
        return load_into(tmp_path / "store", tmp_path / f"{next(files)}.csv", rows, symbol, interval)

    return load


def candle(start: int, price: str, volume: str = "2", interval: str = "1m") -> str:
    worth = Decimal(price) * Decimal(volume)
    return f"{start},{price},{price},{price},{price},{volume},0,{worth:f},1,0,0,0\n"


def candles(*starts: int, price: str = "5", interval: str = "1m") -> str:
    return "".join(candle(start, price) for start in starts)


def live(path: Path, events: Sequence[Any], *names: str) -> Stored:
    """A server that goes on with these events."""
    stored = Stored(path, [], *names)
    stored.events, stored.next = events, 0
    if stored.store.place() is None and stored.store.load() is not None:
        stored.board.apply([Gap(0)], 0)  # as the service does
    return stored


def run(stored: Stored, hold: int = 2) -> None:
    """All events one by one, the last two when the wall is about to begin a second: time is then that of the market."""
    while stored.next < len(stored.events) - hold:
        stored.take(1)
        stored.tick()
        stored.commit()
    while stored.now_ms % 1_000 != 950:
        stored.tick()
        stored.commit()
    stored.take(hold)
    for _ in range(4):
        stored.tick()
        stored.commit()


def witnesses(time: int) -> list[MarketEvent]:
    return [book(time, time, [], [], symbol="OTHER") for _ in range(2)]


def naive(trades: Sequence[Trade], name: str) -> list[tuple[Any, ...]]:
    groups: dict[int, list[Trade]] = {}
    for one in trades:
        groups.setdefault(INTERVALS[name].start(one.time), []).append(one)
    found = []
    for start, group in sorted(groups.items()):
        group.sort(key=lambda one: one.id)
        prices = [one.price for one in group]
        worths = [Decimal(one.price) * Decimal(one.qty) for one in group]
        bought = [place for place, one in enumerate(group) if one.side == "buy"]
        found.append(
            (
                start,
                prices[0],
                max(prices, key=Decimal),
                min(prices, key=Decimal),
                prices[-1],
                group[-1].qty,
                sum(Decimal(one.qty) for one in group),
                sum(worths),
                sum(Decimal(group[place].qty) for place in bought),
                sum(worths[place] for place in bought),
                len(group),
                group[0].id,
                group[-1].id,
            )
        )
    return found


def stored_rows(path: Path, symbol: str = "S") -> dict[str, list[tuple[Any, ...]]]:
    stored = Stored(path, [])
    found = stored.candles()
    stored.store.close()
    return {
        name: [(*row[1:7], *(Decimal(text) for text in row[7:11]), *row[11:]) for row in rows if row[0] == symbol]
        for name, rows in found.items()
    }


_steps = st.tuples(
    st.sampled_from(["7.00", "6.50", "8.25", "10.00", "0.50"]),
    st.sampled_from(["1.00", "0.25", "3.10"]),
    st.sampled_from(["buy", "sell"]),
    st.sampled_from([0, 0, 1, 300, 999, 1_000, 20_000, 61_000, 3_600_000, 30_000_000]),
)


def feed(steps: Sequence[Any], first_id: int = 1, start: int = T) -> list[Trade]:
    found, time = [], start
    for number, (price, qty, side, forward) in enumerate(steps, first_id):
        time += forward
        found.append(trade(number, price, qty, time, side))
    return found


fixtures = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fixtures
@given(st.lists(_steps, min_size=1, max_size=40), st.data())
def test_trades_become_the_candles_of_all_intervals(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("past")
    trades = feed(steps)
    # Some come late, as engines that match on several threads write them.
    late = data.draw(st.lists(st.sampled_from([0, 0, 0, 1_500, 90_000]), min_size=len(trades), max_size=len(trades)))
    trades = [
        trade(one.id, one.price, one.qty, max(T, one.time - back), one.side)
        for one, back in zip(trades, late, strict=True)
    ]
    repeated = data.draw(st.integers(0, len(trades)))
    rows_of_file = [*trades, *trades[:repeated]]
    summary = load_into(path / "store", path / "csv", csv_of(rows_of_file))
    assert (summary.rows, summary.loaded, summary.repeated) == (len(trades) + repeated, len(trades), repeated)
    rows = stored_rows(path / "store")
    for name in INTERVALS:
        kept = rows_of_file[-1].time - KEEP_MS.get(name, 1 << 60)
        assert rows[name] == [row for row in naive(trades, name) if row[0] >= kept]


@fixtures
@given(st.lists(_steps, min_size=2, max_size=30), st.data())
def test_a_past_and_then_the_feed_is_one_feed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("past")
    trades = feed(steps)
    cut = data.draw(st.integers(1, len(trades) - 1))
    again = data.draw(st.integers(0, cut))  # of what was loaded, the feed repeats some
    last = witnesses(trades[-1].time + 600_000)

    load_into(folder / "loaded", folder / "csv", csv_of(trades[:cut]))
    loaded = live(folder / "loaded", [*trades[cut - again :], *last])
    undisturbed = live(folder / "undisturbed", [*trades, *last])
    for stored in (loaded, undisturbed):
        _run_with_witnesses(stored)
    # A candle that ran when the past ended was stored as far as it went, and is again when it ends.
    ended = {name: _ended(rows, name, trades[-1].time) for name, rows in loaded.candles().items()}
    assert ended == {name: _ended(rows, name, trades[-1].time) for name, rows in undisturbed.candles().items()}
    assert numbers(loaded.states()) == numbers(undisturbed.states())
    assert loaded.trade_ids("S") == [one.id for one in trades if one.time >= trades[cut - 1].time - KEEP_MS["trades"]]
    loaded.store.close()
    undisturbed.store.close()


def _run_with_witnesses(stored: Stored) -> None:
    """Time that leaps must be borne out."""
    events: list[Any] = []
    time = 0
    for event in stored.events[:-2]:
        if event.time > time + MINUTE:
            events += witnesses(event.time)
        time = max(time, event.time)
        events.append(event)
    stored.events = [*events, *stored.events[-2:]]
    run(stored)


def _ended(rows: list[tuple[Any, ...]], name: str, time: int) -> list[tuple[Any, ...]]:
    interval = INTERVALS[name]
    oldest = time - KEEP_MS.get(name, 1 << 60)
    return [row for row in rows if oldest <= row[1] and interval.end(row[1]) <= time]


@fixtures
@given(st.lists(_steps, min_size=4, max_size=30), st.data())
def test_what_was_before_a_server_ran_can_be_loaded_afterwards(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("past")
    cut = data.draw(st.integers(1, len(steps) - 2))
    steps[cut] = (*steps[cut][:3], max(1_000, steps[cut][3]))  # the border is that of a second
    trades = feed(steps)
    half = data.draw(st.integers(cut + 1, len(trades)))
    over = data.draw(st.integers(0, len(trades) - cut))
    last = witnesses(trades[-1].time + 600_000)

    first = live(folder / "loaded", [*trades[cut:half], *witnesses(trades[half - 1].time)])
    _run_with_witnesses(first)
    first.store.close()
    summary = load_into(folder / "loaded", folder / "csv", csv_of(trades[: cut + over]))
    assert (summary.loaded, summary.stored, summary.whole) == (cut, over, True)
    loaded = Stored(folder / "loaded", [])
    loaded.events, loaded.next = [*trades[half:], *last], 0
    undisturbed = live(folder / "undisturbed", [*trades, *last])
    for stored in (loaded, undisturbed):
        _run_with_witnesses(stored)
    for name in INTERVALS:
        assert _ended(loaded.candles()[name], name, trades[-1].time) == _ended(
            undisturbed.candles()[name], name, trades[-1].time
        )
    assert numbers(loaded.states()) == numbers(undisturbed.states())
    loaded.store.close()
    undisturbed.store.close()


def is_complete(stored: Stored, interval: str, start: int, symbol: str = "S") -> bool:
    found = stored.store.candles(symbol, interval, start, start + 1, 1)
    [data] = [data for data in stored.board.chart(symbol, interval, found) if data.start == start]
    return data.complete


def trades_of(ids: range, time: int, symbol: str = "S") -> list[Trade]:
    return [trade(number, "5", "1", time + place * 1_000, symbol=symbol) for place, number in enumerate(ids)]


def test_where_ids_show_that_nothing_is_missing_the_past_is_whole(load: Load, tmp_path: Path) -> None:
    load(trades_of(range(1, 100), T))
    stored = live(tmp_path / "store", [*trades_of(range(100, 200), T + 5 * MINUTE), *witnesses(T + 10 * MINUTE)])
    _run_with_witnesses(stored)
    assert all(is_complete(stored, "1m", T + minute * MINUTE) for minute in range(9))
    stored.store.close()


def test_where_they_show_that_some_are_the_time_between_is_not(load: Load, tmp_path: Path) -> None:
    load(trades_of(range(1, 100), T))
    stored = live(tmp_path / "store", [*trades_of(range(101, 200), T + 5 * MINUTE), *witnesses(T + 10 * MINUTE)])
    _run_with_witnesses(stored)
    found = [is_complete(stored, "1m", T + minute * MINUTE) for minute in range(9)]
    assert found == [True, False, False, False, False, False, True, True, True]
    stored.store.close()


def test_each_symbols_past_has_its_own_end(load: Load, tmp_path: Path) -> None:
    load(trades_of(range(1, 10), T, "A"), "A")
    load(trades_of(range(1, 10), T + 5 * MINUTE, "B"), "B")
    load(trades_of(range(1, 10), T + 2 * MINUTE, "C"), "C")
    events = [
        trade(12, "5", "1", T + 8 * MINUTE, symbol="A"),
        trade(12, "5", "1", T + 8 * MINUTE, symbol="B"),
        trade(10, "5", "1", T + 8 * MINUTE, symbol="C"),
        trade(7, "5", "1", T + 8 * MINUTE, symbol="D"),
        *witnesses(T + 20 * MINUTE),
    ]
    stored = live(tmp_path / "store", events)
    _run_with_witnesses(stored)
    found = {
        symbol: [is_complete(stored, "1m", T + minute * MINUTE, symbol) for minute in range(begin, 10)]
        for symbol, begin in (("A", 0), ("B", 5), ("C", 2), ("D", 8))
    }
    assert found == {
        "A": [False] * 9 + [True],
        "B": [False, False, False, False, True],
        "C": [True] * 8,
        "D": [False, True],
    }
    stored.store.close()


def test_a_symbol_whose_past_ended_long_ago_spoils_no_others(load: Load, tmp_path: Path) -> None:
    load(trades_of(range(1, 10), T - 300 * DAY, "OLD"), "OLD")
    load(trades_of(range(1, 100), T))
    stored = live(tmp_path / "store", [trade(150, "5", "1", T + 5 * MINUTE), *witnesses(T + 20 * MINUTE)])
    _run_with_witnesses(stored)
    assert [is_complete(stored, "1m", T + minute * MINUTE) for minute in (0, 1, 6)] == [True, False, True]
    stored.store.close()


def test_running_candles_and_the_ticker_are_there_before_the_feed_is(load: Load, tmp_path: Path) -> None:
    load(trades_of(range(1, 100), T))
    stored = Stored(tmp_path / "store", [])
    state = stored.board.state(channel("S@kline_1M"))
    assert state is not None
    assert [wire(state)[key] for key in ("count", "firstId", "lastId")] == [99, 1, 99]
    stored.store.close()


def test_candles_have_no_ids_and_the_feed_goes_on_behind_them(load: Load, tmp_path: Path) -> None:
    summary = load(candles(*(T + minute * MINUTE for minute in range(180))), interval="1m")
    assert (summary.loaded, summary.begin, summary.end) == (180, T, T + 3 * HOUR)
    now = T + 3 * HOUR
    events = [
        trade(7, "9", "1", now - 1),  # of time that was loaded: it is in there
        trade(8, "6", "1", now + 30_000),
        trade(9, "4", "1", now + 90_000),
        *witnesses(now + 2 * HOUR),
    ]
    stored = live(tmp_path / "store", events)
    _run_with_witnesses(stored)
    day = wire(stored.board.state(channel("S@kline_1d")))  # type: ignore[arg-type]
    assert [day[key] for key in ("open", "high", "low", "close", "volume", "count", "firstId", "lastId")] == [
        *("5", "6", "4", "4", "362", 182, -1, 9)
    ]
    assert day["complete"] is False
    assert is_complete(stored, "1h", now - 2 * HOUR)
    assert not is_complete(stored, "1m", now)
    assert is_complete(stored, "1m", now + MINUTE)
    stored.store.close()


def test_a_window_begins_with_a_minute_whose_seconds_are_not_known(load: Load, tmp_path: Path) -> None:
    load(candles(*(T + minute * MINUTE for minute in range(3 * 1_440))), interval="1m")
    now = T + 3 * DAY
    stored = live(tmp_path / "store", [trade(8, "6", "1", now + 30_000), *witnesses(now + 31_000)], "ticker")
    run(stored)
    ticker = wire(stored.board.state(channel("S@ticker")))  # type: ignore[arg-type]
    assert (ticker["count"], ticker["complete"]) == (1_441, False)
    stored.store.close()


def test_a_past_may_come_in_several_files_from_either_end(load: Load, tmp_path: Path) -> None:
    trades = trades_of(range(1, 301), T)
    for part in (trades[100:200], trades[:120], trades[190:]):
        assert load(part).whole
    assert [row[11:] for row in stored_rows(tmp_path / "store")["1M"]] == [(1, 300)]
    assert [row[10] for row in stored_rows(tmp_path / "store")["1m"]] == [60] * 5


def test_what_is_missing_between_files_is_told(load: Load, tmp_path: Path) -> None:
    trades = trades_of(range(1, 301), T)
    load(trades[120:180])
    assert not load(trades[:60]).whole
    assert not load(trades[240:]).whole
    stored = Stored(tmp_path / "store", [])
    assert [is_complete(stored, "1m", T + minute * MINUTE) for minute in (0, 2, 4)] == [False, False, False]
    assert [is_complete(stored, "1s", T + second * 1_000) for second in (0, 58, 59, 121, 178, 179, 241)] == [
        *(True, True, False, True, True, False, True)
    ]
    stored.store.close()


def test_candles_in_several_files_are_whole_where_they_lie_side_by_side(load: Load, tmp_path: Path) -> None:
    starts = [T + minute * MINUTE for minute in range(90)]
    assert load(candles(*starts[30:60]), interval="1m").whole
    assert load(candles(*starts[:31]), interval="1m").whole
    assert load(candles(*starts[59:]), interval="1m").whole
    assert [row[10] for row in stored_rows(tmp_path / "store")["1h"]] == [60, 30]


def test_candles_that_a_server_made_are_not_touched(load: Load, tmp_path: Path) -> None:
    live_trades = [trade(number, "7", "1", T + 90_000 + number * 1_000) for number in range(50, 150)]
    stored = live(tmp_path / "store", [*live_trades, *witnesses(T + 2 * HOUR)])
    _run_with_witnesses(stored)
    stored.store.close()
    before = stored_rows(tmp_path / "store")
    summary = load(candles(*(T + minute * MINUTE for minute in range(10)), price="3"), interval="1m")
    assert (summary.loaded, summary.stored, summary.whole) == (2, 8, False)
    after = stored_rows(tmp_path / "store")
    assert after["1s"] == before["1s"]
    assert [row for row in after["1m"] if row[0] >= T + 2 * MINUTE] == before["1m"]
    [old], [new] = before["1h"], after["1h"]
    assert (old[1], new[1], new[3], new[4], new[10]) == ("7", "3", "3", "7", old[10] + 2)
    assert new[6] == old[6] + 4


def test_trades_missing_before_a_servers_first_are_a_hole_up_to_where_it_heard_the_feed(
    load: Load, tmp_path: Path
) -> None:
    events = [*witnesses(T + 5 * MINUTE), trade(50, "7", "1", T + 9 * MINUTE), *witnesses(T + HOUR)]
    stored = live(tmp_path / "store", events)
    _run_with_witnesses(stored)
    stored.store.close()
    assert not load(trades_of(range(1, 40), T)).whole
    stored = Stored(tmp_path / "store", [])
    assert [is_complete(stored, "1m", T + minute * MINUTE) for minute in range(10)] == [False] * 6 + [True] * 4
    stored.store.close()


def test_a_server_may_know_other_symbols_already(load: Load, tmp_path: Path) -> None:
    stored = live(tmp_path / "store", [trade(1, "7", "1", T, symbol="A"), *witnesses(T + HOUR)])
    _run_with_witnesses(stored)
    stored.store.close()
    load(trades_of(range(1, 40), T - HOUR))
    again = Stored(tmp_path / "store", [])
    again.events, again.next = [*trades_of(range(40, 50), T + HOUR + 10_000), *witnesses(T + 2 * HOUR)], 0
    _run_with_witnesses(again)
    day = wire(again.board.state(channel("S@kline_1M")))  # type: ignore[arg-type]
    assert (day["count"], day["firstId"], day["lastId"]) == (10, 40, 49)
    assert is_complete(again, "1s", T - HOUR + 5_000)
    assert not is_complete(again, "1m", T - HOUR)
    again.store.close()


def test_longer_candles_are_for_what_is_older_than_a_day(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1h: nothing is stored yet, expected trades or candles of 1m first"):
        load(candles(T), interval="1h")
    load(candles(T + 90 * MINUTE), interval="1m")
    summary = load(candles(*(T + (hour - 50) * HOUR for hour in range(52))), interval="1h")
    assert (summary.loaded, summary.stored) == (26, 26)
    with pytest.raises(ConfigError, match="--interval 1w: candles are loaded of intervals that make up a day"):
        load(candles(T), interval="1w")
    stored = Stored(tmp_path / "store", [])
    month = wire(stored.board.state(channel("S@kline_1w")))  # type: ignore[arg-type]
    assert month["count"] == 1
    stored.store.close()
    assert [row[10] for row in stored_rows(tmp_path / "store")["1w"]] == [26, 1]


def test_other_numbers_than_the_engines_are_refused(load: Load, tmp_path: Path) -> None:
    stored = live(tmp_path / "store", [trade(5, "7", "1", T), *witnesses(T + HOUR)])
    _run_with_witnesses(stored)
    stored.store.close()
    with pytest.raises(ConfigError, match=r"line 1: id 900 at \d+ is before what is stored, which begins with id 5"):
        load(trades_of(range(900, 950), T - HOUR))
    rows = "".join(f"{one.price},{one.qty},{one.time},buy\n" for one in trades_of(range(900, 950), T - HOUR))
    summary = load("price,qty,time,side\n" + rows)
    assert (summary.loaded, summary.whole) == (50, False)
    assert stored_rows(tmp_path / "store")["1M"][0][10:] == (50, -1, -1)


def test_time_that_market_time_leapt_over_can_be_filled(load: Load, tmp_path: Path) -> None:
    load(trades_of(range(1, 10), T))
    stored = live(tmp_path / "store", [trade(10, "5", "1", T + 30 * DAY), *witnesses(T + 30 * DAY + HOUR)])
    _run_with_witnesses(stored)
    stored.store.close()
    load(candles(T + 10 * DAY, T + 10 * DAY + MINUTE), "B", "1m")
    store = FillableStore(str(tmp_path / "store"), KEEP_MS)
    found = store.candles("B", "1m", T, T + 11 * DAY, 2).rows
    assert [(start, candle is None) for start, candle in found] == [
        (T + 10 * DAY, False),
        (T + 10 * DAY + MINUTE, False),
    ]
    store.close()


def test_rows_later_than_what_a_server_stored_make_none_of_before_too_old_to_be_kept(tmp_path: Path) -> None:
    day = 25 * 3_600_000  # more than seconds are kept for
    trades = feed([("7.00", "1.00", "buy", wait) for wait in (0, 0, 1_000, 0, day)])
    first = live(tmp_path / "loaded", [trades[2], *witnesses(trades[2].time)])
    _run_with_witnesses(first)
    first.store.close()
    load_into(tmp_path / "loaded", tmp_path / "csv", csv_of(trades))
    loaded = Stored(tmp_path / "loaded", [])
    loaded.events, loaded.next = [*trades[3:], *witnesses(trades[-1].time + MINUTE)], 0
    _run_with_witnesses(loaded)

    # A running candle goes on from the seconds that were loaded.
    candles = loaded.candles()
    assert [candles[name][0][-3:] for name in ("1m", "1h", "1d")] == [(4, 1, 4)] * 3
    loaded.store.close()
