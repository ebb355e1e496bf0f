"""The internal HTTP API: pushes, events, users, clients, metrics, health.

A table of paths rather than a tree of resources, so that every answer, also of an unknown path or a wrong method, is
JSON. What Twisted leaves open is closed here: a body is cut off at its limit while it comes in, and a request as a
whole, not each of its bytes, has a deadline.
"""

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel, HTTPFactory, Request

from exchange_push.errors import MalformedPush, PushCode, quoted
from exchange_push.intake.desk import Desk
from exchange_push.intake.gate import Gate
from exchange_push.wire.push import Answer, Fault, decode_events, decode_publish, decode_send, encode, refusal

BODY_BYTES: Final = 1 << 20
_REQUEST_S: Final = 10.0  # from its first byte to its last
_IDLE_S: Final = 60.0  # between the requests of a connection
_LINGER_S: Final = 2.0  # for a body that is passed over: a peer that is cut off while it sends may miss the answer
_ABORT_S: Final = 3.0
_LISTED: Final = 10_000  # channels or clients, where no ?limit= says otherwise

_STATUS: Final = {
    PushCode.INVALID_ARGUMENT: 400,
    PushCode.CALL_FAILED: 502,
    PushCode.SEND_FAILED: 502,
    PushCode.NOT_AUTHORISED: 403,
    PushCode.TOO_LARGE: 413,
}
_JSON: Final = b"application/json"
_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_GUARDED: Final = ("authorization", "host", "origin", "sec-fetch-site")


class Reply(NamedTuple):
    status: int
    body: bytes
    type: bytes = _JSON
    allow: bytes = b""


class Route(NamedTuple):
    path: re.Pattern[str]
    method: bytes
    reply: Callable[..., Reply]
    """Given the request and what the path's groups matched."""
    secret: bool = True


class ApiRequest(Request):
    """One request. It can be answered before its body has come; the rest of that is then passed over."""

    channel: Any
    content: BytesIO

    def __init__(self, channel: HTTPChannel, queued: object = False) -> None:
        # Forms are not for us, and parsing them would copy the body.
        super().__init__(channel, queued, parsePOSTFormSubmission=False)
        self._turned_away = False

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()  # ours, since Twisted takes any length into a temporary file
        api: Api = self.channel.factory
        if length == 0:
            return
        try:
            api.gate.check(self.guarded_headers())
            if length is not None and length > api.body_bytes:
                raise _too_large(f"{length} bytes", api.body_bytes)
        except MalformedPush as error:
            self._turn_away(error)

    def handleContentChunk(self, data: bytes) -> None:
        if self._turned_away:
            return
        api: Api = self.channel.factory
        if self.content.tell() + len(data) > api.body_bytes:
            self.content = BytesIO()
            self._turn_away(_too_large(f"more than {api.body_bytes} bytes", api.body_bytes))
        else:
            self.content.write(data)

    def _turn_away(self, error: MalformedPush) -> None:
        self._turned_away = True
        self.requestHeaders.removeHeader(b"expect")
        self.clientproto = b"HTTP/1.1"
        self.channel.linger()
        self._write(_refused(error))

    def process(self) -> None:
        if not self._turned_away:
            api: Api = self.channel.factory
            self._write(api.reply(self))
        self.finish()

    def _write(self, reply: Reply) -> None:
        self.setResponseCode(reply.status, RESPONSES.get(reply.status, b"Unknown"))
        if not self.channel.persistent:
            self.setHeader(b"connection", b"close")
        if reply.allow:
            self.setHeader(b"allow", reply.allow)
        self.setHeader(b"server", b"exchange-push")
        self.setHeader(b"content-type", reply.type)
        self.setHeader(b"x-content-type-options", b"nosniff")
        self.setHeader(b"cache-control", b"no-store")
        self.setHeader(b"content-length", b"%d" % len(reply.body))
        self.write(reply.body)

    def guarded_headers(self) -> dict[str, str]:
        """What the Gate looks at. A peer's bytes may be no UTF-8: then they are nothing that we know."""
        found = ((name, self.requestHeaders.getRawHeaders(name.encode())) for name in _GUARDED)
        return {name: b", ".join(values).decode(errors="replace") for name, values in found if values}

    def text(self, name: str, default: str) -> str:
        """The last `?name=` of the query. Raises MalformedPush where it is no UTF-8."""
        values = (self.args or {}).get(name.encode(), [])
        try:
            return values[-1].decode() if values else default
        except UnicodeDecodeError:
            raise MalformedPush(f"{name} is not UTF-8") from None

    def limit(self) -> int:
        text = self.text("limit", str(_LISTED))
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise MalformedPush(f"limit is {quoted(text)}, expected a number")
        return int(text)

    def body(self) -> bytes:
        return self.content.getvalue()


