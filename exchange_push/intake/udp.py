"""The engine's feed as UDP datagrams: the steps from a datagram to what is given up the house.

What the bytes mean stands in wire/packet.py and wire/events.py, their order in wire/sequence.py, the sockets in
feed_port.py. Here are the clock of gaps, and the border: nothing that a datagram holds, and no defect further on,
stops the feed.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import length_hint
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from exchange_push.errors import ConfigError, MalformedPacket
from exchange_push.intake.feed_port import (
    PACKET_BYTES,
    RECEIVE_BUFFER_BYTES,
    FeedAddress,
    FeedPort,
    ask_for_buffer,
    kernel_drops,
)
from exchange_push.market.events import Gap, MarketEvent, Restart, UserEvent
from exchange_push.wire.events import decode_events
from exchange_push.wire.packet import decode
from exchange_push.wire.sequence import Line, Sequencer, Step

Apply = Callable[[Iterable[MarketEvent | Restart | Gap], int], None]

_LOG_EVERY_MS = 1_000


class FeedIntake:
    """Takes the datagrams of all lines of one numbering and gives on what is in them.

    `apply` gets the market events of a datagram in one call, `user` each user event; both in the feed's order.
    `now_ms` is monotonic. What either raises is logged and counted on the line, and the rest goes on.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        *,
        apply: Apply,
        user: Callable[[UserEvent], None],
        now_ms: Callable[[], int],
        grace_ms: int = 2,
        waiting_limit: int = 65_536,
    ) -> None:
        self.sequencer = Sequencer(grace_ms=grace_ms, waiting_limit=waiting_limit)
        self._clock = clock
        self._apply = apply
        self._user = user
        self._now_ms = now_ms
        self._timer: IDelayedCall | None = None
        self._session = 0
        self._logged_ms: dict[tuple[str, str], int] = {}

    def datagram(self, data: bytes, line: Line, peer: object) -> None:
        now_ms = self._now_ms()
        try:
            packet = decode(data)
        except MalformedPacket as error:
            line.malformed += 1
            if self._may_log("malformed", line, now_ms):
                self.log.warn(
                    "feed {line}: malformed datagram from {peer}: {error} ({count} so far)",
                    line=line.name,
                    peer=peer,
                    error=str(error),
                    count=line.malformed,
                )
            return
        was_ended = self.sequencer.ended
        steps = self.sequencer.received(packet, line, now_ms, len(data))
        if steps:
            self._take(steps, line, now_ms)
        if self.sequencer.ended and not was_ended and self._may_log("end", line, now_ms):
            self.log.info("feed {line}: the engine ended session {n}", line=line.name, n=packet.session)
        self._arm(line, now_ms)

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _tick(self, line: Line) -> None:
        self._timer = None
        now_ms = self._now_ms()
        steps = self.sequencer.tick(now_ms)
        if steps:
            self._take(steps, line, now_ms)
        self._arm(line, now_ms)

    def _arm(self, line: Line, now_ms: int) -> None:
        if self._timer is not None:
            return  # it looks again when it fires: a gap that healed costs one idle tick, not a cancelled timer each
        due_ms = self.sequencer.due_ms()
        if due_ms is not None:
            self._timer = self._clock.callLater(max(due_ms - now_ms, 0) / 1000, self._tick, line)

    def _take(self, steps: list[Step], line: Line, now_ms: int) -> None:
        market: list[MarketEvent | Restart | Gap] = []
        users: list[UserEvent] = []
        for step in steps:
            if isinstance(step, list):
                decoded = decode_events(step)
                line.malformed_events += decoded.malformed
                line.unknown_events += decoded.unknown
                line.extended_events += decoded.extended
                for event in decoded.events:
                    if type(event) is UserEvent:
                        users.append(event)
                    else:
                        market.append(event)  # type: ignore[arg-type]
            else:
                market.append(step)
                self._tell(step, line, now_ms)
        if market:
            self._apply_all(market, line, now_ms)
        for event in users:
            try:
                self._user(event)
            except Exception:
                self.failed(line)

    def _apply_all(self, events: Sequence[MarketEvent | Restart | Gap], line: Line, now_ms: int) -> None:
        # An iterator remembers how far the board came: the event that it choked on is lost, those behind it are not.
        left = iter(events)
        count = len(events)
        while count:
            try:
                self._apply(left, now_ms)
                return
            except Exception:
                self.failed(line)
            if length_hint(left) >= count:
                return  # it failed before it looked at any, and would for ever
            count = length_hint(left)

    def _tell(self, step: Restart | Gap, line: Line, now_ms: int) -> None:
        if isinstance(step, Gap):
            if self._may_log("gap", line, now_ms):
                self.log.warn(
                    "feed {line}: {n} events are lost, the next number is {seq}",
                    line=line.name,
                    n=step.count,
                    seq=self.sequencer.next_seq,
                )
            return
        was, self._session = self._session, step.session
        if not self._may_log("session", line, now_ms):
            return
        if step.session < was:
            self.log.warn(
                "feed {line}: session {n} is older than {was}, but all that is heard: going on with it",
                line=line.name,
                n=step.session,
                was=was,
            )
        else:
            self.log.info("feed {line}: session {n} begins", line=line.name, n=step.session)

    def failed(self, line: Line) -> None:
        """Call within the `except` of what a datagram's events led to."""
        line.errors += 1
        if self._may_log("error", line, self._now_ms()):
            self.log.failure("feed {line}: event not applied ({n} so far)", line=line.name, n=line.errors)

    def _may_log(self, what: str, line: Line, now_ms: int) -> bool:
        logged_ms = self._logged_ms.get((what, line.name))
        if logged_ms is not None and now_ms - logged_ms < _LOG_EVERY_MS:
            return False
        self._logged_ms[what, line.name] = now_ms
        return True


