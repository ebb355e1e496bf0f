from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.events import Gap, Restart
from exchange_push.wire.packet import Packet, Rerequest
from exchange_push.wire.sequence import COUNTERS, Line, Sequencer, Step, tries_ms

GRACE_MS = 2


def packet(seq: int, count: int = 1, session: int = 1) -> Packet:
    """Its events are their own numbers."""
    return Packet(session, seq, list(range(seq, seq + count)))


def end(seq: int, session: int = 1) -> Packet:
    return Packet(session, seq, None)


class Feed:
    """A sequencer with one line, and a short way to say what came of it."""

    def __init__(self, **options: int | None) -> None:
        self.sequencer = Sequencer(grace_ms=GRACE_MS, **options)
        self.line = Line("A")

    def asks(self, at: int) -> list[tuple[int, int]]:
        """(first, count) of what the engine is asked for."""
        steps = self.sequencer.tick(at)
        assert steps == []
        return [(request.seq, request.count) for request in self.sequencer.requests(at)]

    def heard(self, *packets: Packet, at: int = 0, line: Line | None = None) -> list[Step]:
        return [step for each in packets for step in self.sequencer.received(each, line or self.line, at)]


def started(at: int = 0, **options: int | None) -> Feed:
    """Number 10 is done."""
    feed = Feed(**options)
    feed.heard(packet(10), at=at)
    return feed


def test_the_first_packet_heard_sets_the_next_number() -> None:
    feed = Feed()
    assert feed.heard(packet(500, 2), packet(502)) == [Restart(1), [500, 501], [502]]
    assert (feed.line.gaps, feed.line.restarts) == (0, 0)


def test_a_heartbeat_heard_first_sets_it_too() -> None:
    feed = Feed()
    assert feed.heard(packet(500, 0), packet(500)) == [Restart(1), [500]]


def test_what_came_before_the_first_packet_is_not_taken() -> None:
    feed = started()
    assert feed.heard(packet(9)) == []
    assert feed.line.duplicates == 1


def test_a_packet_heard_twice_is_applied_once() -> None:
    feed = started()
    assert feed.heard(packet(11, 3), packet(11, 3), packet(12)) == [[11, 12, 13]]
    assert feed.line.duplicates == 2


def test_of_a_packet_that_overlaps_what_is_done_the_tail_is_applied() -> None:
    feed = started()
    assert feed.heard(packet(11, 2), packet(10, 5)) == [[11, 12], [13, 14]]
    assert (feed.line.duplicates, feed.line.reordered) == (0, 0)


def test_two_packets_that_changed_places_are_put_in_order_and_no_gap_is_counted() -> None:
    feed = started()
    assert feed.heard(packet(12), at=5) == []
    assert feed.sequencer.due_ms() == 5 + GRACE_MS
    assert feed.heard(packet(11), at=6) == [[11, 12]]
    assert feed.sequencer.due_ms() is None
    assert feed.sequencer.tick(100) == []
    assert (feed.line.reordered, feed.line.gaps, feed.line.duplicates) == (1, 0, 0)


def test_a_gap_is_counted_once_and_the_numbers_move_on() -> None:
    feed = started()
    assert feed.heard(packet(14, 2), packet(16), at=5) == []
    assert feed.sequencer.tick(5 + GRACE_MS - 1) == []
    assert feed.sequencer.tick(5 + GRACE_MS) == [Gap(3), [14, 15, 16]]
    assert feed.sequencer.tick(100) == []
    assert feed.heard(packet(17)) == [[17]]
    assert (feed.line.gaps, feed.line.lost_events) == (1, 3)


def test_each_missing_range_has_its_own_deadline() -> None:
    feed = started()
    feed.heard(packet(12), at=0)
    feed.heard(packet(14), at=1)
    assert feed.sequencer.tick(2) == [Gap(1), [12]]
    assert feed.sequencer.due_ms() == 3
    assert feed.sequencer.tick(3) == [Gap(1), [14]]


