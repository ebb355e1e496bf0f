"""Stands between a client and the server: passes bytes on as they are, but can lose a frame, or hang up."""

import zlib
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.python.failure import Failure

LOOPBACK = "127.0.0.1"


class Proxy(Factory):
    """One client's way to the server. `snapshots`: how often the client asked for a book over HTTP."""

    noisy = False

    def __init__(self, reactor: Any, server_port: int, tls: CertificateOptions | None = None) -> None:
        self.snapshots = 0
        self.lost: list[bytes] = []
        """The messages that it lost."""
        self._to_lose: tuple[bytes, ...] | None = None
        self._reactor = reactor
        self._server_port = server_port
        self._links: set[Link] = set()
        self._ports = [reactor.listenTCP(0, self, interface=LOOPBACK)]
        if tls is not None:
            self._ports.append(reactor.listenSSL(0, self, tls, interface=LOOPBACK))

    @property
    def hosts(self) -> list[str]:
        """Where it listens; the second is that of TLS."""
        return [f"{LOOPBACK}:{port.getHost().port}" for port in self._ports]

    def buildProtocol(self, addr: IAddress) -> Protocol:
        return Link(self)

    def lose(self, *texts: bytes) -> None:
        """Lose the next message to the client in which all of these stand."""
        self._to_lose = texts

    def loses(self, message: bytes) -> bool:
        if self._to_lose is None or not all(text in message for text in self._to_lose):
            return False
        self.lost.append(message)
        self._to_lose = None
        return True

    def kick(self) -> int:
        """Hang up on all WebSockets of the client, without a word; how many there were."""
        kicked = [link for link in self._links if link.upgraded]
        for link in kicked:
            link.transport.abortConnection()
        return len(kicked)

    async def stop(self) -> None:
        for link in list(self._links):
            link.transport.abortConnection()
        for port in self._ports:
            await maybeDeferred(port.stopListening)

    def connect(self, link: "Link") -> None:
        self._links.add(link)
        factory = ClientFactory.forProtocol(lambda: FromServer(link))
        factory.noisy = False  # type: ignore[attr-defined]
        self._reactor.connectTCP(LOOPBACK, self._server_port, factory)

    def gone(self, link: "Link") -> None:
        self._links.discard(link)


class Link(Protocol):
    """The client's side of one connection."""

    transport: Any

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.server: FromServer | None = None
        self.upgraded = False
        self._early = b""
        self._lost = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.proxy.connect(self)

    def dataReceived(self, data: bytes) -> None:
        if not self.upgraded:
            self.proxy.snapshots += data.count(b"/depth?")
        if self.server is None:
            self._early += data
        else:
            self.server.transport.write(data)

    def connected_to(self, server: "FromServer") -> None:
        if self._lost:
            server.transport.abortConnection()
            return
        self.server = server
        server.transport.write(self._early)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        self.proxy.gone(self)
        if self.server is not None:
            self.server.transport.abortConnection()


class FromServer(Protocol):
    """The server's side of it: after an upgrade its bytes are frames, passed on one by one."""

    transport: Any

    def __init__(self, link: Link) -> None:
        self._link = link
        self._head: bytes | None = b""
        self._frames = bytearray()

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._link.connected_to(self)

    def dataReceived(self, data: bytes) -> None:
        if self._head is not None:
            data = self._take_head(self._head + data)
        if not self._link.upgraded:
            self._link.transport.write(data)
            return
        self._frames += data
        kept = [frame for frame in whole_frames(self._frames) if not self._link.proxy.loses(message(frame))]
        self._link.transport.write(b"".join(kept))

    def _take_head(self, data: bytes) -> bytes:
        """Pass the head of the first answer on, once it is complete; what came after it."""
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._head = data
            return b""
        self._head = None
        self._link.upgraded = head.startswith(b"HTTP/1.1 101 ")
        self._link.transport.write(head + end)
        return rest

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._link.transport.loseConnection()


def whole_frames(buffer: bytearray) -> Iterator[bytes]:
    """Takes the frames of a server, which have no mask, off the buffer; what is not complete stays."""
    while True:
        size = frame_size(buffer)
        if size is None or len(buffer) < size:
            return
        yield bytes(buffer[:size])
        del buffer[:size]


def frame_size(buffer: bytes | bytearray) -> int | None:
    """Of the first frame, its head included; None: that does not show yet."""
    if len(buffer) < 2:
        return None
    short = buffer[1] & 0x7F
    if short < 126:
        return 2 + short
    wide = 2 if short == 126 else 8
    if len(buffer) < 2 + wide:
        return None
    return 2 + wide + int.from_bytes(buffer[2 : 2 + wide], "big")


def message(frame: bytes) -> bytes:
    """What a frame says, inflated where it is compressed: the server keeps nothing from one message to the next."""
    short = frame[1] & 0x7F
    payload = frame[2 + {126: 2, 127: 8}.get(short, 0) :]
    if frame[0] & 0x40:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")
    return payload
