"""The store of a running server: what is written when, and what becomes of it where it cannot be."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater

from exchange_push.errors import StoreUnavailable
from exchange_push.market.bars import Bar
from exchange_push.market.changes import Amended, Changes, Late
from exchange_push.market.exact import ZERO
from exchange_push.market.kept import Kept, State
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import RecordedState, Taken
from exchange_push.store import keeper as module
from exchange_push.store.keeper import Keeper
from exchange_push.store.sqlite import SqliteStore
from tests.end_to_end.running import reactor
from tests.fakes import LoggedFailures

T = 1_700_000_040_000


def bar(second: int) -> Bar:
    return Bar(second, "1", "1", "1", "1", "1", ZERO + 1, ZERO + 1, ZERO, ZERO, ZERO, ZERO, 1, 1, 1, 0, 0)


class FakeBoard:
    """Each time it is asked it has one more minute's candle."""

    storable = True
    market_time = T

    def __init__(self) -> None:
        self.minutes = 0

    def changes(self) -> Changes:
        changes = Changes()
        changes.taken["A"] = Taken(self.minutes, T)
        changes.candles.append(("1m", "A", T + 60_000 * self.minutes, bar(T // 1_000 + 60 * self.minutes)))
        changes.trades["A"] = [MergedTrade(self.minutes, self.minutes, "1", "1", "buy", T + self.minutes, 1)]
        changes.state = State(T, T, RecordedState(T, 0, None, []), None)
        self.minutes += 1
        return changes


class Stand:
    """A keeper whose wall clock is moved by hand, and the board that it is given."""

    def __init__(self, path: Path) -> None:
        self.now_ms = 10_000
        self.board = FakeBoard()
        self.restored: list[tuple[Kept | None, tuple[int, int] | None]] = []
        self.amended: list[Amended] = []
        self.keeper = Keeper(
            reactor,
            lambda: SqliteStore(str(path), {}),
            restore=lambda kept, place: self.restored.append((kept, place)),
            amended=self.amended.extend,
            now_ms=lambda: self.now_ms,
        )
        self.keeper.startService()

    @property
    def store(self) -> SqliteStore:
        assert self.keeper._store is not None
        return self.keeper._store

    async def tick(self, ms: int = 1_000) -> None:
        """A tick after so much time, and what it leads to."""
        self.now_ms += ms
        self.keeper.ticked(self.board, (7, self.board.minutes))
        await self.until(lambda: self.keeper._writing is None)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(5_000):
            if condition():
                return
            await deferLater(reactor, 0.001)
        raise AssertionError("it never came true")

    def full(self, full: bool) -> None:
        """Let the disk be full, or not any more."""
        pages = self.store._db.execute("PRAGMA page_count").fetchone()[0] if full else 1 << 30
        self.store._db.execute(f"PRAGMA max_page_count = {pages}")

    def rows(self) -> int:
        return int(self.store._db.execute("SELECT count(*) FROM candle").fetchone()[0])


@pytest_twisted.async_yield_fixture()
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    found = Stand(tmp_path / "store")
    yield found
    await maybeDeferred(found.keeper.stopService)


@pytest_twisted.ensureDeferred
async def test_what_changed_is_written_once_a_second_and_when_it_stops(stand: Stand, tmp_path: Path) -> None:
    await stand.tick()
    await stand.tick(999)
    assert (stand.board.minutes, stand.rows()) == (1, 1)
    await stand.tick(1)
    assert (stand.board.minutes, stand.rows()) == (2, 2)
    stand.board.storable = False
    await stand.tick()
    assert stand.rows() == 2
    stand.keeper.ticked_last(stand.board, (7, 3))
    await maybeDeferred(stand.keeper.stopService)
    again = Stand(tmp_path / "store")
    [(kept, place)] = again.restored
    assert kept is not None
    assert kept.symbols[0].taken.mark_id == 2
    assert place == (7, 3)
    assert again.rows() == 3
    await maybeDeferred(again.keeper.stopService)


@pytest_twisted.ensureDeferred
async def test_what_could_not_be_written_is_written_with_what_comes_next(stand: Stand) -> None:
    await stand.tick()
    stand.full(True)
    while not stand.keeper.failed:  # the last page has room for some
        await stand.tick()
    before = stand.rows()
    failed = stand.board.minutes
    await stand.tick()
    assert stand.rows() == before < failed
    assert [trade.first for trade in stand.keeper.unwritten_trades("A")] == list(range(before, stand.board.minutes))
    stand.full(False)
    await stand.tick()

    assert stand.rows() == stand.board.minutes == failed + 2
    assert stand.keeper.unwritten_trades("A") == []
    assert stand.keeper.up


@pytest_twisted.ensureDeferred
async def test_a_store_that_cannot_be_written_for_long_is_given_up_as_it_was(stand: Stand, tmp_path: Path) -> None:
    await stand.tick()
    stand.full(True)
    while not stand.keeper.failed:
        await stand.tick()
    before = stand.rows()
    while stand.keeper.failed < module._TRIES - 1:
        await stand.tick()
    stand.now_ms += 1_000
    stand.keeper.ticked(stand.board, (7, stand.board.minutes))
    late = stand.keeper.written()  # behind the write that will be the last
    await stand.until(lambda: not stand.keeper.up)
    await late
    assert stand.keeper.failed == module._TRIES
    asked = stand.board.minutes
    await stand.tick()
    assert stand.board.minutes == asked + 1  # what changes is taken from the board, and let go
    assert stand.keeper.unwritten_trades("A") == []
    with pytest.raises(StoreUnavailable):
        stand.keeper.candles("A", "1m", None, T, 10)
    assert stand.keeper.bars("1m", T, T + 60_000) == {}
    await maybeDeferred(stand.keeper.stopService)
    again = Stand(tmp_path / "store")
    assert again.rows() == before
    assert again.restored[0][1] == (7, before - 1)
    await maybeDeferred(again.keeper.stopService)


@pytest_twisted.ensureDeferred
async def test_what_a_board_asks_for_is_read_behind_what_it_had_by_then(stand: Stand) -> None:
    key = "1m", T, T + 120_000
    assert stand.keeper.bars(*key) is None
    assert stand.keeper.bars(*key) is None
    await stand.tick(50)  # not after a second: somebody waits
    found: list[dict[str, list[Bar]] | None] = []
    await stand.until(lambda: found.append(stand.keeper.bars(*key)) or found[-1] is not None)  # type: ignore[func-returns-value]

    assert found[-1] == {"A": [bar(T // 1_000)]}
    assert stand.keeper.bars(*key) is None  # a new question


@pytest_twisted.ensureDeferred
async def test_candles_that_late_trades_corrected_are_given_back_once_they_are_stored(stand: Stand) -> None:
    await stand.tick()
    late = Changes()
    late.late = [Late("A", bar(T // 1_000 + 1), T // 1_000 + 60)]
    stand.board.changes = lambda: late  # type: ignore[method-assign]
    await stand.tick()

    assert [(found.interval, found.rev) for found in stand.amended][:2] == [("1s", 1), ("1m", 1)]


@pytest_twisted.ensureDeferred
async def test_too_many_questions_at_once_are_refused_and_a_damaged_file_is_told(
    stand: Stand, logged_failures: LoggedFailures
) -> None:
    await stand.tick()
    asked: list[Deferred[object]] = [
        stand.keeper.trades("A", None, 1 << 62, 10).addBoth(lambda found: found) for _ in range(module._READS_AT_ONCE)
    ]
    with pytest.raises(StoreUnavailable, match="too many"):
        stand.keeper.trades("A", None, 1 << 62, 10)
    answers = [await each for each in asked]
    assert all(len(answer) == 1 for answer in answers)  # type: ignore[arg-type]
    await stand.keeper._in_thread(lambda: stand.store._db.execute("DROP TABLE trades"))
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await stand.keeper.trades("A", None, 1 << 62, 10)
    assert (stand.keeper.faults, stand.keeper.reading) == (1, 0)
    assert len(logged_failures.flush(sqlite3.OperationalError)) == 1


@pytest_twisted.ensureDeferred
async def test_who_waits_for_a_write_goes_on_when_it_is_done_or_failed(stand: Stand) -> None:
    done = stand.keeper.written()
    await stand.tick(50)
    await done
    assert stand.rows() == 1
    stand.full(True)
    while not stand.keeper.failed:
        await stand.tick()
    done = stand.keeper.written()
    await stand.tick(50)
    assert stand.keeper.failed == 1  # a full disk is tried again after a second, whoever waits
    await stand.tick(950)
    await done
    assert stand.keeper.failed == 2
