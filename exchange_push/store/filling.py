"""FillableStore: a store whose past is loaded while no server runs. What may be loaded stands in past.py."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import localcontext

from exchange_push.market.bars import Bar
from exchange_push.market.exact import EXACT
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kept import State
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import Taken
from exchange_push.store.sqlite import SqliteStore
from exchange_push.store.tables import (
    COLUMNS,
    KEYS,
    MARKS,
    SET,
    bar_of,
    chunk_of,
    decode_holes,
    decode_state,
    encode,
    row_at,
    row_of,
)


class FillableStore(SqliteStore):
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
        states = {what: decode_state(value) for what, value in rows.items()}
        state, loaded = states.get("state"), states.get("loaded")
        if state is None or state.recorded.begin is None:
            return None
        if loaded is not None and (state.heard, state.recorded) == (loaded.heard, loaded.recorded):
            return None
        return state

    def put_loaded(self, state: State) -> None:
        """Note where a board is to begin that has heard nothing yet."""
        values = [(what, encode(state)) for what in ("state", "loaded")]
        self._db.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", values)

    def taken(self) -> dict[str, Taken]:
        """By symbol."""
        rows = self._db.execute("SELECT symbol, mark_id, mark_time, run, met, begin, holes FROM symbol")
        return {
            symbol: Taken(mark_id, mark_time, run, met, begin, decode_holes(holes))
            for symbol, mark_id, mark_time, run, met, begin, holes in rows
        }

    def put_taken(self, symbol: str, taken: Taken) -> None:
        self._number(symbol)
        self._put_taken({symbol: taken})

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
            table, key, values = row_at(number, name, interval.start(start))
            row = self._db.execute(f"SELECT first_id FROM {table} WHERE {key}", values).fetchone()
            if row is not None:
                return start, row[0]
        return start, -1

    def add(self, symbol: str, interval: str, start: int, bar: Bar) -> None:
        """Store a candle, or add it to what is stored of it: other trades than its own."""
        table, key, values = row_at(self._number(symbol), interval, start)
        row = self._db.execute(f"SELECT {COLUMNS} FROM {table} WHERE {key}", values).fetchone()
        if row is not None:
            total = bar_of(start, row)
            total.add(bar)
            self._db.execute(f"UPDATE {table} SET {SET} WHERE {key}", (*row_of(total, row[-1]), *values))
            return
        columns, marks = KEYS[table], "?, " * len(values)
        self._db.execute(
            f"INSERT INTO {table} ({columns}, {COLUMNS}) VALUES ({marks}{MARKS})", (*values, *row_of(bar, 0))
        )

    def add_trades(self, symbol: str, trades: list[MergedTrade]) -> None:
        """Store trades of one minute at most."""
        row = (self._number(symbol), *chunk_of(trades))
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
