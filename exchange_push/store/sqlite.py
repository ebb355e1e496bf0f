"""The store in an SQLite file: candles of each interval, trades, and where the board and the feed stood.

Synchronous, and for one thread at a time. What the board changed is written in one transaction, so that after a crash
at any moment the file holds one state that the board was in, and the number of the feed that comes next. Prices,
quantities and sums are text, as exact as they were computed; times are ms since the epoch. Tables:
docs/reference/store.md.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, localcontext
from typing import Any, Final, Literal

import msgspec

from exchange_push.errors import ConfigError, quoted
from exchange_push.market.bars import Bar
from exchange_push.market.changes import Amended, Changes, Late
from exchange_push.market.chart import Candle, Candles, slots
from exchange_push.market.exact import EXACT, plain
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kept import Kept, KeptSymbol, Part, State, parts
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import Hole, Taken
from exchange_push.market.window import Piece

_APPLICATION: Final = 0x65785075  # "exPu", in the file's head
_VERSION: Final = 1
_BUSY_MS: Final = 5_000
_CACHE_KIB: Final = 32_768
_NEWEST_TRADES: Final = 50
_SLICE_ROWS: Final = 5_000  # deleted at once, so that a write need not wait long

_NUMBERS: Final = """
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL, close_qty TEXT NOT NULL,
    volume TEXT NOT NULL, quote_volume TEXT NOT NULL, taker_volume TEXT NOT NULL, taker_quote_volume TEXT NOT NULL,
    count INTEGER NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
    first_run INTEGER NOT NULL, last_run INTEGER NOT NULL, rev INTEGER NOT NULL"""
_COLUMNS: Final = (
    "open, high, low, close, close_qty, volume, quote_volume, taker_volume, taker_quote_volume,"
    " count, first_id, last_id, first_run, last_run, rev"
)
_SHOWN: Final = ", ".join(Candle._fields)
_MARKS: Final = ", ".join("?" * 15)
_SET: Final = ", ".join(f"{column} = ?" for column in _COLUMNS.split(", "))
_KEYS: Final = {"second": "start, symbol", "candle": "symbol, interval, start", "trades": "symbol, start, first_id"}
# Seconds lie by time, so that each write goes to the end of the table; candles by symbol, so that a chart is one read.
_SCHEMA: Final = f"""
CREATE TABLE kept (what TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE symbol (
    id INTEGER PRIMARY KEY, symbol TEXT NOT NULL UNIQUE, mark_id INTEGER NOT NULL, mark_time INTEGER NOT NULL,
    run INTEGER NOT NULL, met INTEGER NOT NULL, begin INTEGER, holes BLOB NOT NULL, mark BLOB);
CREATE TABLE candle (
    symbol INTEGER NOT NULL, interval TEXT NOT NULL, start INTEGER NOT NULL, {_NUMBERS},
    PRIMARY KEY (symbol, interval, start)) WITHOUT ROWID;
CREATE TABLE second (start INTEGER NOT NULL, symbol INTEGER NOT NULL, {_NUMBERS},
    PRIMARY KEY (start, symbol)) WITHOUT ROWID;
CREATE TABLE trades (
    symbol INTEGER NOT NULL, start INTEGER NOT NULL, first_id INTEGER NOT NULL, end INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (symbol, start, first_id)) WITHOUT ROWID;
CREATE TABLE leap (start INTEGER NOT NULL, end INTEGER NOT NULL);
CREATE VIEW chart AS SELECT symbol.symbol AS symbol, candle.interval AS interval,
    datetime(candle.start / 1000, 'unixepoch') AS start, open, high, low, close, volume, quote_volume, count, rev
    FROM candle JOIN symbol ON candle.symbol = symbol.id;
"""
_EDGE: Final = 3  # of the `parts`, the minute in which a window of 24 hours begins
_CHUNK_MS: Final = 60_000  # trades that are written together may be so far apart, and are seldom further

_encode = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(State).decode
_decode_place = msgspec.msgpack.Decoder(tuple[int, int]).decode
_decode_holes = msgspec.msgpack.Decoder(list[Hole]).decode
_decode_trades = msgspec.msgpack.Decoder(list[tuple[int, int, str, str, Literal["buy", "sell"], int, int]]).decode


class SqliteStore:
    """Raises ConfigError where the file cannot be used, sqlite3.Error where it cannot be written or read later.

    `keep_ms` is how long candles of an interval are kept, and "trades": those that are not in it for ever.
    """

    def __init__(self, path: str, keep_ms: Mapping[str, int]) -> None:
        self.path = path
        self._keep_ms = keep_ms
        self._lock = -1
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._db = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
            try:
                self._open()
                self._ids: dict[str, int] = dict(self._db.execute("SELECT symbol, id FROM symbol"))
            except BaseException:
                self._db.close()
                raise
        except BlockingIOError:
            self._unlock()
            raise ConfigError(f"store: {path} is in use by another exchange-push") from None
        except (OSError, sqlite3.Error) as error:
            self._unlock()
            raise ConfigError(f"store: {path}: {getattr(error, 'strerror', None) or error}") from None
        except ConfigError:
            self._unlock()
            raise

    def _open(self) -> None:
        db = self._db
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", f"cache_size = -{_CACHE_KIB}"):
            db.execute(f"PRAGMA {setting}")
        application, version = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if (application, version) == (0, 0) and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {_APPLICATION}")
                db.execute(f"PRAGMA user_version = {_VERSION}")
        elif application != _APPLICATION:
            raise ConfigError(f"store: {self.path} is another program's, expected a new file or a store")
        elif version != _VERSION:
            raise ConfigError(f"store: {self.path} is of version {version}, expected {_VERSION}")

    def close(self) -> None:
        self._db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.commit()
        except BaseException:
            self._db.rollback()
            raise

    # -- writing

    def write(self, changes: Sequence[Changes]) -> list[Amended]:
        """Store what changed, one after the other, or nothing; the candles that late trades corrected."""
        amended: list[Amended] = []
        try:
            with self._transaction(), localcontext(EXACT):
                for some in changes:
                    amended += self._write(some)
        except BaseException:
            self._ids = dict(self._db.execute("SELECT symbol, id FROM symbol"))
            raise
        return amended

    def _write(self, changes: Changes) -> list[Amended]:
        db = self._db
        if changes.void_from is not None:
            self._void(changes.void_from)
        for symbol in (*changes.taken, *changes.marks):
            self._number(symbol)
        ids = self._ids
        db.executemany(
            f"INSERT OR REPLACE INTO second (start, symbol, {_COLUMNS}) VALUES (?, ?, {_MARKS})",
            ((second * 1_000, ids[symbol], *_row(bar, 0)) for (symbol, second), bar in changes.seconds.items()),
        )
        db.executemany(
            f"INSERT OR REPLACE INTO candle (symbol, interval, start, {_COLUMNS}) VALUES (?, ?, ?, {_MARKS})",
            ((ids[symbol], interval, start, *_row(bar, 0)) for interval, symbol, start, bar in changes.candles),
        )
        amended = [found for late in changes.late for found in self._add_late(late)]
        db.executemany(
            "INSERT OR REPLACE INTO trades (symbol, start, first_id, end, data) VALUES (?, ?, ?, ?, ?)",
            ((ids[symbol], *_chunk(trades)) for symbol, trades in changes.trades.items() if symbol in ids),
        )
        self._put_taken(changes.taken)
        db.executemany(
            "UPDATE symbol SET mark = ? WHERE id = ?",
            ((mark, ids[symbol]) for symbol, mark in changes.marks.items()),
        )
        db.executemany("INSERT INTO leap VALUES (?, ?)", changes.leaps)
        for what, value in (("state", changes.state), ("place", changes.place)):
            if value is not None:
                db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (what, _encode(value)))
        return amended

    def _put_taken(self, by_symbol: Mapping[str, Taken]) -> None:
        self._db.executemany(
            "UPDATE symbol SET mark_id = ?, mark_time = ?, run = ?, met = ?, begin = ?, holes = ? WHERE id = ?",
            (
                (taken.mark_id, taken.mark_time, taken.run, taken.met, taken.begin, _encode(taken.holes), number)
                for number, taken in ((self._ids[symbol], taken) for symbol, taken in by_symbol.items())
            ),
        )

    def _insert(self, symbol: str) -> int:
        values = "(symbol, mark_id, mark_time, run, met, holes) VALUES (?, -1, 0, 0, 0, ?)"
        number = self._db.execute(f"INSERT INTO symbol {values}", (symbol, _encode([]))).lastrowid
        assert number is not None
        return number

    def _void(self, time: int) -> None:
        self._db.execute("DELETE FROM second WHERE start >= ?", (time - time % 1_000,))
        for number in self._ids.values():
            for name, interval in INTERVALS.items():
                start = interval.start(time)
                self._db.execute(
                    "DELETE FROM candle WHERE symbol = ? AND interval = ? AND start >= ?", (number, name, start)
                )

    def _add_late(self, late: Late) -> Iterator[Amended]:
        number = self._ids[late.symbol]
        first = self._first_start(number)
        for interval, start in late.intervals():
            keep_ms = self._keep_ms.get(interval.name)
            if keep_ms is not None and start < late.closed_s * 1_000 - keep_ms:
                continue  # it is gone, or about to be; a candle of this trade alone would be wrong
            table, key, values = _place(number, interval.name, start)
            row = self._db.execute(f"SELECT {_COLUMNS} FROM {table} WHERE {key}", values).fetchone()
            if row is None:
                # Empty, it was published with rev 0; before the first trade ever, it was not.
                bar, rev = late.bar, int(first is not None and start >= interval.start(first))
                columns, marks = _KEYS[table], "?, " * len(values)
                self._db.execute(
                    f"INSERT INTO {table} ({columns}, {_COLUMNS}) VALUES ({marks}{_MARKS})", (*values, *_row(bar, rev))
                )
            else:
                bar, rev = _bar(start, row), row[-1] + 1
                bar.add(late.bar)
                self._db.execute(f"UPDATE {table} SET {_SET} WHERE {key}", (*_row(bar, rev), *values))
            yield Amended(interval.name, late.symbol, start, bar, rev)

    def _first_start(self, number: int) -> int | None:
        sql = "SELECT min(start) FROM candle WHERE symbol = ? AND interval = '1m'"
        found: int | None = self._db.execute(sql, (number,)).fetchone()[0]
        return found

    def prune(self, time: int) -> bool:
        """Delete some of what is older than it is kept, by market time; whether there may be more."""
        left = _SLICE_ROWS
        with self._transaction():
            for what, keep_ms in self._keep_ms.items():
                older = time - keep_ms
                if what == "1s":
                    left -= self._delete("second", "start < ?", (older,), left)
                    continue
                for number in self._ids.values():
                    if left <= 0:
                        return True
                    if what == "trades":
                        left -= self._delete("trades", "symbol = ? AND start < ?", (number, older), left)
                    else:
                        where = "symbol = ? AND interval = ? AND start < ?"
                        left -= self._delete("candle", where, (number, what, older), left)
        return left <= 0

    def _delete(self, table: str, where: str, values: tuple[object, ...], limit: int) -> int:
        key = _KEYS[table]
        rows = f"SELECT {key} FROM {table} WHERE {where} LIMIT {max(limit, 0)}"
        return self._db.execute(f"DELETE FROM {table} WHERE ({key}) IN ({rows})", values).rowcount

    # -- loading what was before, while no server runs: store/past.py

    @property
    def keep_ms(self) -> Mapping[str, int]:
        return self._keep_ms

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is stored within is stored as a whole, or not at all."""
        try:
            with self._transaction(), localcontext(EXACT):
                yield
        except BaseException:
            self._ids = dict(self._db.execute("SELECT symbol, id FROM symbol"))
            raise

    def heard(self) -> State | None:
        """Where the board of a server stood that heard a feed; None where all there is was loaded."""
        rows = dict(self._db.execute("SELECT what, value FROM kept WHERE what IN ('state', 'loaded')"))
        states = {what: _decode_state(value) for what, value in rows.items()}
        state, loaded = states.get("state"), states.get("loaded")
        if state is None or state.recorded.begin is None:
            return None
        if loaded is not None and (state.heard, state.recorded) == (loaded.heard, loaded.recorded):
            return None
        return state

    def put_loaded(self, state: State) -> None:
        """Note where a board is to begin that has heard nothing yet."""
        values = [(what, _encode(state)) for what in ("state", "loaded")]
        self._db.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", values)

    def taken(self) -> dict[str, Taken]:
        """By symbol."""
        rows = self._db.execute("SELECT symbol, mark_id, mark_time, run, met, begin, holes FROM symbol")
        return {
            symbol: Taken(mark_id, mark_time, run, met, begin, _decode_holes(holes))
            for symbol, mark_id, mark_time, run, met, begin, holes in rows
        }

    def put_taken(self, symbol: str, taken: Taken) -> None:
        self._number(symbol)
        self._put_taken({symbol: taken})

    def _number(self, symbol: str) -> int:
        number = self._ids.get(symbol)
        if number is None:
            number = self._ids[symbol] = self._insert(symbol)
        return number

    def oldest(self, symbol: str, taken: Taken, time: int) -> tuple[int, int] | None:
        """Time from which on something of a symbol is stored, as exactly as it is known, and the first trade's id,
        -1 where that is not known; None where nothing is. `time` is market time."""
        number = self._ids.get(symbol)
        if number is None:
            return None
        start = taken.begin
        if start is None:
            first = self._first_start(number)
            start = time - time % 60_000 - 60_000 if first is None else first
            sql = "SELECT min(start) FROM second WHERE symbol = ? AND start BETWEEN ? AND ?"
            until = time if first is None else first + 59_999
            second: int | None = self._db.execute(sql, (number, start, until)).fetchone()[0]
            if first is None and second is None:
                return None
            start = start if second is None else second
        for name, interval in INTERVALS.items():
            table, key, values = _place(number, name, interval.start(start))
            row = self._db.execute(f"SELECT first_id FROM {table} WHERE {key}", values).fetchone()
            if row is not None:
                return start, row[0]
        return start, -1

    def add(self, symbol: str, interval: str, start: int, bar: Bar) -> None:
        """Store a candle, or add it to what is stored of it: other trades than its own."""
        table, key, values = _place(self._number(symbol), interval, start)
        row = self._db.execute(f"SELECT {_COLUMNS} FROM {table} WHERE {key}", values).fetchone()
        if row is not None:
            total = _bar(start, row)
            total.add(bar)
            self._db.execute(f"UPDATE {table} SET {_SET} WHERE {key}", (*_row(total, row[-1]), *values))
            return
        columns, marks = _KEYS[table], "?, " * len(values)
        self._db.execute(
            f"INSERT INTO {table} ({columns}, {_COLUMNS}) VALUES ({marks}{_MARKS})", (*values, *_row(bar, 0))
        )

    def add_trades(self, symbol: str, trades: list[MergedTrade]) -> None:
        """Store trades of one minute at most."""
        row = (self._number(symbol), *_chunk(trades))
        self._db.execute(
            "INSERT OR REPLACE INTO trades (symbol, start, first_id, end, data) VALUES (?, ?, ?, ?, ?)", row
        )

    def fill_leaps(self, start: int, end: int) -> None:
        """Market time jumped, and what was before is known now in `[start, end)`."""
        rows = self._db.execute(
            "SELECT rowid, start, end FROM leap WHERE start < ? AND end > ?", (end, start)
        ).fetchall()
        for number, before, after in rows:
            self._db.execute("DELETE FROM leap WHERE rowid = ?", (number,))
            parts = [part for part in ((before, start), (end, after)) if part[0] < part[1]]
            self._db.executemany("INSERT INTO leap VALUES (?, ?)", parts)

    # -- reading

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What cannot be read when a server starts is the operator's to see to."""
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError, ArithmeticError) as error:
            raise ConfigError(f"store: {self.path} is damaged: {quoted(str(error))}") from None

    def place(self) -> tuple[int, int] | None:
        """Session and next number of the feed. Raises ConfigError."""
        with self._reading():
            row = self._db.execute("SELECT value FROM kept WHERE what = 'place'").fetchone()
            return None if row is None else _decode_place(row[0])

    def load(self) -> Kept | None:
        """Where the board stood; None where nothing was ever stored. Raises ConfigError."""
        with self._reading():
            return self._load()

    def _load(self) -> Kept | None:
        row = self._db.execute("SELECT value FROM kept WHERE what = 'state'").fetchone()
        if row is None:
            return None
        state = _decode_state(row[0])
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
                rows = self._db.execute(f"SELECT start, {_COLUMNS} FROM candle WHERE {where}", values)
                bars = (_bar(row[0], row[1:]) for row in rows)
            pieces += [Piece(bar.second, part.length, bar) for bar in bars]
        sql = f"SELECT start, {_COLUMNS} FROM candle WHERE symbol = ? AND interval = '1d' AND start < ?"
        before = self._db.execute(f"{sql} ORDER BY start DESC LIMIT 1", (number, wanted[0].start * 1_000)).fetchone()
        first = self._first_start(number)  # type: ignore[arg-type]
        return KeptSymbol(
            symbol,  # type: ignore[arg-type]
            Taken(mark_id, mark_time, run, met, begin, _decode_holes(holes)),  # type: ignore[arg-type]
            None if before is None else _bar(before[0], before[1:]),
            pieces,
            self._newest_trades(number),  # type: ignore[arg-type]
            first if first is not None else pieces[0].start * 1_000 if pieces else 0,
            mark,  # type: ignore[arg-type]
        )

    def _minute(self, number: int, start: int) -> Bar | None:
        sql = f"SELECT {_COLUMNS} FROM candle WHERE symbol = ? AND interval = '1m' AND start = ?"
        row = self._db.execute(sql, (number, start)).fetchone()
        return None if row is None else _bar(start, row)

    def _newest_trades(self, number: int) -> list[MergedTrade]:
        found: list[MergedTrade] = []
        for (data,) in self._db.execute("SELECT data FROM trades WHERE symbol = ? ORDER BY start DESC", (number,)):
            found[:0] = _merged(data)
            if len(found) >= _NEWEST_TRADES:
                break
        return found[-_NEWEST_TRADES:]

    def bars(self, interval: str, start: int, end: int) -> dict[str, list[Bar]]:
        """By symbol the candles that start in `[start, end)`, in ms, oldest first."""
        found: dict[str, list[Bar]] = {}
        names = {number: symbol for symbol, number in self._ids.items()}
        if interval == "1s":
            rows = self._db.execute(
                f"SELECT symbol, start, {_COLUMNS} FROM second WHERE start >= ? AND start < ? ORDER BY start",
                (start, end),
            )
            for row in rows:
                found.setdefault(names[row[0]], []).append(_bar(row[1], row[2:]))
            return found
        for number, symbol in names.items():
            where = "symbol = ? AND interval = ? AND start >= ? AND start < ? ORDER BY start"
            rows = self._db.execute(
                f"SELECT start, {_COLUMNS} FROM candle WHERE {where}", (number, interval, start, end)
            )
            found[symbol] = [_bar(row[0], row[1:]) for row in rows]
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
        sql = f"SELECT start, {_SHOWN} FROM candle WHERE symbol = ? AND interval = ? AND start BETWEEN ? AND ?"
        return self._db.execute(sql, (number, interval, starts[0], starts[-1]))

    def _seconds(self, number: int, starts: list[int]) -> Iterable[tuple[Any, ...]]:
        sql = f"SELECT start, {_SHOWN} FROM second WHERE start = ? AND symbol = ?"
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
            found += [trade for trade in _merged(data) if (start or 0) <= trade.time < end]
            if len(found) >= limit and edge is None:
                found.sort(key=_by_time)
                edge = found[limit - 1].time if start is not None else found[-limit].time - _CHUNK_MS
        found.sort(key=_by_time)
        return found[:limit] if start is not None else found[-limit:]

    def _chunk_before(self, number: int, start: int) -> int:
        """Start of the first chunk that may hold trades of this time."""
        sql = "SELECT max(start) FROM trades WHERE symbol = ? AND start <= ?"
        before: int | None = self._db.execute(sql, (number, start)).fetchone()[0]
        return start if before is None else min(before, start - _CHUNK_MS)


