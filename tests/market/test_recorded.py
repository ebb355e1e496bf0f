from exchange_push.market.recorded import Recorded

T = 1_700_000_000_000


def test_nothing_is_complete_before_the_first_event() -> None:
    recorded = Recorded()
    assert not recorded.complete(T, T + 1)
    recorded.begin = T
    assert recorded.complete(T, T + 1)
    assert not recorded.complete(T - 1, T + 1)


def test_a_gap_touches_what_overlaps_it() -> None:
    recorded = Recorded()
    recorded.begin = 0
    recorded.lose(100)
    assert recorded.complete(50, 100)
    assert not recorded.complete(50, 101)
    assert recorded.resume(200) == (100, 200)
    assert recorded.resume(300) is None
    spans = [(0, 100), (0, 101), (150, 160), (200, 300), (201, 300)]
    assert [recorded.complete(*span) for span in spans] == [True, False, False, False, True]


def test_a_feed_that_goes_on_at_an_older_time_has_its_gap_from_there() -> None:
    recorded = Recorded()
    recorded.lose(100)
    assert recorded.resume(70) == (70, 100)


def test_very_many_gaps_become_fewer_and_none_is_forgotten() -> None:
    recorded = Recorded()
    recorded.begin = 0
    for number in range(1, 1_502):
        recorded.lose(number * 10_000)
        recorded.resume(number * 10_000 + 10)
    assert not any(recorded.complete(number * 10_000, number * 10_000 + 1) for number in range(1, 1_502))
    assert recorded.complete(1_400 * 10_000 + 20, 1_400 * 10_000 + 90)
