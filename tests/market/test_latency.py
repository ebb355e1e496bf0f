from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.latency import BOUNDS_MS, Came, Histogram
from tests.market.exchange import Exchange, book, depth, trade

T = 1_700_000_000_000


class Timed(Exchange):
    """An exchange whose publications are timed; `found` are those of each tick: (wall ms, label, engine time, came)."""

    def __init__(self, *names: str, **options: Any) -> None:
        super().__init__(*names, **options)
        self.found: list[tuple[int, str, int, int]] = []

    def tick(self) -> Any:
        publications = super().tick()
        for label, came in self.board.latency.flush(publications):
            self.found.append((self.now_ms, label, came.time, came.now_ms))
        return publications

    def at(self, now_ms: int, *events: Any) -> None:
        while self.now_ms + 50 - self.now_ms % 50 <= now_ms:
            self.tick()
        self.now_ms = now_ms
        self.apply(*events)


@given(st.lists(st.integers(-5, 20_000)))
def test_a_histogram_counts_as_one_counts_by_hand(waits_ms: list[int]) -> None:
    histogram = Histogram()
    for wait_ms in waits_ms:
        histogram.add(wait_ms)

    at_most = [sum(wait_ms <= bound for wait_ms in waits_ms) for bound in BOUNDS_MS]
    assert histogram.counts() == [*at_most, len(waits_ms)]
    assert histogram.sum_ms == sum(max(wait_ms, 0) for wait_ms in waits_ms)


def test_a_publication_is_timed_by_the_oldest_event_that_is_new_in_it() -> None:
    exchange = Timed("trades")
    exchange.at(1_010, trade(1, "7", "1", T))
    exchange.at(1_020, trade(2, "7", "1", T + 9))
    exchange.at(1_060, trade(3, "7", "1", T + 50))
    exchange.at(1_110, trade(4, "7", "1", T + 100))
    exchange.run(200)

    assert exchange.found == [(1_100, "trades", T, 1_010), (1_200, "trades", T + 100, 1_110)]


def test_channels_of_the_book_are_timed_by_its_events_and_others_by_trades() -> None:
    exchange = Timed("trades", "depth")
    exchange.at(1_010, trade(1, "7", "1", T))
    exchange.at(1_030, book(1, T + 20, [("7", "1")], []))
    exchange.at(1_040, depth(2, 2, T + 30, [("7", "2")], []))
    exchange.run(100)

    assert sorted(exchange.found) == [(1_100, "depth", T + 20, 1_030), (1_100, "trades", T, 1_010)]


def test_what_is_published_without_a_new_event_is_not_counted() -> None:
    exchange = Timed("ticker")
    exchange.at(1_010, trade(1, "7", "1", T))
    exchange.run(5_000)

    assert len(exchange.sent("S@ticker")) >= 4
    assert len(exchange.found) <= 1


def test_of_many_publications_on_one_tick_some_are_counted_each_time_others() -> None:
    exchange = Timed("trades")
    symbols = [f"S{number}" for number in range(1_000)]
    for second in range(40):
        exchange.at(
            second * 100 + 10,
            *(trade(second, "7", "1", T + second * 1_000 + n, symbol=s) for n, s in enumerate(symbols)),
        )
    exchange.run(100)

    counted = [time - T for _, _, time, _ in exchange.found]
    assert 40 * 64 <= len(counted) <= 40 * 128
    assert len({time % 1_000 for time in counted}) > 500


def test_all_candles_are_one_kind_and_all_symbols_another() -> None:
    exchange = Timed("kline_1m", "kline_1d", "*@ticker")
    exchange.at(1_010, trade(1, "7", "1", T, symbol="A"))
    exchange.at(1_020, trade(1, "7", "1", T + 999, symbol="B"))
    exchange.run(1_500)

    assert set(exchange.board.latency.received) == set(exchange.board.latency.written) == {"kline", "*@ticker"}
    assert {label for _, label, *_ in exchange.found} <= {"kline", "*@ticker"}
    candles = [(time, came_ms) for _, label, time, came_ms in exchange.found if label == "kline"]
    assert candles[:4] == [(T, 1_010), (T + 999, 1_020)] * 2


def test_a_symbol_leaves_no_more_behind_than_a_second_of_stamps() -> None:
    exchange = Timed("trades", wanted=lambda channel: False)
    for number in range(1, 300):
        exchange.at(number * 50, trade(number, "7", "1", T + number))

    assert exchange.found == []
    assert len(exchange.board.latency._trades["S"]) == 20


@pytest.mark.parametrize(("ahead_ms", "counted_ms"), [(T, 1_010 - 500), (T - 2_000, 0)])
def test_arrival_is_compared_with_the_engines_time_and_writing_with_arrival(ahead_ms: int, counted_ms: int) -> None:
    latency = Timed("trades").board.latency
    found = [("trades", Came(1, T + 500, 1_010))]
    latency.count_received(found, ahead_ms)
    latency.count_written(found, 1_050)

    assert latency.received["trades"].sum_ms == counted_ms
    assert latency.written["trades"].sum_ms == 40
    assert latency.received["trades"].counts()[-1] == latency.written["trades"].counts()[-1] == 1
