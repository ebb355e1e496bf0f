"""One port for WebSocket and HTTP: the Front reads the head of the request and passes the connection on.

It is also the guard at the door: a head has 8 KiB and 5 s whatever its pace, holds no bytes that HTTP parsers take for
line ends, and no address holds more sockets than it may. Afterwards it is out of the way.
"""

import re
import socket
from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

_HEAD_BYTES: Final = 8192
_HEAD_S: Final = 5.0
_TURN_S: Final = 0.015  # what a turn of the reactor may spend on requests that come in
_SEND_BUFFER_BYTES: Final = (
    32768  # the kernel doubles it; by itself it would hide 2 MB behind a client that never reads
)
_UPGRADE: Final = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_BODY: Final = re.compile(rb"\r\n(?:transfer-encoding:|content-length:[ \t]*0*[1-9])", re.IGNORECASE)
# Autobahn splits header lines at each of these, so that one header could smuggle in another (hardening S23).
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85]|\r(?!\n)|(?<!\r)\n")
# Sockets that an address may hold beyond its limit, so that an honest client is told so with a close code.
_TOLD: Final = 16


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # A port of both families gives IPv4 callers as ::ffff:192.0.2.1.
    return getattr(address, "ipv4_mapped", None) or address


def one_spelling(host: str) -> str:
    """The address as it is compared with others; what is none as it is."""
    return str(_address(host) or host)


def behind_proxies(host: str, forwarded_for: str, proxies: frozenset[str]) -> str | None:
    """The client's address that X-Forwarded-For tells: the last that is not itself a listed proxy.

    None: `host`, who is connected, is no listed proxy, or tells of nobody.
    """
    found = None
    if one_spelling(host) in proxies:
        for hop in reversed(forwarded_for.split(",")):
            try:
                found = one_spelling(str(ip_address(hop.strip())))
            except ValueError:
                break  # not an address: nobody we believe wrote this
            if found not in proxies:
                break
    return found


def address_key(host: str) -> str | None:
    """What limits per address count by: the address, of IPv6 the /64. None for loopback and what is no address."""
    address = _address(host)
    if address is None or address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64)) + "/64"
    return str(address)


def _refusal(status: int, reason: str, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %d %b\r\nServer: exchange-push\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, reason.encode(), len(body), body)
    )


def _public_error(status: int, reason: str) -> bytes:
    return b'{"code":%d,"msg":"%b"}' % (status, reason.encode())


class FrontProtocol(Protocol):
    """Reads one request head. From then on the bytes go straight to the protocol it chose."""

    factory: "Front"
    transport: Any

    def __init__(self, address: IAddress, key: str | None) -> None:
        self._address = address
        self._key = key
        self._head: bytes | None = b""  # None: dealt with
        self._inner: IProtocol | None = None
        self._deadline: IDelayedCall | None = None
        self._lost = False

    def connectionMade(self) -> None:
        wire = self.transport
        while hasattr(wire, "transport"):  # TLS and PROXY headers are layers over the socket
            wire = wire.transport
        self.factory.bound_send_buffer(getattr(wire, "getHandle", lambda: None)(), _SEND_BUFFER_BYTES)
        self._deadline = self.factory.clock.callLater(_HEAD_S, self._too_late)

    def dataReceived(self, data: bytes) -> None:
        if self._head is None:
            return
        # Where a terminator can lie is bounded, so this never looks at a byte more than twice.
        start = max(0, len(self._head) - 3)
        self._head += data
        end = self._head.find(b"\r\n\r\n", start)
        if end < 0:
            if len(self._head) > _HEAD_BYTES:
                self._refuse(431, "Request Header Fields Too Large")
            return
        head = self._head[: end + 4]
        if len(head) > _HEAD_BYTES:
            self._refuse(431, "Request Header Fields Too Large")
        elif _FORBIDDEN.search(head):
            self._refuse(400, "Bad Request")
        elif _UPGRADE.search(head):
            self._pass_on(self.factory.websocket)
        elif self.factory.bodies or not _BODY.search(head):
            self._pass_on(self.factory.web)
        else:
            self._refuse(413, "Content Too Large")

    def _pass_on(self, factory: IProtocolFactory) -> None:
        self._cancel()
        head, self._head = self._head, None
        assert head is not None
        if self.factory.has_time():
            self._open(factory, head)
        else:
            self.transport.pauseProducing()
            self.factory.put_off(lambda: self._open_later(factory, head))

    def _open_later(self, factory: IProtocolFactory, head: bytes) -> None:
        if not self._lost:
            self.transport.resumeProducing()
            self._open(factory, head)

    def _open(self, factory: IProtocolFactory, head: bytes) -> None:
        inner = factory.buildProtocol(self._address)
        if inner is None:
            self.transport.abortConnection()
            return
        self._inner = inner
        inner.makeConnection(self.transport)
        self.dataReceived = inner.dataReceived  # type: ignore[method-assign]  # no call in between from now on
        inner.dataReceived(head)

    def _refuse(self, status: int, reason: str) -> None:
        self._cancel()
        self._head = None
        self.factory.refused += 1
        self.transport.write(_refusal(status, reason, self.factory.error(status, reason)))
        self.transport.loseConnection()
        # What the peer still sends is not read; what it does not read is not waited for.
        self._deadline = self.factory.clock.callLater(1, self.transport.abortConnection)

    def _too_late(self) -> None:
        self._deadline = None
        self.factory.timed_out += 1
        self.transport.abortConnection()

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
        self._lost = True
        self.factory.left(self._key)
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif reason.check(ConnectionDone) is None:
            self.factory.dropped += 1


