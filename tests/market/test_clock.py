from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.clock import MarketClock

T = 1_700_000_000_000


def test_market_time_is_the_highest_event_time() -> None:
    clock = MarketClock(250)
    clock.hear(T, 0)
    clock.hear(T + 40, 10)
    clock.hear(T + 20, 20)
    assert clock.read(30) == T + 40


def test_a_silent_feed_is_carried_on_by_the_clock_behind_by_the_grace() -> None:
    clock = MarketClock(250)
    clock.hear(T, 1_000)
    assert [clock.read(now_ms) - T for now_ms in (1_000, 1_249, 1_250, 1_251, 2_250)] == [0, 0, 0, 1, 1_000]


def test_repeating_an_old_time_does_not_hold_market_time() -> None:
    clock = MarketClock(250)
    clock.hear(T, 0)
    for now_ms in range(0, 2_000, 100):
        clock.hear(T, now_ms)
    assert clock.read(2_000) == T + 1_750


def test_a_feed_played_slower_than_it_was_recorded_is_never_left_behind_by_more_than_its_pauses() -> None:
    clock = MarketClock(250)
    for number in range(200):
        clock.hear(T + 100 * number, 1_000 * number)
        assert 0 <= clock.read(1_000 * number + 999) - (T + 100 * number) <= 750


def test_before_the_first_event_there_is_no_market_time() -> None:
    clock = MarketClock(250)
    assert clock.read(1_000_000) == 0
    clock.hear(T, 1_000_001)
    assert clock.leaps == []


@given(st.lists(st.tuples(st.integers(-3_000, 3_000), st.integers(0, 2_000)), min_size=1))
def test_market_time_never_goes_back_and_never_outruns_both_feed_and_wall(steps: list[tuple[int, int]]) -> None:
    clock, now_ms, highest, before = MarketClock(250), 0, 0, 0
    for offset, wait_ms in steps:
        clock.hear(T + now_ms + offset, now_ms)
        highest = max(highest, T + now_ms + offset)
        assert clock.time >= max(before, highest)
        before = clock.time
        now_ms += wait_ms
        assert before <= clock.read(now_ms) <= before + wait_ms
        before = clock.time


def test_only_a_jump_over_more_than_1500_seconds_is_a_leap() -> None:
    clock = MarketClock(250)
    clock.hear(T, 0)
    clock.hear(T + 1_500_000, 1)
    clock.hear(T + 3_000_001, 2)
    assert clock.leaps == [(T + 1_500_000, T + 3_000_001)]


def test_time_carried_on_by_the_clock_is_no_part_of_a_jump() -> None:
    clock = MarketClock(250)
    clock.hear(T, 0)
    clock.hear(T + 3_600_000, 3_600_000)
    assert clock.leaps == []
