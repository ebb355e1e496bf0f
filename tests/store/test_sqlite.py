"""What is stored, and that a board which is killed goes on from it as if nothing had been."""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from decimal import Decimal
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exchange_push.errors import ConfigError
from exchange_push.market.bars import Bar
from exchange_push.market.book import Numbering
from exchange_push.market.changes import Changes, Late
from exchange_push.market.events import MarketEvent
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kept import State
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import RecordedState, Taken
from exchange_push.store.sqlite import SqliteStore
from tests.market.exchange import book, trade
from tests.store.stored import Stored, numbers

T = 1_700_000_000_000
T0 = 1_699_920_000_000  # a whole day
_prices = st.sampled_from(["7.00", "6.50", "8.25", "10.00", "0.50"])
_steps = st.tuples(
    st.sampled_from(["A", "A", "B"]),
    _prices,
    st.sampled_from(["1.00", "0.25", "3.10"]),
    st.sampled_from(["buy", "sell"]),
    st.sampled_from([0, 1, 300, 1_000, 2_500, 60_000, 600_000, 3_600_000, 13 * 3_600_000]),
    st.sampled_from([0, 0, 0, 0, 1_500, 40_000, 100_000, 5_000_000]),  # how late
)
_moves = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=40)


def _feed(steps: list[Any]) -> list[MarketEvent]:
    """A feed whose trades may be late, and whose time is borne out by books."""
    events: list[MarketEvent] = [trade(1, "7.50", "1.00", T, symbol="A")]
    now, ids = T, {"A": 1, "B": 0}
    for symbol, price, qty, side, forward, late in steps:
        now += forward
        ids[symbol] += 1
        events += [book(now, now, [], [], symbol="OTHER") for _ in range(2 if forward > 60_000 else 0)]
        events.append(trade(ids[symbol], price, qty, max(T, now - late), side, symbol=symbol))
    # In the end market time is the same, however long the wall clock carried it on.
    return [*events, *(book(now + 600_000, now + 600_000, [], [], symbol="OTHER") for _ in range(2))]


@settings(
    max_examples=60, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_steps, min_size=1, max_size=40), _moves)
def test_a_board_killed_at_any_moment_goes_on_as_if_it_had_not_been(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], moves: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    events = _feed(steps)
    steady, killed = Stored(folder / "steady", events), Stored(folder / "killed", events)
    for count, commits, dies in moves:
        killed.take(min(count, len(events) - 2 - killed.next))
        killed.tick()
        if commits:
            killed.commit()
        if dies:
            killed.kill()
    for stored in (steady, killed):
        while stored.next < len(events) - 2:
            stored.take(1)
            stored.tick()
            stored.commit()
        stored.tick()
        stored.commit()
        while stored.now_ms % 1_000 != 950:
            stored.tick()
            stored.commit()
        stored.take(2)
        for _ in range(10):  # until all that falls due with the second is made; a window may have to wait for the store
            stored.tick()
            stored.commit()
    assert killed.candles() == steady.candles()
    late = any(step[5] for step in steps)
    assert numbers(killed.states(), empty=not late) == numbers(steady.states(), empty=not late)
    for symbol in ("A", "B"):
        assert killed.trade_ids(symbol) == sorted(event.id for event in events if event.symbol == symbol)
    steady.store.close()
    killed.store.close()


# -- the file


def _store(path: Path, keep_ms: dict[str, int] | None = None) -> SqliteStore:
    return SqliteStore(str(path), {} if keep_ms is None else keep_ms)


def _bar(second: int, price: str = "5", first: int = 1, last: int = 1) -> Bar:
    number = Decimal(price)
    count = last - first + 1
    return Bar(second, price, price, price, price, "1", number, number, *[Decimal(count)] * 4, count, first, last, 0, 0)


def _changes(**fields: Any) -> Changes:
    changes = Changes()
    for name, value in fields.items():
        setattr(changes, name, value)
    symbols = {of for of, _ in changes.seconds} | {of for _, of, _, _ in changes.candles} | changes.trades.keys()
    changes.taken = {symbol: Taken(mark_id=1, mark_time=T) for symbol in sorted(symbols)} | changes.taken
    return changes


