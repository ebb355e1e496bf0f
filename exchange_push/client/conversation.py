"""A client's side of the protocol: what it wants, and how far it got. Messages in; requests, events and notices out.

It lives longer than a connection: `opened` and `closed` tell it of those, `requests` gives what is to be sent now. It
keeps no queue: what is not asked for yet follows from what is wanted and what is there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from exchange_push.client.book import Broken
from exchange_push.client.login import Login
from exchange_push.client.pauses import back_off
from exchange_push.client.subscription import Position, State, Subscription, new_subscription
from exchange_push.client.updates import (
    Event,
    Gap,
    Live,
    LoggedIn,
    LoggedOut,
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
    held: dict[str, None] = field(default_factory=dict)
    """What the server may have subscribed."""


class Conversation:
    """`logs_in`: there is a token. `renews`: asked again there may be another. `random` gives [0, 1)."""

    def __init__(self, *, random: Callable[[], float], logs_in: bool = False, renews: bool = False) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.latency_ms: float | None = None
        """From the last ping to its answer."""
        self._random = random
        self._login = Login(random, wanted=logs_in, renews=renews)
        self._connection: _Connection | None = None
        self._last_id = 0
        self._system = Subscription(_SYSTEM)  # ours; the user may have one too
        self._waiting: dict[Subscription, None] = {self._system: None}

    # -- what is wanted

    def subscribe(self, channel: str, *, numbered: bool | None = None) -> Subscription:
        """Want this channel. One that is wanted already is begun anew. `numbered` None: private ones are."""
        old = self.subscriptions.get(channel)
        if old is not None:
            self._waiting.pop(old, None)
        found = new_subscription(channel, numbered)
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
        if self._connection is not None and channel in self._connection.held:
            self._connection.leaving[channel] = None

    def log_in(self, *, renews: bool) -> None:
        """There is a token, perhaps another: log in with it."""
        self._login.want(renews=renews)

    # -- the connection

    def opened(self, now_ms: float) -> None:
        self._connection = _Connection(now_ms - PING_MS, _Pace(_BURST, now_ms))  # with a ping soon

    def closed(self) -> None:
        """All is to be asked for again on the next connection, but what was refused."""
        self._connection = None
        self.latency_ms = None
        for subscription in [self._system, *self.subscriptions.values()]:
            self._begin_again(subscription)
        self._login.closed()

    def _begin_again(self, subscription: Subscription) -> None:
        subscription.heard = subscription.stale = subscription.alone = False
        if subscription.book is not None:
            subscription.book.lose()
        if subscription.state is not State.REFUSED:
            self._ask_again(subscription)

    def _ask_again(self, subscription: Subscription, at_ms: float = 0) -> None:
        subscription.state, subscription.at_ms = State.WAITING, at_ms
        self._waiting[subscription] = None

    def is_dead(self, now_ms: float) -> bool:
        """Whether the server owes an answer for too long."""
        asked = () if self._connection is None else self._connection.asked.values()
        return any(now_ms - request.at_ms > PATIENCE_MS for request in asked)

    # -- login

    def wants_token(self, now_ms: float) -> bool:
        """Whether a token is needed; `token` or `no_token` is to be called then, now or later."""
        return self._connection is not None and self._login.wants_token(now_ms)

    def token(self, token: str) -> None:
        self._login.given(token)

    def no_token(self, reason: str, now_ms: float) -> Sequence[Notice]:
        """It could not be had."""
        return self._login.missing(reason, now_ms)

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
            connection.held.pop(channel, None)
            return self._ask(connection, _Asked("unsubscribe", now_ms, left=channel), {"channel": channel})
        if self._waiting:
            request = self._next_subscription(connection, now_ms)
            if request is not None:
                return request
        token = self._login.take_token()
        if token is not None:  # after what is public: what follows a login waits for the auth service
            return self._ask(connection, _Asked("auth", now_ms), {"token": token})
        if not connection.asked and now_ms - connection.pong_at_ms >= PING_MS:
            return self._ask(connection, _Asked("ping", now_ms))
        return None

    def _may_ask(self, subscription: Subscription) -> bool:
        return not subscription.private or self._login.allows_private

    def _next_subscription(self, connection: _Connection, now_ms: float) -> dict[str, Any] | None:
        due = [found for found in self._waiting if found.at_ms <= now_ms and self._may_ask(found)]
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
        if not (resumed or first.alone):
            alike = [found for found in due[1:] if first.like(found)]
            together += alike[: _NAMES - 1]
        for subscription in together:
            subscription.state = State.ASKED
            del self._waiting[subscription]
        names = [subscription.channel for subscription in together]
        connection.held.update(dict.fromkeys(names))
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
                    return self._take_system(message["data"], message)
                subscription = self.subscriptions.get(name)
                if subscription is not None:
                    return self._take_event(subscription, message, now_ms)
                if name in connection.leaving or any(asked.op == "unsubscribe" for asked in connection.asked.values()):
                    return []  # it was on its way when it was no longer wanted
            subscription = self._numbered_by(message)
            if subscription is not None:
                return self._take_event(subscription, {**message, "data": message}, now_ms)
        return [Unasked(message)]

    def _numbered_by(self, message: dict[str, Any]) -> Subscription | None:
        """The channel of a message that a back end pushed whole, without naming it: no two have the same epoch."""
        number = _position(message)
        for subscription in self.subscriptions.values() if number else ():
            if number and subscription.position and subscription.position.epoch == number.epoch:
                return subscription
        return None

    def _take_answer(
        self, connection: _Connection, asked: _Asked, message: dict[str, Any], now_ms: float
    ) -> list[Event | Notice]:
        code, msg = message.get("code"), str(message.get("msg"))
        refused_as = code if isinstance(code, int) else None
        if asked.op == "ping":
            connection.pong_at_ms = now_ms
            self.latency_ms = now_ms - asked.at_ms
        elif asked.op == "auth":
            return self._take_login(refused_as, msg, now_ms)
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

    def _take_login(self, refused_as: int | None, msg: str, now_ms: float) -> list[Event | Notice]:
        told = self._login.answered(refused_as, msg, now_ms)
        if isinstance(told, LoggedIn):
            for subscription in self.subscriptions.values():
                # As another user the former subscriptions are gone; as the same it does no harm to ask again.
                if subscription.private and subscription.heard:
                    self._ask_again(subscription)
        return [] if told is None else [told]

    def _take_subscribed(
        self, mine: list[Subscription], asked: _Asked, message: dict[str, Any]
    ) -> list[Event | Notice]:
        updates: list[Event | Notice] = []
        numbers = message.get("channels")
        for subscription in mine:
            subscription.state, subscription.heard = State.THERE, True
            if subscription.numbered:
                lost = asked.resumed and message.get("recovered") is not True
                if lost or not asked.resumed:
                    number = numbers.get(subscription.channel) if isinstance(numbers, dict) else message
                    subscription.position = _position(number)
                    subscription.fresh = True
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
                subscription.alone = True
                self._ask_again(subscription)
            elif code == ClientCode.NOT_AUTH and self._login.expected:
                self._login.lost()
                self._ask_again(subscription)
            else:
                subscription.state, subscription.heard = State.REFUSED, False
                if subscription is not self._system or _SYSTEM in self.subscriptions:
                    updates.append(Refused(subscription.channel, code, msg))
        return updates

    def _take_event(self, subscription: Subscription, message: dict[str, Any], now_ms: float) -> list[Event | Notice]:
        if not subscription.heard:
            return []
        name, data = subscription.channel, message["data"]
        updates: list[Event | Notice] = []
        number = _position(message) if subscription.numbered else None
        if number is not None:
            known, fresh = subscription.position, subscription.fresh
            subscription.position, subscription.fresh = number, False
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
                    if subscription.state is not State.THERE:
                        return updates
                    raise Broken("an update, expected a snapshot first")
            except Broken as broken:
                return [*updates, *self._repair(subscription, str(broken), now_ms)]
            if isinstance(data, dict) and data.get("type") == "update":
                subscription.repairs = 0
        seq, epoch = (None, None) if number is None else (number.seq, number.epoch)
        updates.append(Event(name, data, seq, epoch, subscription.book))
        return updates

    def _repair(self, subscription: Subscription, reason: str, now_ms: float) -> list[Event | Notice]:
        """Ask for a snapshot; a book that breaks again and again must not be asked for without end."""
        tries = subscription.repairs
        subscription.repairs += 1
        if subscription.state is State.THERE:
            wait_ms = back_off(tries, self._random, _RETRY_MS, _RETRY_MOST_MS) if tries else 0.0
            self._ask_again(subscription, now_ms + wait_ms)
        return [Gap(subscription.channel, reason)]

    def _take_system(self, data: object, message: dict[str, Any]) -> list[Event | Notice]:
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
                self._log_out(reason)
            case {"type": "shutdown", "inMs": int(in_ms)}:
                updates.append(Shutdown(in_ms))
        if _SYSTEM in self.subscriptions:
            updates.append(Event(_SYSTEM, data, message.get("seq"), message.get("epoch")))
        return updates

    def _log_out(self, reason: str) -> None:
        if self._login.ended(reason):
            for subscription in self.subscriptions.values():
                if subscription.private:
                    self._begin_again(subscription)


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