class ApiChannel(HTTPChannel):
    """A connection. Its timer is not restarted by every byte, as Twisted's is."""

    requestFactory: Any = ApiRequest
    factory: "Api"
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self._idle = False
        self._abort: IDelayedCall | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.factory.connected += 1

    def dataReceived(self, data: bytes) -> None:
        if self._idle:
            self._idle = False
            self.setTimeout(_REQUEST_S)
        super().dataReceived(data)

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's own has no body."""
        self.transport.write(_BAD)
        self.loseConnection()

    def resetTimeout(self) -> None:
        """Called for each piece that comes in: the request's deadline stays where it is."""

    def linger(self) -> None:
        """The request is answered: whatever is still to come of it, this is the last of the connection."""
        self.persistent = 0
        self.setTimeout(_LINGER_S)

    def requestDone(self, request: Request) -> None:
        super().requestDone(request)
        # Not persistent: until the peer has taken its answer.
        self._idle = bool(self.persistent)
        self.setTimeout(_IDLE_S if self.persistent else _REQUEST_S)

    def timeoutConnection(self) -> None:
        if self.requests and not self.requests[0].startedWriting:
            self.factory.late += 1
            self.transport.write(_LATE)
        self.loseConnection()
        self._abort = self.callLater(_ABORT_S, self.transport.abortConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._abort is not None and self._abort.active():
            self._abort.cancel()
        self.factory.connected -= 1
        super().connectionLost(reason)


class Api(HTTPFactory):
    """The site of the internal API.

    `metrics` gives the Prometheus text; `ready` what the server is not ready for, None when it is. `publish_path` is
    where back ends push. `body_bytes` is the limit of a request's body.
    """

    protocol = ApiChannel  # type: ignore[assignment]  # not by Twisted's proxy, which is for HTTP/2
    noisy = False
    logger = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        desk: Desk,
        gate: Gate,
        *,
        metrics: Callable[[], bytes],
        ready: Callable[[], str | None],
        publish_path: str = "/v1/mesh/publish",
        body_bytes: int = BODY_BYTES,
    ) -> None:
        super().__init__(timeout=_REQUEST_S, reactor=clock)
        self.gate = gate
        self.body_bytes = body_bytes
        self._desk = desk
        self._metrics = metrics
        self._ready = ready
        self.connected = 0
        self.requests = 0
        self.late = 0
        self.faults = 0
        one_uid = r"([^/]+)"
        self._routes = [
            Route(re.compile(path), method, reply, secret)
            for path, method, reply, secret in (
                (re.escape(publish_path), b"POST", self._publish, True),
                (r"/v1/mesh/send", b"POST", self._send, True),
                (r"/v1/events", b"POST", self._events, True),
                (rf"/v1/users/{one_uid}/logout", b"POST", self._log_out, True),
                (rf"/v1/users/{one_uid}/disconnect", b"POST", self._disconnect, True),
                (r"/v1/channels", b"GET", self._channels, True),
                (r"/v1/clients", b"GET", self._clients, True),
                (rf"/v1/clients/{one_uid}", b"GET", self._clients, True),
                (r"/metrics", b"GET", self._show_metrics, True),
                (r"/healthz", b"GET", self._healthy, False),
                (r"/readyz", b"GET", self._show_ready, False),
            )
        ]

    # No access log: nothing is logged per message, and no timer runs for its time stamps.
    def startFactory(self) -> None: ...

    def stopFactory(self) -> None: ...

    def log(self, request: Request) -> None: ...

    # -- answering

    def reply(self, request: ApiRequest) -> Reply:
        """Do what a request asks. The border: an error of ours is logged and answered."""
        self.requests += 1
        try:
            return self._routed(request)
        except MalformedPush as error:
            return _refused(error)
        except Exception:
            self.faults += 1
            self.logger.failure("a request of the internal API failed")
            return _error(500, PushCode.CALL_FAILED, "internal error")

    def _routed(self, request: ApiRequest) -> Reply:
        path = request.path.decode("latin-1")
        for route in self._routes:
            found = route.path.fullmatch(path)
            if found is None:
                continue
            self.gate.check(request.guarded_headers(), secret=route.secret)
            if request.method == route.method or (request.method == b"HEAD" and route.method == b"GET"):
                return route.reply(request, *map(unquote, found.groups()))
            allow = b"GET, HEAD" if route.method == b"GET" else route.method
            reply = _error(405, PushCode.INVALID_ARGUMENT, f"method not allowed, expected {allow.decode()}")
            return reply._replace(allow=allow)
        self.gate.check(request.guarded_headers())
        return _error(404, PushCode.INVALID_ARGUMENT, f"no such path {quoted(path)}")

    def _publish(self, request: ApiRequest) -> Reply:
        return _answered(self._desk.answer_all(decode_publish(request.body())))

    def _send(self, request: ApiRequest) -> Reply:
        return _answered(self._desk.answer(decode_send(request.body())))

    def _events(self, request: ApiRequest) -> Reply:
        return _answered(self._desk.answer(decode_events(request.body())))

    def _log_out(self, request: ApiRequest, uid: str) -> Reply:
        return _answered(Answer(None, {"s": self._desk.log_out(uid)}))

    def _disconnect(self, request: ApiRequest, uid: str) -> Reply:
        return _answered(Answer(None, {"s": self._desk.disconnect(uid)}))

    def _channels(self, request: ApiRequest) -> Reply:
        return _shown(self._desk.channels(request.text("prefix", ""), request.limit()))

    def _clients(self, request: ApiRequest, uid: str | None = None) -> Reply:
        return _shown(self._desk.clients(uid, request.limit()))

    def _show_metrics(self, request: ApiRequest) -> Reply:
        return Reply(200, self._metrics(), _METRICS)

    def _healthy(self, request: ApiRequest) -> Reply:
        return _shown({"status": "ok"})

    def _show_ready(self, request: ApiRequest) -> Reply:
        missing = self._ready()
        return _shown({"status": "ok"}) if missing is None else _shown({"status": missing}, 503)