class FeedProtocol(DatagramProtocol):
    """One line's socket."""

    def __init__(self, line: Line, intake: FeedIntake) -> None:
        self.line = line
        self._intake = intake

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if len(datagram) >= PACKET_BYTES:
            self.line.truncated += 1
            return
        try:
            self._intake.datagram(datagram, self.line, addr)
        except Exception:  # or the reactor would close the port
            self._intake.failed(self.line)


class FeedService(Service):
    """Listens on all lines. Bound while the process is still privileged, before clients can come."""

    log = Logger()
    name = "feed"

    def __init__(
        self,
        reactor: Any,
        addresses: Sequence[FeedAddress],
        *,
        apply: Apply,
        user: Callable[[UserEvent], None],
        now_ms: Callable[[], int],
        grace_ms: int = 2,
        waiting_limit: int = 65_536,
    ) -> None:
        self._reactor = reactor
        self._now_ms = now_ms
        self.intake = FeedIntake(
            reactor, apply=apply, user=user, now_ms=now_ms, grace_ms=grace_ms, waiting_limit=waiting_limit
        )
        self.addresses = tuple(addresses)
        self.lines = [Line(str(address)) for address in addresses]
        self.ports: list[FeedPort] = []
        """Of each line, while it listens."""

    def privilegedStartService(self) -> None:
        """Raises ConfigError, one line, where an address cannot be listened on."""
        super().privilegedStartService()
        for address, line in zip(self.addresses, self.lines, strict=True):
            port = FeedPort(address, FeedProtocol(line, self.intake), self._reactor)
            try:
                port.startListening()
            except CannotListenError as error:
                raise ConfigError(f"cannot listen on {address}: {error.socketError}") from None
            self.ports.append(port)
            granted_bytes = ask_for_buffer(port.getHandle())
            enough = granted_bytes >= RECEIVE_BUFFER_BYTES
            (self.log.info if enough else self.log.warn)(
                "feed {line}: receive buffer of {granted} bytes granted, {asked} asked for{hint}",
                line=line.name,
                granted=granted_bytes,
                asked=RECEIVE_BUFFER_BYTES,
                hint="" if enough else "; a burst may be lost, raise net.core.rmem_max",
            )

    def startService(self) -> None:
        if not self.ports:
            self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        self.intake.stop()
        ports, self.ports = self.ports, []
        return gatherResults([port.stopListening() for port in ports])

    def silent_ms(self) -> int | None:
        """How long no packet of the running session came; None: never one."""
        heard_ms = self.intake.sequencer.heard_ms
        return None if heard_ms is None else self._now_ms() - heard_ms

    def is_stale(self, stale_ms: int) -> bool:
        silent_ms = self.silent_ms()
        return silent_ms is None or silent_ms > stale_ms

    def read_kernel_drops(self) -> None:
        """Brings `kernel_dropped` of the lines up to date; call before they are read."""
        for line, port in zip(self.lines, self.ports, strict=False):
            line.kernel_dropped = kernel_drops(port.fileno())
