"""From outbox to socket: the frames of one turn of the reactor leave in one write per client.

Backpressure comes from the transport as producer calls: `pauseProducing` when it holds 64 KiB, `resumeProducing`
when it holds nothing. In between nothing is written; it waits in the outbox, where each channel's SlowPolicy applies.
"""

from typing import Protocol

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from exchange_push.errors import CloseCode
from exchange_push.pubsub.outbox import Outbox


class Turn:
    """Gathers the writers that have something to send until the present turn of the reactor ends."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.faults = 0
        self._writers: dict[Writer, None] = {}

    def add(self, writer: "Writer") -> None:
        if not self._writers:
            self._clock.callLater(0, self._end)
        self._writers[writer] = None

    def _end(self) -> None:
        writers, self._writers = self._writers, {}
        for writer in writers:
            try:
                writer.write()
            except Exception:  # the border: what cannot be told to one client is still told to all others
                self.faults += 1
                self.log.failure("a client could not be told its state")
                writer.fail()


class ByteSink(Protocol):
    """What a writer needs of the WebSocket."""

    def send_bytes(self, data: bytes) -> None:
        """Write whole frames. Never fails: a connection that is gone takes nothing."""
        ...

    def close(self, code: CloseCode, reason: str) -> None: ...


@implementer(IPushProducer)
class Writer:
    """Empties one client's outbox."""

    __slots__ = ("_outbox", "_sink", "_turn")

    def __init__(self, sink: ByteSink, outbox: Outbox, turn: Turn) -> None:
        self._sink = sink
        self._outbox = outbox
        self._turn = turn

    def wake(self) -> None:
        if self._outbox.blocked:
            return
        if self._outbox.full_portion:
            self.write()
        else:
            self._turn.add(self)

    def write(self) -> None:
        outbox = self._outbox
        while len(outbox) and not outbox.blocked:
            portion = outbox.take()
            if portion:
                self._sink.send_bytes(portion)

    def fail(self) -> None:
        self._outbox.clear()
        self._sink.close(CloseCode.INTERNAL_ERROR, "internal error")

    def pauseProducing(self) -> None:
        # The transport calls this at every write beyond its buffer, not only at the first.
        self._outbox.block()

    def resumeProducing(self) -> None:
        self._outbox.unblock()
        self.write()

    def stopProducing(self) -> None:
        """The connection is going; connectionLost follows."""