def test_what_fills_a_part_of_a_range_leaves_the_rest_its_deadline() -> None:
    feed = started()
    feed.heard(packet(20), at=0)
    feed.heard(packet(13, 2), at=1)
    assert feed.sequencer.tick(2) == [Gap(2), [13, 14], Gap(5), [20]]
    assert (feed.line.gaps, feed.line.lost_events) == (2, 7)


def test_what_comes_behind_a_declared_gap_is_dropped() -> None:
    feed = started()
    feed.heard(packet(12))
    feed.sequencer.tick(GRACE_MS)
    assert feed.heard(packet(11)) == []
    assert feed.line.duplicates == 1


def test_a_heartbeat_shows_a_gap_at_the_tail() -> None:
    feed = started()
    assert feed.heard(packet(13, 0), at=5) == []
    assert feed.sequencer.tick(5 + GRACE_MS) == [Gap(2)]
    assert feed.heard(packet(13)) == [[13]]
    assert feed.line.heartbeats == 1


def test_a_heartbeat_that_is_late_shows_nothing() -> None:
    feed = started()
    assert feed.heard(packet(5, 0), packet(11, 0)) == []
    assert feed.sequencer.due_ms() is None
    assert feed.line.duplicates == 0


def test_heartbeats_far_ahead_leave_one_range_for_each_ms() -> None:
    feed = started()
    for seq in range(12, 1000):
        feed.heard(packet(seq, 0), at=1)
    assert feed.sequencer.tick(1 + GRACE_MS) == [Gap(988)]


def test_the_end_of_the_session_shows_a_gap_too_and_repeats_are_still_dropped() -> None:
    feed = started()
    assert feed.heard(end(12)) == []
    assert feed.sequencer.ended
    assert feed.sequencer.tick(GRACE_MS) == [Gap(1)]
    assert feed.heard(packet(11), packet(10), end(12)) == []
    assert feed.sequencer.ended
    assert feed.heard(packet(1, session=2)) == [Restart(2), [1]]
    assert not feed.sequencer.ended


def test_past_the_bound_the_oldest_range_is_given_up_at_once() -> None:
    feed = started(waiting_limit=5)
    assert feed.heard(packet(12, 3), packet(16, 2)) == []
    assert feed.sequencer.waiting_events == 5
    assert feed.heard(packet(19)) == [Gap(1), [12, 13, 14]]
    assert feed.sequencer.waiting_events == 3
    assert feed.heard(packet(30, 6)) == [Gap(1), [16, 17], Gap(1), [19], Gap(10), list(range(30, 36))]
    assert feed.sequencer.waiting_events == 0


def test_so_it_is_past_the_bound_of_bytes() -> None:
    sequencer, line = Sequencer(waiting_limit_bytes=100), Line("A")
    sequencer.received(packet(10), line, 0, 5_000)
    assert sequencer.received(packet(12, 2), line, 0, 60) == []
    assert sequencer.received(packet(15), line, 0, 40) == []
    assert sequencer.waiting_bytes == 100
    assert sequencer.received(packet(17), line, 0, 40) == [Gap(1), [12, 13]]
    assert sequencer.waiting_bytes == 80
    assert sequencer.received(packet(11), line, 0, 50) == []
    assert sequencer.tick(2) == [Gap(1), [15], Gap(1), [17]]
    assert (sequencer.waiting_bytes, sequencer.waiting_events) == (0, 0)
    sequencer.received(packet(20), line, 3, 40)
    sequencer.received(packet(1, session=8), line, 3, 40)
    assert sequencer.waiting_bytes == 0


def test_the_first_of_two_lines_wins_and_the_other_heals_it() -> None:
    feed, b = started(), Line("B")
    assert feed.heard(packet(11)) == [[11]]
    assert feed.heard(packet(10), packet(11), line=b) == []
    assert feed.heard(packet(13)) == []
    assert feed.heard(packet(12), packet(13), line=b) == [[12, 13]]
    assert (feed.line.packets, feed.line.events, feed.line.duplicates) == (3, 3, 0)
    assert (b.packets, b.events, b.duplicates) == (4, 4, 3)
    assert feed.line.reordered == b.reordered == 0  # each line was in order
    assert feed.line.gaps == b.gaps == 0


