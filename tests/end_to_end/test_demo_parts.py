"""The demo's auth service and screen over real sockets."""

import json

import pytest
import pytest_twisted
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from exchange_push.demo.auth import AuthServer
from exchange_push.demo.screen import Screen
from exchange_push.edge.auth import AuthService
from exchange_push.errors import AuthRefused, ConfigError
from exchange_push.pubsub.login import Login


class Server(WebSocketServerProtocol):
    """Answers each request, and gives an event."""

    def onMessage(self, payload, isBinary):
        self.factory.heard.append(json.loads(payload))
        self.sendMessage(b'{"result":true}')
        if len(self.factory.heard) == 3:
            self.sendMessage(b'{"event":"@balance","data":{"asset":"USDT","balance":"1.23"}}')

    def onClose(self, wasClean, code, reason):
        self.factory.closed.callback(wasClean)


async def left(port):
    """Wait until the server of `port` has seen that its clients are gone."""
    while any(reader.getHost().port == port for reader in reactor.getReaders() if hasattr(reader, "getHost")):
        await deferLater(reactor, 0)


@pytest_twisted.ensureDeferred
async def test_the_screen_logs_in_subscribes_and_shows_what_comes():
    factory = WebSocketServerFactory()
    factory.protocol, factory.heard, factory.closed, shown = Server, [], Deferred(), Deferred()
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    url = f"ws://127.0.0.1:{port.getHost().port}/exchange-stream"

    def write(text):
        if "USDT" in text and "wscat" not in text:
            shown.callback(text)

    screen = Screen(reactor, url, "http://127.0.0.1:6789", write)
    screen.startService()
    text = await shown
    await screen.stopService()
    await factory.closed
    await port.stopListening()
    assert text.split()[1:] == ["@balance", "asset", "USDT", "balance", "1.23"]
    assert [request["op"] for request in factory.heard] == ["auth", "subscribe", "subscribe"]
    assert "BTCUSDT@bookticker" in factory.heard[1]["channels"]
    assert "@order" in factory.heard[2]["channels"]


@pytest_twisted.ensureDeferred
async def test_the_auth_client_logs_demo_users_in_at_the_demo_service():
    server = AuthServer(reactor, 0)
    server.startService()
    port = server.listening.getHost().port
    client = AuthService(reactor, f"http://127.0.0.1:{port}/websocket_auth")
    client.startService()
    results = []
    for token in ("demo-alice", "demo-bob", "demo-carol"):
        answered = Deferred()
        client.look_up(token, answered.callback)
        results.append(await answered)
    await client.stopService()
    await server.stopService()
    await left(port)
    assert results[:2] == [Login("1001", None), Login("1002", None)]
    assert isinstance(results[2], AuthRefused)


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_one_line_to_the_operator():
    first = AuthServer(reactor, 0)
    first.startService()
    port = first.listening.getHost().port
    second = AuthServer(reactor, port)
    with pytest.raises(ConfigError, match=f"cannot listen on {port}: .*in use"):
        second.startService()
    await second.stopService()
    await first.stopService()
    assert first.listening is None
