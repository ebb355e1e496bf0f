"""From rounds and outboxes to sockets: the frames of one turn of the reactor leave in one write per client.

They are sent straight to the socket while the transport holds nothing. What a socket does not take goes to the
transport, to the end of its frame, and what follows waits in the outbox, where each channel's SlowPolicy applies, until
the transport is empty again. Where there is no plain socket (TLS, a proxy's header) all goes through the transport,
which says by producer calls when it holds 64 KiB and when nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from zope.interface import implementer

from exchange_push.edge.sending import send_each
from exchange_push.errors import CloseCode
from exchange_push.pubsub.outbox import PORTION_BYTES
from exchange_push.pubsub.round import Chain, Member, Round

_NO_SOCKET: Final = -1

SendEach = Callable[[Mapping[Member, Sequence[bytes]], dict[Member, int]], list[tuple[Member, int]]]


class Turn:
    """Writes what a round and single writers have to send when the present turn of the reactor ends."""

    log = Logger()

    def __init__(self, clock: IReactorTime, round: Round, send_each: SendEach = send_each) -> None:
        self._clock = clock
        self.round = round
        round.begin = self.begin
        round.full = self._write_together
        self.send_each = send_each
        self._begun = False
        self.faults = 0
        self._writers: dict[Member, Writer] = {}
        self.sockets: dict[Member, int] = {}
        self._woken: dict[Writer, None] = {}

    def enter(self, writer: "Writer") -> None:
        self._writers[writer.member] = writer
        self.sockets[writer.member] = writer.socket

    def leave(self, writer: "Writer") -> None:
        """The connection is gone, and its socket's number may be another's soon."""
        self._writers.pop(writer.member, None)
        self.sockets.pop(writer.member, None)
        self._woken.pop(writer, None)
        self.round.leave(writer.member)

    def add(self, writer: "Writer") -> None:
        self._woken[writer] = None
        self.begin()

    def begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._clock.callLater(0, self._end)

    def _end(self) -> None:
        self._begun = False
        self._write_together()
        woken, self._woken = self._woken, {}
        for writer in woken:
            self.guard(writer, writer.write)

    def _write_together(self) -> None:
        for member, chain, taken in self.round.send(self._send):
            writer = self._writers.get(member)
            if writer is not None:
                self.guard(writer, writer.go_on, chain, taken)

    def _send(self, chains: dict[Member, Chain]) -> list[tuple[Member, int]]:
        return self.send_each(chains, self.sockets)

    def guard(self, writer: "Writer", write: Callable[..., None], *arguments: object) -> None:
        try:
            write(*arguments)
        except Exception:  # the border: what cannot be told to one client is still told to all others
            self.faults += 1
            self.log.failure("a client could not be told its state")
            writer.fail()


class ByteSink(Protocol):
    """What a writer needs of the WebSocket."""

    transport: Any

    def send_bytes(self, data: bytes) -> None:
        """Write through the transport. Never fails: a connection that is gone takes nothing."""
        ...

    def close(self, code: CloseCode, reason: str) -> None: ...


def plain_socket(transport: object) -> int:
    """The number of the socket that the transport writes to as it is, -1 where there is none."""
    return transport.fileno() if isinstance(transport, Connection) and not transport.TLS else _NO_SOCKET


@implementer(IPushProducer)
class Writer:
    """Empties one client's outbox, and hands on what its socket did not take of what it shares with others."""

    __slots__ = ("_outbox", "_sink", "_stopped", "_turn", "member", "socket")

    def __init__(self, sink: ByteSink, member: Member, turn: Turn) -> None:
        self._sink = sink
        self.member = member
        self._outbox = member.outbox
        self._turn = turn
        self._stopped = False
        transport = sink.transport
        self.socket = plain_socket(transport)
        transport.registerProducer(self, True)
        turn.enter(self)
        self._await_empty()  # the answer to the handshake is in there

    def say(self, wire: bytes) -> None:
        """Send what is for this client only. Raises Disconnect (4008) like the outbox."""
        self._turn.round.part(self.member)
        self._outbox.put(wire)
        self.wake()

    def wake(self) -> None:
        if self._outbox.blocked:
            return
        if self._outbox.full_portion:
            self.write()
        else:
            self._turn.add(self)

    def write(self) -> None:
        if self._stopped:
            return
        outbox = self._outbox
        while len(outbox) and not outbox.blocked:
            portion = outbox.take()
            if portion:
                self._send(portion)
        if not outbox.blocked:
            self._turn.round.rejoin(self.member)

    def finish(self) -> None:
        """Write what waits ahead of a close frame, but more than a transport should hold of who does not read."""
        if self._stopped:
            return
        self._turn.round.part(self.member)
        self.write()
        if self._outbox.held_bytes <= 2 * PORTION_BYTES:
            while len(self._outbox):
                self._hand(self._outbox.take())

    def _send(self, data: bytes) -> None:
        for _, taken in self._turn.send_each({self.member: (data,)}, self._turn.sockets):
            self._hand(data[taken:])

    def go_on(self, chain: Chain, taken: int) -> None:
        """The socket took only so many bytes of the chain."""
        if self.socket == _NO_SOCKET and sum(map(len, chain)) <= PORTION_BYTES:
            self._hand(b"".join(chain))
            return
        pieces = iter(chain)
        for piece in pieces:
            if taken < len(piece):
                self._hand(piece[taken:])
                taken = 0
                if self._outbox.blocked:
                    break
            else:
                taken -= len(piece)
        for piece in pieces:
            if not self.member.deliver(piece, piece.publication):
                return

    def _hand(self, data: bytes) -> None:
        """To the transport, whatever it has to wait for."""
        self._sink.send_bytes(data)
        self._await_empty()
        if self._outbox.blocked:
            self._outbox.hand(len(data))

    def _await_empty(self) -> None:
        """Write nothing to the socket until the transport is empty: its pause begins with its first byte."""
        transport = self._sink.transport
        if self.socket != _NO_SOCKET and transport.connected:
            transport.producerPaused = True
            transport.startWriting()
            self.pauseProducing()

    def stop(self) -> None:
        """A close frame was sent, or the connection is gone: nothing may follow."""
        self._stopped = True
        self._outbox.clear()
        self._turn.leave(self)

    def fail(self) -> None:
        self._outbox.clear()
        self._sink.close(CloseCode.INTERNAL_ERROR, "internal error")

    def pauseProducing(self) -> None:
        # The transport calls this at every write beyond its buffer, not only at the first.
        if not self._stopped:
            self._turn.round.part(self.member)
            self._outbox.block()

    def resumeProducing(self) -> None:
        self._outbox.unblock()
        self._turn.guard(self, self.write)

    def stopProducing(self) -> None:
        """The connection is going; connectionLost follows."""