def test_two_lines_may_cut_their_packets_differently() -> None:
    feed, b = started(), Line("B")
    feed.heard(packet(13, 3), packet(18, 3))
    assert feed.heard(packet(11, 20), line=b) == [list(range(11, 31))]


def test_a_newer_session_starts_afresh() -> None:
    feed = started()
    assert feed.heard(packet(1, session=2), packet(2, session=2)) == [Restart(2), [1], [2]]
    assert feed.line.restarts == 1
    assert feed.heard(packet(11), packet(2, session=2)) == []
    assert (feed.line.old_session, feed.line.duplicates) == (1, 1)


def test_what_waits_when_a_newer_session_begins_is_not_thrown_away() -> None:
    feed = started()
    feed.heard(packet(12), packet(14))
    assert feed.heard(packet(1, session=2)) == [Gap(1), [12], Gap(1), [14], Restart(2), [1]]
    assert feed.sequencer.due_ms() is None
    assert feed.line.lost_events == 2


def test_one_older_session_that_is_all_that_is_heard_for_10_s_is_adopted() -> None:
    feed = Feed()
    feed.heard(packet(100, session=7))
    for at in range(1_000, 11_000, 1_000):
        assert feed.heard(packet(50 + at // 1_000, session=3), at=at) == []
    assert feed.line.old_session == 10
    assert feed.heard(packet(61, session=3), at=11_000) == [Restart(3), Gap(10), [61]]
    assert feed.heard(packet(62, session=3), at=11_001) == [[62]]
    assert (feed.line.restarts, feed.line.lost_events) == (1, 10)


def test_an_older_session_is_not_adopted_while_the_running_one_or_another_is_heard() -> None:
    feed = Feed()
    feed.heard(packet(100, session=7))
    for at in range(0, 60_000, 1_000):
        assert feed.heard(packet(1 + at, session=3), at=at) == []
        assert feed.heard(packet(101, 0, session=7), at=at) == []
    for at in range(60_000, 120_000, 1_000):
        assert feed.heard(packet(1 + at, session=3), packet(1 + at, session=4), at=at) == []
    assert feed.line.restarts == 0


def test_one_packet_with_a_number_too_far_ahead_is_not_believed() -> None:
    feed = started()
    assert feed.heard(packet(2**62), packet(11), packet(2**61), packet(12)) == [[11], [12]]
    assert feed.line.jumps == 2
    assert feed.sequencer.due_ms() is None


def test_a_second_packet_there_is_believed() -> None:
    feed = started()
    assert feed.heard(packet(5_000_000), at=3) == []
    feed.heard(packet(5_000_001), at=4)
    assert feed.sequencer.tick(4 + GRACE_MS) == [Gap(4_999_990), [5_000_001]]
    assert feed.line.jumps == 1


def asking(**options: int | None) -> Feed:
    """Number 10 is done, and there is an engine to ask."""
    return started(**{"deadline_ms": 1_000, **options})


def test_a_missing_range_is_asked_for_again_and_again_until_its_deadline() -> None:
    feed = asking()
    assert feed.heard(packet(13), at=5) == []
    asked = {}
    for at in range(5, 1_005):
        if requests := feed.asks(at):
            asked[at - 5] = requests
    assert asked == {wait_ms: [(11, 2)] for wait_ms in (2, 10, 30, 70, 150, 310, 630)}
    assert feed.sequencer.tick(1_005) == [Gap(2), [13]]
    assert feed.sequencer.requests(1_005) == []
    assert feed.sequencer.due_ms() is None
    assert (feed.line.requests, feed.line.gaps, feed.line.recovered_events) == (7, 1, 0)


def test_it_is_looked_at_no_more_often_than_there_is_something_to_do() -> None:
    feed = asking()
    feed.heard(packet(12), at=5)
    looked = []
    while (due_ms := feed.sequencer.due_ms()) is not None:
        looked.append(due_ms - 5)
        feed.sequencer.tick(due_ms)
        feed.sequencer.requests(due_ms)
    assert looked == [2, 10, 30, 70, 150, 310, 630, 1_000]


def test_the_times_of_the_tries_follow_the_grace_and_the_deadline() -> None:
    assert tries_ms(2, 1_000) == [2, 10, 30, 70, 150, 310, 630]
    assert tries_ms(0, 20) == [1, 10]  # not in the ms in which it was seen
    assert tries_ms(20, 100) == [20, 30, 70]
    assert tries_ms(5, 3) == [5]


def test_all_missing_ranges_are_asked_for_each_at_its_own_times() -> None:
    feed = asking()
    feed.heard(packet(12), packet(15), at=0)
    feed.heard(packet(20), at=1)
    assert feed.asks(2) == [(11, 1), (13, 2)]
    assert feed.sequencer.due_ms() == 3
    assert feed.asks(3) == [(16, 4)]
    assert feed.sequencer.due_ms() == 10
    assert feed.asks(10) == [(11, 1), (13, 2)]
    assert feed.asks(11) == [(16, 4)]


def test_a_later_range_brings_the_next_look_forward() -> None:
    feed = asking()
    feed.heard(packet(12), at=0)
    feed.asks(30)
    assert feed.sequencer.due_ms() == 70
    feed.heard(packet(14), at=40)
    assert feed.sequencer.due_ms() == 42


def test_what_the_answer_brought_is_not_asked_for_again_and_the_rest_is() -> None:
    feed = asking()
    feed.heard(packet(20), at=0)
    assert feed.asks(2) == [(11, 9)]
    assert feed.heard(packet(13, 2), at=3) == []
    assert feed.asks(10) == [(11, 2), (15, 5)]
    assert feed.heard(packet(11, 9), at=11) == [[*range(11, 21)]]
    assert feed.sequencer.due_ms() is None
    assert feed.asks(30) == []
    assert (feed.line.recovered_events, feed.line.lost_events) == (9, 0)


def test_what_the_other_line_brings_within_the_grace_is_not_asked_for() -> None:
    feed, b = asking(), Line("B")
    feed.heard(packet(12), at=0)
    feed.heard(packet(11), packet(12), at=1, line=b)
    assert feed.asks(2) == []
    assert (feed.line.requests, b.recovered_events) == (0, 0)


def test_a_look_that_comes_late_asks_once_for_each_range() -> None:
    feed = asking()
    feed.heard(packet(12), at=0)
    feed.heard(packet(14), at=20)
    assert feed.asks(100) == [(11, 1), (13, 1)]
    assert feed.sequencer.due_ms() == 150


def test_where_there_is_nobody_to_ask_nothing_is_asked_for() -> None:
    feed = asking(deadline_ms=None)
    feed.heard(packet(12), at=0)
    assert feed.sequencer.requests(GRACE_MS) == []
    assert feed.sequencer.tick(GRACE_MS) == [Gap(1), [12]]


def test_a_number_far_ahead_makes_us_ask_for_little() -> None:
    feed = asking()
    feed.heard(packet(1_000_000), at=0)
    asked = 0
    for at in range(1_000):
        requests = feed.asks(at)
        assert len(requests) <= 1
        asked += sum(count for _, count in requests)
        assert asked <= 65_536 + 256 * at
    assert feed.line.requests == 7


def test_many_forged_numbers_make_us_ask_no_more_than_the_bound() -> None:
    feed = asking()
    feed.heard(*(packet(number) for number in range(12, 40_012, 2)), at=0)
    sent = [len(feed.asks(at)) for at in range(1_000)]
    assert sum(sent[:3]) == 65_536 // 64
    assert sum(sent) <= (65_536 + 256 * 1_000) // 64
    assert feed.line.requests == sum(sent)
    assert feed.line.requests_held == 20_000 * 7 - sum(sent)


def test_the_longest_outage_that_fits_the_bound_is_asked_for_whole() -> None:
    feed = asking()
    feed.heard(packet(65_547), at=0)
    assert feed.asks(2) == [(11, 65_536)]


def test_what_came_before_the_first_packet_heard_of_a_newer_session_is_missing() -> None:
    feed = started()
    assert feed.heard(packet(3, session=2), at=5) == [Restart(2)]
    assert feed.heard(packet(1, session=2), at=6) == [[1]]
    assert feed.sequencer.tick(5 + GRACE_MS) == [Gap(1), [3]]
    feed = asking()
    assert feed.heard(packet(3, session=2), at=5) == [Restart(2)]
    assert feed.asks(7) == [(1, 2)]


def test_a_newer_session_that_began_long_ago_goes_on_where_it_is_heard() -> None:
    feed = asking()
    assert feed.heard(packet(1_001, session=2)) == [Restart(2), [1_001]]
    assert feed.asks(2) == []


def test_a_newer_session_asks_for_nothing_of_the_older() -> None:
    feed = asking()
    feed.heard(packet(12), at=0)
    feed.heard(packet(1, 5, session=2), packet(7, session=2), at=1)
    assert feed.sequencer.tick(3) == []
    assert feed.sequencer.requests(3) == [Rerequest(2, 6, 1)]


def test_what_was_missed_since_an_earlier_run_stopped_is_asked_for() -> None:
    feed = Feed(deadline_ms=1_000)
    feed.sequencer.resume(1, 7)
    assert feed.heard(packet(10)) == [Restart(1)]
    assert feed.asks(2) == [(7, 3)]
    assert feed.heard(packet(6, 4)) == [[7, 8, 9, 10]]


def test_a_place_in_an_older_session_leaves_a_gap_of_unknown_size_and_the_newer_one_is_asked_for_from_its_start() -> (
    None
):
    feed = Feed(deadline_ms=1_000)
    feed.sequencer.resume(2, 7)
    assert feed.heard(packet(10, session=3)) == [Restart(3), Gap(0)]
    assert feed.asks(2) == [(1, 9)]
    assert feed.heard(packet(1, 9, session=3)) == [list(range(1, 11))]


def test_a_place_in_a_session_that_is_not_heard_any_more_leaves_a_gap_of_unknown_size() -> None:
    for session, seq in ((1, 10), (3, 5_000)):
        feed = Feed(deadline_ms=1_000)
        feed.sequencer.resume(2, 7)
        assert feed.heard(packet(seq, session=session)) == [Restart(session), Gap(0), [seq]]
        assert feed.asks(2) == []


def test_until_a_packet_comes_the_place_stays_what_it_was() -> None:
    feed = Feed()
    feed.sequencer.resume(2, 7)
    assert (feed.sequencer.place, feed.sequencer.caught_up) == ((2, 7), False)
    feed.heard(packet(7, 3, session=2))
    assert (feed.sequencer.place, feed.sequencer.caught_up) == ((2, 10), True)
    feed.heard(packet(11, session=2))
    assert (feed.sequencer.place, feed.sequencer.caught_up) == ((2, 10), False)


def test_a_long_outage_is_recovered_for_as_long_as_answers_come() -> None:
    feed = Feed(deadline_ms=1_000, waiting_limit=1_000)
    feed.sequencer.resume(1, 1)
    feed.heard(packet(200_001))
    applied = []
    live = 200_002
    for at in range(1, 20_000):
        for step in feed.heard(packet(live, 10), at=at):  # what does not fit comes again when it is asked for
            applied += step if isinstance(step, list) else []
        live += 10
        steps = feed.sequencer.tick(at)
        assert steps == []
        for request in feed.sequencer.requests(at)[:1]:
            for step in feed.heard(packet(request.seq, min(request.count, 5_000)), at=at):
                applied += step if isinstance(step, list) else []
        assert feed.sequencer.waiting_events <= 1_010
        if len(applied) > 250_000:
            break
    assert applied == list(range(1, len(applied) + 1))
    assert (feed.line.gaps, feed.line.lost_events) == (0, 0)
    assert feed.line.put_off > 0


def test_a_long_outage_of_which_nothing_comes_any_more_is_given_up() -> None:
    feed = Feed(deadline_ms=1_000)
    feed.sequencer.resume(1, 1)
    feed.heard(packet(200_001))
    assert feed.asks(2) == [(1, 65_536)]
    feed.heard(packet(1, 5_000), at=3)
    assert feed.sequencer.tick(1_000) == []
    assert feed.sequencer.tick(1_999) == []
    assert feed.sequencer.tick(2_000) == [Gap(195_000), [200_001]]


def test_silence_is_measured_on_what_belongs_to_the_running_session() -> None:
    feed = started(at=5)
    feed.heard(packet(1, session=0), at=50)
    feed.heard(packet(2**62), at=60)
    assert feed.sequencer.heard_ms == 5
    feed.heard(packet(11, 0), at=70)
    assert feed.sequencer.heard_ms == 70


def test_every_counter_of_a_line_is_in_the_catalogue() -> None:
    assert set(COUNTERS) == {field.name for field in fields(Line)} - {"name"}


def test_the_reference_has_the_catalogue_of_counters() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/engine-feed.md").read_text(encoding="utf-8")
    table = "".join(f"| {name} | {meaning} |\n" for name, meaning in COUNTERS.items())
    assert f"| name | counts |\n|---|---|\n{table}\n" in page


LOST = "lost"


class NumberByNumber:
    """The same promises, kept for each number on its own and without ranges."""

    def __init__(self) -> None:
        self.next: int | None = None
        self.known = 0
        self.have: dict[int, object] = {}
        self.missing_since: dict[int, int] = {}
        self.patience_ms = GRACE_MS

    def received(self, seq: int, events: list[object], now_ms: int) -> list[object]:
        if self.next is None:
            self.next = self.known = seq
        for number in range(self.known, seq):
            self.missing_since[number] = now_ms
        for number, event in enumerate(events, seq):
            if number >= self.next and number not in self.have:
                self.have[number] = event
                self.missing_since.pop(number, None)
        self.known = max(self.known, seq + len(events))
        return self.ready()

    def ready(self) -> list[object]:
        out = []
        while self.next in self.have:
            out.append(self.have.pop(self.next))
            self.next += 1
        return out

    def tick(self, now_ms: int) -> list[object]:
        out: list[object] = []
        while self.next in self.missing_since and now_ms - self.missing_since[self.next] >= self.patience_ms:
            del self.missing_since[self.next]
            out.append(LOST)
            self.next += 1
            out += self.ready()
        return out


def flat(steps: list[Step]) -> list[object]:
    out: list[object] = []
    for step in steps:
        if isinstance(step, Gap):
            out += [LOST] * step.count
        elif isinstance(step, list):
            out += step
    return out


arrivals = st.tuples(st.sampled_from("AB"), st.integers(1, 40), st.integers(0, 6))
pauses = st.integers(0, 4)


@given(st.lists(arrivals | pauses, max_size=60))
def test_whatever_comes_in_whatever_order_it_does_what_a_list_of_numbers_would(
    happenings: list[tuple[str, int, int] | int],
) -> None:
    sequencer, naive = Sequencer(grace_ms=GRACE_MS), NumberByNumber()
    lines = {"A": Line("A"), "B": Line("B")}
    out: list[object] = []
    gaps = now_ms = 0
    for what in happenings:
        if isinstance(what, int):
            now_ms += what
            steps = sequencer.tick(now_ms)
            expected = naive.tick(now_ms)
        else:
            name, seq, count = what
            each = packet(seq, count)
            steps = sequencer.received(each, lines[name], now_ms)
            expected = naive.received(seq, each.events or [], now_ms)
        assert flat(steps) == expected
        assert sequencer.waiting_events == len(naive.have)
        due_ms = sequencer.due_ms()
        assert (due_ms is None) == (not naive.missing_since)
        assert due_ms is None or now_ms <= due_ms <= min(naive.missing_since.values()) + GRACE_MS
        gaps += sum(isinstance(step, Gap) for step in steps)
        out += expected
    assert sum(line.gaps for line in lines.values()) == gaps
    assert sum(line.lost_events for line in lines.values()) == out.count(LOST)
    numbers = [number for number in out if number != LOST]
    assert numbers == sorted(set(numbers))  # type: ignore[type-var]


@given(st.data())
def test_of_a_feed_with_loss_repeats_and_reordering_all_that_arrived_is_applied_in_order(
    data: st.DataObject,
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=30))
    sent, seq = [], 1
    for size in sizes:
        sent.append(packet(seq, size))
        seq += size
    kept = [each for each in sent[1:] if data.draw(st.booleans())]
    repeats = [each for each in kept if data.draw(st.booleans())]
    arriving = data.draw(st.permutations(kept + repeats))
    feed = Feed()
    steps = feed.heard(sent[0], *arriving, packet(seq, 0)) + feed.sequencer.tick(GRACE_MS)
    arrived = {number for each in [sent[0], *kept] for number in each.events or []}
    assert flat(steps) == [number if number in arrived else LOST for number in range(1, seq)]
    assert feed.line.lost_events == seq - 1 - len(arrived)
    assert feed.line.duplicates == len(repeats)
    assert feed.sequencer.due_ms() is None


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9)), max_size=60), st.integers(1, 12))
def test_never_more_than_the_bound_waits(happenings: list[tuple[int, int]], limit: int) -> None:
    feed = Feed(waiting_limit=limit)
    out: list[object] = []
    for seq, count in happenings:
        out += flat(feed.heard(packet(seq, count)))
        assert feed.sequencer.waiting_events <= limit
    if happenings:
        first = happenings[0][0]
        numbers = range(first, first + len(out))
        assert all(got in (number, LOST) for got, number in zip(out, numbers, strict=True))


