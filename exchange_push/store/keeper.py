"""Keeper: the store of a running server, in a thread of its own.

Once a second it is given what the board changed. A read waits until what was changed before it is written, so that it
never misses what the board has let go. A store that cannot be written is tried again with all that piled up; in the end
it is given up, as it was when it was last written, and the server goes on without.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from exchange_push.errors import StoreUnavailable
from exchange_push.market.bars import Bar
from exchange_push.market.changes import Amended, Changes
from exchange_push.market.chart import Candles
from exchange_push.market.kept import Kept
from exchange_push.market.merged import MergedTrade

T = TypeVar("T")

_EVERY_MS: Final = 1_000
_PRUNE_MS: Final = 10_000
_TRIES: Final = 300  # writes in a row that failed, and memory that their changes take
_READS_AT_ONCE: Final = 64
_ANSWERS: Final = 16


class Board(Protocol):
    """What is asked of a board."""

    @property
    def storable(self) -> bool: ...

    @property
    def market_time(self) -> int: ...

    def changes(self) -> Changes | None: ...


class Store(Protocol):
    """What survives a restart. Synchronous, and for one thread at a time; whatever it raises is logged and counted."""

    path: str
    """As it is called in the log."""

    def load(self) -> Kept | None:
        """Where the board stood, by the last `write`; None: nowhere yet. From now on a server runs, which is stored
        too. This and `place` raise ConfigError."""
        ...

    def place(self) -> tuple[int, int] | None:
        """Session and next number of the feed, by the last `write`."""
        ...

    def write(self, changes: Sequence[Changes]) -> list[Amended]:
        """Store what changed, one after the other, or nothing; the candles that late trades corrected."""
        ...

    def prune(self, time: int) -> bool:
        """Delete some of what is older than it is kept, by market time; whether there may be more."""
        ...

    def bars(self, interval: str, start: int, end: int) -> dict[str, list[Bar]]:
        """By symbol the candles that start in `[start, end)`, in ms, oldest first."""
        ...

    def candles(self, symbol: str, interval: str, start: int | None, end: int, limit: int) -> Candles:
        """The candles that start in `[start, end)`, in ms, empty ones too, at most `limit`: the oldest of them, or
        without `start` the newest."""
        ...

    def trades(self, symbol: str, start: int | None, end: int, limit: int) -> list[MergedTrade]:
        """The same of trades, in order of time and id."""
        ...

    def trades_from(self, symbol: str, first: int, limit: int) -> list[MergedTrade]:
        """The trades that begin with this id or a later one, in order of ids, at most `limit`."""
        ...

    def close(self) -> None: ...


StoreFactory: TypeAlias = Callable[[str, Mapping[str, int]], Store]
"""Opens a store by what stands behind its name, and how long what of it is kept, in ms. Raises ConfigError."""


class Keeper(Service):
    """`open` opens the store. `restore` is given what was kept, and the place of the feed, before anything else starts;
    `amended` what late trades corrected. `now_ms` is monotonic."""

    name = "store"
    log = Logger()

    def __init__(
        self,
        reactor: Any,
        open: Callable[[], Store],
        *,
        restore: Callable[[Kept | None, tuple[int, int] | None], None],
        amended: Callable[[list[Amended]], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._open = open
        self._restore = restore
        self._amended = amended
        self._now_ms = now_ms
        self._store: Store | None = None
        self.path = ""
        self._pool = ThreadPool(1, 1, "store")
        self._unwritten: list[Changes] = []
        self._writing: Deferred[None] | None = None
        self._written_ms = 0
        self._pruned_ms = 0
        self._wanted: list[tuple[str, int, int]] = []
        self._asked: set[tuple[str, int, int]] = set()
        self._answers: dict[tuple[str, int, int], dict[str, list[Bar]]] = {}
        self._failures = 0
        self._waiting: list[Deferred[None]] = []  # for the next write to be done
        self._served: list[Deferred[None]] = []  # for the present one
        self.writes = 0
        self.failed = 0
        self.reads = 0
        self.reading = 0
        self.faults = 0

    @property
    def up(self) -> bool:
        return self._store is not None

    def startService(self) -> None:
        """Raises ConfigError where the file cannot be used."""
        super().startService()
        # Here and not while the process is privileged: the file belongs to who runs the server.
        store = self._store = self._open()
        self.path = store.path
        kept = store.load()
        self._pool.start()
        self._restore(kept, store.place())

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self._writing is not None:
            await self._writing
        if self._unwritten and self._store is not None:
            await self._write()
        store, self._store = self._store, None
        if store is not None:
            await self._in_thread(store.close)
        if self._pool.started:
            self._pool.stop()

    # -- writing

    def ticked(self, board: Board, place: tuple[int, int] | None) -> None:
        """Call after each tick of the board, before anything else is given to it. `place` is the feed's."""
        if not board.storable:
            return
        if self._store is None:
            board.changes()  # or they would pile up in there
            return
        now_ms = self._now_ms()
        # Somebody who waits makes it sooner, but no disk that is full is tried again at each tick.
        hurry = not self._failures and (self._wanted or self._waiting)
        if self._writing is None and (hurry or now_ms - self._written_ms >= _EVERY_MS):
            self._written_ms = now_ms
            self._take(board, place)
            self._writing = self._write()
            self._served, self._waiting = self._waiting, []
            for wanted in self._wanted:
                self._recall(wanted)
            self._wanted = []
            if now_ms - self._pruned_ms >= _PRUNE_MS:
                self._pruned_ms = now_ms
                self._prune(board.market_time)

    def ticked_last(self, board: Board, place: tuple[int, int] | None) -> None:
        """The same before the stop, which writes what is left."""
        if self._store is not None:
            self._take(board, place)

    def _take(self, board: Board, place: tuple[int, int] | None) -> None:
        changes = board.changes()
        if changes is not None:
            changes.place = place
            self._unwritten.append(changes)

    def _write(self) -> Deferred[None]:
        store = self._store
        assert store is not None
        changes = list(self._unwritten)
        done = self._in_thread(lambda: store.write(changes))
        return done.addCallbacks(self._wrote, self._not_written, callbackArgs=(len(changes),)).addErrback(self._fault)

    def _end_write(self) -> None:
        self._writing = None
        served, self._served = self._served, []
        for waiter in served:
            waiter.callback(None)

    def _wrote(self, amended: list[Amended], count: int) -> None:
        self._failures = 0
        self.writes += 1
        del self._unwritten[:count]
        self._end_write()
        if amended:
            self._amended(amended)

    def _not_written(self, failure: Failure) -> None:
        self._end_write()
        self.failed += 1
        self._failures += 1
        if self._failures == 1:
            self.log.error("store {path} cannot be written: {error}", path=self.path, error=failure.getErrorMessage())
        if self._failures >= _TRIES and self._store is not None:
            self.log.critical("store {path} is given up: it stays as it was last written", path=self.path)
            self._in_thread(self._store.close).addErrback(self._fault)
            self._store = None
            self._unwritten = []
            self._served, self._waiting = self._waiting, []
            self._end_write()  # nobody waits for what will not come

    def _prune(self, time: int) -> None:
        store = self._store
        if store is not None:
            self._in_thread(lambda: store.prune(time)).addCallbacks(
                lambda more: self._prune(time) if more else None, self._not_pruned
            ).addErrback(self._fault)

    def _not_pruned(self, failure: Failure) -> None:
        self.failed += 1
        self.log.error("store {path}: nothing old deleted: {error}", path=self.path, error=failure.getErrorMessage())

    # -- reading

    def bars(self, interval: str, start: int, end: int) -> dict[str, list[Bar]] | None:
        """What market/feed.py asks of a Past."""
        key = interval, start, end
        if self._store is None:
            return {}  # of windows that then cannot be split
        if key not in self._asked and key not in self._answers:
            self._asked.add(key)
            self._wanted.append(key)
        return self._answers.pop(key, None)

    def _recall(self, key: tuple[str, int, int]) -> None:
        def answered(bars: dict[str, list[Bar]]) -> None:
            while len(self._answers) >= _ANSWERS:  # of what is not asked for any more
                del self._answers[next(iter(self._answers))]
            self._answers[key] = bars

        store = self._store
        assert store is not None
        done = self._in_thread(lambda: store.bars(*key)).addCallbacks(answered, self._not_read)
        done.addBoth(lambda _: self._asked.discard(key))

    def candles(self, symbol: str, interval: str, start: int | None, end: int, limit: int) -> Deferred[Candles]:
        """As the store's; fails with StoreUnavailable."""
        return self._query(lambda store: store.candles(symbol, interval, start, end, limit))

    def trades(self, symbol: str, start: int | None, end: int, limit: int) -> Deferred[list[MergedTrade]]:
        return self._query(lambda store: store.trades(symbol, start, end, limit))

    def trades_from(self, symbol: str, first: int, limit: int) -> Deferred[list[MergedTrade]]:
        return self._query(lambda store: store.trades_from(symbol, first, limit))

    def unwritten_trades(self, symbol: str) -> list[MergedTrade]:
        """What the board gave and is not stored yet, oldest first."""
        return [trade for changes in self._unwritten for trade in changes.trades.get(symbol, ())]

    def written(self) -> Deferred[None]:
        """When what the board has now is written, or could not be."""
        done: Deferred[None] = Deferred()
        if self._store is None:
            done.callback(None)
        else:
            self._waiting.append(done)
        return done

    def _query(self, query: Callable[[Store], T]) -> Deferred[T]:
        store = self._store
        if store is None or self.reading >= _READS_AT_ONCE:
            raise StoreUnavailable("no store" if store is None else "too many questions to the store at once")
        self.reads += 1
        self.reading += 1
        done = self._in_thread(lambda: query(store))
        return done.addErrback(self._unread).addBoth(self._has_read)

    def _has_read(self, result: T) -> T:
        self.reading -= 1
        return result

    def _unread(self, failure: Failure) -> Failure:
        self._not_read(failure)
        raise StoreUnavailable("the store cannot be read")

    def _not_read(self, failure: Failure) -> None:
        self.faults += 1
        self.log.failure("store {path} cannot be read", failure, path=self.path)

    def _fault(self, failure: Failure) -> None:
        self.faults += 1
        self.log.failure("what the store gave back could not be taken", failure)

    def _in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._pool, call)
