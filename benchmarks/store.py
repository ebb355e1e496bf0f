"""The store with ten million candles in it: a query, the start of a server, the write of a second, bytes of a row.

    python -m benchmarks.store [MILLIONS]

500 symbols, all of which trade in each second. Left out: the thread in which a server's store runs, and the board. The
file is made in a temporary folder, some 2 GB for ten million. "cold" is after the kernel has forgotten the file.
"""

import os
import random
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from exchange_push.market.bars import Bar
from exchange_push.market.changes import Changes
from exchange_push.market.exact import ZERO
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kept import State
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import RecordedState, Taken
from exchange_push.store.sqlite import SqliteStore

_NOW_MS = 1_700_000_037_500
_SYMBOLS = [f"SYM{number:03}USDT" for number in range(500)]
_KEEP_MS = {"1s": 172_800_000, "trades": 86_400_000}
_LONGER = ("5m", "15m", "1h", "4h", "1d")
_TAIL = (
    *("42031.17", "42056.93", "42011.05", "42044.41", "0.01517"),
    *("12.30517", "517339.1730249", "6.73104", "282984.5271101", 137, 900_000_000, 900_000_136, 0, 0, 0),
)


def _candles(rows: int) -> Iterator[tuple[object, ...]]:
    """In the order in which they lie, so that they are written fast."""
    minutes = rows // len(_SYMBOLS) * 100 // 134  # beside 100 of a minute, 34 of longer intervals
    oldest = _NOW_MS - minutes * 60_000
    for number in range(1, len(_SYMBOLS) + 1):
        for name in sorted(("1m", *_LONGER)):
            interval = INTERVALS[name]
            start = interval.start(oldest)
            while interval.end(start) <= _NOW_MS:
                yield number, name, start, *_TAIL
                start = interval.end(start)


def _seconds() -> Iterator[tuple[object, ...]]:
    for start in range(_NOW_MS - 90_000_000, _NOW_MS + 1, 1_000):
        if start > _NOW_MS - 90_000 or abs(start - _NOW_MS + 86_400_000) < 90_000:  # of which a window is made
            for number in range(1, len(_SYMBOLS) + 1):
                yield start - start % 1_000, number, *_TAIL


def _trades(second: int) -> list[MergedTrade]:
    return [MergedTrade(n, n, "42031.17", "0.01517", "buy", second * 1_000 + n, 1) for n in range(20)]


def _changes(second: int, minute: bool) -> Changes:
    """What a board with 500 busy symbols has for the store in a second."""
    bar = Bar(second, *_TAIL[:5], *[ZERO] * 6, *_TAIL[9:14])  # type: ignore[arg-type, call-arg]
    changes = Changes()
    for symbol in _SYMBOLS:
        changes.seconds[symbol, second - 1] = changes.seconds[symbol, second] = bar
        changes.trades[symbol] = _trades(second)
        changes.taken[symbol] = Taken(second, second * 1_000)
        if minute:
            changes.candles.append(("1m", symbol, second * 1_000 - 60_000, bar))
    changes.state = _state(second * 1_000)
    changes.place = 1, second
    return changes


def _state(time: int) -> State:
    return State(time, time, RecordedState(1, 0, None, []), None)


def _fill(path: str, rows: int) -> int:
    store = SqliteStore(path, _KEEP_MS)
    first = _changes(_NOW_MS // 1_000 - 100_000, False)
    first.seconds, first.state = {}, _state(_NOW_MS)
    store.write([first])
    store.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    marks = ", ".join("?" * len(_TAIL))
    db.executemany(f"INSERT INTO candle VALUES (?, ?, ?, {marks})", _candles(rows))
    db.executemany(f"INSERT INTO second VALUES (?, ?, {marks})", _seconds())
    db.commit()
    count: int = db.execute("SELECT count(*) FROM candle").fetchone()[0]
    db.close()
    return count


def _forget(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def _measure_start(path: str, how: str) -> SqliteStore:
    begin, begin_cpu = perf_counter(), process_time()
    store = SqliteStore(path, _KEEP_MS)
    kept = store.load()
    took, cpu = perf_counter() - begin, process_time() - begin_cpu
    assert kept is not None
    pieces = sum(len(symbol.pieces) for symbol in kept.symbols)
    print(f"start, {how}: {took:.2f} s ({cpu:.2f} s of CPU), {len(kept.symbols)} symbols, {pieces:,} bars")
    return store


def _measure_queries(store: SqliteStore, interval: str, oldest: int, newest: bool) -> None:
    random.seed(1)
    took, cpu = [], []
    for _ in range(500):
        start = random.randrange(oldest, _NOW_MS - 1_000 * INTERVALS[interval].length_ms)
        begin, begin_cpu = perf_counter(), process_time()
        found = store.candles(random.choice(_SYMBOLS), interval, None if newest else start, _NOW_MS, 1_000)
        took.append((perf_counter() - begin) * 1_000)
        cpu.append((process_time() - begin_cpu) * 1_000)
        assert len(found.rows) == 1_000
    took.sort()
    what = "the newest" if newest else "somewhere"
    print(
        f"1,000 candles of {interval}, {what}: median {median(took):.1f} ms ({median(cpu):.1f} ms of CPU),"
        f" p99 {took[495]:.1f} ms"
    )


def _measure_writes(store: SqliteStore) -> None:
    second = _NOW_MS // 1_000
    for minute in (False, True):
        cpu, wall = [], []
        for _ in range(30):
            second += 60 if minute else 1
            changes = _changes(second, minute)
            begin, begin_cpu = perf_counter(), process_time()
            store.write([changes])
            wall.append((perf_counter() - begin) * 1_000)
            cpu.append((process_time() - begin_cpu) * 1_000)
        what = "that ends a minute" if minute else "of 500 busy symbols"
        print(
            f"write of a second {what}: {median(cpu):.1f} ms of CPU, {median(wall):.1f} ms, at most {max(wall):.1f} ms"
        )


def main() -> None:
    rows = int(float(sys.argv[1] if len(sys.argv) > 1 else "10") * 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "store")
        begin = perf_counter()
        count = _fill(path, rows)
        size = Path(path).stat().st_size
        print(
            f"{count:,} candles in {size / 1e9:.2f} GB, {size / count:.0f} bytes each ({perf_counter() - begin:.0f} s)"
        )
        _forget(path)
        _measure_start(path, "cold").close()
        store = _measure_start(path, "warm")
        oldest = _NOW_MS - rows // len(_SYMBOLS) * 100 // 134 * 60_000
        _measure_queries(store, "1m", oldest, newest=False)
        _measure_queries(store, "1m", oldest, newest=True)
        _measure_writes(store)
        store.close()


if __name__ == "__main__":
    main()