@given(st.lists(arrivals | st.integers(0, 40), max_size=60))
def test_it_asks_for_what_a_list_of_numbers_would_at_the_times_it_would(
    happenings: list[tuple[str, int, int] | int],
) -> None:
    deadline_ms, tries = 100, (2, 10, 30, 70)
    sequencer, naive, line = Sequencer(grace_ms=GRACE_MS, deadline_ms=deadline_ms), NumberByNumber(), Line("A")
    naive.patience_ms = deadline_ms
    now_ms = asked_ms = 0
    for what in happenings:
        if isinstance(what, int):
            now_ms += what
            assert flat(sequencer.tick(now_ms)) == naive.tick(now_ms)
            due = {
                number
                for number, since_ms in naive.missing_since.items()
                if any(asked_ms < since_ms + wait_ms <= now_ms for wait_ms in tries)
            }
            requests = sequencer.requests(now_ms)
            asked = [number for _, first, count in requests for number in range(first, first + count)]
            assert sorted(asked) == sorted(due)  # each once
            asked_ms = now_ms
            following = [
                since_ms + wait_ms
                for since_ms in naive.missing_since.values()
                for wait_ms in (*tries, deadline_ms)
                if since_ms + wait_ms > now_ms
            ]
            assert sequencer.due_ms() == min(following, default=None)
        else:
            _, seq, count = what
            each = packet(seq, count)
            steps = sequencer.received(each, line, now_ms)
            assert flat(steps) == naive.received(seq, each.events or [], now_ms)
            due_ms = sequencer.due_ms()
            assert (due_ms is None) == (not naive.missing_since)
            assert due_ms is None or due_ms <= min(naive.missing_since.values()) + deadline_ms