def _minutes(count: int, symbol: str = "A", start: int = T0) -> list[tuple[str, str, int, Bar]]:
    return [("1m", symbol, start + place * 60_000, _bar(start // 1_000 + place * 60)) for place in range(count)]


def test_the_numbering_of_books_is_kept_and_who_loads_them_may_crash_from_then_on(tmp_path: Path) -> None:
    books = {"A": Numbering(5, 12), "B": Numbering(0, 7, T - 1_000), "NEW": Numbering()}
    store = _store(tmp_path / "store")
    assert store.load() is None
    store.write([_changes(state=State(T, T, RecordedState(T, 0, None, []), None, books))])
    store.close()
    loaded = []
    for _ in range(2):
        store = _store(tmp_path / "store")
        kept = store.load()
        assert kept is not None
        loaded.append(kept.state.books)
        store.close()

    assert loaded == [books, {**books, "A": Numbering(5, 12, T)}]


def test_a_store_of_before_the_numbering_of_books_was_kept_can_be_used(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")
    store.write([_changes(state=[T, T, RecordedState(T, 0, None, []), None])])
    kept = store.load()
    store.close()

    assert kept is not None
    assert (kept.state.heard, kept.state.books) == (T, {})


def test_a_store_that_cannot_be_written_when_a_server_starts_is_one_line(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")
    store.write([_changes(state=State(T, T, RecordedState(T, 0, None, []), None))])
    store._db.execute("PRAGMA query_only = ON")
    with pytest.raises(ConfigError, match=r"^store: \S+/store: attempt to write a readonly database$"):
        store.load()
    store.close()


def test_one_file_is_for_one_store_at_a_time(tmp_path: Path) -> None:
    first = _store(tmp_path / "store")
    with pytest.raises(ConfigError, match=r"^store: \S+/store is in use by another exchange-push$"):
        _store(tmp_path / "store")
    first.close()
    _store(tmp_path / "store").close()


def _foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE other (name)")
    db.close()


def _newer(path: Path) -> None:
    _store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 2")
    db.close()


def _corrupt(path: Path) -> None:
    store = _store(path)
    state = State(T, T, RecordedState(T, 0, None, []), None)
    store.write([_changes(candles=_minutes(2_000), state=state)])
    store.close()
    data = bytearray(path.read_bytes())
    data[4_096 * 3 :] = random.Random(1).randbytes(len(data) - 4_096 * 3)
    path.write_bytes(bytes(data))


def _nonsense(path: Path) -> None:
    store = _store(path)
    store._db.execute("INSERT INTO kept VALUES ('state', x'00')")
    store.close()


def _start(path: Path) -> None:
    store = _store(path)
    try:
        store.load()
        store.place()
    finally:
        store.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_text("a text that is no database" * 50), "file is not a database"),
        (_foreign, "is another program's, expected a new file or a store"),
        (_newer, "is of version 2, expected 1"),
        (_corrupt, "malformed"),
        (_nonsense, "is damaged: 'Expected `array`, got `int`'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "store"
    make(path)
    with pytest.raises(ConfigError) as raised:
        _start(path)
    assert str(raised.value).startswith(f"store: {path}")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "store"
    _store(path).close()
    path.chmod(0o400)
    with pytest.raises(ConfigError, match=r"^store: \S+/store: Permission denied$"):
        _store(path)


def test_a_new_file_is_for_its_owners_eyes(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")
    store.write([_changes(candles=_minutes(1))])
    for name in ("store", "store-wal", "store-shm"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    store.close()


def _dump(store: SqliteStore) -> list[str]:
    return list(store._db.iterdump())


@pytest.mark.parametrize("fault", ["a full disk", "a row that is refused"])
def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, fault: str) -> None:
    store = _store(tmp_path / "store")
    store.write([_changes(candles=_minutes(10))])
    if fault == "a full disk":
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    else:
        store._db.execute(
            "CREATE TRIGGER no BEFORE INSERT ON candle WHEN NEW.interval = '5m' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    before = _dump(store)
    first = _changes(candles=_minutes(3_000, "B"), place=(1, 7))
    with pytest.raises(sqlite3.Error):
        store.write([first, _changes(candles=[("5m", "C", T0, _bar(T0 // 1_000))])])
    assert _dump(store) == before
    assert store.place() is None
    store._db.execute("PRAGMA max_page_count = 1000000")
    store._db.execute("DROP TRIGGER IF EXISTS no")
    store.write([first])  # as a keeper does, who tries again
    assert len(store.bars("1m", 0, 1 << 62)["B"]) == 3_000
    store.close()


def kill_writers(path: Path, times: int) -> None:
    """Run in a process of its own, which may be forked."""
    random.seed(1)
    before = 0
    for _ in range(times):
        ready, begun = os.pipe()
        writer = os.fork()
        if writer == 0:
            _write_for_ever(path, begun)
        os.read(ready, 1)
        os.close(ready)
        os.close(begun)
        sleep(random.uniform(0.001, 0.03))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        store = _store(path)
        assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        number = (store.place() or (0, 0))[1]
        assert number > before
        before = number
        assert store._db.execute("SELECT DISTINCT mark_id FROM symbol").fetchall() == [(number,)]
        for table in ("second", "(SELECT * FROM candle WHERE interval = '1m')", "trades"):
            counts = store._db.execute(f"SELECT count(*) FROM {table} GROUP BY symbol").fetchall()
            assert counts == [(number,)] * 2
        store.close()
    print("killed", times)


def _write_for_ever(path: Path, begun: int) -> None:
    store = _store(path)
    number = (store.place() or (0, 0))[1]
    while True:
        number += 1
        minute = number * 60_000
        bar = _bar(minute // 1_000)
        candles = [(name, symbol, minute, bar) for symbol in "AB" for name in ("1m", "3m", "5m")]
        seconds = {(symbol, minute // 1_000): bar for symbol in "AB"}
        trades = {symbol: [MergedTrade(number, number, "1", "1", "buy", minute, 1)] for symbol in "AB"}
        taken = {symbol: Taken(mark_id=number) for symbol in "AB"}
        store.write([_changes(candles=candles, seconds=seconds, trades=trades, taken=taken, place=(1, number))])
        os.write(begun, b".")


def test_after_a_kill_in_the_middle_of_writes_the_file_holds_one_state(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tests.store.test_sqlite import kill_writers as kill;"
    code += "kill(Path(sys.argv[1]), 100)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store")], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "killed 100\n"), done.stderr


# -- what is kept for how long


def test_what_is_older_than_it_is_kept_goes_in_slices(tmp_path: Path) -> None:
    keep_ms = {"1s": 60_000, "1m": 600_000, "trades": 120_000}
    store = _store(tmp_path / "store", keep_ms)
    now = T0 + 20_000_000
    seconds = {(symbol, now // 1_000 - place): _bar(now // 1_000 - place) for symbol in "AB" for place in range(6_000)}
    trades = {"A": [MergedTrade(1, 1, "1", "1", "buy", now - 200_000, 1)]}
    kept = {"A": [MergedTrade(2, 2, "1", "1", "buy", now - 100_000, 1)]}
    daily = [("1d", "A", T0 - place * 86_400_000, _bar(T0 // 1_000 - place * 86_400)) for place in range(40)]
    store.write([_changes(seconds=seconds, trades=trades, candles=[*_minutes(330), *_minutes(330, "B"), *daily])])
    store.write([_changes(trades=kept)])
    calls = 1
    while store.prune(now):
        calls += 1
    assert calls == 3
    assert {start.second for bars in store.bars("1s", 0, 1 << 62).values() for start in bars} == {
        now // 1_000 - place for place in range(61)
    }
    for symbol in "AB":
        minutes = [bar.second * 1_000 for bar in store.bars("1m", 0, 1 << 62)[symbol]]
        assert minutes == [start for _, _, start, _ in _minutes(330) if start >= now - 600_000]
    assert [one.first for one in store.trades("A", 0, 1 << 62, 10)] == [2]
    assert len(store.bars("1d", 0, 1 << 62)["A"]) == 40
    assert not store.prune(now)
    store.close()


# -- corrections


def test_a_trade_that_comes_late_corrects_all_candles_that_ended(tmp_path: Path) -> None:
    store = _store(tmp_path / "store", {"1s": 3_600_000})
    store.write([_changes(candles=[*_minutes(3), ("3m", "A", T0, _bar(T0 // 1_000, last=3))])])
    closed = (T0 + 86_400_000) // 1_000
    late = Late("A", _bar(T0 // 1_000 + 65, "9", 50, 51), closed)
    amended = {one.interval: one for one in store.write([_changes(late=[late])])}
    ended = [name for name, interval in INTERVALS.items() if interval.end(interval.start(T0)) <= T0 + 86_400_000]
    assert set(amended) == set(ended) - {"1s"}  # its row was deleted long ago
    assert (amended["1m"].start, amended["1m"].rev) == (T0 + 60_000, 1)
    assert (amended["1m"].bar.open, amended["1m"].bar.close, amended["1m"].bar.count) == ("5", "9", 3)
    assert (amended["3m"].bar.count, amended["3m"].bar.last_id, amended["3m"].rev) == (5, 51, 1)
    assert (amended["5m"].bar.count, amended["5m"].rev) == (
        2,
        1,
    )  # nothing was stored: it was published as an empty one
    again = {one.interval: one for one in store.write([_changes(late=[late])])}
    assert (again["1m"].bar.count, again["1m"].rev) == (5, 2)
    found = store.candles("A", "1m", T0, T0 + 180_000, 10)
    assert [(start, candle and candle.count, candle and candle.rev) for start, candle in found.rows] == [
        (T0, 1, 0),
        (T0 + 60_000, 5, 2),
        (T0 + 120_000, 1, 0),
    ]
    store.close()


def test_a_late_trade_of_before_the_first_makes_candles_that_nobody_had(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")
    store.write([_changes(candles=_minutes(1))])
    late = Late("A", _bar(T0 // 1_000 - 3_600, first=0, last=0), T0 // 1_000 + 60)
    amended = {one.interval: one.rev for one in store.write([_changes(late=[late])])}
    assert amended["1m"] == amended["1h"] == 0
    assert [start for start, *_ in store.candles("A", "1m", 0, T0 - 3_480_000, 5).rows] == [
        T0 - 3_600_000,
        T0 - 3_540_000,
    ]
    store.close()


def test_time_that_was_set_back_is_void_for_all_symbols(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")
    seconds = {(symbol, T0 // 1_000 + place): _bar(T0 // 1_000 + place) for symbol in "AB" for place in range(200)}
    store.write([_changes(seconds=seconds, candles=[*_minutes(10), *_minutes(10, "B"), ("1h", "A", T0, _bar(0))])])
    store.write([_changes(void_from=T0 + 150_500, candles=_minutes(1, "A", T0 + 120_000))])
    for symbol, count in (("A", 3), ("B", 2)):
        assert len(store.bars("1m", 0, 1 << 62)[symbol]) == count
        assert len(store.bars("1s", 0, 1 << 62)[symbol]) == 150
    assert store.bars("1h", 0, 1 << 62)["A"] == []
    store.close()


# -- what is asked for


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["1s", "1m", "5m"]),
    st.sets(st.integers(0, 60), max_size=12),
    st.one_of(st.none(), st.integers(-10, 70)),
    st.integers(-5, 80),
    st.integers(1, 80),
    st.integers(-500, 500),
)
def test_candles_of_a_stretch_are_those_of_a_list(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    places: set[int],
    start_place: int | None,
    end_place: int,
    limit: int,
    shift: int,
) -> None:
    store = _store(tmp_path_factory.mktemp("store") / "store")
    length = INTERVALS[name].length_ms
    starts = [T0 + place * length for place in sorted(places)]
    bars = {at: _bar(at // 1_000, str(1 + at // length % 7), at, at) for at in starts}
    minutes: dict[int, Bar] = {}
    for bar in bars.values():
        minutes.setdefault(bar.second // 60 * 60_000, copy(bar)).add(bar)
    if name == "1s":
        candles = [("1m", "A", at, bar) for at, bar in minutes.items()]
        store.write([_changes(seconds={("B", T0 // 1_000 - 90): _bar(T0 // 1_000 - 90)})])
        store.write([_changes(seconds={("A", bar.second): bar for bar in bars.values()}, candles=candles)])
    else:
        store.write([_changes(candles=[(name, "A", at, bar) for at, bar in bars.items()])])
    start = None if start_place is None else T0 + start_place * length + shift * length // 1_000
    end = T0 + end_place * length + shift * length // 1_000
    found = store.candles("A", name, start, end, limit)

    every = range(T0 - 100 * length, T0 + 200 * length, length)
    wanted = [at for at in every if (start is None or start <= at) and at < end and starts and at >= starts[0]]
    wanted = wanted[-limit:] if start is None else wanted[:limit]
    rows = [row for row in found.rows if not starts or row[0] >= starts[0]]
    assert [(at, candle and candle.close) for at, candle in rows] == [
        (at, bars[at].close if at in bars else None) for at in wanted
    ]
    assert all(candle is None for at, candle in found.rows if starts and at < starts[0])
    if wanted and name != "5m" and rows == found.rows:
        closes = [bars[at].close for at in starts if at < wanted[0]]
        assert found.before == (closes[-1] if closes else "")
    store.close()


def test_seconds_before_a_symbols_first_are_none_of_those_asked_for(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")
    first = T0 // 1_000 + 30
    store.write([_changes(seconds={("B", first - 3_600): _bar(first - 3_600)})])
    candles = [("1m", symbol, T0, _bar(first)) for symbol in "AB"]
    store.write([_changes(seconds={("A", first): _bar(first), ("A", first + 3): _bar(first + 3)}, candles=candles)])
    found = store.candles("A", "1s", T0, T0 + 60_000, 4).rows
    assert [(start // 1_000 - first, candle is None) for start, candle in found] == [
        (0, False),
        (1, True),
        (2, True),
        (3, False),
    ]
    store.close()


def test_candles_stop_at_a_leap_of_time(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")
    far = T0 + 10_000 * 60_000
    store.write([_changes(candles=[*_minutes(3), *_minutes(3, start=far)], leaps=[(T0 + 200_000, far)])])
    starts = [start for start, *_ in store.candles("A", "1m", T0, far + 180_000, 20).rows]
    newest = [start for start, *_ in store.candles("A", "1m", None, far + 180_000, 20).rows]
    assert starts == newest
    assert [(start - T0) // 60_000 for start in starts] == [0, 1, 2, 3, 9_999, 10_000, 10_001, 10_002]
    assert len(store.candles("A", "1h", T0, far, 1_000).rows) == 0
    store.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 300_000), st.integers(-50_000, 0)), min_size=1, max_size=4), max_size=12
    ),
    st.one_of(st.none(), st.integers(-10_000, 4_000_000)),
    st.integers(0, 4_000_000),
    st.integers(1, 30),
)
def test_trades_of_a_stretch_are_those_of_a_list(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[list[tuple[int, int]]],
    start: int | None,
    end: int,
    limit: int,
) -> None:
    store = _store(tmp_path_factory.mktemp("store") / "store")
    time, every = T0, []
    for write in writes:
        time += write[0][0]
        trades = []
        for place, (_, late) in enumerate(write):
            trades.append(
                MergedTrade(len(every) + 1, len(every) + 1, "1", "1", "buy", time + (late if place else 0), 1)
            )
            every.append(trades[-1])
        store.write([_changes(trades={"A": trades})])
    start = None if start is None else T0 + start
    end += T0
    every.sort(key=lambda one: (one.time, one.first))
    wanted = [one for one in every if (start or 0) <= one.time < end]
    assert store.trades("A", start, end, limit) == (wanted[-limit:] if start is None else wanted[:limit])
    store.close()


def test_a_disk_that_is_full_at_the_commit_leaves_nothing_behind_and_may_have_room_again(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")
    store.write([_changes(candles=_minutes(10))])
    before = _dump(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    some = _changes(candles=_minutes(500, "B"))
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "store-wal").stat().st_size + 8_000, hard))
    try:
        with pytest.raises(sqlite3.Error):
            store.write([some])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert _dump(store) == before
    store.write([some])
    assert len(store.bars("1m", 0, 1 << 62)["B"]) == 500
    store.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 5)), min_size=1, max_size=25),
    st.integers(0, 70),
    st.integers(1, 8),
)
def test_trades_from_an_id_on_are_those_of_a_list(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, int]], first: int, limit: int
) -> None:
    store = _store(tmp_path_factory.mktemp("store") / "store")
    time, every = T0, []
    for later, count in writes:
        time += later
        trades = [MergedTrade(len(every) + n, len(every) + n, "1", "1", "buy", time + n, 1) for n in range(count)]
        every += trades
        store.write([_changes(trades={"A": trades})])

    assert store.trades_from("A", first, limit) == [one for one in every if one.first >= first][:limit]
    assert store.trades_from("B", first, limit) == []


def test_trades_that_fill_a_hole_later_stand_where_their_ids_are(tmp_path: Path) -> None:
    store = _store(tmp_path / "store")

    def put(*ids: int, at: int) -> None:
        trades = [MergedTrade(number, number, "1", "1", "buy", T0 + at + number, 1) for number in ids]
        store.write([_changes(trades={"A": trades})])

    put(1, 2, at=0)
    put(5, 6, at=30_000)
    put(9, at=300_000)
    put(4, 3, at=20_000)

    assert [one.first for one in store.trades_from("A", 2, 10)] == [2, 3, 4, 5, 6, 9]
    assert [one.first for one in store.trades_from("A", 2, 3)] == [2, 3, 4]
