"""A whole server in this process, on ports that the kernel picks, with a feed and an auth service."""

from collections.abc import Callable
from typing import Any

import msgspec
import treq
from twisted.internet import reactor as imported_reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from exchange_push.config import load
from exchange_push.lifecycle import Listener
from exchange_push.service import ExchangePush, monotonic_ms
from exchange_push.wire.packet import encode
from tests.wsclient import RawClient, WsClient, connect, connect_raw

reactor: Any = imported_reactor

PATIENCE_S = 10
LOOPBACK = "127.0.0.1"


class AuthBackend(Resource):
    """An exchange's auth service: what `answers` says of a token, 401 of any other."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Any] = {"***": {"uid": 1001}, "bob": {"uid": "1002"}}
        self.asked: list[str] = []
        self.hang = False
        self._hanging: list[Request] = []

    def render_POST(self, request: Request) -> Any:
        token = msgspec.json.decode(request.content.read())["token"]
        self.asked.append(token)
        if self.hang:
            self._hanging.append(request)
            return NOT_DONE_YET
        answer = self.answers.get(token)
        if answer is None:
            request.setResponseCode(401)
        return msgspec.json.encode(answer)

    def refuse_all(self) -> None:
        """Answer those that hang."""
        for request in self._hanging:
            request.setResponseCode(401)
            request.finish()


class Running:
    """The server, and all that its test opened towards it."""

    def __init__(self, **flags: object) -> None:
        self.backend = AuthBackend()
        site = Site(self.backend)
        site.noisy = False
        self._auth = reactor.listenTCP(0, site, interface=LOOPBACK)
        # The access log of a Site keeps a timer; it is of no use here.
        self.server = ExchangePush(
            load(
                {
                    "listen": [f"tcp:0:interface={LOOPBACK}"],
                    "api.listen": f"tcp:0:interface={LOOPBACK}",
                    "lines.listen": f"tcp:0:interface={LOOPBACK}",
                    "feed.listen": [f"udp:0:interface={LOOPBACK}"],
                    "store": "none",
                    "auth.url": f"http://{LOOPBACK}:{self._auth.getHost().port}/websocket_auth",
                    **{name.replace("__", "."): value for name, value in flags.items()},
                },
                {},
            ),
            reactor,
            monotonic_ms,
        )
        self.callers: list[RawClient] = []
        self._udp = DatagramProtocol()
        self._udp_port: Any = None
        self.session = 1
        self.seq = 1
        self._stopped = False

    def start(self) -> None:
        self.server.privilegedStartService()
        self.server.startService()
        self._udp_port = reactor.listenUDP(0, self._udp, interface=LOOPBACK)

    async def stop(self) -> None:
        for caller in self.callers:
            if caller.lost is None:
                await caller.leave()
        await self.stop_server()
        await maybeDeferred(self._udp_port.stopListening)
        await maybeDeferred(self._auth.stopListening)

    async def stop_server(self) -> None:
        """What SIGTERM does."""
        if not self._stopped:
            self._stopped = True
            await self.server.stopService()

    def port(self, name: str) -> int:
        """The port of a listener: `listen 1`, `api` or `lines`."""
        listener = self.server.getServiceNamed(name)
        assert isinstance(listener, Listener)
        assert listener.port is not None
        host: Any = listener.port.getHost()
        return int(host.port)

    @property
    def feed_port(self) -> int:
        return int(self.server.feed.ports[0].getHost().port)

    # -- the exchange

    def feed(self, *events: list[Any]) -> None:
        """Send events in one datagram, with the numbers that are next."""
        self.datagram(encode(self.session, self.seq, events))
        self.seq += len(events)

    def datagram(self, data: bytes) -> None:
        assert self._udp.transport is not None
        self._udp.transport.write(data, (LOOPBACK, self.feed_port))

    async def push(self, body: object, path: str = "/v1/mesh/publish", **headers: str) -> Any:
        """POST to the API; the answer's JSON."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        response = await treq.post(self.api(path), data, headers=headers, persistent=False, timeout=PATIENCE_S)
        return msgspec.json.decode(await response.content())

    async def get(self, path: str) -> Any:
        response = await treq.get(self.api(path), persistent=False, timeout=PATIENCE_S)
        body = await response.content()
        return msgspec.json.decode(body) if path != "/metrics" else body.decode()

    def api(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self.port('api')}{path}"

    # -- clients

    async def client(self, *channels: str, token: str | None = None, client: WsClient | None = None) -> WsClient:
        """A client that logged in and subscribed, and has read the replies."""
        found = await connect(self.port("listen 1"), client=client)
        self.callers.append(found)
        if token is not None:
            assert await found.ask({"op": "auth", "token": token}) == {"result": True}
        if channels:
            assert await found.ask({"op": "subscribe", "channels": list(channels)}) == {"result": True}
        return found

    async def crowd(self, size: int, *channels: str, token: str | None = None) -> list[WsClient]:
        """Many clients at once."""
        clients: list[WsClient] = []
        while len(clients) < size:
            some = [
                Deferred.fromCoroutine(self.client(*channels, token=token))
                for _ in range(min(100, size - len(clients)))
            ]
            clients += await gatherResults(some)
        return clients

    async def raw(self, name: str) -> RawClient:
        """A bare connection to a listener."""
        self.callers.append(await connect_raw(self.port(name)))
        return self.callers[-1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the server will have done; it has nothing to tell us by."""
        ends_s = reactor.seconds() + PATIENCE_S
        while not condition():
            assert reactor.seconds() < ends_s, "it never came true"
            await deferLater(reactor, 0.005)