class Net:
    """Brings packets and requests after `travel_ms`; an engine at its other end answers. What is `lost` says the
    test, of each sending of a packet; None: of a request."""

    def __init__(self, packets: list[Packet], travel_ms: int, lost: Callable[[Packet | None], bool]) -> None:
        self.kept = packets
        self.travel_ms = travel_ms
        self.lost = lost
        self.coming: dict[int, list[Packet]] = {}

    def send(self, each: Packet, at: int) -> None:
        if not self.lost(each):
            self.coming.setdefault(at, []).append(each)

    def ask(self, request: Rerequest, at: int) -> None:
        if self.lost(None):
            return
        end = request.seq + request.count
        for each in self.kept:
            if each.seq < end and request.seq < each.seq + len(each.events or ()):
                self.send(each, at + 2 * self.travel_ms)


def played(
    packets: list[Packet], travel_ms: int, every_ms: float, lost: Callable[[Packet | None], bool]
) -> tuple[Feed, list[int]]:
    """The feed after all of it was sent, a packet `every_ms`; and how long each event waited behind missing ones.
    Fails where an event was lost, or came out of order."""
    feed, net = Feed(deadline_ms=1_000), Net(packets, travel_ms, lost)
    feed.heard(packet(1, 0))
    sent_ms: dict[object, int] = {}
    for number, each in enumerate(packets):
        net.send(each, int(number * every_ms))
        sent_ms.update(dict.fromkeys(each.events or [], int(number * every_ms)))
    end = packets[-1].seq + len(packets[-1].events or ())
    ended_ms = int(len(packets) * every_ms)
    waits: list[int] = []
    applied: list[object] = []
    for at in range(ended_ms + 1_000):
        if at == ended_ms:
            net.coming.setdefault(at, []).append(packet(end, 0))
        steps = feed.heard(*net.coming.pop(at, ()), at=at) + feed.sequencer.tick(at)
        for request in feed.sequencer.requests(at):
            net.ask(request, at)
        applied += flat(steps)
        waits += [at - sent_ms[event] for event in flat(steps) if event != LOST]
    assert applied == list(range(1, end))
    assert feed.line.lost_events == feed.line.gaps == feed.line.requests_held == 0
    return feed, waits


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=40), st.integers(1, 100))
def test_whatever_is_lost_all_events_come_in_order_if_one_try_of_each_gets_through(
    drawn: list[tuple[int, int]], travel_ms: int
) -> None:
    packets, seq, times_lost = [], 1, {}
    for size, times in drawn:
        packets.append(packet(seq, size))
        times_lost[seq] = times
        seq += size

    def lost(each: Packet | None) -> bool:
        if each is None:
            return False
        times_lost[each.seq] -= 1
        return times_lost[each.seq] >= 0

    feed, _ = played(packets, travel_ms, 0.5, lost)
    assert (feed.line.recovered_events > 0) == any(times for _, times in drawn)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.integers(0, 5))
