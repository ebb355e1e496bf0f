"""Loads what happened before a server ran: trades or candles of one symbol, added up and put where nothing is stored.

What a server made of its feed is never touched: only time before the first of it is filled, and candles that reach over
that border get the trades of their part before it. Where no server heard a feed yet, a past can be carried on, too.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from exchange_push.errors import ConfigError, WireError
from exchange_push.market.bars import Bar, fold
from exchange_push.market.events import Trade
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kept import State, parts
from exchange_push.market.merged import MergedTrade, merge
from exchange_push.market.recorded import Hole, Taken, waiting
from exchange_push.market.rollup import Rollup
from exchange_push.store.filling import FillableStore
from exchange_push.wire.rows import order_of

_OPEN_S: Final = 60  # bars of the last minute are held, since times may go back a little where ids go on
_BATCH: Final = 5_000
_GAPS: Final = 20_000
_CHUNK_MS: Final = 10_000
_CHUNK_TRADES: Final = 1_000
_FOR_EVER: Final = 1 << 64


@dataclass(slots=True)
class Summary:
    """What became of the rows of a file."""

    rows: int = 0
    loaded: int = 0
    empty: int = 0
    """Candles without trades: nothing is to be stored of them."""
    repeated: int = 0
    stored: int = 0
    """Of time that was stored already, or trades that were."""
    begin: int | None = None
    end: int = 0
    """Of what was loaded, in ms."""
    whole: bool = True
    """Whether nothing is missing where it meets what was stored before."""


class _Part:
    """What a file has on one side of what is stored."""

    def __init__(self) -> None:
        self.begin: int | None = None
        self.end = 0
        self.first_id = -1
        self.last_id = -1

    def take(self, start: int, end: int, first: int, last: int) -> None:
        if self.begin is None:
            self.begin, self.first_id = start, first
        if start < self.begin:
            self.begin = start
        if end > self.end:
            self.end = end
        self.last_id = max(self.last_id, last)


class _Ids:
    """Which ids a file had: a row that repeats some is passed over, one that is out of order is not taken for such."""

    def __init__(self) -> None:
        self._first = -1
        self._last = -1
        self._gaps: list[tuple[int, int]] = []

    def take(self, first: int, last: int) -> bool:
        """Whether it is new. Raises WireError."""
        if first > self._last:
            if self._last < 0:
                self._first = first
            elif first > self._last + 1:
                self._gaps.append((self._last + 1, first - 1))
                if len(self._gaps) > _GAPS:
                    del self._gaps[: _GAPS // 2]
            self._last = last
            return True
        place = bisect_right(self._gaps, (first, _FOR_EVER)) - 1
        if last > self._last or first < self._first or (place >= 0 and first <= self._gaps[place][1]):
            raise WireError(f"id {first} after id {self._last}, expected rows in order of their ids")
        return False


class Loading:
    """Takes the rows of one file, within one transaction of the store; `newest` is the time of the last row.

    `interval` is that of the rows, which are trades where it is None.
    """

    def __init__(self, store: FillableStore, symbol: str, interval: str | None, *, has_ids: bool, newest: int) -> None:
        self.summary = Summary()
        self._store = store
        self._symbol = symbol
        self._has_ids = has_ids
        self._heard = store.heard()
        self._ids = _Ids()
        self._last_time = 0
        self._waiting: list[tuple[Trade, int]] = []
        self._bars: dict[int, Bar] = {}
        self._chunk: list[MergedTrade] = []
        self._rollup = Rollup(interval or "1s", self._write)
        known = store.taken()
        self._taken = known.get(symbol)
        time = max((taken.mark_time for taken in known.values()), default=0)
        time = time if self._heard is None else self._heard.time
        # Where a server ran, what is later than all that it stored is not loaded, and makes nothing old.
        self._now = max(newest, time) if self._heard is None else time
        self._before, self._after = _Part(), _Part()
        self._limit = _FOR_EVER if self._heard is None else time
        """From here on nothing can be loaded."""
        oldest = None if self._taken is None else store.oldest(symbol, self._taken, time)
        self._oldest: int | None = None
        self._oldest_id = -1
        if oldest is not None:
            self._oldest, self._oldest_id = oldest
        if interval is not None and INTERVALS[interval].length_ms > INTERVALS["1m"].length_ms:
            self._limit = min(self._limit, self._coarse_limit(interval, time))
        self._astray = False  # whether trades that belong before what is stored were left out

    def _coarse_limit(self, interval: str, time: int) -> int:
        """Until when candles that are longer than a minute may be: of what comes then, running candles are made."""
        if INTERVALS["1d"].length_ms % INTERVALS[interval].length_ms:
            raise ConfigError(f"--interval {interval}: candles are loaded of intervals that make up a day")
        if not time:
            raise ConfigError(f"--interval {interval}: nothing is stored yet, expected trades or candles of 1m first")
        return parts(time // 1_000)[0].end * 1_000

    # -- rows

    def take_trade(self, trade: Trade, last: int) -> None:
        """A trade, or aggregated ones up to the id `last`. Raises WireError."""
        self.summary.rows += 1
        if not self._is_new(trade, last):
            return
        part = self._side(trade, last)
        if part is None:
            return
        part.take(trade.time, trade.time, *((trade.id, last) if self._has_ids else (-1, -1)))
        self._waiting.append((trade, last))
        if len(self._waiting) >= _BATCH:
            self._add_up()

    def _add_up(self) -> None:
        rows, self._waiting = self._waiting, []
        self._fold(rows)
        if self._has_ids:
            self._keep_trades(rows)
        newest = max(self._bars, default=0)
        self._close([second for second in self._bars if second < newest - _OPEN_S])

    def _is_new(self, trade: Trade, last: int) -> bool:
        if not self._has_ids:
            if trade.time < self._last_time:
                raise WireError(f"time {trade.time} after {self._last_time}, expected rows in order of time, or ids")
            self._last_time = trade.time
            return True
        if self._ids.take(trade.id, last):
            return True
        self.summary.repeated += 1
        return False

    def _side(self, trade: Trade, last: int) -> _Part | None:
        """Where a trade belongs; None: it is stored, or something of its time."""
        taken, oldest, first = self._taken, self._oldest, self._oldest_id
        numbered = self._has_ids and first >= 0
        if taken is None or oldest is None:
            if trade.time < self._limit:
                return self._after
        elif trade.time < oldest or (numbered and last < first and trade.time == oldest and taken.begin is not None):
            if not numbered or last < first:
                return self._before
            if trade.id > taken.mark_id and not taken.run:
                raise WireError(
                    f"id {trade.id} at {trade.time} is before what is stored, which begins with id {first} at {oldest};"
                    " expected lower ids, or columns without them"
                )
        elif numbered and last < first:
            self._astray = True
        elif self._heard is None and (
            trade.id > taken.mark_id if self._has_ids and taken.mark_id >= 0 else trade.time >= taken.mark_time
        ):
            return self._after
        self.summary.stored += 1
        return None

    def _fold(self, rows: list[tuple[Trade, int]]) -> None:
        bars = self._bars
        fold((trade for trade, _ in rows), bars, 0)
        for trade, last in rows:
            if last > trade.id:
                bar = bars[trade.time // 1_000]
                bar.count += last - trade.id
                if bar.last_id == trade.id:
                    bar.last_id = last

    def _keep_trades(self, rows: list[tuple[Trade, int]]) -> None:
        keep_ms = self._store.keep_ms.get("trades")
        oldest = 0 if keep_ms is None else self._now - keep_ms
        wanted = [(trade, last) for trade, last in rows if trade.time >= oldest]
        if any(last > trade.id for trade, last in wanted):
            merged = [
                MergedTrade(trade.id, last, trade.price, trade.qty, trade.side, trade.time, last - trade.id + 1)
                for trade, last in wanted
            ]
        else:
            merged = merge(trade for trade, _ in wanted)
        for one in merged:
            chunk = self._chunk
            if chunk and (abs(one.time - chunk[0].time) > _CHUNK_MS or len(chunk) >= _CHUNK_TRADES):
                self._put_chunk()
            self._chunk.append(one)

    def _put_chunk(self) -> None:
        if self._chunk:
            self._store.add_trades(self._symbol, self._chunk)
            self._chunk = []

    def take_candle(self, start: int, bar: Bar | None, end: int) -> None:
        """A candle of `[start, end)`. Raises WireError."""
        self.summary.rows += 1
        if start == self._last_time:
            self.summary.repeated += 1
            return
        if start < self._last_time:
            raise WireError(f"time {start} after {self._last_time}, expected rows in order of time")
        self._last_time = start
        part = self._candle_side(start, bar, end)
        if part is None:
            self.summary.stored += 1
            return
        part.take(start, end, *((-1, -1) if bar is None else (bar.first_id, bar.last_id)))
        if bar is None:
            self.summary.empty += 1
        else:
            self.summary.loaded += 1
            self._rollup.add(start, bar)

    def _candle_side(self, start: int, bar: Bar | None, end: int) -> _Part | None:
        taken, oldest = self._taken, self._oldest
        if end > self._limit:
            return None
        if taken is None or oldest is None:
            return self._after
        if end <= oldest:
            return self._before
        if self._heard is None and start >= taken.mark_time + (
            taken.mark_id >= 0 and (bar is None or bar.first_id <= taken.mark_id)
        ):
            return self._after
        return None

    # -- what is stored of them

    def _close(self, seconds: Iterable[int]) -> None:
        for second in sorted(seconds):
            bar = self._bars.pop(second)
            self.summary.loaded += bar.count
            if not self._has_ids:
                bar.first_id = bar.last_id = -1
                bar.first_run = bar.last_run = order_of(second)
            self._rollup.add(second * 1_000, bar)

    def _write(self, interval: str, start: int, bar: Bar) -> None:
        keep_ms = self._store.keep_ms.get(interval)
        if keep_ms is None or start >= self._now - keep_ms:
            self._store.add(self._symbol, interval, start, bar)

    def finish(self) -> Summary:
        """Say what is known of the symbol now, and when the board is to begin."""
        self._add_up()
        self._close(list(self._bars))
        self._rollup.finish()
        self._put_chunk()
        summary = self.summary
        taken = self._taken or Taken()
        for part, known in ((self._before, self._known_before), (self._after, self._known_after)):
            if part.begin is not None:
                taken = known(taken, part)
                self._store.fill_leaps(part.begin, part.end)
                summary.begin = part.begin if summary.begin is None else summary.begin
                summary.end = part.end
        if summary.begin is None:
            return summary
        self._store.put_taken(self._symbol, taken)
        if self._heard is None:
            self._begin_anew()
        return summary

    def _known_before(self, taken: Taken, part: _Part) -> Taken:
        oldest, first = self._oldest, self._oldest_id
        assert oldest is not None
        if part.last_id >= 0 and first >= 0:
            whole = part.last_id + 1 == first and not self._astray
        else:
            whole = part.end == oldest and taken.begin is not None  # candles that lie side by side
        holes = list(_without(taken.holes, part.last_id, first))
        if not whole:
            self.summary.whole = False
            until = oldest
            if taken.begin is None and self._heard is not None and self._heard.recorded.begin is not None:
                until = min(oldest, max(self._heard.recorded.begin, part.end))
            holes.append(Hole(0, -1, [(part.end, until)]))
        return msgspec.structs.replace(taken, begin=part.begin, holes=holes)

    def _known_after(self, taken: Taken, part: _Part) -> Taken:
        holes = taken.holes
        lost: tuple[int, int] | None = None
        assert part.begin is not None
        if taken.begin is not None and self._oldest is not None:
            if not (part.first_id == taken.mark_id + 1 if taken.mark_id >= 0 else part.begin == taken.mark_time):
                lost = taken.mark_time, part.begin
        elif self._heard is not None:
            # Heard from when on? Of this symbol nothing came since.
            begin = self._heard.recorded.begin
            lost = part.end, begin if begin is not None and begin > part.end else self._heard.time
        if lost is not None:
            self.summary.whole = False
            holes = [*holes, Hole(0, -1, [lost])]
        return msgspec.structs.replace(
            taken,
            mark_id=max(part.last_id, taken.mark_id) if part.last_id >= 0 or self._heard is not None else -1,
            mark_time=max(part.end, taken.mark_time),
            met=taken.met if self._heard is None else self._heard.recorded.count,
            begin=part.begin if taken.begin is None or self._oldest is None else taken.begin,
            holes=holes,
        )

    def _begin_anew(self) -> None:
        """No feed was heard yet: a board begins where the newest of all pasts ends."""
        everyone = {symbol: taken for symbol, taken in self._store.taken().items() if taken.begin is not None}
        recorded, met = waiting({symbol: taken.mark_time for symbol, taken in everyone.items()})
        for symbol, taken in everyone.items():
            self._store.put_taken(symbol, msgspec.structs.replace(taken, met=met[symbol]))
        time = max(taken.mark_time for taken in everyone.values())
        self._store.put_loaded(State(time, time, recorded, None))


def _without(holes: list[Hole], last_id: int, first_id: int) -> Iterator[Hole]:
    """What is left of holes when trades up to `last_id` were loaded before the first one stored, `first_id`; without
    ids, nothing fills those before that one any more, so that no trade that was loaded is counted again."""
    for hole in holes:
        if last_id < 0 and (first_id < 0 or hole.last < first_id):
            yield Hole(0, -1, hole.lost)
        elif hole.last < hole.first or hole.first > last_id:
            yield hole
        elif hole.last > last_id:
            yield Hole(last_id + 1, hole.last, hole.lost)
