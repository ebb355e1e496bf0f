"""Which of the market was recorded: the time that was heard without loss, and which trades of each symbol were taken.

A gap of the feed may have touched every symbol. The next trade of a symbol tells more: where its id follows on the one
before, that symbol lost nothing; where it does not, the ids between are a hole, and the symbol's figures of the time of
the gap are incomplete until trades with these ids come after all.
"""

from collections.abc import Mapping
from enum import Enum, auto
from itertools import pairwise
from typing import Final, TypeAlias

import msgspec

from exchange_push.market.events import Trade

_GAPS_KEPT: Final = 1_000  # a monthly candle asks a month back; past this number the two oldest become one
_HOLES_KEPT: Final = 1_000  # of a symbol; past this number the two oldest become one that nothing can fill
_SAME_MS: Final = 1_000  # gaps closer than the shortest candle become one: a lossy line makes many

Stretch: TypeAlias = tuple[int, int]
"""From and to which time, ms since the epoch."""


class _Lost(msgspec.Struct, array_like=True):
    start: int
    end: int
    number: int
    """Of the last gap in it."""


class RecordedState(msgspec.Struct, array_like=True):
    """What a store keeps of Recorded."""

    begin: int | None
    count: int
    open: int | None
    lost: list[_Lost]


def waiting(ends: Mapping[str, int]) -> tuple[RecordedState, dict[str, int]]:
    """Where Recorded is to begin when nothing was heard yet, and pasts were loaded that end at these times; and by
    symbol how many gaps it has met: what is missing of each lies between its end and the first event."""
    times = sorted(set(ends.values()))
    lost = [_Lost(start, end, number) for number, (start, end) in enumerate(pairwise(times), 1)]
    # One more than there are, so that the gap that ends with the first event stays apart from these.
    places = {end: place for place, end in enumerate(times)}
    met = {symbol: places[end] for symbol, end in ends.items()}
    return RecordedState(times[-1], len(times), times[-1], lost), met


class Recorded:
    """Market time that was heard without loss, for all symbols together."""

    __slots__ = ("_lost", "_open", "begin", "count")

    def __init__(self) -> None:
        self.begin: int | None = None
        """Time of the first event ever heard."""
        self.count = 0
        """How many gaps there ever were."""
        self._lost: list[_Lost] = []
        self._open: int | None = None

    def start_over(self, time_ms: int) -> None:
        """Nothing before this time was recorded."""
        self.begin = time_ms
        self._lost = []
        self._open = None

    def saved(self) -> RecordedState:
        return RecordedState(self.begin, self.count, self._open, list(self._lost))

    def restore(self, state: RecordedState) -> None:
        self.begin, self.count, self._open, self._lost = state.begin, state.count, state.open, list(state.lost)

    @property
    def losing(self) -> bool:
        """Whether events are lost and it is not known yet up to when."""
        return self._open is not None

    def lose(self, time_ms: int) -> None:
        """Events after `time_ms` are lost; `resume` will tell up to when."""
        if self._open is None:
            self._open = time_ms

    def resume(self, time_ms: int) -> Stretch | None:
        """The feed goes on at `time_ms`; the stretch that was lost, if any was."""
        if self._open is None:
            return None
        start, end = min(self._open, time_ms), max(self._open, time_ms)
        self._open = None
        lost = self._lost
        joins = bool(lost) and lost[-1].number == self.count  # what `waiting` made stays as it is
        self.count += 1
        if joins and lost[-1].start <= start <= lost[-1].end + _SAME_MS:
            lost[-1] = _Lost(lost[-1].start, max(lost[-1].end, end), self.count)
        else:
            lost.append(_Lost(start, end, self.count))
        if len(lost) > _GAPS_KEPT:
            lost[:2] = [_Lost(lost[0].start, max(lost[0].end, lost[1].end), lost[1].number)]
        return start, end

    def unmet(self, met: int) -> list[Stretch]:
        """The gaps after number `met`."""
        found: list[Stretch] = []
        for lost in reversed(self._lost):
            if lost.number <= met:
                break
            found.append((lost.start, lost.end))
        return found[::-1]

    def complete(self, start: int, end: int, taken: "Taken | None" = None) -> bool:
        """Whether nothing is known to be missing in `[start, end)`; of one symbol, or of any."""
        begin = self.begin if taken is None or taken.begin is None else taken.begin
        if begin is None or start < begin or (self._open is not None and end > self._open):
            return False
        met = -1 if taken is None else taken.met
        for lost in reversed(self._lost):
            if lost.number <= met:
                break
            if lost.start < end and start <= lost.end:
                return False
        return taken is None or not any(_touches(hole.lost, start, end) for hole in taken.holes)


