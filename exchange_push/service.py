"""The one place where parts meet: options, the parts of a running server, and how they start and stop."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NoReturn

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from exchange_push import catalog
from exchange_push.config import Config, load
from exchange_push.edge.auth import AuthService
from exchange_push.edge.front import Front
from exchange_push.edge.pages import public_site
from exchange_push.edge.websocket import ClientFactory, ClientOptions, ClientProtocol, client_ids
from exchange_push.errors import CloseCode, ConfigError, quoted
from exchange_push.intake.feed_port import parse_feed
from exchange_push.intake.gate import guard_listen
from exchange_push.intake.udp import FeedService
from exchange_push.market.board import TICK_MS, Board
from exchange_push.market.events import UserEvent
from exchange_push.market.feed import Product
from exchange_push.pubsub.channel import Channel, Owner, Registry
from exchange_push.pubsub.hub import Hub
from exchange_push.pubsub.outbox import Budget
from exchange_push.pubsub.publication import Publication
from exchange_push.pubsub.session import Session, Terms

log = Logger()

_BACKLOG: Final = 4096  # Twisted's 50 lets a storm of reconnects starve
_FAREWELL_S: Final = 3.0  # the closes of a stop are spread over at most this
_FAREWELL_STEPS: Final = 30
_GONE_S: Final = 4.0  # then whoever answered no close has been aborted


# -- options


class Options(usage.Options):
    """Flags of `twistd exchange-push`. What is wrong with them is one line and exit status 1."""

    synopsis = "[options]"
    longdesc = "Calculates an exchange's market data and pushes it, with private events, to WebSocket clients."
    optFlags = (
        ("demo", None, "Start a pretend exchange and auth service beside the server."),
        ("check-config", None, "Read the configuration, say whether it is right, and exit."),
    )
    optParameters = (
        ("config", None, None, "TOML file of the configuration."),
        ("api", None, None, "Endpoint of the internal HTTP and WebSocket API. [default: tcp:6789:interface=127.0.0.1]"),
        ("lines", None, None, "Endpoint of the TCP push line. [default: tcp:6792:interface=127.0.0.1]"),
        ("auth-url", None, None, "URL of the auth service. [default: http://127.0.0.1:8000/websocket_auth]"),
    )

    config: Config

    def __init__(self) -> None:
        super().__init__()
        self._listen: list[str] = []
        self._feed: list[str] = []

    def opt_listen(self, endpoint: str) -> None:
        """Endpoint of the public WebSocket and pages; may repeat. [default: tcp:6790]"""
        self._listen.append(endpoint)

    def opt_feed(self, address: str) -> None:
        """Address of the engine's UDP feed, udp:PORT[:interface=…][:multicast=GROUP]; may repeat.
        [default: udp:6791:interface=127.0.0.1]"""
        self._feed.append(address)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"exchange-push {version('exchange-push')}")
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            _exit_with(str(error))

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"found {quoted(args[0])}, expected options only")

    def postOptions(self) -> None:
        flags: dict[str, object] = {}
        if self._listen:
            flags["listen"] = self._listen
        if self._feed:
            flags["feed.listen"] = self._feed
        for flag, key in (("api", "api.listen"), ("lines", "lines.listen"), ("auth-url", "auth.url")):
            if self[flag] is not None:
                flags[key] = self[flag]
        try:
            self.config = load(flags, os.environ, self["config"])
            check(self.config)
        except ConfigError as error:
            _exit_with(str(error))
        if self["check-config"]:
            print("The configuration is right.")
            raise SystemExit(0)


def check(config: Config) -> None:
    """What the types of keys cannot say. Raises ConfigError."""
    from twisted.internet import reactor

    secret = config.secret
    for key, endpoint in (("api.listen", config.api.listen), ("lines.listen", config.lines.listen)):
        guard_listen(endpoint, secret, key)
    endpoints = [("listen", endpoint) for endpoint in config.listen]
    endpoints += [("api.listen", config.api.listen), ("lines.listen", config.lines.listen)]
    for key, endpoint in endpoints:
        try:
            serverFromString(reactor, endpoint)
        except Exception as error:  # whatever a plugin of an endpoint raises for what it cannot read
            raise ConfigError(f"{key}: {endpoint} is no endpoint: {error}; expected one like tcp:6790") from None
    for address in config.feed.listen:
        parse_feed(address)
    taken = {kind.name for kind in (*catalog.COMPUTED, *catalog.PUSHED)} | catalog.ALIASES.keys()
    for name in config.channels.public + config.channels.private:
        if name in taken:
            raise ConfigError(f"channels: {name} is a channel type already, expected a new name")


def _exit_with(line: str) -> NoReturn:
    print(f"exchange-push: {line}", file=sys.stderr)
    raise SystemExit(1)


# -- parts that only need a start and a stop


class Listener(Service):
    """A port. It is bound before the reactor runs, so that a port in use ends the start with one line."""

    def __init__(self, name: str, reactor: Any, endpoint: str, factory: IProtocolFactory) -> None:
        self.setName(name)
        self._endpoint = endpoint
        self._server = serverFromString(reactor, _with_backlog(endpoint))
        self._factory = factory
        self.port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        self._bind()

    def startService(self) -> None:
        self._bind()
        super().startService()

    def _bind(self) -> None:
        if self.port is None:
            bound: Deferred[IListeningPort] = self._server.listen(self._factory)
            bound.addCallbacks(self._bound, self._failed)

    def _bound(self, port: IListeningPort) -> None:
        self.port = port
        log.info("{name} listens on {address}", name=self.name, address=port.getHost())

    def _failed(self, failure: Failure) -> None:
        reason = getattr(failure.value, "socketError", failure.value)
        raise ConfigError(f"{self.name}: cannot listen on {self._endpoint}: {reason}")

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        port, self.port = self.port, None
        return maybeDeferred(lambda: None if port is None else port.stopListening())


def _with_backlog(endpoint: str) -> str:
    kind = endpoint.partition(":")[0]
    return f"{endpoint}:backlog={_BACKLOG}" if kind in ("tcp", "ssl") and ":backlog=" not in endpoint else endpoint


class Ticks(Service):
    """Calls `tick` every 50 ms; a fault in one tick is logged and does not end the next."""

    name = "ticks"

    def __init__(self, reactor: Any, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._loop = LoopingCall(self._guarded)
        self._loop.clock = reactor
        self.faults = 0

    def startService(self) -> None:
        super().startService()
        self._loop.start(TICK_MS / 1000, now=False)

    def stopService(self) -> None:
        super().stopService()
        self._loop.stop()

    def _guarded(self) -> None:
        try:
            self._tick()
        except Exception:  # the border: one wrong symbol must not silence all
            self.faults += 1
            log.failure("a tick failed")


# -- the server


class ExchangePush(MultiService):
    """A running server. `now_ms` is a monotonic clock."""

    def __init__(self, config: Config, reactor: Any, now_ms: Callable[[], int]) -> None:
        super().__init__()
        self.config = config
        self._reactor = reactor
        self._now_ms = now_ms
        self.pidfile: str | None = None

        self.board = Board(
            catalog.COMPUTED,
            wanted=lambda channel: self.hub.wanted(channel),
            products={name: Product(funding_hours=symbol.funding_hours) for name, symbol in config.symbols.items()},
            close_grace_ms=config.market.close_grace_ms,
        )
        self.hub = Hub(self.board.state, Budget(config.clients.outbox_total_bytes))
        self.registry = registry(config)
        self.auth = AuthService(
            reactor,
            config.auth.url,
            format=config.auth.format,
            timeout_s=config.auth.timeout_s,
            in_flight=config.auth.in_flight,
        )
        self.terms = Terms(
            registry=self.registry,
            hub=self.hub,
            look_up=self.auth.look_up,
            now_ms=lambda: int(reactor.seconds() * 1000),
            call_later=reactor.callLater,
            max_subscriptions=config.clients.max_subscriptions,
            requests_per_s=config.clients.requests_per_s,
            requests_burst=config.clients.requests_burst,
            outbox_bytes=config.clients.outbox_bytes,
        )
        self._next_client_id = client_ids(int(reactor.seconds() * 1000))
        self.clients = ClientFactory(
            reactor, self.converse, client_options(config), frozenset(filter(None, catalog.DIALECTS))
        )
        self.feed = FeedService(
            reactor,
            [parse_feed(address) for address in config.feed.listen],
            apply=self.board.apply,
            user=self._publish_user_event,
            now_ms=now_ms,
            grace_ms=config.feed.grace_ms,
            waiting_limit=config.feed.waiting,
        )
        # In this order: what comes in is heard before clients and back ends find an open port.
        self.feed.setServiceParent(self)
        self.auth.setServiceParent(self)
        Ticks(reactor, self._tick).setServiceParent(self)
        self._open_public_ports()

    def _open_public_ports(self) -> None:
        clients = self.config.clients
        site = public_site({b"/v1/symbols": self._symbols}, clients.origins)
        self.front = Front(
            self._reactor,
            web=site,
            websocket=self.clients,
            max_per_address=clients.max_per_address,
            proxies=frozenset(clients.proxies),
        )
        for index, endpoint in enumerate(self.config.listen):
            listener = Listener(f"listen {index + 1}", self._reactor, endpoint, self.front)
            listener.setServiceParent(self)
            if endpoint.startswith("tcp:") and "interface=127." not in endpoint:
                log.warn("{endpoint} speaks ws:// without TLS: use ssl:, or a proxy in front", endpoint=endpoint)

    # -- what happens on the way

    def _tick(self) -> None:
        for publication in self.board.flush(self._now_ms()):
            self.hub.publish(publication)

    def converse(self, protocol: ClientProtocol) -> Session:
        dialect = catalog.DIALECTS[protocol.websocket_protocol_in_use]
        assert protocol.peer is not None  # known since the handshake
        return Session(self._next_client_id(), protocol.peer, dialect, protocol, self.terms)

    def _publish_user_event(self, event: UserEvent) -> None:
        kind = self.registry.kind(Owner.USER, event.kind)
        if kind is not None:
            self.hub.publish(Publication(Channel(kind, str(event.uid)), event.data))

    def _symbols(self) -> list[dict[str, str]]:
        return [{"symbol": symbol} for symbol in sorted({*self.board.symbols(), *self.config.market.symbols})]

    # -- start and stop

    def privilegedStartService(self) -> None:
        self._starting(super().privilegedStartService)

    def startService(self) -> None:
        self._starting(super().startService)

    def _starting(self, start: Callable[[], None]) -> None:
        try:
            start()
        except ConfigError as error:
            if self.pidfile:
                Path(self.pidfile).unlink(missing_ok=True)
            _exit_with(str(error))

    async def _farewell(self) -> None:
        """Tell all clients, close them with 1001, and wait until they are gone."""
        sessions = list(self.hub.sessions.values())
        system = self.registry.kind(Owner.NOBODY, "system")
        assert system is not None
        spread_s = _FAREWELL_S if len(sessions) > 1000 else 0.0
        self.hub.publish(Publication(Channel(system, ""), {"type": "shutdown", "inMs": int(spread_s * 1000)}))
        for step in range(_FAREWELL_STEPS):
            for session in sessions[step::_FAREWELL_STEPS]:
                session.disconnect(CloseCode.GOING_AWAY, "server stopping")
            if spread_s:
                await deferLater(self._reactor, spread_s / _FAREWELL_STEPS)
        ends_s = self._reactor.seconds() + _GONE_S
        while self.clients.connected and self._reactor.seconds() < ends_s:
            await deferLater(self._reactor, 0.05)

    def stopService(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in self:
            if isinstance(service, Listener):
                await service.stopService()  # nobody new from now on
        await self._farewell()
        await maybeDeferred(super().stopService)


def registry(config: Config) -> Registry:
    return Registry(
        [*catalog.COMPUTED, *catalog.PUSHED, *catalog.configured(config.channels.public, config.channels.private)],
        aliases=catalog.ALIASES,
        symbols=config.market.symbols,
        prefix=config.channels.prefix,
    )


def client_options(config: Config) -> ClientOptions:
    clients = config.clients
    return ClientOptions(
        path=clients.path,
        origins=clients.origins,
        proxies=frozenset(clients.proxies),
        max_connections=clients.max_connections,
        max_per_address=clients.max_per_address,
        message_bytes=clients.message_bytes,
        bytes_per_s=clients.message_bytes,
        bytes_burst=16 * clients.message_bytes,
        ping_s=clients.ping_s,
        pong_s=clients.pong_s,
    )


# -- launch


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _stop_cleanly(reactor: Any) -> None:
    """A stop asked for is no failure: `twistd -n` would exit as if killed by the signal. SIGHUP ends nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(_stop, reactor))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _stop(reactor: Any) -> None:
    if reactor.running:  # a second signal while stopping changes nothing
        reactor.stop()


def makeService(options: Options) -> ExchangePush:
    """What twistd asks for."""
    from twisted.internet import reactor

    try:
        server = ExchangePush(options.config, reactor, _monotonic_ms)
    except ConfigError as error:
        _exit_with(str(error))
    server.pidfile = dict(options.parent or ()).get("pidfile")
    reactor.callWhenRunning(_stop_cleanly, reactor)
    return server


def main() -> None:
    """The command `exchange-push`: twistd in the foreground, without a pid file."""
    from twisted.scripts.twistd import run

    sys.argv[1:1] = ["-n", "--pidfile=", "exchange-push"]
    run()
