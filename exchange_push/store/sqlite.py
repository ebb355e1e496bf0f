"""The store in an SQLite file: candles of each interval, trades, and where the board and the feed stood.

Synchronous, and for one thread at a time. What the board changed is written in one transaction, so that after a crash
at any moment the file holds one state that the board was in, and the number of the feed that comes next.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import localcontext
from typing import Final

from exchange_push.errors import ConfigError
from exchange_push.market.changes import Amended, Changes, Late
from exchange_push.market.exact import EXACT
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kept import Kept
from exchange_push.market.recorded import Taken
from exchange_push.store.reading import Reader
from exchange_push.store.tables import (
    APPLICATION,
    COLUMNS,
    KEYS,
    MARKS,
    SCHEMA,
    SET,
    VERSION,
    bar_of,
    chunk_of,
    encode,
    row_at,
    row_of,
)

_BUSY_MS: Final = 5_000
_CACHE_KIB: Final = 32_768
_SLICE_ROWS: Final = 5_000  # deleted at once, so that a write need not wait long


class SqliteStore(Reader):
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
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION}")
                db.execute(f"PRAGMA user_version = {VERSION}")
        elif application != APPLICATION:
            raise ConfigError(f"store: {self.path} is another program's, expected a new file or a store")
        elif version != VERSION:
            raise ConfigError(f"store: {self.path} is of version {version}, expected {VERSION}")

    def load(self) -> Kept | None:
        """Where the board stood, and goes on from; None where nothing was ever stored. Raises ConfigError."""
        kept = super().load()
        if kept is not None:
            try:
                self._put("state", kept.state.begun())
                self._db.execute("PRAGMA wal_checkpoint").fetchone()  # or a loss of power would take it back
            except sqlite3.Error as error:
                raise ConfigError(f"store: {self.path}: {error}") from None
        return kept

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
            f"INSERT OR REPLACE INTO second (start, symbol, {COLUMNS}) VALUES (?, ?, {MARKS})",
            ((second * 1_000, ids[symbol], *row_of(bar, 0)) for (symbol, second), bar in changes.seconds.items()),
        )
        db.executemany(
            f"INSERT OR REPLACE INTO candle (symbol, interval, start, {COLUMNS}) VALUES (?, ?, ?, {MARKS})",
            ((ids[symbol], interval, start, *row_of(bar, 0)) for interval, symbol, start, bar in changes.candles),
        )
        amended = [found for late in changes.late for found in self._add_late(late)]
        db.executemany(
            "INSERT OR REPLACE INTO trades (symbol, start, first_id, end, data) VALUES (?, ?, ?, ?, ?)",
            ((ids[symbol], *chunk_of(trades)) for symbol, trades in changes.trades.items() if symbol in ids),
        )
        self._put_taken(changes.taken)
        db.executemany(
            "UPDATE symbol SET mark = ? WHERE id = ?",
            ((mark, ids[symbol]) for symbol, mark in changes.marks.items()),
        )
        db.executemany("INSERT INTO leap VALUES (?, ?)", changes.leaps)
        for what, value in (("state", changes.state), ("place", changes.place)):
            if value is not None:
                self._put(what, value)
        return amended

    def _put(self, what: str, value: object) -> None:
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (what, encode(value)))

    def _put_taken(self, by_symbol: Mapping[str, Taken]) -> None:
        self._db.executemany(
            "UPDATE symbol SET mark_id = ?, mark_time = ?, run = ?, met = ?, begin = ?, holes = ? WHERE id = ?",
            (
                (taken.mark_id, taken.mark_time, taken.run, taken.met, taken.begin, encode(taken.holes), number)
                for number, taken in ((self._ids[symbol], taken) for symbol, taken in by_symbol.items())
            ),
        )

    def _number(self, symbol: str) -> int:
        number = self._ids.get(symbol)
        if number is None:
            number = self._ids[symbol] = self._insert(symbol)
        return number

    def _insert(self, symbol: str) -> int:
        values = "(symbol, mark_id, mark_time, run, met, holes) VALUES (?, -1, 0, 0, 0, ?)"
        number = self._db.execute(f"INSERT INTO symbol {values}", (symbol, encode([]))).lastrowid
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
            table, key, values = row_at(number, interval.name, start)
            row = self._db.execute(f"SELECT {COLUMNS} FROM {table} WHERE {key}", values).fetchone()
            if row is None:
                # Empty, it was published with rev 0; before the first trade ever, it was not.
                bar, rev = late.bar, int(first is not None and start >= interval.start(first))
                columns, marks = KEYS[table], "?, " * len(values)
                self._db.execute(
                    f"INSERT INTO {table} ({columns}, {COLUMNS}) VALUES ({marks}{MARKS})", (*values, *row_of(bar, rev))
                )
            else:
                bar, rev = bar_of(start, row), row[-1] + 1
                bar.add(late.bar)
                self._db.execute(f"UPDATE {table} SET {SET} WHERE {key}", (*row_of(bar, rev), *values))
            yield Amended(interval.name, late.symbol, start, bar, rev)

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
        key = KEYS[table]
        rows = f"SELECT {key} FROM {table} WHERE {where} LIMIT {max(limit, 0)}"
        return self._db.execute(f"DELETE FROM {table} WHERE ({key}) IN ({rows})", values).rowcount
