"""A client's side of the protocol: what it wants, and how far it got. Messages in; requests, events and notices out.

It lives longer than a connection: `opened` and `closed` tell it of those, `requests` gives what is to be sent now. It
keeps no queue: what is not asked for yet follows from what is wanted and what is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from exchange_push.client.book import Book, Broken
from exchange_push.client.updates import (
    Event,
    Gap,
    Live,
    LoggedIn,
    LoggedOut,
    LoginFailed,
    Lost,
    Notice,
    Refused,
    Shutdown,
    Skipped,
    Stale,
    Subscribed,
    Unasked,
)
from exchange_push.errors import ClientCode

PING_MS: Final = 10_000
"""So often the server is asked whether it is there;"""
PATIENCE_MS: Final = 15_000
"""so long it may take for an answer. A login that waits for the auth service takes 12 s."""
_BURST: Final = 50  # requests at once, and
_PER_S: Final = 10  # for long: half of what a server allows by default
_NAMES: Final = 100  # in one request: far below the 64 KiB that a message may have
_SLOWER_MS: Final = 1_000  # after "too many requests"
_RETRY_MS: Final = 500
_RETRY_MOST_MS: Final = 30_000
_SYSTEM: Final = "system"

_AFTER_A_CHANGE: Final = frozenset((1002, 1003, 1007, 1009))  # we broke the protocol: we would do it again


def comes_back(code: int, *, ours: bool = False) -> bool:
    """Whether a connection that was closed with this code is to be tried again. `ours`: we closed it for a fault."""
    return ours or not (code in _AFTER_A_CHANGE or 4500 <= code < 5000)


def back_off(attempts: int, random: Callable[[], float], first: float, most: float) -> float:
    """How long to wait after so many attempts in a row: twice as long each time, from half of it to all of it.

    `random` gives [0, 1): clients that lost a server together do not come back together.
    """
    whole: float = min(most, first * 2 ** min(attempts - 1, 30))
    return whole * (1 + random()) / 2


class Position(NamedTuple):
    """How far a numbered channel was heard."""

    epoch: int
    seq: int


class _State(Enum):
    WAITING = auto()
    ASKED = auto()
    THERE = auto()
    REFUSED = auto()


@dataclass(slots=True, eq=False)
class Subscription:
    """What a client wants to hear, and what is known of it. `book` is there for `@depth`."""

    channel: str
    numbered: bool = False
    book: Book | None = None
    stale: bool = False
    """May it be old? The server said so."""
    position: Position | None = None
    _state: _State = _State.WAITING
    _heard: bool = False  # taken by the server on this connection, even where it is asked for again
    _alone: bool = False  # a request with others was refused: now each for itself
    _fresh: bool = False  # the current state may come, under the number that is known
    _at_ms: float = 0
    _repairs: int = 0

    @property
    def private(self) -> bool:
        return self.channel.startswith("@")

    @property
    def there(self) -> bool:
        """Is it subscribed now?"""
        return self._state is _State.THERE


class _Login(Enum):
    NOBODY = auto()  # there is no token, and never was
    WANTED = auto()
    FETCHING = auto()
    GIVEN = auto()
    ASKED = auto()
    IN = auto()
    OUT = auto()  # until somebody says so, or the next connection


class _Asked(NamedTuple):
    """A request that waits for its answer."""

    op: str
    at_ms: float
    subscriptions: tuple[Subscription, ...] = ()
    resumed: bool = False
    left: str = ""


@dataclass(slots=True)
class _Pace:
    """How many requests may be made: a server answers too many with an error, and closes in the end."""

    left: float = _BURST
    at_ms: float = 0

    def allows(self, now_ms: float) -> bool:
        self.left = min(_BURST, self.left + max(0.0, now_ms - self.at_ms) * _PER_S / 1000)
        self.at_ms = now_ms
        return self.left >= 1


@dataclass(slots=True)
class _Connection:
    """What is known of one connection."""

    pong_at_ms: float
    pace: _Pace
    asked: dict[int, _Asked] = field(default_factory=dict)
    leaving: dict[str, None] = field(default_factory=dict)
    refused_logins: int = 0
    logged_in: bool = False
    logged_in_again: bool = False


class Conversation:
    """`logs_in`: there is a token. `renews`: asked again there may be another. `random` gives [0, 1)."""

    def __init__(self, *, random: Callable[[], float], logs_in: bool = False, renews: bool = False) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.latency_ms: float | None = None
        """From the last ping to its answer."""
        self._random = random
        self._renews = renews
        self._connection: _Connection | None = None
        self._last_id = 0
        self._login = _Login.WANTED if logs_in else _Login.NOBODY
        self._login_at_ms = 0.0
        self._login_tries = 0
        self._token = ""
        self._system = Subscription(_SYSTEM)  # ours; the user may have one too
        self._waiting: dict[Subscription, None] = {self._system: None}

    # -- what is wanted

    def subscribe(self, channel: str, *, numbered: bool | None = None) -> Subscription:
        """Want this channel. One that is wanted already is begun anew. `numbered` None: private ones are."""
        old = self.subscriptions.get(channel)
        if old is not None:
            self._waiting.pop(old, None)
        found = Subscription(channel, channel.startswith("@") if numbered is None else numbered)
        kind = channel.partition("@")[2]
        if kind == "depth" or kind.startswith("depth_"):
            found.book, found.numbered = Book(), False  # it begins with a snapshot each time
        self.subscriptions[channel] = found
        if channel == _SYSTEM:
            self._waiting.pop(self._system, None)
            self._system = found
        self._waiting[found] = None
        return found

    def unsubscribe(self, channel: str) -> None:
        """Want it no longer; nothing of it comes from now on."""
        gone = self.subscriptions.pop(channel, None)
        if gone is None or gone is self._system:  # that one stays for us
            return
        self._waiting.pop(gone, None)
        if self._connection is not None and (gone._heard or gone._state is _State.ASKED):
            self._connection.leaving[channel] = None

    def log_in(self, *, renews: bool) -> None:
        """There is a token, perhaps another: log in with it."""
        self._renews = renews
        self._login, self._login_at_ms = _Login.WANTED, 0

    # -- the connection

    def opened(self, now_ms: float) -> None:
        self._connection = _Connection(now_ms - PING_MS, _Pace(_BURST, now_ms))  # with a ping soon

    def closed(self) -> None:
        """All is to be asked for again on the next connection, but what was refused."""
        self._connection = None
        self.latency_ms = None
        for subscription in [self._system, *self.subscriptions.values()]:
            self._begin_again(subscription)
        if self._login is not _Login.NOBODY:
            self._login, self._login_at_ms, self._login_tries = _Login.WANTED, 0, 0

    def _begin_again(self, subscription: Subscription) -> None:
        subscription._heard = subscription.stale = subscription._alone = False
        if subscription.book is not None:
            subscription.book.lose()
        if subscription._state is not _State.REFUSED:
            self._ask_again(subscription)

    def _ask_again(self, subscription: Subscription, at_ms: float = 0) -> None:
        subscription._state, subscription._at_ms = _State.WAITING, at_ms
        self._waiting[subscription] = None

    def is_dead(self, now_ms: float) -> bool:
        """Whether the server owes an answer for too long."""
        asked = () if self._connection is None else self._connection.asked.values()
        return any(now_ms - request.at_ms > PATIENCE_MS for request in asked)

    # -- login

    def wants_token(self, now_ms: float) -> bool:
        """Whether a token is needed; `token` or `no_token` is to be called then, now or later."""
        if self._connection is None or self._login is not _Login.WANTED or now_ms < self._login_at_ms:
            return False
        self._login = _Login.FETCHING
        return True

    def token(self, token: str) -> None:
        if self._login is _Login.FETCHING:
            self._login, self._token = _Login.GIVEN, token

    def no_token(self, reason: str, now_ms: float) -> list[Notice]:
        """It could not be had."""
        if self._login is not _Login.FETCHING:
            return []
        self._log_in_later(now_ms)
        return [LoginFailed(None, reason, again=True)]

    def _log_in_later(self, now_ms: float) -> None:
        self._login_tries += 1
        self._login = _Login.WANTED
        self._login_at_ms = now_ms + back_off(self._login_tries, self._random, 2 * _RETRY_MS, _RETRY_MOST_MS)

    def _may_ask(self, subscription: Subscription) -> bool:
        return not subscription.private or self._login in (_Login.NOBODY, _Login.IN)

    # -- what is to be sent

    def requests(self, now_ms: float) -> list[dict[str, Any]]:
        """What to send now, in this order. Each counts as sent."""
        connection = self._connection
        found: list[dict[str, Any]] = []
        while connection is not None and connection.pace.allows(now_ms):
            request = self._next(connection, now_ms)
            if request is None:
                break
            connection.pace.left -= 1
            found.append(request)
        return found

    def _next(self, connection: _Connection, now_ms: float) -> dict[str, Any] | None:
        if connection.leaving:
            channel = next(iter(connection.leaving))
            del connection.leaving[channel]
            return self._ask(connection, _Asked("unsubscribe", now_ms, left=channel), {"channel": channel})
        if self._waiting:
            request = self._next_subscription(connection, now_ms)
            if request is not None:
                return request
        if self._login is _Login.GIVEN:
            # After what is public: what follows a login waits for the auth service.
            self._login = _Login.ASKED
            return self._ask(connection, _Asked("auth", now_ms), {"token": self._token})
        if not connection.asked and now_ms - connection.pong_at_ms >= PING_MS:
            return self._ask(connection, _Asked("ping", now_ms))
        return None

    def _next_subscription(self, connection: _Connection, now_ms: float) -> dict[str, Any] | None:
        due = [found for found in self._waiting if found._at_ms <= now_ms and self._may_ask(found)]
        if not due:
            return None
        first = due[0]
        options: dict[str, Any] = {}
        if first.book is not None:
            options["checksum"] = True
        resumed = first.numbered and first.position is not None
        if first.position is not None and resumed:
            options["since"] = first.position._asdict()
        elif first.numbered:
            options["seq"] = True
        together = [first]
        if not (resumed or first._alone):
            alike = [found for found in due[1:] if _alike(first, found)]
            together += alike[: _NAMES - 1]
        for subscription in together:
            subscription._state = _State.ASKED
            del self._waiting[subscription]
        names = [subscription.channel for subscription in together]
        named: dict[str, Any] = {"channel": names[0]} if len(names) == 1 else {"channels": names}
        return self._ask(connection, _Asked("subscribe", now_ms, tuple(together), resumed), named | options)

    def _ask(self, connection: _Connection, asked: _Asked, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self._last_id += 1
        connection.asked[self._last_id] = asked
        return {"op": asked.op, **(fields or {}), "id": self._last_id}

    # -- what comes in

    def received(self, message: object, now_ms: float) -> list[Event | Notice]:
        """Take in one message of the server's."""
        connection = self._connection
        if connection is None:
            return []
        if isinstance(message, dict):
            name = message.get("event")
            if name is None:
                asked = _answered(connection, message)
                if asked is not None:
                    return self._take_answer(connection, asked, message, now_ms)
            elif isinstance(name, str) and "data" in message:
                if name == _SYSTEM:
                    return self._take_system(connection, message["data"], message)
                subscription = self.subscriptions.get(name)
                if subscription is not None:
                    return self._take_event(subscription, message, now_ms)
                if name in connection.leaving or any(asked.op == "unsubscribe" for asked in connection.asked.values()):
                    return []  # it was on its way when it was no longer wanted
        return [Unasked(message)]

    def _take_answer(
        self, connection: _Connection, asked: _Asked, message: dict[str, Any], now_ms: float
    ) -> list[Event | Notice]:
        code, msg = message.get("code"), str(message.get("msg"))
        refused_as = code if isinstance(code, int) else None
        if asked.op == "ping":
            connection.pong_at_ms = now_ms
            self.latency_ms = now_ms - asked.at_ms
        elif asked.op == "auth":
            return self._take_login(connection, refused_as, msg, now_ms)
        elif asked.op == "subscribe":
            mine = [found for found in asked.subscriptions if self._is_wanted(found)]
            if refused_as is None:
                return self._take_subscribed(mine, asked, message)
            return self._take_refusal(connection, mine, len(asked.subscriptions), refused_as, msg, now_ms)
        elif refused_as == ClientCode.TOO_MANY_REQUESTS and asked.left not in self.subscriptions:
            connection.pace.left = 0
            connection.leaving[asked.left] = None
        return []

    def _is_wanted(self, subscription: Subscription) -> bool:
        return subscription is self._system or self.subscriptions.get(subscription.channel) is subscription

    def _take_login(
        self, connection: _Connection, refused_as: int | None, msg: str, now_ms: float
    ) -> list[Event | Notice]:
        if self._login is not _Login.ASKED:
            return []  # another one is on its way
        if refused_as is None:
            self._login, self._login_tries = _Login.IN, 0
            connection.refused_logins = 0
            connection.logged_in_again, connection.logged_in = connection.logged_in, True
            for subscription in self.subscriptions.values():
                # As another user the former subscriptions are gone; as the same it does no harm to ask again.
                if subscription.private and subscription._heard:
                    self._ask_again(subscription)
            return [LoggedIn()]
        if refused_as in (ClientCode.LOGIN_UNAVAILABLE, ClientCode.TOO_MANY_REQUESTS):
            self._log_in_later(now_ms)
        elif refused_as == ClientCode.LOGIN_REFUSED and self._renews and not connection.refused_logins:
            # The token may have just run out. Not a third time: that would close the connection.
            connection.refused_logins += 1
            self._login, self._login_at_ms = _Login.WANTED, 0
        else:  # an earlier login stands
            self._login = _Login.IN if connection.logged_in else _Login.OUT
        return [LoginFailed(refused_as, msg, again=self._login is _Login.WANTED)]

    def _take_subscribed(
        self, mine: list[Subscription], asked: _Asked, message: dict[str, Any]
    ) -> list[Event | Notice]:
        updates: list[Event | Notice] = []
        numbers = message.get("channels")
        for subscription in mine:
            subscription._state, subscription._heard = _State.THERE, True
            if subscription.numbered:
                lost = asked.resumed and message.get("recovered") is not True
                if lost or not asked.resumed:
                    number = numbers.get(subscription.channel) if isinstance(numbers, dict) else message
                    subscription.position = _position(number)
                    subscription._fresh = True
                if lost:
                    updates.append(Lost(subscription.channel))
            if subscription.channel in self.subscriptions:
                updates.append(Subscribed(subscription.channel))
        return updates

    def _take_refusal(
        self, connection: _Connection, mine: list[Subscription], asked: int, code: int, msg: str, now_ms: float
    ) -> list[Event | Notice]:
        updates: list[Event | Notice] = []
        for subscription in mine:
            if code == ClientCode.TOO_MANY_REQUESTS:
                connection.pace.left = 0
                self._ask_again(subscription, now_ms + _SLOWER_MS)
            elif asked > 1:  # all or none: one of them is wrong
                subscription._alone = True
                self._ask_again(subscription)
            elif code == ClientCode.NOT_AUTH and self._login is not _Login.NOBODY:
                if self._login is _Login.IN:  # it ended, and the news of that is not here yet
                    self._login = _Login.OUT
                self._ask_again(subscription)
            else:
                subscription._state, subscription._heard = _State.REFUSED, False
                if subscription is not self._system or _SYSTEM in self.subscriptions:
                    updates.append(Refused(subscription.channel, code, msg))
        return updates

    def _take_event(self, subscription: Subscription, message: dict[str, Any], now_ms: float) -> list[Event | Notice]:
        if not subscription._heard:
            return []
        name, data = subscription.channel, message["data"]
        updates: list[Event | Notice] = []
        number = _position(message) if subscription.numbered else None
        if number is not None:
            known, fresh = subscription.position, subscription._fresh
            subscription.position, subscription._fresh = number, False
            if known is not None and number.epoch != known.epoch:
                updates.append(Lost(name))
            elif known is not None and number.seq > known.seq + 1:
                updates.append(Skipped(name, number.seq - known.seq - 1))
            elif known is not None and number.seq <= known.seq and not (fresh and number.seq == known.seq):
                subscription.position = known
                return []
        if subscription.book is not None:
            try:
                if not subscription.book.apply(data):
                    if subscription._state is not _State.THERE:
                        return updates
                    raise Broken("an update, expected a snapshot first")
            except Broken as broken:
                return [*updates, *self._repair(subscription, str(broken), now_ms)]
            if isinstance(data, dict) and data.get("type") == "update":
                subscription._repairs = 0
        seq, epoch = (None, None) if number is None else (number.seq, number.epoch)
        updates.append(Event(name, data, seq, epoch, subscription.book))
        return updates

    def _repair(self, subscription: Subscription, reason: str, now_ms: float) -> list[Event | Notice]:
        """Ask for a snapshot; a book that breaks again and again must not be asked for without end."""
        tries = subscription._repairs
        subscription._repairs += 1
        if subscription._state is _State.THERE:
            wait_ms = back_off(tries, self._random, _RETRY_MS, _RETRY_MOST_MS) if tries else 0.0
            self._ask_again(subscription, now_ms + wait_ms)
        return [Gap(subscription.channel, reason)]

    def _take_system(self, connection: _Connection, data: object, message: dict[str, Any]) -> list[Event | Notice]:
        updates: list[Event | Notice] = []
        match data:
            case {"type": "stale", "channel": str(name), "since": int(since)}:
                if name in self.subscriptions:
                    self.subscriptions[name].stale = True
                    updates.append(Stale(name, since))
            case {"type": "live", "channel": str(name)}:
                if name in self.subscriptions:
                    self.subscriptions[name].stale = False
                    updates.append(Live(name))
            case {"type": "logout", "reason": str(reason)}:
                updates.append(LoggedOut(reason))
                self._log_out(connection, reason)
            case {"type": "shutdown", "inMs": int(in_ms)}:
                updates.append(Shutdown(in_ms))
        if _SYSTEM in self.subscriptions:
            updates.append(Event(_SYSTEM, data, message.get("seq"), message.get("epoch")))
        return updates

    def _log_out(self, connection: _Connection, reason: str) -> None:
        if reason == "replaced" and connection.logged_in_again:
            connection.logged_in_again = False  # by ourselves, just now
            return
        connection.logged_in = False
        for subscription in self.subscriptions.values():
            if subscription.private and self._login is not _Login.NOBODY:
                self._begin_again(subscription)
        if self._login is _Login.IN or (self._login is _Login.OUT and reason == "expired"):
            # Who was logged out on purpose stays out, until `log_in` or another connection.
            self._login, self._login_at_ms = (_Login.WANTED if reason == "expired" else _Login.OUT), 0


def _alike(one: Subscription, other: Subscription) -> bool:
    """Whether one request can ask for both."""
    return (
        not other._alone
        and (one.book is None) == (other.book is None)
        and one.numbered == other.numbered
        and (not other.numbered or other.position is None)
    )


def _answered(connection: _Connection, message: dict[str, Any]) -> _Asked | None:
    """The request that a message answers. What a back end pushed may look like an answer, but for the id."""
    answer_id = message.get("id")
    if type(answer_id) is int and ("result" in message or "code" in message or message.get("op") == "pong"):
        return connection.asked.pop(answer_id, None)
    return None


def _position(numbers: object) -> Position | None:
    match numbers:
        case {"epoch": int(epoch), "seq": int(seq)}:
            return Position(epoch, seq)
    return None
