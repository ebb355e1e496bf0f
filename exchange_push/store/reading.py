"""Reader: what a store gives back, when a server starts and while it runs."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from exchange_push.errors import ConfigError, quoted
from exchange_push.market.bars import Bar
from exchange_push.market.chart import Candle, Candles, slots
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kept import Kept, KeptSymbol, Part, parts
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import Taken
from exchange_push.market.window import Piece
from exchange_push.store.tables import (
    CHUNK_MS,
    COLUMNS,
    SHOWN,
    bar_of,
    decode_holes,
    decode_place,
    decode_state,
    trades_of,
)

_EDGE: Final = 3  # of the `parts`, the minute in which a window of 24 hours begins
_NEWEST_TRADES: Final = 50


class Reader:
    """Raises sqlite3.Error where the file cannot be read, but for what is read when a server starts."""

    path: str
    _db: sqlite3.Connection
    _ids: dict[str, int]
    """The number of each symbol."""

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What cannot be read when a server starts is the operator's to see to."""
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError, ArithmeticError, zlib.error) as error:
            raise ConfigError(f"store: {self.path} is damaged: {quoted(str(error))}") from None

    def place(self) -> tuple[int, int] | None:
        """Session and next number of the feed. Raises ConfigError."""
        with self._reading():
            row = self._db.execute("SELECT value FROM kept WHERE what = 'place'").fetchone()
            return None if row is None else decode_place(row[0])

    def load(self) -> Kept | None:
        """Where the board stood; None where nothing was ever stored. Raises ConfigError."""
        with self._reading():
            return self._load()

    def _load(self) -> Kept | None:
        row = self._db.execute("SELECT value FROM kept WHERE what = 'state'").fetchone()
        if row is None:
            return None
        state = decode_state(row[0])
        wanted = parts(state.time // 1_000)
        seconds = {
            part: self.bars("1s", part.start * 1_000, part.end * 1_000) for part in wanted if part.interval == "1s"
        }
        symbols = self._db.execute("SELECT symbol, id, mark_id, mark_time, run, met, begin, holes, mark FROM symbol")
        return Kept(state, [self._symbol(row, wanted, seconds) for row in symbols.fetchall()])

    def _symbol(
        self, row: tuple[object, ...], wanted: list[Part], seconds: Mapping[Part, Mapping[str, list[Bar]]]
    ) -> KeptSymbol:
        symbol, number, mark_id, mark_time, run, met, begin, holes, mark = row
        pieces: list[Piece] = []
        for part in wanted:
            if part.interval == "1s":
                bars: Iterable[Bar] = seconds[part].get(str(symbol), ())
                minute = self._minute(number, part.start * 1_000) if part is wanted[_EDGE] else None  # type: ignore[arg-type]
                if minute is not None and sum(bar.count for bar in bars) < minute.count:
                    pieces.append(Piece(part.start, part.end - part.start, minute))  # its seconds were never known
                    continue
            else:
                where = "symbol = ? AND interval = ? AND start >= ? AND start < ? ORDER BY start"
                values = (number, part.interval, part.start * 1_000, part.end * 1_000)
                rows = self._db.execute(f"SELECT start, {COLUMNS} FROM candle WHERE {where}", values)
                bars = (bar_of(row[0], row[1:]) for row in rows)
            pieces += [Piece(bar.second, part.length, bar) for bar in bars]
        sql = f"SELECT start, {COLUMNS} FROM candle WHERE symbol = ? AND interval = '1d' AND start < ?"
        before = self._db.execute(f"{sql} ORDER BY start DESC LIMIT 1", (number, wanted[0].start * 1_000)).fetchone()
        first = self._first_start(number)  # type: ignore[arg-type]
        return KeptSymbol(
            symbol,  # type: ignore[arg-type]
            Taken(mark_id, mark_time, run, met, begin, decode_holes(holes)),  # type: ignore[arg-type]
            None if before is None else bar_of(before[0], before[1:]),
            pieces,
            self._newest_trades(number),  # type: ignore[arg-type]
            first if first is not None else pieces[0].start * 1_000 if pieces else 0,
            mark,  # type: ignore[arg-type]
        )

    def _minute(self, number: int, start: int) -> Bar | None:
        sql = f"SELECT {COLUMNS} FROM candle WHERE symbol = ? AND interval = '1m' AND start = ?"
        row = self._db.execute(sql, (number, start)).fetchone()
        return None if row is None else bar_of(start, row)

    def _newest_trades(self, number: int) -> list[MergedTrade]:
        found: list[MergedTrade] = []
        for (data,) in self._db.execute("SELECT data FROM trades WHERE symbol = ? ORDER BY start DESC", (number,)):
            found[:0] = trades_of(data)
            if len(found) >= _NEWEST_TRADES:
                break
        return found[-_NEWEST_TRADES:]

    def bars(self, interval: str, start: int, end: int) -> dict[str, list[Bar]]:
        """By symbol the candles that start in `[start, end)`, in ms, oldest first."""
        found: dict[str, list[Bar]] = {}
        names = {number: symbol for symbol, number in self._ids.items()}
        if interval == "1s":
            rows = self._db.execute(
                f"SELECT symbol, start, {COLUMNS} FROM second WHERE start >= ? AND start < ? ORDER BY start",
                (start, end),
            )
            for row in rows:
                found.setdefault(names[row[0]], []).append(bar_of(row[1], row[2:]))
            return found
        for number, symbol in names.items():
            where = "symbol = ? AND interval = ? AND start >= ? AND start < ? ORDER BY start"
            rows = self._db.execute(
                f"SELECT start, {COLUMNS} FROM candle WHERE {where}", (number, interval, start, end)
            )
            found[symbol] = [bar_of(row[0], row[1:]) for row in rows]
        return found

    def candles(self, symbol: str, interval: str, start: int | None, end: int, limit: int) -> Candles:
        """The candles that start in `[start, end)`, in ms, empty ones too, at most `limit`: the oldest of them, or
        without `start` the newest."""
        number = self._ids.get(symbol)
        first = None if number is None else self._first(number, interval)
        if number is None or first is None:
            return Candles([], "")
        leaps = self._db.execute(
            "SELECT start, end FROM leap WHERE end > ? ORDER BY start", (start or first,)
        ).fetchall()
        starts = slots(INTERVALS[interval], first, start, end, limit, leaps)
        if not starts:
            return Candles([], "")
        # Seconds are looked up from a full minute on: candles tell the price of before.
        all_starts = [*range(starts[0] - starts[0] % 60_000, starts[0], 1_000), *starts] if interval == "1s" else starts
        rows = self._seconds(number, all_starts) if interval == "1s" else self._candles(number, interval, starts)
        found: dict[int, Candle] = {row[0]: Candle(*row[1:]) for row in rows}
        before = self._close_before(number, all_starts[0])
        for at in all_starts[: -len(starts)]:
            if at in found:
                before = found[at].close
        return Candles([(at, found.get(at)) for at in starts], before)

    def _candles(self, number: int, interval: str, starts: list[int]) -> Iterable[tuple[Any, ...]]:
        sql = f"SELECT start, {SHOWN} FROM candle WHERE symbol = ? AND interval = ? AND start BETWEEN ? AND ?"
        return self._db.execute(sql, (number, interval, starts[0], starts[-1]))

    def _seconds(self, number: int, starts: list[int]) -> Iterable[tuple[Any, ...]]:
        sql = f"SELECT start, {SHOWN} FROM second WHERE start = ? AND symbol = ?"
        for start in starts:  # a seek for each: they do not lie by symbol
            yield from self._db.execute(sql, (start, number))

    def _first(self, number: int, interval: str) -> int | None:
        """Start of the first candle; of seconds where older ones are deleted, the time up to which they are."""
        name = "1m" if interval == "1s" else interval
        sql = "SELECT min(start) FROM candle WHERE symbol = ? AND interval = ?"
        found: int | None = self._db.execute(sql, (number, name)).fetchone()[0]
        if interval == "1s":
            oldest: int | None = self._db.execute("SELECT min(start) FROM second").fetchone()[0]
            if found is None or oldest is None:
                return oldest
            if oldest > found:
                return oldest
            sql = "SELECT min(start) FROM second WHERE start BETWEEN ? AND ? AND symbol = ?"
            second: int | None = self._db.execute(sql, (found, found + 59_999, number)).fetchone()[0]
            return found if second is None else second
        return found

    def _close_before(self, number: int, start: int) -> str:
        """Price of the newest trade before a time, "" where there is none."""
        # In the smaller candle, where both are of one time, lies what the larger one may have only in part.
        for name in ("1m", "1h", "1d"):
            sql = "SELECT start, close FROM candle WHERE symbol = ? AND interval = ? AND start < ? ORDER BY start DESC"
            for at, close in self._db.execute(sql + " LIMIT 2", (number, name, start)):
                if INTERVALS[name].end(at) <= start:
                    return str(close)
        return ""

    def trades(self, symbol: str, start: int | None, end: int, limit: int) -> list[MergedTrade]:
        """The trades with a time in `[start, end)`, in ms, at most `limit`: the oldest, or without `start` the newest;
        in order of time and id."""
        number = self._ids.get(symbol)
        if number is None:
            return []
        found: list[MergedTrade] = []
        if start is None:
            sql = "SELECT start, end, data FROM trades WHERE symbol = ? AND start < ? ORDER BY start DESC"
            values: tuple[object, ...] = (number, end)
        else:
            sql = "SELECT start, end, data FROM trades WHERE symbol = ? AND start >= ? AND start < ? ORDER BY start"
            values = (number, self._chunk_before(number, start), end)
        edge: int | None = None  # beyond it no chunk can hold a trade that belongs among those found
        for first, last, data in self._db.execute(sql, values):
            if edge is not None and (first > edge if start is not None else last < edge):
                break
            found += [trade for trade in trades_of(data) if (start or 0) <= trade.time < end]
            if len(found) >= limit and edge is None:
                found.sort(key=_by_time)
                edge = found[limit - 1].time if start is not None else found[-limit].time - CHUNK_MS
        found.sort(key=_by_time)
        return found[:limit] if start is not None else found[-limit:]

    def trades_from(self, symbol: str, first: int, limit: int) -> list[MergedTrade]:
        """The trades that begin with this id or a later one, in order of ids, at most `limit`."""
        number = self._ids.get(symbol)
        if number is None:
            return []
        found: list[MergedTrade] = []
        edge: int | None = None  # beyond it no chunk can hold a trade that belongs among those found
        sql = "SELECT start, data FROM trades WHERE symbol = ? AND start >= ? ORDER BY start"
        for start, data in self._db.execute(sql, (number, self._start_of(number, first) - CHUNK_MS)):
            if edge is not None and start > edge:
                break
            found += [trade for trade in trades_of(data) if trade.first >= first]
            if len(found) >= limit and edge is None:
                found.sort(key=_by_id)
                edge = found[limit - 1].time + CHUNK_MS
        found.sort(key=_by_id)
        return found[:limit]

    def _start_of(self, number: int, first: int) -> int:
        """Start of the last chunk that begins with this id or one before: found by halves, since ids rise with time."""
        low, high = self._db.execute("SELECT min(start), max(start) FROM trades WHERE symbol = ?", (number,)).fetchone()
        if low is None:
            return 0
        sql = "SELECT start, first_id FROM trades WHERE symbol = ? AND start >= ? ORDER BY start LIMIT 1"
        while low < high:
            start, found = self._db.execute(sql, (number, (low + high + 1) // 2)).fetchone()
            if found > first:
                high = (low + high + 1) // 2 - 1
            else:
                low = start
        return int(low)

    def _chunk_before(self, number: int, start: int) -> int:
        """Start of the first chunk that may hold trades of this time."""
        sql = "SELECT max(start) FROM trades WHERE symbol = ? AND start <= ?"
        before: int | None = self._db.execute(sql, (number, start)).fetchone()[0]
        return start if before is None else min(before, start - CHUNK_MS)

    def _first_start(self, number: int) -> int | None:
        sql = "SELECT min(start) FROM candle WHERE symbol = ? AND interval = '1m'"
        found: int | None = self._db.execute(sql, (number,)).fetchone()[0]
        return found


def _by_time(trade: MergedTrade) -> tuple[int, int]:
    return trade.time, trade.first


def _by_id(trade: MergedTrade) -> tuple[int, int]:
    return trade.first, trade.time