def _shown(value: object, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(value))


def _answered(answer: Answer | list[Answer]) -> Reply:
    """An array is 200 whatever its answers: each of them says for itself."""
    status = 200 if isinstance(answer, list) or answer.error is None else _STATUS[PushCode(answer.error.code)]
    return Reply(status, encode(answer))


def _refused(error: MalformedPush) -> Reply:
    return _answered(refusal(error))


def _error(status: int, code: PushCode, msg: str) -> Reply:
    return Reply(status, encode(Answer(Fault(code.value, msg))))


def head_error(status: int, msg: str) -> bytes:
    """The body of an answer to a head that cannot be taken."""
    return _error(status, PushCode.INVALID_ARGUMENT, msg).body


def _too_large(found: str, limit_bytes: int) -> MalformedPush:
    return MalformedPush(f"body of {found}, expected at most {limit_bytes}", PushCode.TOO_LARGE)


def _whole(status: int, reason: bytes, msg: str) -> bytes:
    """An answer outside of any request."""
    body = head_error(status, msg)
    return (
        b"HTTP/1.1 %d %b\r\nServer: exchange-push\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, reason, len(body), body)
    )


_LATE: Final = _whole(408, b"Request Timeout", f"request not complete within {_REQUEST_S:g} s")
_BAD: Final = _whole(400, b"Bad Request", "no HTTP request")
