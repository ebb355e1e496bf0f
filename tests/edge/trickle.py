"""A client's connection over a socket that takes any number of bytes at a time, as many as the test says.

All but socket and reactor is the real thing: Twisted's buffer and producer calls, Autobahn, session, outbox, round.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection

from exchange_push import catalog
from exchange_push.edge.websocket import ClientFactory, ClientOptions, ClientProtocol, Door
from exchange_push.pubsub.round import Member
from exchange_push.pubsub.session import Session
from exchange_push.wire.dialects.plain import PLAIN
from tests.pubsub.lobby import Lobby, unframe
from tests.wsclient import handshake, masked


class Socket:
    """Takes `room` bytes, then it would block; `broken` it takes nothing any more."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.room = 0
        self.broken = False
        self.got = b""

    def send(self, data: bytes) -> int:
        if self.broken:
            raise BrokenPipeError(32, "broken")
        if not self.room and data:
            raise BlockingIOError(11, "full")
        taken = min(self.room, len(data))
        self.room -= taken
        self.got += bytes(data[:taken])
        return taken

    def fileno(self) -> int:
        return self.number

    def setblocking(self, flag: bool) -> None: ...

    def shutdown(self, how: int) -> None: ...

    def close(self) -> None: ...


class Reactor(Clock):
    """Knows who wants to write."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: dict[Any, None] = {}

    def addWriter(self, writer: Any) -> None:
        self.writers[writer] = None

    def removeWriter(self, writer: Any) -> None:
        self.writers.pop(writer, None)

    def addReader(self, reader: Any) -> None: ...

    removeReader = addReader


class TcpConnection(Connection):
    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 4000)

    getHost = getPeer

    def setTcpNoDelay(self, enabled: bool) -> None: ...


class Client:
    """A client behind such a socket."""

    def __init__(self, place: "Place", number: int) -> None:
        self.socket = Socket(number)
        self._place = place
        protocol = place.factory.buildProtocol(None)
        assert isinstance(protocol, ClientProtocol)
        self.protocol = protocol
        self.connection = TcpConnection(self.socket, protocol, place.reactor)  # type: ignore[arg-type]
        self.connection.connected = 1
        protocol.makeConnection(self.connection)
        protocol.dataReceived(handshake("/exchange-stream", {}))

    def read(self, room: int) -> None:
        """There is room for so many bytes more; the reactor lets the connection write where it wants to."""
        self.socket.room = room
        if self.connection in self._place.reactor.writers:
            why = self.connection.doWrite()
            if why is not None:
                self._place.reactor.removeWriter(self.connection)
                self.connection.connectionLost(self._place.lost)

    def say(self, message: object) -> None:
        self.protocol.dataReceived(masked(1, json.dumps(message).encode()))

    @property
    def open(self) -> bool:
        return self.protocol.state == self.protocol.STATE_OPEN

    def frames(self) -> list[tuple[int, bytes]]:
        """All frames so far, (opcode, payload). What is no frame would show as one without sense."""
        return unframe(self.socket.got.partition(b"\r\n\r\n")[2])

    def heard(self) -> list[Any]:
        return [json.loads(payload) for opcode, payload in self.frames() if opcode == 1]


class Place:
    """Lobby, factory and the clients' sockets."""

    def __init__(self, **terms: Any) -> None:
        from twisted.internet.error import ConnectionLost
        from twisted.python.failure import Failure

        self.lost = Failure(ConnectionLost())
        self.lobby = Lobby(requests_per_s=1e6, requests_burst=10**6, **terms)
        self.reactor = Reactor()
        options = ClientOptions(ping_s=0, pong_s=0, pongs_burst=10**6)
        doors = [Door(catalog.own_path("/exchange-stream"), self._converse, options)]
        self.factory = ClientFactory(self.reactor, doors, options, self.lobby.hub.round)
        self.factory.turn.send_each = self._send_each
        self.clients: list[Client] = []

    def _converse(self, protocol: ClientProtocol) -> Session:
        return Session(self.lobby.next_id(), "", PLAIN, protocol, self.lobby.terms)

    def _send_each(
        self, chains: Mapping[Member, Sequence[bytes]], sockets: dict[Member, int]
    ) -> list[tuple[Member, int]]:
        rest = []
        for member, chain in chains.items():
            wire = b"".join(chain)
            try:
                taken = self.clients[sockets[member]].socket.send(wire)
            except OSError:
                taken = 0
            if taken != len(wire):
                rest.append((member, taken))
        return rest

    def connect(self, *channels: str) -> Client:
        """A client that has read everything so far."""
        client = Client(self, len(self.clients))
        self.clients.append(client)
        client.read(1 << 30)
        if channels:
            client.say({"op": "subscribe", "channels": channels})
            self.turn()
        client.socket.got = b"\r\n\r\n"
        return client

    def turn(self) -> None:
        self.reactor.advance(0)

    def close(self) -> None:
        for client in self.clients:
            if not client.connection.disconnected:
                client.connection.connectionLost(self.lost)
