"""The WebSocket of a client: Autobahn for handshake, control frames and all that comes in; what goes out is ours.

Autobahn's own sending is not used for messages: frames are built once for all (wire/) and written by edge/transport.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, NamedTuple, Protocol

from autobahn.twisted.websocket import WebSocketServerFactory
from autobahn.util import encode_truncate
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from exchange_push.edge.deflate import Inflate, agree, fits
from exchange_push.edge.front import address_key, behind_proxies
from exchange_push.edge.lean import LeanProtocol, sharing_options
from exchange_push.edge.transport import Turn, Writer
from exchange_push.errors import CloseCode, Disconnect
from exchange_push.pubsub.round import Member, Round
from exchange_push.pubsub.terms import Open
from exchange_push.wire.frame import PING, PONG, frame

_ABORT_S: Final = 3.0  # for a client that does not answer a close
_REASON_BYTES: Final = 123  # what a close frame holds beside the code
_PONG_BYTES: Final = 4096  # of whom more waits than that, pings are not answered
_ATTEMPTS_S: Final = 300.0  # counted anew so often
_TOO_MANY_REQUESTS: Final = 429
_CLOSE: Final = 8


class Conversation(Member, Protocol):
    """What the protocol needs of a session."""

    def open(self, names: Iterable[str]) -> None: ...

    def received(self, payload: bytes, binary: bool) -> None: ...

    def lost(self) -> None: ...

    def disconnect(self, code: CloseCode, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Limits of the public WebSocket, and of a connection; a door may have others for connections."""

    origins: tuple[str, ...] = ("*",)
    proxies: frozenset[str] = frozenset()
    """Addresses whose X-Forwarded-For is believed."""
    max_connections: int = 0
    max_per_address: int = 0
    message_bytes: int = 65536
    bytes_per_s: int = 65536
    bytes_burst: int = 1 << 20
    frames_per_s: int = 200
    frames_burst: int = 1000
    pongs_per_s: int = 2
    pongs_burst: int = 16
    compression: bool = False
    ping_s: float = 20
    pong_s: float = 10
    life_s: float = 0
    """Then the connection is closed; 0: never."""
    attempts: int = 0
    """To connect, of an address in 5 minutes; 0: no limit."""
    flooded: CloseCode = CloseCode.TOO_MANY_REQUESTS


class Door(NamedTuple):
    """A family of paths: what they mean, and what holds for who comes in by one."""

    open: Open
    converse: "Callable[[ClientProtocol], Conversation]"
    """Gives a connection its session."""
    options: ClientOptions


