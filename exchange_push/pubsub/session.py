"""Session: one client's conversation, whatever its language and socket.

Requests come in by `received`, everything for the client goes into the outbox. A login is the one thing that takes
time: requests behind it wait, so that replies keep the order of the requests.
"""

from collections import deque
from collections.abc import Collection, Iterable
from enum import Enum, auto

from exchange_push.errors import AuthError, AuthRefused, ClientCode, ClientError, CloseCode, Disconnect, quoted
from exchange_push.pubsub.channel import UID, Channel, Owner, SlowPolicy
from exchange_push.pubsub.login import Login
from exchange_push.pubsub.outbox import Outbox
from exchange_push.pubsub.publication import Frame, Publication, View
from exchange_push.pubsub.request import (
    Ask,
    Auth,
    Dated,
    List,
    Logout,
    Ping,
    Question,
    Refused,
    Report,
    Request,
    RequestId,
    Speak,
    Standing,
    Subscribe,
    Unsubscribe,
)
from exchange_push.pubsub.round import Chain
from exchange_push.pubsub.terms import Cancellable, ClientTransport, Dialect, Terms

_BUDGET_WINDOW_MS = 60_000
_ERROR_BUDGET = 20  # of codes 2 to 4 in a window; a client with a bug stays, one that floods does not
_REFUSED_LOGINS = 3
_AHEAD_MS = 1_000  # by which a client's clock may be before ours
_BUDGETED = frozenset((ClientCode.MALFORMED, ClientCode.UNKNOWN_OP, ClientCode.INVALID_CHANNEL))


class _Budget:
    """How often something may happen in a window."""

    __slots__ = ("_limit", "_times")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[int] | None = None  # an empty one is 0.7 KiB, and most clients never need it

    def spend(self, now_ms: int) -> bool:
        """Count one; False when there were more than the limit within the window."""
        if self._times is None:
            self._times = deque()
        self._times.append(now_ms)
        while self._times[0] <= now_ms - _BUDGET_WINDOW_MS:
            self._times.popleft()
        return len(self._times) <= self._limit


class _State(Enum):
    OPEN = auto()
    LOGGING_IN = auto()
    CLOSED = auto()


