from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.events import Trade
from exchange_push.market.recorded import Recorded, Stretch, Taken

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


class NumberByNumber:
    """One symbol's trades, by a set of ids and a list of gaps that none of its trades has met yet."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self.high = (-1, 0)  # id and time
        self.met: list[Stretch] = []
        self.missing: dict[int, list[Stretch]] = {}
        self.void: list[Stretch] = []  # of ids that can come no more

    def take(self, trade: Trade) -> str:
        number, time = trade.id, trade.time
        if number <= self.high[0] and time <= self.high[1]:
            if number not in self.missing:
                return "REPEATED"
            del self.missing[number]
            return "REPAIR"
        restart = number <= self.high[0]
        if restart:
            self.void += [stretch for lost in self.missing.values() for stretch in lost]
            self.missing = {}
        if self.met:
            for lost in range(0 if restart else self.high[0] + 1, number):
                self.missing[lost] = list(self.met)
            self.met = []
        self.high = (number, max(time, self.high[1]))
        return "RESTART" if restart else "NEW"

    def complete(self, start: int, end: int) -> bool:
        lost = [*self.met, *self.void, *(stretch for stretches in self.missing.values() for stretch in stretches)]
        return start >= 0 and not any(first < end and start <= last for first, last in lost)


_happenings = st.one_of(
    st.tuples(st.just("trade"), st.integers(0, 25), st.integers(0, 60)),
    st.tuples(st.just("gap"), st.integers(0, 60), st.integers(0, 20)),
)


@given(st.lists(_happenings, max_size=40), st.lists(st.tuples(st.integers(0, 80), st.integers(1, 10)), max_size=8))
def test_what_a_symbol_lost_is_what_a_set_of_its_ids_says(
    happenings: list[tuple[str, int, int]], spans: list[tuple[int, int]]
) -> None:
    recorded, taken, naive = Recorded(), Taken(), NumberByNumber()
    recorded.begin = 0
    for kind, first, second in happenings:
        if kind == "gap":
            start = first * 10_000  # further apart than gaps that become one
            recorded.lose(start)
            recorded.resume(start + second * 100)
            naive.met.append((start, start + second * 100))
        else:
            trade = Trade("S", first, "1", "1", "buy", second * 10_000)
            assert taken.judge(trade, recorded).name == naive.take(trade)
        for start, length in spans:
            span = start * 10_000, (start + length) * 10_000
            assert recorded.complete(*span, taken) is naive.complete(*span)


def test_very_many_holes_become_fewer_and_none_is_forgotten() -> None:
    recorded, taken = Recorded(), Taken(mark_id=0)
    recorded.begin = 0
    for number in range(1, 1_203):
        recorded.lose(number * 10_000)
        recorded.resume(number * 10_000 + 10)
        taken.judge(Trade("S", 2 * number, "1", "1", "buy", number * 10_000 + 20), recorded)
    assert len(taken.holes) == 1_000
    assert not any(recorded.complete(number * 10_000, number * 10_000 + 1, taken) for number in range(1, 1_203))
    assert recorded.complete(1_200 * 10_000 + 20, 1_200 * 10_000 + 90, taken)