def test_of_two_lines_that_lose_only_what_neither_brought_is_lost(
    arrived: list[tuple[bool, bool]], behind: int
) -> None:
    """The second line is `behind` packets of 1 ms, within the grace of its re-requests."""
    feed, b = Feed(deadline_ms=1_000), Line("B")
    feed.heard(packet(1, 0))
    steps: list[Step] = []
    for at in range(len(arrived) + behind + 1):
        if at < len(arrived) and arrived[at][0]:
            steps += feed.heard(packet(1 + at), at=at)
        if 0 <= at - behind < len(arrived) and arrived[at - behind][1]:
            steps += feed.heard(packet(1 + at - behind), at=at, line=b)
        steps += feed.sequencer.tick(at)
    steps += feed.heard(packet(len(arrived) + 1, 0), at=100) + feed.sequencer.tick(1_200)
    assert flat(steps) == [number if any(lines) else LOST for number, lines in enumerate(arrived, 1)]
    assert feed.line.lost_events + b.lost_events == sum(not any(lines) for lines in arrived)


@pytest.mark.parametrize(("loss", "within_ms"), [(0.001, 4), (0.01, 10), (0.05, 70)])
def test_loss_both_ways_delays_few_events_and_not_for_long(loss: float, within_ms: int) -> None:
    random = Random(1)
    packets = [packet(1 + 2 * number, 2) for number in range(5_000)]
    feed, waits = played(packets, 1, 0.25, lambda each: random.random() < loss)
    assert len(waits) == 10_000
    assert feed.line.recovered_events > 0
    assert sorted(waits)[9_900] <= within_ms
