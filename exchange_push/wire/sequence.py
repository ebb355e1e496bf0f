"""The feed's numbers: packets in, as they happen to arrive; events out, in order and each once.

A state machine without a socket or a clock. All lines of a feed (A and B) carry one numbering and share one
Sequencer: whoever brings a number first wins. Numbers that are missing while later ones are here stand in a list of
ranges. Where the engine can be asked, each range is asked for again and again, by its own times and beside all others;
at its deadline it is declared a gap. It does not look into events: a run of them is passed on as it was unpacked.
"""

from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

from exchange_push.market.events import Gap, Restart
from exchange_push.wire.packet import Packet, Rerequest

Run: TypeAlias = list[object]
"""Raw events whose numbers follow on each other and on all that came before."""
Step: TypeAlias = Run | Restart | Gap

COUNTERS: Final = {
    "packets": "Packets that could be read.",
    "events": "Events in these packets, repeated ones included.",
    "heartbeats": "Packets without events.",
    "strangers": "Datagrams from addresses that are not listed in `feed.sources`.",
    "forged": "Datagrams that do not end with what the feed key makes of them.",
    "malformed": "Datagrams that are no packet.",
    "truncated": "Datagrams longer than the receive buffer, cut by the kernel.",
    "malformed_events": "Events left out because a field is wrong; each used up its number.",
    "unknown_events": "Events left out because their type is not known here.",
    "extended_events": "Events taken without fields that are not known here.",
    "duplicates": "Packets that brought nothing new: repeated, the slower line, or behind a declared gap.",
    "reordered": "Packets that came after a later one of the same line and were still of use.",
    "requests": "Requests for missing ranges; counted on the line whose packet showed that they were missing.",
    "requests_held": "Requests not sent, because so much was asked for already.",
    "recovered_events": "Events that came after they had been asked for.",
    "put_off": "Packets left for later, because so many events before them are being asked for.",
    "gaps": "Ranges of numbers given up; counted on the line whose packet showed that they were missing.",
    "lost_events": "Events in these ranges.",
    "restarts": "Changes to another session; counted on the line that brought it first.",
    "old_session": "Packets dropped because a newer session is running.",
    "jumps": "Packets dropped because their number was too far ahead to be believed.",
    "errors": "Exceptions while events of this line were applied: a defect of the server.",
    "kernel_dropped": "Datagrams dropped by the kernel because the receive buffer was full.",
}
"""What is counted on each line, for /metrics: attribute of Line -> its meaning."""

_JUMP: Final = 1_000_000  # a forged or garbled number must not make all true ones look like the past
_OLDER_MS: Final = 10_000
_HEAD: Final = 1_000  # a session heard so early began just now, at 1; later, it is one that we were led over to
_WAITING_BYTES: Final = 64 << 20  # 65,536 events may be as many books of 2,000 levels; unpacked, a byte weighs 5 to 10

# What is asked for is bounded, so that forged numbers do not make us a burden to the engine: so many events a ms, so
# many at once, and a small request counts for some. 5 % loss of 50,000 datagrams a second stays below.
_ASKED_PER_MS: Final = 256
_ASKED_AT_ONCE: Final = 65_536
_ASKED_LEAST: Final = 64
# A range of more may take longer than the deadline to come: after an outage of ours it has as long as answers come.
_LONG: Final = 1_000


@dataclass(slots=True, eq=False)
class Line:
    """One way by which the feed reaches us, and what was counted on it."""

    name: str
    packets: int = 0
    events: int = 0
    heartbeats: int = 0
    strangers: int = 0
    forged: int = 0
    malformed: int = 0
    truncated: int = 0
    malformed_events: int = 0
    unknown_events: int = 0
    extended_events: int = 0
    duplicates: int = 0
    reordered: int = 0
    requests: int = 0
    requests_held: int = 0
    recovered_events: int = 0
    put_off: int = 0
    gaps: int = 0
    lost_events: int = 0
    restarts: int = 0
    old_session: int = 0
    jumps: int = 0
    errors: int = 0
    kernel_dropped: int = 0