class Bucket:
    """How much may come in: `per_s` for long, `burst` at once."""

    __slots__ = ("_at_s", "_burst", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> bool:
        left = min(self._burst, self._left + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        self._left = left - amount
        return self._left >= 0


def origin_patterns(origins: tuple[str, ...]) -> list[str]:
    """Autobahn compares origins with their port: give one to those that name none."""
    patterns = []
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if separator and not rest.rpartition("]")[2].count(":"):
            origin = f"{origin}:{'443' if scheme.lower() in ('https', 'wss') else '80'}"
        patterns.append(origin.lower())
    return patterns


class ClientProtocol(LeanProtocol):
    """One client's connection; it carries bytes between the socket and its session."""

    factory: "ClientFactory"

    def connectionMade(self) -> None:
        super().connectionMade()
        self.session: Conversation | None = None
        self.deflates = False
        """Did we agree to compress?"""
        self._writer: Writer | None = None
        self._abort: IDelayedCall | None = None
        self._end: IDelayedCall | None = None
        self._bound(self.factory.options)

    def _bound(self, options: ClientOptions) -> None:
        now_s = self.factory.clock.seconds()
        self._options = options
        self._bytes = Bucket(options.bytes_per_s, options.bytes_burst, now_s)
        self._frames = Bucket(options.frames_per_s, options.frames_burst, now_s)
        self._pongs = Bucket(options.pongs_per_s, options.pongs_burst, now_s)

    # -- handshake

    def onConnect(self, request: ConnectionRequest) -> str | None:
        _, _, query = self.http_request_uri.partition("?")
        for door in self.factory.doors:
            opening = door.open(request.path, query, request.protocols)
            if opening is not None:
                break
        else:
            raise ConnectionDeny(ConnectionDeny.NOT_FOUND, "Not Found")
        self.door, self.opening = door, opening
        self.host, self.peer = self._whom_behind_proxy(request.headers)
        self._address_key = None if self.host is None else address_key(self.host)
        if not self.factory.may_try(door, self._address_key):
            raise ConnectionDeny(_TOO_MANY_REQUESTS, "Too Many Requests")
        if door.options is not self.factory.options:
            self._bound(door.options)
            self.autoPingInterval, self.autoPingTimeout = door.options.ping_s, door.options.pong_s
        return opening.subprotocol

    def _whom_behind_proxy(self, headers: Mapping[str, str]) -> tuple[str | None, str]:
        """The client's address, and it as text for the operator."""
        peer: Any = self.transport.getPeer()
        host: str | None = getattr(peer, "host", None)
        if host is None:
            return None, "unix"
        client = behind_proxies(host, headers.get("x-forwarded-for", ""), self.factory.options.proxies)
        if client is not None:
            return client, client
        return host, f"[{host}]:{peer.port}" if ":" in host else f"{host}:{peer.port}"

    def onOpen(self) -> None:
        self.forget_handshake()
        for extension in self.websocket_extensions_in_use:
            self.deflates = fits(extension.server_max_window_bits)
            self._perMessageCompress = Inflate()  # type: ignore[assignment]  # typed as never there
        self.websocket_extensions_in_use: list[Any] = []
        factory = self.factory
        refusal = factory.enter(self, self._address_key)
        session = self.session = self.door.converse(self)
        # A transport that came through another protocol (TLS, a Site) may still have its producer.
        self.transport.unregisterProducer()
        self._writer = Writer(self, session, factory.turn)
        if refusal is not None:
            session.disconnect(*refusal)
            return
        if self._options.life_s:
            self._end = factory.clock.callLater(self._options.life_s, self._end_of_life)
        if self.opening.names:
            self._guard(session, lambda: session.open(self.opening.names))

    def _end_of_life(self) -> None:
        self._end = None
        if self.session is not None:
            self.session.disconnect(CloseCode.GOING_AWAY, f"open for {self._options.life_s:g} s, connect again")

    # -- what comes in

    def dataReceived(self, data: bytes) -> None:
        if not self._bytes.take(len(data), self.factory.clock.seconds()):
            self._flooded("too many bytes")
        super().dataReceived(data)

    def onFrameBegin(self) -> None:
        if self.current_frame.opcode != _CLOSE and not self._frames.take(1, self.factory.clock.seconds()):
            self._flooded("too many frames")
        super().onFrameBegin()

    def _flooded(self, reason: str) -> None:
        if self.session is not None and self.state == self.STATE_OPEN:
            self.session.disconnect(self._options.flooded, reason)
        if self.state == self.STATE_CLOSING:
            # What is still on its way would be parsed only to be thrown away.
            self.transport.pauseProducing()
            self.data = b""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        session = self.session
        if session is not None:
            self._guard(session, lambda: session.received(payload, isBinary))

    def _guard(self, session: Conversation, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # the border: our fault, and the client shall know
            self.factory.faults += 1
            self.factory.log.failure("a client's message could not be handled")
            session.disconnect(CloseCode.INTERNAL_ERROR, "internal error")

    def onPing(self, payload: bytes) -> None:
        if self.session is None or self.session.outbox.held_bytes > _PONG_BYTES:
            return  # it does not read: pongs would only pile up
        if self._pongs.take(1, self.factory.clock.seconds()):
            self.sendPong(payload)

    def sendPong(self, payload: bytes | None = None) -> None:
        self._control(frame(payload or b"", PONG).wire)

    def sendPing(self, payload: bytes | None = None) -> None:
        self._control(frame(payload or b"", PING).wire)

    def _control(self, wire: bytes) -> None:
        """Send it as any other frame, so that it does not keep the transport from being empty."""
        if self.state == self.STATE_OPEN and self._writer is not None and self.session is not None:
            try:
                self._writer.say(wire)
            except Disconnect as error:
                self.session.disconnect(error.code, error.reason)

    # -- what goes out

    def send_bytes(self, data: bytes) -> None:
        if self.state == self.STATE_OPEN:
            self.transport.write(data)

    def wake(self) -> None:
        if self._writer is not None:
            self._writer.wake()

    def close(self, code: CloseCode, reason: str) -> None:
        if self.state == self.STATE_OPEN:
            # Not sendClose: it refuses 1001, 1003 and 1011.
            self.sendCloseFrame(int(code), encode_truncate(reason, _REASON_BYTES))
        self._abort_later()

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        if self.state == self.STATE_OPEN and code is not None and not isReply:
            self.factory.count_close(code)
        if self._writer is not None:
            self._writer.finish()  # what was said before the close arrives before it
        super().sendCloseFrame(code, reasonUtf8, isReply)
        if self._writer is not None:
            self._writer.stop()
        if self.session is not None:
            self.session.lost()  # nothing may follow a close frame: who pushes now is told that nobody is here
        # Whoever began: a client that does not read would keep the connection for ever.
        self._abort_later()

    def dropConnection(self, abort: bool = False) -> None:
        # Autobahn resets the connection of a client that has answered our close: that would look like a fault to it.
        super().dropConnection(abort and not self.wasClean)

    def _abort_later(self) -> None:
        if self._abort is None and self.transport is not None:
            self._abort = self.factory.clock.callLater(_ABORT_S, self._abort_now)

    def _abort_now(self) -> None:
        self._abort = None
        self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        for call in (self._abort, self._end):
            if call is not None:
                call.cancel()
        self._abort = self._end = None
        session, self.session = self.session, None
        if self._writer is not None:
            self._writer.stop()
        if session is not None:
            self.factory.leave(self, self._address_key)
            session.lost()
        super().connectionLost(reason)
        # What refers to itself would wait for a full collection, and that stops the server for long.
        self._writer = self.is_closed = self.is_open = None


class ClientFactory(WebSocketServerFactory):
    """Makes the protocols of the public WebSocket."""

    log = Logger()
    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        doors: Sequence[Door],
        options: ClientOptions,
        round: Round,
    ) -> None:
        super().__init__(server="exchange-push")
        self.clock = clock
        self.options = options
        self.doors = doors
        """Tried in this order."""
        self.turn = Turn(clock, round)
        self.connected: dict[ClientProtocol, None] = {}
        self.stopping = False
        """Whoever comes now is told to go: its handshake began before the port was closed."""
        self._of_address: dict[str, int] = {}
        self._attempts: dict[tuple[int, str], int] = {}  # by door and address, since:
        self._attempts_since_s = clock.seconds()
        self.handshakes = 0
        self.faults = 0
        self.closes: dict[int, int] = {}
        self.setProtocolOptions(
            webStatus=False,  # its default is an open redirect
            failByDrop=False,
            maxFramePayloadSize=options.message_bytes,
            maxMessagePayloadSize=options.message_bytes,
            openHandshakeTimeout=5,
            closeHandshakeTimeout=0,  # ours covers the closes that the client begins, too
            autoPingInterval=options.ping_s,
            autoPingTimeout=options.pong_s,
            autoPingRestartOnAnyTraffic=False,  # else a client that sends but never reads is never dropped
            allowedOrigins=origin_patterns(options.origins),
            allowNullOrigin="*" in options.origins,
            tcpNoDelay=True,
            perMessageCompressionAccept=agree if options.compression else lambda offers: None,
        )
        self.protocol = sharing_options(self, ClientProtocol)

    def may_try(self, door: Door, key: str | None) -> bool:
        """Count an attempt to connect; whether it is not one too many."""
        if not door.options.attempts or key is None:
            return True
        now_s = self.clock.seconds()
        if now_s - self._attempts_since_s >= _ATTEMPTS_S:
            self._attempts, self._attempts_since_s = {}, now_s
        made = self._attempts[id(door), key] = self._attempts.get((id(door), key), 0) + 1
        return made <= door.options.attempts

    def enter(self, protocol: ClientProtocol, key: str | None) -> tuple[CloseCode, str] | None:
        """Count a connection in. Where it is one too many: how to close it."""
        self.handshakes += 1
        self.connected[protocol] = None
        if key is not None:
            self._of_address[key] = self._of_address.get(key, 0) + 1
        if self.stopping:
            return CloseCode.GOING_AWAY, "server stopping"
        most = self.options.max_per_address
        if most and key is not None and self._of_address[key] > most:
            return CloseCode.TOO_MANY_CONNECTIONS, f"too many connections, expected at most {most} of an address"
        if self.options.max_connections and len(self.connected) > self.options.max_connections:
            return CloseCode.OVERLOADED, "the server is full, come back later"
        return None

    def leave(self, protocol: ClientProtocol, key: str | None) -> None:
        self.connected.pop(protocol, None)
        if key is not None:
            self._of_address[key] -= 1
            if not self._of_address[key]:
                del self._of_address[key]

    def count_close(self, code: int) -> None:
        self.closes[code] = self.closes.get(code, 0) + 1


def client_ids(start_ms: int) -> Callable[[], str]:
    """Gives each connection a 64-bit number as text, never the same twice, also over restarts."""
    numbers = count(start_ms << 20)
    return lambda: str(next(numbers))