def _by_time(trade: MergedTrade) -> tuple[int, int]:
    return trade.time, trade.first


def _place(number: int, interval: str, start: int) -> tuple[str, str, tuple[object, ...]]:
    """Table, condition and values of a candle's row."""
    if interval == "1s":
        return "second", "start = ? AND symbol = ?", (start, number)
    return "candle", "symbol = ? AND interval = ? AND start = ?", (number, interval, start)


def _row(bar: Bar, rev: int) -> tuple[object, ...]:
    return (
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.close_qty,
        plain(bar.volume),
        plain(bar.quote_volume),
        plain(bar.taker_volume),
        plain(bar.taker_quote_volume),
        bar.count,
        bar.first_id,
        bar.last_id,
        bar.first_run,
        bar.last_run,
        rev,
    )


def _bar(start: int, row: tuple[Any, ...]) -> Bar:
    """`start` in ms; `row` as _COLUMNS."""
    opened, high, low, close, close_qty, volume, quote_volume, taker_volume, taker_quote_volume, *rest = row
    count, first_id, last_id, first_run, last_run, *_ = rest
    return Bar(
        start // 1_000,
        opened,
        high,
        low,
        close,
        close_qty,
        Decimal(high),
        Decimal(low),
        Decimal(volume),
        Decimal(quote_volume),
        Decimal(taker_volume),
        Decimal(taker_quote_volume),
        count,
        first_id,
        last_id,
        first_run,
        last_run,
    )


def _chunk(trades: list[MergedTrade]) -> tuple[int, int, int, bytes]:
    times = [trade.time for trade in trades]
    return min(times), trades[0].first, max(times), _encode([msgspec.structs.astuple(trade) for trade in trades])


def _merged(data: bytes) -> list[MergedTrade]:
    return [MergedTrade(*fields) for fields in _decode_trades(data)]