def _touches(stretches: list[Stretch], start: int, end: int) -> bool:
    return any(first < end and start <= last for first, last in stretches)


class Hole(msgspec.Struct, array_like=True, frozen=True):
    """Trade ids `first` to `last` that never came, lost in these stretches of time; none: it cannot be filled."""

    first: int
    last: int
    lost: list[Stretch]


class Verdict(Enum):
    """What a trade's id says."""

    NEW = auto()
    REPEATED = auto()
    REPAIR = auto()
    """It belongs into a hole."""
    RESTART = auto()
    """The engine began the symbol's ids anew."""


class Taken(msgspec.Struct, array_like=True):
    """Which trades of a symbol were taken; a store keeps it as it is."""

    mark_id: int = -1
    mark_time: int = 0
    """Highest of all trades taken; an id at or below the mark that is no later came before, or fills a hole."""
    run: int = 0
    """How often the engine began the ids anew."""
    met: int = 0
    """How many gaps there had been when the mark was set."""
    begin: int | None = None
    """From when on the symbol was recorded, where that is not from when all were: its past was loaded."""
    holes: list[Hole] = []

    def judge(self, trade: Trade, recorded: Recorded) -> Verdict:
        """Take the id of a trade."""
        verdict = Verdict.NEW
        unnumbered = self.mark_id < 0 and self.begin is not None  # its past was loaded, without ids
        if unnumbered and trade.time < self.mark_time:
            return Verdict.REPEATED
        if trade.id <= self.mark_id:
            if trade.time <= self.mark_time:
                return Verdict.REPAIR if self._fill(trade.id) else Verdict.REPEATED
            verdict = Verdict.RESTART
            self.run += 1
            self.holes = [Hole(0, -1, hole.lost) for hole in self.holes]
        if self.met != recorded.count:
            lost = recorded.unmet(self.met)
            first = 0 if verdict is Verdict.RESTART else self.mark_id + 1
            if lost and unnumbered:
                self._keep(Hole(0, -1, lost))
            elif lost and first < trade.id:
                self._keep(Hole(first, trade.id - 1, lost))
            self.met = recorded.count
        self.mark_id = trade.id
        self.mark_time = max(self.mark_time, trade.time)
        return verdict

    def _fill(self, trade_id: int) -> bool:
        for place, hole in enumerate(self.holes):
            if hole.first <= trade_id <= hole.last:
                parts = ((hole.first, trade_id - 1), (trade_id + 1, hole.last))
                self.holes = [
                    *self.holes[:place],
                    *(Hole(first, last, hole.lost) for first, last in parts if first <= last),
                    *self.holes[place + 1 :],
                ]
                return True
        return False

    def _keep(self, hole: Hole) -> None:
        self.holes = [*self.holes, hole]
        if len(self.holes) > _HOLES_KEPT:
            oldest, next_oldest = self.holes[:2]
            lost = [(min(oldest.lost[0][0], next_oldest.lost[0][0]), max(oldest.lost[-1][1], next_oldest.lost[-1][1]))]
            self.holes[:2] = [Hole(0, -1, lost)]
