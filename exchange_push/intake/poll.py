"""Books by polling: asks for the books of symbols in use over HTTP, and gives what is new in them to the board.

For engines that tell no changes of their books, and the way back for a book whose chain of changes broke: a book that
is in sync and that the feed changes is not asked for. What differs from the book that is held is found in
market/book.py, what an answer means in wire/polled.py, how HTTP is spoken in upstream.py.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from exchange_push.errors import WireError
from exchange_push.market.book import RESTART_MS, Book
from exchange_push.market.events import BookSnapshot
from exchange_push.upstream import Upstream, why
from exchange_push.wire.polled import decode_polled

ANSWER_BYTES: Final = 8 << 20
_TIMEOUT_S: Final = 5.0
_PLACES: Final = 4  # calls at once
_NEW_PLACES: Final = 2  # beside them, for symbols without an answer yet: clients can make their names up
_BACK_OFF_MS: Final = 60_000
_BEHIND_MS: Final = 10_000  # a copy that lags behind catches up in less
_LOG_EVERY_MS: Final = 60_000
_LOOKS: Final = 4  # for what is due, in an interval
_LOOK_S: Final = 0.05


class _Failed(Exception):
    """No book came; says why. Quotes neither the URL, which may hold a key, nor more of an answer than fits a line."""


class _Symbol:
    """What polling knows of one symbol."""

    __slots__ = ("answered_ms", "asking", "behind_ms", "due_ms", "failures", "given_id", "seen_id")

    def __init__(self, now_ms: int) -> None:
        self.due_ms = now_ms
        self.failures = 0
        """In a row."""
        self.answered_ms: int | None = None
        """When the last good answer was asked for."""
        self.given_id: int | None = None
        """Of the newest book given on."""
        self.seen_id: int | None = None
        """Of the book that was held when we last looked."""
        self.behind_ms: int | None = None
        """Since when answers are older than the book that is held."""
        self.asking: Deferred[Any] | None = None

    @property
    def proven(self) -> bool:
        return self.answered_ms is not None and not self.failures


class _Queue(NamedTuple):
    """Symbols that are due, and those being asked for; at most `places` of these."""

    waiting: dict[str, None]
    asked: dict[str, None]
    places: int


class BookPoll(Service):
    """Asks `url`, with a symbol in the place of `{symbol}`; without a URL it does nothing.

    `in_use` gives the symbols whose book somebody needs, `book` what is held of one; what is new goes to `apply`.
    `now_ms` is monotonic; `time_ms` gives the time of what is asked for now. A book is asked for when nothing changed
    it for `interval_ms`, or it is out of sync; what was not heard of for more than `stale_ms` is overdue.
    """

    name = "book poll"
    log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str | None,
        *,
        interval_ms: int,
        stale_ms: int,
        in_use: Callable[[], Iterable[str]],
        book: Callable[[str], Book | None],
        apply: Callable[[BookSnapshot], None],
        now_ms: Callable[[], int],
        time_ms: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._url = url
        self._interval_ms = interval_ms
        self._old_ms = max(stale_ms, 2 * interval_ms)
        self._in_use = in_use
        self._book = book
        self._apply = apply
        self._now_ms = now_ms
        self._time_ms = time_ms
        self._upstream = Upstream(reactor, connections=_PLACES + _NEW_PLACES, limit_bytes=ANSWER_BYTES)
        self._symbols: dict[str, _Symbol] = {}  # in use, or answered once: these are no names that clients made up
        self._proven = _Queue({}, {}, _PLACES)
        self._new = _Queue({}, {}, _NEW_PLACES)
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor
        self._logged_ms: dict[str, int] = {}
        self.current: frozenset[str] = frozenset()
        """Symbols whose book is as it was answered not long ago."""
        self.overdue: frozenset[str] = frozenset()
        """Symbols whose book came by an answer that was too long ago."""
        self.calls = 0
        self.failed = 0
        self.behind = 0
        """Answers older than the book that is held."""
        self.faults = 0

    @property
    def in_flight(self) -> int:
        return len(self._proven.asked) + len(self._new.asked)

    def startService(self) -> None:
        super().startService()
        if self._url is not None:
            self._loop.start(max(_LOOK_S, self._interval_ms / 1000 / _LOOKS))

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        for symbol in self._symbols.values():
            if symbol.asking is not None:
                symbol.asking.cancel()
        return self._upstream.close()

    # -- who is due

    def _look(self) -> None:
        try:
            self._queue_due(self._now_ms())
        except Exception:  # the border: a loop that failed once would never come again
            self.faults += 1
            self.log.failure("books could not be polled")

    def _queue_due(self, now_ms: int) -> None:
        in_use = frozenset(self._in_use())
        for name in in_use - self._symbols.keys():
            self._symbols[name] = _Symbol(now_ms)
        for name, symbol in list(self._symbols.items()):
            book = self._book(name)
            if book is not None and book.in_sync and book.id != symbol.seen_id:
                symbol.seen_id = book.id
                symbol.due_ms = max(symbol.due_ms, now_ms + self._interval_ms)
            elif book is not None and not book.in_sync and symbol.seen_id is not None:
                symbol.seen_id = None  # it was lost just now
                symbol.due_ms = now_ms
            if symbol.asking is not None:
                continue
            if name not in in_use:
                self._new.waiting.pop(name, None)
                self._proven.waiting.pop(name, None)
                if symbol.answered_ms is None:
                    del self._symbols[name]
            elif now_ms >= symbol.due_ms and name not in self._new.waiting and name not in self._proven.waiting:
                (self._proven if symbol.proven else self._new).waiting[name] = None
        self._note_age(now_ms)
        self._fill()

    def _note_age(self, now_ms: int) -> None:
        current, overdue = set(), set()
        for name, symbol in self._symbols.items():
            if symbol.answered_ms is None:
                continue
            if now_ms - symbol.answered_ms <= self._old_ms:
                current.add(name)
            elif (book := self._book(name)) is not None and book.id == symbol.given_id:
                overdue.add(name)
        self.current, self.overdue = frozenset(current), frozenset(overdue)

    def _fill(self) -> None:
        for queue in (self._proven, self._new):
            while self.running and queue.waiting and len(queue.asked) < queue.places:
                name = next(iter(queue.waiting))
                del queue.waiting[name]
                self._ask(name, queue)

    # -- asking

    def _ask(self, name: str, queue: _Queue) -> None:
        symbol = self._symbols[name]
        now_ms = self._now_ms()
        queue.asked[name] = None
        self.calls += 1
        symbol.asking = Deferred.fromCoroutine(self._fetch(name))
        symbol.asking.addTimeout(_TIMEOUT_S, self._reactor)
        symbol.asking.addCallbacks(
            self._answered, self._has_failed, callbackArgs=(name, symbol, now_ms), errbackArgs=(name, symbol)
        )
        symbol.asking.addErrback(self._defect, name)
        symbol.asking.addBoth(self._done, name, symbol, queue)

    async def _fetch(self, name: str) -> BookSnapshot:
        assert self._url is not None
        time_ms = self._time_ms()
        answer = await self._upstream.get(self._url.replace("{symbol}", name))
        if answer.status != 200:
            raise _Failed(f"status {answer.status}, expected 200")
        if answer.body is None:
            raise _Failed(f"a body cut off, or of more than {ANSWER_BYTES} bytes")
        return decode_polled(answer.body, name, time_ms)

    def _answered(self, event: BookSnapshot, name: str, symbol: _Symbol, asked_ms: int) -> None:
        symbol.failures = 0
        symbol.answered_ms = asked_ms
        symbol.due_ms = asked_ms + self._interval_ms
        book = self._book(name)
        if book is None:
            self._give(event, symbol)
        elif event.id < book.id:
            self._weigh(event, symbol, book)
        else:
            symbol.behind_ms = None
            if event.id > book.id or not book.in_sync or not book.agrees(event):
                self._give(event, symbol)

    def _weigh(self, event: BookSnapshot, symbol: _Symbol, book: Book) -> None:
        """An answer older than the book: of a copy that lags, or of an engine that began its ids anew."""
        self.behind += 1
        if not book.in_sync:
            # The book knows whether its id still counts. With its own time, this never looks like new ids to it.
            self._give(_as_of(event, book.time), symbol)
            return
        now_ms = self._now_ms()
        if symbol.behind_ms is None:
            symbol.behind_ms = now_ms
        elif now_ms - symbol.behind_ms > _BEHIND_MS:
            symbol.behind_ms = None
            # The book takes what is so much later for an engine that began its ids anew.
            self._give(_as_of(event, max(event.time, book.time + RESTART_MS + 1)), symbol)

    def _give(self, event: BookSnapshot, symbol: _Symbol) -> None:
        self._apply(event)
        book = self._book(event.symbol)
        if book is not None and book.in_sync:
            symbol.seen_id = book.id
            if book.id == event.id:
                symbol.given_id = event.id

    def _has_failed(self, failure: Failure, name: str, symbol: _Symbol) -> None:
        self.failed += 1
        symbol.failures += 1
        symbol.due_ms = self._now_ms() + min(self._interval_ms << min(symbol.failures, 16), _BACK_OFF_MS)
        if not self.running:
            return
        if failure.check(_Failed):
            cause = reason = str(failure.value)
        elif failure.check(WireError):
            cause, reason = "malformed", str(failure.value)
        else:
            cause = reason = why(failure)
        now_ms = self._now_ms()
        if cause not in self._logged_ms or now_ms - self._logged_ms[cause] >= _LOG_EVERY_MS:
            self._logged_ms[cause] = now_ms
            self.log.warn(
                "no book of {symbol}: {reason} ({count} such answers so far)",
                symbol=name,
                reason=reason,
                count=self.failed,
            )

    def _defect(self, failure: Failure, name: str) -> None:
        self.faults += 1
        self.log.failure("the book of {symbol} could not be taken in", failure, symbol=name)

    def _done(self, _: object, name: str, symbol: _Symbol, queue: _Queue) -> None:
        symbol.asking = None
        del queue.asked[name]
        self._fill()


def _as_of(event: BookSnapshot, time_ms: int) -> BookSnapshot:
    return BookSnapshot(event.symbol, event.id, time_ms, event.bids, event.asks)