class _Missing(NamedTuple):
    """Numbers from `first` up to, not including, `end`, seen to be missing at `since_ms` by a packet of `line`."""

    first: int
    end: int
    since_ms: int
    line: Line
    whole: int
    """How many there were then, of which these are what is left."""


_since_ms = attrgetter("since_ms")


class _Older(NamedTuple):
    """An older session, and since when nothing but it is heard."""

    session: int
    first: int
    since_ms: int


def tries_ms(grace_ms: int, deadline_ms: int) -> list[int]:
    """When a missing range is asked for, after it was seen and before its deadline: at 2, 10, 30, 70, 150, … ms."""
    tries, next_ms = [max(grace_ms, 1)], 10
    while next_ms < deadline_ms:
        if next_ms > tries[0]:
            tries.append(next_ms)
        next_ms = 2 * next_ms + 10
    return tries


class Sequencer:
    """Puts one numbering in order.

    `grace_ms`: how long a missing range is waited for (reordering, the other line) before it is asked for.
    `deadline_ms`: how long before it is given up; None: there is nobody to ask, so as long as `grace_ms`.
    `waiting_limit`: how many events may wait behind missing ones, and `waiting_limit_bytes`: how many bytes of
    datagrams; past either the oldest range is given up at once.
    """

    def __init__(
        self,
        *,
        grace_ms: int = 2,
        deadline_ms: int | None = None,
        waiting_limit: int = 65_536,
        waiting_limit_bytes: int = _WAITING_BYTES,
    ) -> None:
        self.session: int | None = None
        self.ended = False
        """The engine said that this session is over."""
        self.heard_ms: int | None = None
        """When the last packet of the running session came, duplicates and heartbeats included."""
        self.waiting_events = 0
        self.waiting_bytes = 0
        """Of the datagrams that they came in."""
        self._deadline_ms = grace_ms if deadline_ms is None else max(deadline_ms, grace_ms)
        self._tries_ms = [] if deadline_ms is None else tries_ms(grace_ms, deadline_ms)
        self._asked_ms = 0  # tries that fell due up to here have been made
        self._budget = _ASKED_AT_ONCE
        self._due_ms = 0  # of what is in _missing, or a little before
        self._waiting_limit = waiting_limit
        self._waiting_limit_bytes = waiting_limit_bytes
        # Numbers below _next are done. From it up to _known each is either in _missing or in _waiting, so that both
        # are empty where the two are equal, and otherwise _missing starts at _next. Its ranges came to it in time, and
        # parts of one keep its time: it is sorted by `since_ms` too.
        self._next = 1
        self._known = 1
        self._missing: list[_Missing] = []
        self._waiting: dict[int, tuple[Run, int]] = {}  # by the number of the first event; with its bytes
        self._heard: dict[Line, int] = {}  # one past the highest number that each line brought in this session
        self._older: _Older | None = None
        self._far: int | None = None
        self._place: tuple[int, int] | None = None

    @property
    def next_seq(self) -> int:
        """The number of the event to be applied next."""
        return self._next

    @property
    def place(self) -> tuple[int, int] | None:
        """Session and number of the event to be applied next; what `resume` was given before the first packet."""
        return self._place if self.session is None else (self.session, self._next)

    @property
    def caught_up(self) -> bool:
        """Whether a packet came, and nothing is missing up to the newest number heard of."""
        return self.session is not None and not self._missing

    def resume(self, session: int, seq: int) -> None:
        """Before the first packet: where an earlier run stopped. If that packet is of the same session, what was
        missed since is missing like all else; if not, nobody knows how many events were, and the gap has none."""
        self._place = session, seq

    def received(self, packet: Packet, line: Line, now_ms: int, size_bytes: int = 0) -> list[Step]:
        """What is to be applied now, in this order. Deadlines are kept by `tick`, never here: what already waits in
        the socket behind a stall of ours is heard before its numbers are given up. `size_bytes` is the datagram's."""
        session, seq, events = packet
        line.packets += 1
        if events:
            line.events += len(events)
        elif events is not None:
            line.heartbeats += 1
        steps: list[Step] = []
        if session == self.session:
            self._older = None
        elif not self._change_session(packet, line, now_ms, steps):
            return steps
        if seq > self._known + _JUMP and not self._is_believed(packet):
            line.jumps += 1
            return steps
        self._far = None
        self.heard_ms = now_ms
        end = seq + len(events or ())
        if end > self._known and self._is_full() and self._is_recovering():
            line.put_off += 1
            return steps
        if events and seq == self._known and not self._missing:  # as nearly all do
            self._next = self._known = self._heard[line] = end
            self.ended = False
            steps.append(events)
            return steps
        self.ended = events is None or (self.ended and end <= self._known)
        if events:
            late = end <= self._heard.get(line, 0)
            if self._take(seq, events, line, now_ms, size_bytes):
                line.reordered += late
            else:
                line.duplicates += 1
        elif seq > self._known:
            self._miss(seq, line, now_ms)
        self._heard[line] = max(end, self._heard.get(line, 0))
        self._drain(steps)
        while self._is_full() and not self._is_recovering():
            self._give_up(steps)
        return steps

    def _is_full(self) -> bool:
        return self.waiting_events > self._waiting_limit or self.waiting_bytes > self._waiting_limit_bytes

    def _is_recovering(self) -> bool:
        """Whether a long range is being asked for, so that what is newer had better come later than what is older be
        given up."""
        return bool(self._tries_ms) and bool(self._missing) and self._missing[0].whole > _LONG

    def due_ms(self) -> int | None:
        """When `tick` and `requests` may have something to do; None: not before another packet came."""
        return self._due_ms if self._missing else None

    def tick(self, now_ms: int) -> list[Step]:
        """Gives up the ranges whose deadline has passed."""
        steps: list[Step] = []
        while self._missing and now_ms >= self._missing[0].since_ms + self._deadline_ms:
            first = self._missing[0]
            if first.whole > _LONG and first.end - first.first < first.whole:
                # All that is behind it waits for it anyway.
                self._missing = [each._replace(since_ms=now_ms, whole=each.end - each.first) for each in self._missing]
                break
            self._give_up(steps)
        self._due_ms = self._next_due_ms()
        return steps

    def requests(self, now_ms: int) -> list[Rerequest]:
        """What the engine is to be asked for now. Of a range longer than may be asked for it is the first part; a try
        that may not be made at all is left out, as if it had been lost on the way."""
        session = self.session
        if session is None or not self._tries_ms:
            return []
        self._budget = min(self._budget + _ASKED_PER_MS * (now_ms - self._asked_ms), _ASKED_AT_ONCE)
        requests = []
        end = 0
        # Tries fall at fixed times after a range was seen, so no range need remember its own: due are those whose time
        # lies between the last call and this one. Latest tries, so earliest ranges, first: each once, however late.
        for wait_ms in reversed(self._tries_ms):
            first = max(end, self._seen_until(self._asked_ms - wait_ms))
            end = max(end, self._seen_until(now_ms - wait_ms))
            for missing in self._missing[first:end]:
                count = min(missing.end - missing.first, self._budget)
                if self._budget < _ASKED_LEAST:
                    missing.line.requests_held += 1
                    continue
                self._budget -= max(count, _ASKED_LEAST)
                missing.line.requests += 1
                requests.append(Rerequest(session, missing.first, count))
        self._asked_ms = now_ms
        self._due_ms = self._next_due_ms()
        return requests

    def _seen_until(self, ms: int) -> int:
        """How many of the missing ranges were seen to be missing at `ms` or before."""
        return bisect_right(self._missing, ms, key=_since_ms)

    def _next_due_ms(self) -> int:
        """Of the next try or deadline; of no meaning where nothing is missing."""
        if not self._missing:
            return 0
        due_ms = self._missing[0].since_ms + self._deadline_ms
        for wait_ms in self._tries_ms:
            at = self._seen_until(self._asked_ms - wait_ms)
            if at < len(self._missing):
                due_ms = min(due_ms, self._missing[at].since_ms + wait_ms)
        return due_ms

    def _change_session(self, packet: Packet, line: Line, now_ms: int, steps: list[Step]) -> bool:
        """Whether the packet's session is the running one from now on."""
        session, seq, _ = packet
        if self.session is None:
            place = self._place
            if place is not None and place[0] == session:
                self._begin(session, place[1])
            else:
                self._begin(session, 1 if place is not None and session > place[0] and seq <= _HEAD else seq)
            steps.append(Restart(session))
            if place is not None and place[0] != session:
                steps.append(self._gap(0, line))
            return True
        missed = 0
        if session < self.session:
            older = self._older
            if older is None or older.session != session:
                self._older = older = _Older(session, seq, now_ms)
            if now_ms - older.since_ms < _OLDER_MS:
                line.old_session += 1
                return False
            missed = seq - older.first  # what it brought while it was not believed
        # What waits did arrive: it is applied, and what it waited for is counted, before the books start over.
        while self._missing:
            self._give_up(steps)
        self._begin(session, 1 if session > self.session and seq <= _HEAD else seq)
        steps.append(Restart(session))
        line.restarts += 1
        if missed > 0:
            steps.append(self._gap(missed, line))
        return True

    def _begin(self, session: int, seq: int) -> None:
        self.session = session
        self._next = self._known = seq
        self._missing.clear()
        self._waiting.clear()
        self.waiting_events = self.waiting_bytes = 0
        self._heard.clear()
        self._older = None
        self._far = None
        self.ended = False

    def _is_believed(self, packet: Packet) -> bool:
        """One number far ahead may be forged; a second near it is the engine, after a long silence between us."""
        far = self._far
        self._far = packet.seq
        return far is not None and abs(packet.seq - far) <= _JUMP

    def _take(self, seq: int, events: Run, line: Line, now_ms: int, size_bytes: int) -> bool:
        """Lets the events that are new wait at their numbers; whether there were any."""
        end = seq + len(events)
        each_bytes = size_bytes / len(events)
        new = False
        at = bisect_right(self._missing, seq, key=lambda missing: missing.end)
        while at < len(self._missing) and self._missing[at].first < end:
            missing = self._missing[at]
            first, last = max(seq, missing.first), min(end, missing.end)
            self._wait(first, events[first - seq : last - seq], each_bytes)
            new = True
            if self._tries_ms and missing.since_ms + self._tries_ms[0] <= self._asked_ms:
                line.recovered_events += last - first
            rest = []
            if missing.first < first:
                rest.append(missing._replace(end=first))
            if last < missing.end:
                rest.append(missing._replace(first=last))
            self._missing[at : at + 1] = rest
            at += len(rest)
        if end > self._known:
            if seq > self._known:
                self._miss(seq, line, now_ms)
            self._wait(self._known, events[self._known - seq :], each_bytes)
            self._known = end
            new = True
        return new

    def _wait(self, first: int, events: Run, each_bytes: float) -> None:
        size_bytes = int(each_bytes * len(events))
        self._waiting[first] = events, size_bytes
        self.waiting_events += len(events)
        self.waiting_bytes += size_bytes

    def _miss(self, end: int, line: Line, now_ms: int) -> None:
        last = self._missing[-1] if self._missing else None
        if last is not None and last.end == self._known and last.since_ms == now_ms:
            self._missing[-1] = last._replace(
                end=end, whole=end - last.first
            )  # or a flood of heartbeats would make a list of them
        else:
            due_ms = now_ms + (self._tries_ms[0] if self._tries_ms else self._deadline_ms)
            self._due_ms = min(self._due_ms, due_ms) if self._missing else due_ms
            self._missing.append(_Missing(self._known, end, now_ms, line, end - self._known))
        self._known = end

    def _drain(self, steps: list[Step]) -> None:
        """Moves on over what waits at the next number."""
        waiting = self._waiting.pop(self._next, None)
        if waiting is None:
            return
        run: Run = []
        while waiting is not None:
            events, size_bytes = waiting
            run += events
            self.waiting_bytes -= size_bytes
            self._next += len(events)
            waiting = self._waiting.pop(self._next, None)
        self.waiting_events -= len(run)
        steps.append(run)

    def _give_up(self, steps: list[Step]) -> None:
        """Declares the first missing range lost and moves on over it."""
        missing = self._missing.pop(0)
        self._next = missing.end
        steps.append(self._gap(missing.end - missing.first, missing.line))
        self._drain(steps)

    @staticmethod
    def _gap(count: int, line: Line) -> Gap:
        line.gaps += 1
        line.lost_events += count
        return Gap(count)