class Front(Factory):
    """Listens with one port for `web` (any HTTP request) and `websocket` (upgrades).

    `bodies`: may a request have a body? `max_per_address`: sockets of one address, 0: no limit; loopback and `proxies`
    are never limited. `error` gives the body of a refusal by its status and reason, as JSON.
    """

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        *,
        web: IProtocolFactory,
        websocket: IProtocolFactory,
        bodies: bool = False,
        max_per_address: int = 0,
        proxies: frozenset[str] = frozenset(),
        error: Callable[[int, str], bytes] = _public_error,
    ) -> None:
        self.clock = clock
        self.error = error
        self.web = web
        self.websocket = websocket
        self.bodies = bodies
        self._max_per_address = max_per_address
        self._proxies = proxies
        self._held: dict[str, int] = {}
        self.accepted = 0
        self.refused = 0
        self.timed_out = 0
        self.dropped = 0
        self.over_limit = 0
        self._put_off: deque[Callable[[], None]] = deque()
        self._time_until_s: float | None = None  # None: no request was passed on in this turn

    def has_time(self) -> bool:
        """May one more request be passed on in this turn? Who is connected already is not to wait for a storm."""
        if self._time_until_s is None:
            self._time_until_s = self.clock.seconds() + _TURN_S
            self.clock.callLater(0, self._next_turn)
        return not self._put_off and self.clock.seconds() <= self._time_until_s

    def put_off(self, open: Callable[[], None]) -> None:
        """Call it in one of the next turns, behind those that wait."""
        self._put_off.append(open)

    def _next_turn(self) -> None:
        if not self._put_off:
            self._time_until_s = None
            return
        self._time_until_s = self.clock.seconds() + _TURN_S
        self.clock.callLater(0, self._next_turn)
        while self._put_off and self.clock.seconds() <= self._time_until_s:
            self._put_off.popleft()()

    def doStart(self) -> None:
        super().doStart()
        self.web.doStart()
        self.websocket.doStart()

    def doStop(self) -> None:
        self.websocket.doStop()
        self.web.doStop()
        super().doStop()

    def buildProtocol(self, addr: IAddress | None) -> FrontProtocol | None:  # type: ignore[override]  # by its name
        host = getattr(addr, "host", None)  # a UNIX socket's address has none
        key = None if host is None or one_spelling(host) in self._proxies else address_key(host)
        if key is not None and self._max_per_address:
            if self._held.get(key, 0) >= self._max_per_address + _TOLD:
                self.over_limit += 1
                return None
            self._held[key] = self._held.get(key, 0) + 1
        else:
            key = None
        self.accepted += 1
        assert addr is not None
        front = FrontProtocol(addr, key)
        front.factory = self
        return front

    def left(self, key: str | None) -> None:
        """A socket of this address is gone."""
        if key is not None:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    def bound_send_buffer(self, handle: object, limit_bytes: int) -> None:
        """Keep the kernel from hiding a slow client from us."""
        if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limit_bytes)
