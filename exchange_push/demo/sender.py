"""The demo engine's end of the feed: numbers events, sends them on every line, and sends again what it is asked for.

Its network can be made worse: packets and requests get lost, packets come twice, overtake each other, come late. The
same seed makes the same faults of the same packets and requests, and none of them touches the market.
"""

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any, Final, NamedTuple, cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from exchange_push.errors import MalformedPacket
from exchange_push.wire import packet

KEPT_PACKETS: Final = 4_000  # of the demo: the better part of a minute
_ANSWER_PACKETS: Final = 256  # a burst that any receive buffer holds; the rest will be asked for again
_OVERTAKEN_MS: Final = 5

Address = tuple[str, int]


class Faults(NamedTuple):
    """Of each line on its own. `loss`, `repeat`, `reorder`: shares of the packets, 0 to 1."""

    loss: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    delay_ms: int = 0


class _Kept(NamedTuple):
    seq: int
    end: int
    datagram: bytes


class Sender(DatagramProtocol):
    """Of one session. `lines`: where the feed is heard, each packet goes to all of them."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        lines: Sequence[Address],
        session: int,
        *,
        faults: Faults = Faults(),  # noqa: B008  # a value: it cannot change
        seed: int = 1,
        key: bytes | None = None,
        kept_packets: int = KEPT_PACKETS,
    ) -> None:
        self.session = session
        self.seq = 1
        """Number of the next event."""
        self.unsent = 0
        """Packets that the socket did not take."""
        self.lost = 0
        """Packets and requests that the pretended network lost."""
        self.requests = 0
        """Requests that came through."""
        self._clock = clock
        self._lines = tuple(lines)
        self._faults = faults
        self._key = key
        self._random = Random(seed)
        self._kept: deque[_Kept] = deque(maxlen=kept_packets)
        self._late: set[IDelayedCall] = set()

    def send(self, events: Sequence[object] | None) -> None:
        """One datagram; `[]` is a heartbeat, None ends the session. Numbers are used up, sent or not."""
        datagram = packet.encode(self.session, self.seq, events, self._key)
        if events:
            self._kept.append(_Kept(self.seq, self.seq + len(events), datagram))
            self.seq += len(events)
        for line in self._lines:
            self._pass_on(datagram, line)

    def end(self) -> None:
        """What is still on its way is lost; the end of the session is not."""
        late, self._late = self._late, set()
        for call in late:
            call.cancel()
        self._faults = Faults()
        self.send(None)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        try:
            request = packet.decode_request(datagram)
        except MalformedPacket:
            return
        if self._random.random() < self._faults.loss:
            self.lost += 1
            return
        self.requests += 1
        end = request.seq + request.count
        wanted = [kept.datagram for kept in self._kept if kept.seq < end and request.seq < kept.end]
        if request.session == self.session:
            for kept in wanted[:_ANSWER_PACKETS]:
                self._pass_on(kept, addr)

    def _pass_on(self, datagram: bytes, to: Any) -> None:
        """Through the pretended network."""
        faults, random = self._faults, self._random
        if random.random() < faults.loss:
            self.lost += 1
            return
        for _ in range(2 if random.random() < faults.repeat else 1):
            late_ms = faults.delay_ms + (_OVERTAKEN_MS if random.random() < faults.reorder else 0)
            if late_ms:
                self._send_late(late_ms, datagram, to)
            else:
                self._write(datagram, to)

    def _send_late(self, late_ms: int, datagram: bytes, to: Any) -> None:
        def arrive() -> None:
            self._late.discard(call)
            self._write(datagram, to)

        call = self._clock.callLater(late_ms / 1000, arrive)
        self._late.add(call)

    def _write(self, datagram: bytes, to: Any) -> None:
        try:
            cast(IUDPTransport, self.transport).write(datagram, to)
        except OSError as error:
            self.unsent += 1
            if self.unsent == 1:
                self.log.warn("the demo engine cannot send to its feed: {error}", error=error)