class Session:
    """A connection's subscriptions, login and limits. `client_id` is a 64-bit number as text."""

    __slots__ = (
        "__weakref__",
        "_behind_login",
        "_dialect",
        "_errors",
        "_excess",
        "_login_ends",
        "_refused_logins",
        "_state",
        "_terms",
        "_tokens",
        "_tokens_at_ms",
        "_transport",
        "_views",
        "chain",
        "client_id",
        "context",
        "login_ms",
        "outbox",
        "peer",
        "since_ms",
        "uid",
    )

    def __init__(self, client_id: str, peer: str, dialect: Dialect, transport: ClientTransport, terms: Terms) -> None:
        self.client_id = client_id
        self.peer = peer
        self.uid: str | None = None
        self.login_ms: int | None = None
        self.since_ms = terms.now_ms()
        self.context: dict[str, object] = {}
        self.chain: Chain = []
        self.outbox = Outbox(terms.outbox_bytes, terms.hub.budget, self._current)
        self._dialect = dialect
        self._transport = transport
        self._terms = terms
        self._state = _State.OPEN
        self._views: dict[Channel, View] = {}
        # Not decoded yet: 64 KiB can ask for a hundred times as much memory.
        self._behind_login: list[tuple[bytes, bool, bool]] = []
        self._login_ends: Cancellable | None = None
        self._refused_logins = 0
        self._errors = _Budget(_ERROR_BUDGET)
        self._excess = _Budget(terms.requests_burst)
        self._tokens = float(terms.requests_burst)
        self._tokens_at_ms = self.since_ms
        terms.hub.add(self)

    # -- what the client sends

    def received(self, payload: bytes, binary: bool) -> None:
        """One message of the client's."""
        if self._state is _State.CLOSED:
            return
        now_ms = self._terms.now_ms()
        try:
            allowed = self._has_token(now_ms)
            if not allowed and not self._excess.spend(now_ms):
                raise Disconnect(CloseCode.TOO_MANY_REQUESTS, "too many requests, and they went on")
            if self._state is _State.LOGGING_IN:
                self._behind_login.append((payload, binary, allowed))
            else:
                self._take(payload, binary, allowed)
        except Disconnect as error:
            self.disconnect(error.code, error.reason)

    def _take(self, payload: bytes, binary: bool, allowed: bool) -> None:
        request = self._dialect.decode(payload, binary)
        if not allowed:
            rate = f"too many requests, expected at most {self._terms.requests_per_s:g} a second"
            request = Refused(request.id, ClientError(ClientCode.TOO_MANY_REQUESTS, rate))
        self._answer(request)

    def _has_token(self, now_ms: int) -> bool:
        gained = max(0, now_ms - self._tokens_at_ms) * self._terms.requests_per_s / 1000
        self._tokens = min(self._terms.requests_burst, self._tokens + gained)
        self._tokens_at_ms = now_ms
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _answer(self, request: Request) -> None:
        try:
            match request:
                case Subscribe():
                    self._subscribe(request)
                case Unsubscribe():
                    for channel in [self._channel(name) for name in request.names]:
                        self._unsubscribe(channel)
                    self._reply(self._dialect.done(request.id))
                case Auth():
                    self._log_in(request)
                case List():
                    names = [view.name for view in self._views.values()]
                    self._reply(self._dialect.result(request.id, names))
                case Ping():
                    self._reply(self._dialect.pong(request.id, self._terms.now_ms()))
                case Ask():
                    self._reply(self._dialect.result(request.id, request.answer))
                case Speak():
                    self._speak(request.dialect)
                    self._reply(self._dialect.done(request.id))
                case Logout():
                    self.logout()
                    self._answer(request.then)
                case Report():
                    self._reply(self._dialect.result(request.id, request.report(self._standing())))
                case Question():
                    self._ask(request)
                case Dated():
                    if -_AHEAD_MS < self._terms.now_ms() - request.made_ms <= request.holds_ms:
                        self._answer(request.request)
                    else:
                        raise request.late
                case Refused():
                    raise request.error
        except ClientError as error:
            self._reply_error(request.id, error)

    def _standing(self) -> Standing:
        names = tuple(view.name for view in self._views.values())
        return Standing(self._terms.now_ms(), self.since_ms, self.uid, self.login_ms, names)

    def _ask(self, question: Question) -> None:
        if self._terms.ask is None:
            raise ClientError(ClientCode.UNKNOWN_OP, f"unknown question {quoted(question.name)}")
        self._terms.ask(question.name, question.params, lambda found: self._told(question.id, found))

    def _told(self, request_id: RequestId, found: object) -> None:
        if isinstance(found, ClientError):
            self._say(self._dialect.error(request_id, found))
        else:
            self._say(self._dialect.result(request_id, found))

    def _reply(self, frame: Frame) -> None:
        self._put(frame.wire)

    def _reply_error(self, request_id: RequestId, error: ClientError) -> None:
        self._reply(self._dialect.error(request_id, error))
        if error.code in _BUDGETED and not self._errors.spend(self._terms.now_ms()):
            raise Disconnect(CloseCode.TOO_MANY_ERRORS, f"more than {_ERROR_BUDGET} malformed requests in a minute")

    # -- subscriptions

    def open(self, names: Iterable[str]) -> None:
        """Subscribe to what the client asked for by the way it came; only what is wrong is answered."""
        try:
            for name in names:
                self._subscribe_unasked(name)
        except Disconnect as error:
            self.disconnect(error.code, error.reason)

    def _subscribe_unasked(self, name: str) -> None:
        try:
            channel = self._channel(name)
            self._bound({channel})
        except ClientError as error:
            self._reply_error(None, error)
            return
        view = View(self._dialect, name)
        self._listen(channel, view)
        self._send_current(channel, view)
        self._tell_stale((channel,))

    def _channel(self, name: object) -> Channel:
        return self._terms.registry.for_client(self._dialect.channel_name(name), self.uid)

    def _bound(self, channels: Collection[Channel]) -> None:
        held = len(self._views.keys() | channels)
        if held > self._terms.max_subscriptions:
            raise ClientError(
                ClientCode.TOO_MANY_SUBSCRIPTIONS,
                f"too many subscriptions: {held}, expected at most {self._terms.max_subscriptions}",
            )

    def _speak(self, dialect: Dialect) -> None:
        """Go on in another dialect, in what is subscribed already too."""
        self._dialect = dialect
        for channel, view in list(self._views.items()):
            self._listen(channel, view._replace(dialect=dialect))

    def _subscribe(self, request: Subscribe) -> None:
        views: dict[Channel, View] = {}
        for name in request.names:
            channel = self._channel(name)
            checksum = request.checksum and channel.kind.checksum
            views[channel] = View(self._dialect, str(name), checksum, request.numbered)
        self._bound(views.keys())
        # From here to the states nothing is published: no change falls between them, and none comes twice.
        for channel, view in views.items():
            self._listen(channel, view)
        numbers = (
            {view.name: self._terms.hub.history.number(channel) for channel, view in views.items()}
            if request.numbered
            else {}
        )
        missed = None
        if request.since is not None:
            (channel,) = views
            missed = self._terms.hub.history.since(channel, request.since)
        recovered = None if request.since is None else missed is not None
        self._reply(self._dialect.subscribed(request.id, numbers, recovered))
        for channel, view in views.items():
            if missed is None:
                self._send_current(channel, view)
            else:
                self._alone().drop(channel)
                for publication in missed:
                    self._put(publication.frame(view).wire)
        self._tell_stale(views)

    def _tell_stale(self, channels: Collection[Channel]) -> None:
        """Tell which of the channels just subscribed may be old; who begins to listen to `system` hears of all."""
        if any(channel.kind.owner is Owner.NOBODY for channel in channels):
            channels = self._views
        for channel, name in [(channel, self._views[channel].name) for channel in channels]:
            stale = self._terms.stale(channel, name)
            if stale is not None:
                self.tell(stale)

    def _listen(self, channel: Channel, view: View) -> None:
        old = self._views.get(channel)
        if old == view:
            return
        # The new one first: a channel that is watched all the time stays numbered.
        channel, view = self._terms.hub.subscribe(self, channel, view)
        if old is not None:
            self._terms.hub.unsubscribe(self, channel, old)
        self._views[channel] = view

    def _current_state(self, channel: Channel, view: View) -> Publication | None:
        """The channel's current state, under the number of the newest publication where the client wants numbers."""
        state = self._terms.hub.state(channel)
        if state is not None and view.numbered:
            return state.numbered(self._terms.hub.history.number(channel))
        return state

    def _send_current(self, channel: Channel, view: View) -> None:
        state = self._current_state(channel, view)  # asked for in any case: some chains begin with their first listener
        if state is None or not self._dialect.greets(channel.kind):
            return
        if state.slow is SlowPolicy.QUEUE:
            self._put(state.frame(view).wire)
        else:
            self._alone().put_current(channel)
            self._transport.wake()

    def _current(self, channel: Channel) -> bytes | None:
        view = self._views.get(channel)
        if view is None:
            return None
        state = self._current_state(channel, view)
        return None if state is None else state.frame(view).wire

    def _unsubscribe(self, channel: Channel) -> None:
        view = self._views.pop(channel, None)
        if view is not None:
            self._terms.hub.unsubscribe(self, channel, view)
            self._alone().drop(channel)

    def channel_names(self) -> list[str]:
        return [str(channel) for channel in self._views]

    # -- login

    def _log_in(self, request: Auth) -> None:
        self._state = _State.LOGGING_IN
        self._terms.look_up(request.token, lambda found: self._looked_up(request, found))

    def _looked_up(self, request: Auth, found: Login | AuthError) -> None:
        if self._state is _State.CLOSED:
            return
        self._state = _State.OPEN
        try:
            if isinstance(found, Login):
                replaced = self._become(found.uid)
                if found.expires_in_s is not None:
                    self._login_ends = self._terms.call_later(found.expires_in_s, self._expired)
                if request.then is None:
                    self._reply(self._dialect.done(request.id))
                else:
                    self._answer(request.then)
                if replaced:
                    self._tell_logout("replaced")
            elif isinstance(found, AuthRefused):
                self._reply_error(request.id, ClientError(ClientCode.LOGIN_REFUSED, "login refused: unknown token"))
                self._refused_logins += 1
                if self._refused_logins >= _REFUSED_LOGINS:
                    raise Disconnect(CloseCode.LOGIN_REFUSED, f"login refused {_REFUSED_LOGINS} times")
            else:
                unavailable = ClientError(ClientCode.LOGIN_UNAVAILABLE, "login unavailable, try again later")
                self._reply_error(request.id, unavailable)
            while self._behind_login and self._state is _State.OPEN:
                self._take(*self._behind_login.pop(0))
        except Disconnect as error:
            self.disconnect(error.code, error.reason)
        except Exception:  # our fault: the client shall know, and who called us logs it
            self.disconnect(CloseCode.INTERNAL_ERROR, "internal error")
            raise

    def _become(self, uid: str | None) -> bool:
        """Be this user from now on, None: nobody. True when that ended the login of another."""
        if self._login_ends is not None:
            self._login_ends.cancel()
            self._login_ends = None
        former, self.uid = self.uid, uid
        if former == uid:
            return False
        self.login_ms = None if uid is None else self._terms.now_ms()
        if former is not None:
            self._terms.hub.unbind(self, former)
            for channel in [channel for channel in self._views if channel.kind.owner is Owner.USER]:
                self._unsubscribe(channel)
        if uid is not None:
            self._terms.hub.bind(self, uid)
        return former is not None

    def _expired(self) -> None:
        self._login_ends = None
        self.logout("expired")

    def logout(self, reason: str = "revoked") -> None:
        """End the login and the private subscriptions with it."""
        if self._become(None):
            self._tell_logout(reason)

    def _tell_logout(self, reason: str) -> None:
        for channel, view in self._views.items():
            if channel.kind.owner is Owner.NOBODY:
                logout = Publication(channel, {"type": "logout", "reason": reason})
                logout.time = self._terms.now_ms()
                self.deliver(logout.frame(view).wire, logout)
                return

    # -- what the client gets

    def deliver(self, wire: bytes, publication: Publication) -> bool:
        """Take a frame of a publication that the client subscribed to. False: the connection is closed or too slow."""
        if self._state is _State.CLOSED:
            return False
        try:
            self._put(wire, publication)
        except Disconnect as error:
            self.disconnect(error.code, error.reason)
            return False
        return True

    def tell(self, publication: Publication) -> None:
        """Take what is for this connection and not for all who listen to its channel; nothing where it does not."""
        view = self._views.get(publication.channel)
        if view is not None:
            self.deliver(publication.frame(view).wire, publication)

    def _put(self, wire: bytes, publication: Publication | None = None) -> None:
        if not wire:
            return
        outbox = self._alone()
        if publication is None:
            outbox.put(wire)
        else:
            outbox.put(wire, publication.channel, publication.slow)
        self._transport.wake()

    def _alone(self) -> Outbox:
        """The outbox, with all in it that the client waited for together with others: what follows comes after it."""
        self._terms.hub.round.part(self)
        return self.outbox

    # -- what the operator does (intake/desk.py)

    @property
    def waiting_bytes(self) -> int:
        return self.outbox.held_bytes

    def send(self, message: str | bytes) -> bool:
        return self._say(self._dialect.message(message))

    def _say(self, frame: Frame) -> bool:
        """Send what was not asked for. False: the connection is closed or too slow."""
        if self._state is _State.CLOSED:
            return False
        try:
            self._reply(frame)
        except Disconnect as error:
            self.disconnect(error.code, error.reason)
            return False
        return True

    def subscribe_as_operator(self, names: list[str]) -> None:
        """Subscribe the client to channels named as inside. Raises ClientError; all or none."""
        channels = [self._named_inside(name) for name in names]
        self._bound(set(channels))
        for channel in channels:
            view = View(self._dialect, self._dialect.name_of(channel))
            self._listen(channel, view)
            self._send_current(channel, view)
        self._tell_stale(channels)

    def unsubscribe_as_operator(self, names: list[str]) -> None:
        for channel in [self._named_inside(name) for name in names]:
            self._unsubscribe(channel)

    def _named_inside(self, name: str) -> Channel:
        channel = self._terms.registry.for_push(name)
        if channel is None:
            raise ClientError(ClientCode.INVALID_CHANNEL, f"invalid channel {quoted(name)}")
        if channel.kind.owner is Owner.USER and channel.owner != self.uid:
            # The client would hear another user's events under its own @name.
            raise ClientError(ClientCode.NOT_AUTH, f"the connection is not logged in as {quoted(channel.owner)}")
        return channel

    def set_context(self, context: dict[str, object]) -> None:
        """Replace what the back end keeps with this connection; its `uid` is the login. Raises ClientError."""
        self._set_uid(context.get("uid", self.uid))
        self.context = dict(context)

    def set_context_value(self, key: str, value: object) -> None:
        if key == "uid":
            self._set_uid(value)
        self.context[key] = value

    def _set_uid(self, uid: object) -> None:
        text = str(uid) if type(uid) is int and uid > 0 else uid
        if text is None:
            self.logout()
        elif isinstance(text, str) and UID.fullmatch(text):
            if text != self.uid and self._become(text):
                self._tell_logout("replaced")
        else:
            raise ClientError(ClientCode.MALFORMED, f"uid is {quoted(uid)}, expected 1 to 64 of A-Z a-z 0-9 _ -")

    def dismiss(self) -> None:
        """The server stops: say so, and close."""
        self._say(self._dialect.farewell(self._terms.now_ms()))
        self.disconnect(CloseCode.GOING_AWAY, "server stopping")

    def disconnect(self, code: CloseCode, reason: str) -> None:
        """Close the connection; what waits is still sent, but to a client that is too slow."""
        if self._state is _State.CLOSED:
            return
        outbox = self._alone()
        if code is CloseCode.TOO_SLOW:
            outbox.clear()
        self._leave()
        self._transport.close(code, reason)

    def lost(self) -> None:
        """The connection is gone."""
        if self._state is not _State.CLOSED:
            self._leave()
        self.outbox.clear()
        self.outbox.unblock()
        self.outbox.retire()

    def _leave(self) -> None:
        self._become(None)
        self._state = _State.CLOSED
        self._behind_login.clear()
        for channel, view in self._views.items():
            self._terms.hub.unsubscribe(self, channel, view)
        self._views.clear()
        self._terms.hub.remove(self)
