"""The exchange's auth service, asked whose token it is that a client logs in with.

A doubt never logs in: only status 200 with a valid uid gives a Login, only 401, 403 and 404 give AuthRefused,
and all else (other statuses, redirects, nonsense, a body too long or cut off, silence) gives AuthUnavailable.
What a login means for a connection is not decided here, but in pubsub/session.py.
"""

from collections.abc import Callable
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from exchange_push.errors import AuthError, AuthRefused, AuthUnavailable
from exchange_push.pubsub.channel import UID
from exchange_push.pubsub.login import Login
from exchange_push.upstream import Upstream, why

_ANSWER_BYTES: Final = 4096
_TOKEN_BYTES: Final = 4096  # as much as travels in a header elsewhere; more is an attack
_UID_MAX: Final = 2**53 - 1  # above it a JavaScript back end and we would not mean the same user
_REFUSED: Final = frozenset((401, 403, 404))
_LOG_EVERY_S: Final = 1

Done = Callable[[Login | AuthError], None]


class AuthService(Service):
    """Looks tokens up at `url`. Running from startService to stopService, which ends all look-ups.

    At most `in_flight` calls are out at once; up to `queue` more wait, each at most `wait_s`. A call has
    `timeout_s` from being sent to the last byte of its answer. Equal tokens at the same moment share a call.
    """

    name = "auth"
    log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        format: Literal["json", "form"] = "json",
        timeout_s: float = 2,
        in_flight: int = 100,
        queue: int = 10_000,
        wait_s: float = 10,
    ) -> None:
        self._reactor = reactor
        self._upstream = Upstream(reactor, connections=in_flight, limit_bytes=_ANSWER_BYTES)
        self._url = url
        self._format = format
        self._timeout_s = timeout_s
        self._in_flight_max = in_flight
        self._queue_max = queue
        self._wait_s = wait_s
        self._calls: dict[str, _Call] = {}  # by token: those in flight and those in the queue
        self._queue: dict[str, _Call] = {}  # oldest first
        self._logged_s = float("-inf")
        self._unlogged = 0

        self.calls = 0
        """Sent to the auth service; a retry is not counted again."""
        self.shared = 0
        """Look-ups that joined a call already under way."""
        self.refused = 0
        self.unavailable = 0
        self.in_flight = 0
        self.in_flight_peak = 0

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._queue)

    @property
    def retried(self) -> int:
        """Calls sent again because a kept connection had died."""
        return self._upstream.retried

    def look_up(self, token: str, done: Done) -> None:
        """Call `done` once, perhaps before this returns, with the login of `token` or why there is none."""
        call = self._calls.get(token)
        if call is not None:
            self.shared += 1
            call.dones.append(done)
            return
        call = _Call(token, done)
        if not self.running:
            self._finish(call, AuthUnavailable("stopped"))
        elif not _sendable(token):
            self._finish(call, AuthRefused("a token too long, or not Unicode"))
        elif self.in_flight < self._in_flight_max:
            self._send(call)
        elif len(self._queue) < self._queue_max:
            self._calls[token] = self._queue[token] = call
            call.timer = self._reactor.callLater(self._wait_s, self._give_up, call, "too long in the queue")
        else:
            self._finish(call, AuthUnavailable("the queue is full"))

    def stopService(self) -> Deferred[None]:
        super().stopService()
        for call in list(self._queue.values()):
            self._give_up(call, "stopped")
        for call in list(self._calls.values()):
            if call.asking is not None:
                call.asking.cancel()
        return self._upstream.close()

    def _give_up(self, call: "_Call", why: str) -> None:
        del self._queue[call.token]
        self._finish(call, AuthUnavailable(why))

    def _send(self, call: "_Call") -> None:
        self._calls[call.token] = call
        self.calls += 1
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        call.asking = Deferred.fromCoroutine(self._ask(call.token))
        call.asking.addTimeout(self._timeout_s, self._reactor)
        call.asking.addBoth(self._answered, call)

    async def _ask(self, token: str) -> Login:
        if self._format == "json":
            answer = await self._upstream.post(self._url, msgspec.json.encode({"token": token}), b"application/json")
        else:
            form = urlencode({"token": token}).encode()
            answer = await self._upstream.post(self._url, form, b"application/x-www-form-urlencoded")
        if answer.status in _REFUSED:
            raise AuthRefused(f"status {answer.status}")
        if answer.status != 200:
            raise AuthUnavailable(f"status {answer.status}, expected 200, 401, 403 or 404")
        if answer.body is None:
            raise AuthUnavailable(f"a body cut off, or of more than {_ANSWER_BYTES} bytes")
        return _login(answer.body)

    def _answered(self, result: Login | Failure, call: "_Call") -> None:
        self.in_flight -= 1
        if self._queue and self.running:
            self._send(self._queue.pop(next(iter(self._queue))))
        self._finish(call, _error(result) if isinstance(result, Failure) else result)

    def _finish(self, call: "_Call", result: Login | AuthError) -> None:
        if call.timer is not None and call.timer.active():
            call.timer.cancel()
        self._calls.pop(call.token, None)
        if isinstance(result, AuthRefused):
            self.refused += 1
        elif isinstance(result, AuthError):
            self.unavailable += 1
            self._complain(str(result))
        for done in call.dones:
            try:
                done(result)
            except Exception:
                self.log.failure("a session failed at the answer to its login")

    def _complain(self, why: str) -> None:
        now_s = self._reactor.seconds()
        if now_s - self._logged_s < _LOG_EVERY_S:
            self._unlogged += 1
            return
        self.log.warn("a login got no answer: {why} ({unlogged} more before)", why=why, unlogged=self._unlogged)
        self._logged_s = now_s
        self._unlogged = 0


class _Call:
    """One token being looked up, and all who want to know."""

    __slots__ = ("asking", "dones", "timer", "token")

    def __init__(self, token: str, done: Done) -> None:
        self.token = token
        self.dones = [done]
        self.timer: IDelayedCall | None = None
        """In the queue: when it will have waited too long."""
        self.asking: Deferred[Any] | None = None
        """In flight: cancelling ends it."""


class _Body(msgspec.Struct):
    """What the auth service answers."""

    uid: int | str
    expires_in: float | None = None


def _sendable(token: str) -> bool:
    try:
        return len(token.encode()) <= _TOKEN_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return False


def _login(text: bytes) -> Login:
    """The login in the body of a status 200; raises AuthUnavailable, which quotes nothing of it."""
    try:
        body = msgspec.json.decode(text, type=_Body)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise AuthUnavailable('not {"uid":integer or string}') from None
    uid = body.uid
    valid = 1 <= uid <= _UID_MAX if isinstance(uid, int) else UID.fullmatch(uid) is not None
    if not valid:
        raise AuthUnavailable(f"a uid that is neither 1 to {_UID_MAX} nor {UID.pattern}")
    if body.expires_in is not None and not body.expires_in > 0:
        raise AuthUnavailable("expires_in is not above 0")
    return Login(str(uid), body.expires_in)


def _error(failure: Failure) -> AuthError:
    wrong = failure.value
    if isinstance(wrong, AuthError):
        return wrong
    return AuthUnavailable(why(failure))
