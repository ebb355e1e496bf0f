"""Candles against a second implementation that goes over all trades, and each rule by itself."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_push.market.events import Gap, Trade
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kline import KlineData
from exchange_push.pubsub.channel import SlowPolicy
from exchange_push.pubsub.publication import Publication
from tests.market.exchange import Exchange, book, channel, trade

T = 1_700_000_000_000
_NAMES = [f"kline_{name}" for name in INTERVALS]


def _candle(interval: str, start: int, trades: list[Trade]) -> dict[str, Any] | None:
    """The candle of all trades of its time, in order of arrival; the empty one by the close of the newest before."""
    end = INTERVALS[interval].end(start)
    inside = [t for t in trades if start <= t.time < end]
    if inside:
        prices = [Decimal(t.price) for t in inside]
        worths = [Decimal(t.price) * Decimal(t.qty) for t in inside]
        bought = [t.side == "buy" for t in inside]
        return {
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "volume": sum(Decimal(t.qty) for t in inside),
            "quoteVolume": sum(worths),
            "takerVolume": sum(Decimal(t.qty) for t, b in zip(inside, bought, strict=True) if b),
            "takerQuoteVolume": sum(w for w, b in zip(worths, bought, strict=True) if b),
            "count": len(inside),
            "firstId": inside[0].id,
            "lastId": inside[-1].id,
        }
    before = [t for t in trades if t.time < start]
    if not before:
        return None
    newest = INTERVALS[interval].start(max(t.time for t in before))
    close = [Decimal(t.price) for t in before if t.time >= newest][-1]
    sums = dict.fromkeys(("volume", "quoteVolume", "takerVolume", "takerQuoteVolume", "count"), 0)
    return {**dict.fromkeys(("open", "high", "low", "close"), close), **sums, "firstId": -1, "lastId": -1}


def _numbers(data: KlineData) -> dict[str, Any]:
    return {
        "open": Decimal(data.open),
        "high": Decimal(data.high),
        "low": Decimal(data.low),
        "close": Decimal(data.close),
        "volume": Decimal(data.volume),
        "quoteVolume": Decimal(data.quote_volume),
        "takerVolume": Decimal(data.taker_volume),
        "takerQuoteVolume": Decimal(data.taker_quote_volume),
        "count": data.count,
        "firstId": data.first_id,
        "lastId": data.last_id,
    }


def _check(exchange: Exchange, trades: list[Trade], *, empty_ones: bool = True) -> int:
    """Compare the last revision of every closed candle and the running one; how many candles were compared."""
    compared = 0
    for interval in INTERVALS:
        wished = channel(f"S@kline_{interval}")
        candles: dict[int, list[KlineData]] = {}
        for _, publication in exchange.published:
            data = publication.data
            if publication.channel == wished and isinstance(data, KlineData) and data.closed:
                assert publication.slow is SlowPolicy.QUEUE
                candles.setdefault(data.start, []).append(data)
        running = exchange.board.state(wished)
        assert running is not None
        assert isinstance(running.data, KlineData)
        assert running.data.start == INTERVALS[interval].start(exchange.board.market_time)
        assert not running.data.closed
        starts = {INTERVALS[interval].start(t.time) for t in trades}
        if empty_ones:
            start = min(starts)
            while start < running.data.start:
                starts.add(start)
                start = INTERVALS[interval].end(start)
        assert starts - {running.data.start} <= candles.keys()
        for start, revisions in [*candles.items(), (running.data.start, [running.data])]:
            assert [data.rev for data in revisions] == list(range(len(revisions)))
            assert _numbers(revisions[-1]) == _candle(interval, start, trades), (interval, start)
            assert revisions[-1].end == INTERVALS[interval].end(start)
            compared += 1
    return compared


_FULL_MOON = [  # moments at which many intervals end at once
    int(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1_000)
    for year, month, day, hour in (
        (2024, 1, 1, 0),
        (2024, 4, 1, 0),
        (2024, 2, 5, 0),
        (2024, 3, 1, 12),
        (2023, 11, 14, 22),
    )
]
_prices = st.sampled_from(["7", "7.00", "6.5", "8.25", "10", "0.5"])
_qtys = st.sampled_from(["1", "0.25", "3", "100.0000", "0"])
_trades = st.tuples(_prices, _qtys, st.sampled_from(["buy", "sell"]), st.integers(-50_000, 3_000), st.just("trade"))
_waits = st.tuples(st.integers(50, 3_000), st.just("wait"))
_jumps = st.tuples(st.integers(1, 90_000), st.just("jump"))


@settings(max_examples=300)
@given(st.sampled_from(_FULL_MOON), st.integers(0, 70_000), st.lists(st.one_of(_trades, _waits, _jumps), max_size=40))
def test_all_candles_are_those_of_their_trades(moon: int, lead: int, steps: list[Any]) -> None:
    exchange = Exchange(*_NAMES)
    now = moon - lead
    first = trade(1, "7.5", "1", now)
    exchange.apply(first)
    trades = [first]
    for *step, kind in steps:
        if kind == "trade":
            price, qty, side, offset = step
            # At most 50 s late, which may be before the first event.
            time = max(exchange.board.market_time, now) + offset
            now = max(now, time)
            trades.append(trade(len(trades) + 1, price, qty, time, side))
            exchange.apply(trades[-1])
        elif kind == "wait":
            exchange.run(step[0])
        else:
            now = max(exchange.board.market_time, now) + step[0]
            exchange.apply(book(now, now, [], [], symbol="OTHER"))
    exchange.run(1_500)
    assert _check(exchange, trades) >= len(INTERVALS)
    assert exchange.board.late_trades_dropped == 0


def test_a_day_and_a_half_over_new_year_is_as_brute_force_says() -> None:
    random.seed(3)
    exchange = Exchange(*_NAMES)
    now = int(datetime(2023, 12, 31, 10, tzinfo=UTC).timestamp() * 1_000)
    trades: list[Trade] = []
    for _ in range(500):
        now += random.choice([0, 1, 700, 1_000, 30_000, 400_000, 900_000])
        price, qty = f"{random.randrange(90, 110)}.{random.randrange(10)}", f"{random.randrange(1, 9)}.5"
        trades.append(trade(len(trades) + 1, price, qty, now, random.choice(["buy", "sell"])))
        exchange.apply(trades[-1])
        if random.random() < 0.5:
            exchange.tick()
    exchange.run(300)
    assert _check(exchange, trades) > 100_000


def test_the_same_feed_replayed_at_any_speed_gives_the_same_closed_candles() -> None:
    random.seed(4)
    events, now = [], T
    for number in range(400):
        now += random.choice([3, 200, 5_000, 40_000, 2_000_000])
        events.append(trade(number + 1, str(random.randrange(1, 99)), "1", now))
    closed: list[list[Any]] = []
    for events_a_tick in (1, 7, 400):
        exchange = Exchange(*_NAMES)
        for place in range(0, len(events), events_a_tick):
            exchange.apply(*events[place : place + events_a_tick])
            exchange.tick()
        closed.append(sorted(_closed_of(exchange.published, key=lambda d: (d.interval, d.start)), key=str))
    assert closed[0] == closed[1] == closed[2]
    assert len(closed[0]) > 5_000


def _closed_of(published: list[tuple[int, Publication]], key: Any) -> Iterable[Any]:
    candles = [p.data for _, p in published if isinstance(p.data, KlineData) and p.data.closed]
    return [(key(data), _numbers(data), data.rev) for data in candles]


def test_a_running_candle_leaves_on_the_250_ms_grid_when_it_changed() -> None:
    exchange = Exchange("kline_1m")
    exchange.apply(trade(1, "7.60", "2", T))
    exchange.run(300)
    exchange.apply(trade(2, "7.50", "1", T + 300, "sell"))
    exchange.run(700)
    assert [(now_ms, p.slow) for now_ms, p in exchange.published] == [
        (50, SlowPolicy.CONFLATE),
        (500, SlowPolicy.CONFLATE),
    ]
    assert exchange.sent("S@kline_1m")[1] == {
        "symbol": "S",
        "interval": "1m",
        "start": 1_699_999_980_000,
        "end": 1_700_000_040_000,
        "open": "7.60",
        "high": "7.60",
        "low": "7.50",
        "close": "7.50",
        "volume": "3",
        "quoteVolume": "22.70",
        "takerVolume": "2",
        "takerQuoteVolume": "15.20",
        "count": 2,
        "firstId": 1,
        "lastId": 2,
        "closed": False,
        "complete": False,
        "rev": 0,
    }


def test_a_closed_candle_leaves_at_the_next_tick_of_50_ms() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "2", T + 10))
    exchange.run(500)
    exchange.published.clear()
    exchange.now_ms = 510
    exchange.apply(book(1, T + 1_000, [], [], symbol="OTHER"))
    exchange.run(50)
    assert [(now_ms, p.data.closed) for now_ms, p in exchange.published] == [(550, True)]  # type: ignore[attr-defined]


def test_the_clock_closes_a_candle_when_the_feed_was_silent_for_the_grace() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "2", T))
    exchange.run(1_200)
    assert [data["closed"] for data in exchange.sent("S@kline_1s")] == [False]
    exchange.run(50)
    assert [data["closed"] for data in exchange.sent("S@kline_1s")] == [False, True, False]


def test_a_candle_without_trades_repeats_the_close_before_it() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "2", T), trade(2, "8.10", "2", T))
    exchange.run(2_300)
    empty = [data for data in exchange.sent("S@kline_1s") if data["closed"]][1]
    assert (empty["open"], empty["high"], empty["low"], empty["close"]) == ("8.10",) * 4
    assert (empty["volume"], empty["quoteVolume"], empty["count"]) == ("0", "0", 0)
    assert (empty["firstId"], empty["lastId"], empty["rev"], empty["complete"]) == (-1, -1, 0, True)


def test_before_the_first_trade_there_is_no_candle() -> None:
    exchange = Exchange("kline_1s", "kline_1M")
    exchange.apply(book(1, T, [], []))
    assert exchange.run(3_000) == []
    assert exchange.state("S@kline_1s") is None
    assert exchange.state("NEVER@kline_1M") is None


def test_a_jump_of_market_time_makes_no_empty_candles_but_a_shorter_one_does() -> None:
    exchange = Exchange("kline_1s", "kline_1m")
    exchange.apply(trade(1, "7", "1", T))
    exchange.tick()
    exchange.jump(trade(2, "8", "1", T + 1_500_000))
    exchange.tick()
    assert len([data for data in exchange.sent("S@kline_1s") if data["closed"]]) == 1_500
    exchange.published.clear()
    exchange.jump(trade(3, "9", "1", T + 3_000_001))
    exchange.tick()
    assert [data["close"] for data in exchange.sent("S@kline_1s") if data["closed"]] == ["8"]
    assert len([data for data in exchange.sent("S@kline_1m") if data["closed"]]) == 25
    assert exchange.state("S@kline_1s")["start"] == T + 3_000_000


def test_a_candle_that_market_time_reached_is_made_though_it_jumps_from_there() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T), book(1, T + 1_000, [], [], symbol="OTHER"))
    exchange.jump(trade(2, "8", "1", T + 2_000_000))
    exchange.tick()
    closed = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [(data["start"] - T, data["count"]) for data in closed] == [(0, 1), (1_000, 0)]


def test_nothing_of_before_a_jump_is_corrected_after_it() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T))
    exchange.jump(trade(2, "8", "1", T + 2_000_000))
    exchange.tick()
    exchange.apply(trade(3, "9", "1", T + 5))
    exchange.run(500)
    assert [data["rev"] for data in exchange.sent("S@kline_1s") if data["closed"]] == [0]
    assert exchange.board.late_trades_dropped == 1


def test_a_late_trade_corrects_its_candle_and_the_empty_ones_behind_it() -> None:
    exchange = Exchange("kline_1s", "kline_1m")
    exchange.apply(trade(1, "7", "1", T), trade(2, "8", "1", T + 3_000), trade(3, "8", "1", T + 5_000))
    exchange.tick()
    exchange.published.clear()
    exchange.apply(trade(4, "9", "2", T + 999))
    exchange.run(250)
    closed = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [(data["start"] - T, data["close"], data["volume"], data["rev"]) for data in closed] == [
        (0, "9", "3", 1),
        (1_000, "9", "0", 1),
        (2_000, "9", "0", 1),
    ]
    [minute] = exchange.sent("S@kline_1m")
    assert (minute["volume"], minute["close"], minute["lastId"], minute["closed"]) == ("5", "9", 4, False)
    exchange.apply(trade(5, "6", "1", T + 998), trade(6, "6", "1", T + 4_999))
    exchange.run(250)
    closed = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [(data["start"] - T, data["close"], data["rev"]) for data in closed[3:]] == [
        (0, "6", 2),
        (1_000, "6", 2),
        (2_000, "6", 2),
        (4_000, "6", 1),
    ]
    assert exchange.board.late_trades == 3
    assert exchange.board.late_trades_dropped == 0


def test_a_late_trade_changes_the_empty_running_candle_behind_it() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T), book(1, T + 2_000, [], [], symbol="OTHER"))
    exchange.tick()
    exchange.apply(trade(2, "6", "1", T + 500))
    exchange.run(250)
    assert exchange.state("S@kline_1s")["close"] == "6"
    assert exchange.sent("S@kline_1s")[-1] == exchange.state("S@kline_1s")


def test_a_trade_of_before_the_first_event_makes_its_candle() -> None:
    exchange = Exchange("kline_1s", "kline_1m")
    start = T - T % 60_000
    exchange.apply(book(1, start + 10, [], []))
    exchange.tick()
    exchange.apply(trade(1, "7", "2", start - 1_500), trade(2, "8", "1", start + 20))
    exchange.tick()
    seconds = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [(data["start"] - start, data["count"], data["close"], data["rev"]) for data in seconds] == [
        (-2_000, 1, "7", 0),
        (-1_000, 0, "7", 0),
    ]
    [minute] = [data for data in exchange.sent("S@kline_1m") if data["closed"]]
    assert (minute["start"] - start, minute["volume"], minute["rev"], minute["complete"]) == (-60_000, "2", 0, False)
    exchange.apply(trade(3, "9", "1", start - 1_400))
    exchange.tick()
    assert [data["rev"] for data in exchange.sent("S@kline_1s") if data["closed"]] == [0, 0, 1, 1]


def test_a_late_trade_between_a_leap_and_what_came_first_after_it_makes_its_candle() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T))
    exchange.jump(trade(2, "8", "1", T + 2_000_000))
    exchange.tick()
    exchange.published.clear()
    exchange.apply(trade(3, "9", "1", T + 1_998_000))
    exchange.tick()
    closed = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [(data["start"] - T, data["close"], data["rev"]) for data in closed] == [
        (1_998_000, "9", 0),
        (1_999_000, "9", 0),
    ]


def test_late_trades_behind_a_leap_count_whether_or_not_one_of_them_came_with_it() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T))
    exchange.tick()
    exchange.jump(trade(2, "8", "1", T + 2_000_000))
    exchange.apply(trade(3, "9", "1", T + 1_998_000))
    exchange.tick()
    exchange.apply(trade(4, "10", "1", T + 1_960_000))
    exchange.tick()
    closed = [data for data in exchange.sent("S@kline_1s") if data["closed"] and data["count"]]
    assert [(data["start"] - T, data["rev"]) for data in closed] == [(0, 0), (1_998_000, 0), (1_960_000, 0)]


def test_a_first_trade_that_is_late_makes_its_candle_with_the_first_revision() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(book(1, T, [], []), book(2, T + 3_000, [], []))
    exchange.tick()
    exchange.apply(trade(1, "7", "1", T + 1_500))
    exchange.run(250)
    sent = exchange.sent("S@kline_1s")
    assert [(data["start"] - T, data["count"], data["closed"], data["rev"]) for data in sent] == [
        (1_000, 1, True, 0),
        (2_000, 0, True, 0),
        (3_000, 0, False, 0),
    ]


@pytest.mark.parametrize(("late_ms", "corrected", "dropped"), [(60_000, 1, 0), (60_001, 0, 1)])
def test_a_second_is_held_for_a_minute(late_ms: int, corrected: int, dropped: int) -> None:
    exchange = Exchange("kline_1s", "kline_1h")
    exchange.apply(trade(1, "7", "1", T - 100_000))
    exchange.apply(*(book(id, T, [], [], symbol="OTHER") for id in (1, 2)))
    exchange.tick()
    exchange.apply(trade(2, "9", "1", T - late_ms))
    exchange.tick()
    assert len([data for data in exchange.sent("S@kline_1s") if data["count"] and data["rev"]]) == corrected
    assert exchange.board.late_trades_dropped == dropped
    assert exchange.state("S@kline_1h")["count"] == 2


def test_a_closed_hour_is_held_until_the_next_one_closed() -> None:
    hour = 3_600_000
    start = T - T % hour
    exchange = Exchange("kline_1h")
    exchange.apply(trade(1, "7", "1", start), trade(2, "8", "1", start + hour))
    exchange.jump(trade(3, "8", "1", start + 2 * hour))
    exchange.tick()
    exchange.apply(trade(4, "9", "1", start + hour + 5), trade(5, "9", "1", start + 5))
    exchange.tick()
    again = [(data["start"], data["count"]) for data in exchange.sent("S@kline_1h") if data["rev"]]
    assert again == [(start + hour, 2)]


def test_time_before_the_first_event_is_not_complete() -> None:
    exchange = Exchange("kline_1s", "kline_1m")
    exchange.apply(book(1, T + 500, [], []), trade(1, "7", "1", T + 600))
    exchange.jump(trade(2, "7", "1", T + 200_000))
    exchange.tick()
    seconds, minutes = ([d["complete"] for d in exchange.sent(f"S@kline_1{unit}") if d["closed"]] for unit in "sm")
    assert seconds == [False] + [True] * 199
    assert minutes[0] is False
    assert all(minutes[1:])


def test_a_gap_marks_the_candles_it_may_have_touched_and_no_others() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T), trade(2, "7", "1", T + 1_500))
    exchange.apply(Gap(3), trade(9, "7", "1", T + 3_500), trade(10, "7", "1", T + 6_000))
    exchange.tick()
    closed = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [data["complete"] for data in closed] == [True, False, False, False, True, True]


def test_a_gap_that_is_told_late_takes_back_that_a_candle_was_complete() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T))
    exchange.run(2_400)
    exchange.apply(Gap(1))
    exchange.run(1_000)
    exchange.apply(trade(3, "7", "1", T + 3_300))
    exchange.run(1_100)
    closed = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [((data["start"] - T) // 1_000, data["complete"], data["rev"]) for data in closed] == [
        (0, True, 0),
        (1, True, 0),
        (2, False, 0),
        (0, False, 1),
        (1, False, 1),
        (3, False, 0),
    ]


def test_a_candle_is_taken_back_once_however_many_gaps_touch_it() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T))
    exchange.run(1_300)
    for number in (1, 2):
        exchange.apply(Gap(1), book(number, T + number, [], [], symbol="OTHER"))
        exchange.tick()
    assert [(d["complete"], d["rev"]) for d in exchange.sent("S@kline_1s") if d["closed"]] == [(True, 0), (False, 1)]


def test_an_empty_candle_taken_back_still_has_the_close_of_long_ago() -> None:
    exchange = Exchange("kline_1s")
    exchange.apply(trade(1, "7", "1", T), book(1, T + 100_000, [], [], symbol="OTHER"))
    exchange.run(2_300)
    exchange.apply(Gap(1), book(2, T + 100_100, [], [], symbol="OTHER"))
    exchange.tick()
    [again] = [data for data in exchange.sent("S@kline_1s") if data["rev"]]
    assert (again["close"], again["count"], again["complete"], again["start"]) == ("7", 0, False, T + 100_000)


def test_the_state_is_the_running_candle_and_the_same_object_until_it_changes() -> None:
    exchange = Exchange("kline_1m")
    exchange.apply(trade(1, "7", "1", T))
    exchange.run(300)
    wished = channel("S@kline_1m")
    state = exchange.board.state(wished)
    assert state is exchange.published[-1][1]
    exchange.run(500)
    assert exchange.board.state(wished) is state
    exchange.apply(trade(2, "8", "1", T + 2))
    exchange.tick()
    assert exchange.board.state(wished) is not state
    assert exchange.state("S@kline_1m")["close"] == "8"
