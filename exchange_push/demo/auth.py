"""A pretend auth service: knows the tokens of the demo users, `demo-alice` and `demo-bob`, and no other."""

from typing import Any, Final

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from exchange_push.demo.engine import USERS
from exchange_push.errors import ConfigError

TOKENS: Final = {f"demo-{name}": uid for name, uid in USERS.items()}


class _Asked(msgspec.Struct):
    token: str


class Login(Resource):
    """POST {"token":"demo-alice"}, as JSON or as a form, is answered {"uid":1001}; another token by 401."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        try:
            uid = TOKENS.get(_token(request))
        except (ValueError, RecursionError):
            request.setResponseCode(400)
            return b'{"error":"expected {\\"token\\":\\"...\\"}"}'
        if uid is None:
            request.setResponseCode(401)
            return b'{"error":"unknown token"}'
        return msgspec.json.encode({"uid": uid})


def _token(request: Request) -> str:
    """Raises ValueError."""
    form: list[bytes] | None = (request.args or {}).get(b"token")
    if form:
        return form[0].decode()
    assert request.content is not None
    return msgspec.json.decode(request.content.read(), type=_Asked).token


class _QuietSite(Site):
    def log(self, request: object) -> None:
        """No line for every login."""


def site() -> Site:
    root = Resource()
    root.putChild(b"websocket_auth", Login())
    quiet = _QuietSite(root)
    quiet.noisy = False
    quiet.displayTracebacks = False
    return quiet


class AuthServer(Service):
    """Serves it on the loopback."""

    name = "demo-auth"

    def __init__(self, reactor: Any, port: int) -> None:
        self._reactor = reactor
        self._port = port
        self.listening: IListeningPort | None = None

    def startService(self) -> None:
        """Raises ConfigError where the port is in use."""
        super().startService()
        try:
            self.listening = self._reactor.listenTCP(self._port, site(), interface="127.0.0.1")
        except CannotListenError as error:
            raise ConfigError(f"the demo's auth service cannot listen on {self._port}: {error.socketError}") from None

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        listening, self.listening = self.listening, None
        return maybeDeferred(lambda: None if listening is None else listening.stopListening())
