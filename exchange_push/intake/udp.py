"""The engine's feed as UDP datagrams: the steps from a datagram to what is given up the house.

What the bytes mean stands in wire/packet.py and wire/events.py, their order and what to ask the engine for again in
wire/sequence.py, the sockets in feed_port.py. Here are the clock of gaps, and the border: nothing that a datagram
holds, and no defect further on, stops the feed.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import length_hint
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from exchange_push.errors import ConfigError, MalformedPacket
from exchange_push.intake.feed_port import (
    PACKET_BYTES,
    RECEIVE_BUFFER_BYTES,
    FeedAddress,
    FeedPort,
    Gatherer,
    Sources,
    ask_for_buffer,
    kernel_drops,
)
from exchange_push.intake.rerequest import Asker
from exchange_push.market.events import Gap, MarketEvent, Restart, UserEvent
from exchange_push.wire.events import decode_events
from exchange_push.wire.packet import decode, encode_request, unsealed
from exchange_push.wire.sequence import Line, Sequencer, Step

Apply = Callable[[Iterable[MarketEvent | Restart | Gap], int], None]

_LOG_EVERY_MS = 1_000


class FeedIntake:
    """Takes the datagrams of all lines of one numbering and gives on what is in them.

    `apply` gets the market events of a datagram in one call, `user` each user event; both in the feed's order.
    `now_ms` is monotonic. What either raises is logged and counted on the line, and the rest goes on. Without an
    `asker` there is nobody to ask. With a `key` only packets sealed with it are taken; with `sources` only what comes
    from there, or from where is asked.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        *,
        apply: Apply,
        user: Callable[[UserEvent], None],
        now_ms: Callable[[], int],
        asker: Asker | None = None,
        key: bytes | None = None,
        sources: Sources | None = None,
        grace_ms: int = 2,
        deadline_ms: int = 1_000,
        waiting_limit: int = 65_536,
    ) -> None:
        self.sequencer = Sequencer(
            grace_ms=grace_ms, deadline_ms=deadline_ms if asker else None, waiting_limit=waiting_limit
        )
        self._asker = asker
        self._key = key
        self._sources = sources
        self._clock = clock
        self._apply = apply
        self._user = user
        self._now_ms = now_ms
        self._timer: IDelayedCall | None = None
        self._timer_ms = 0  # when it fires
        self._steps: list[Step] = []
        self._session = 0
        self._logged_ms: dict[tuple[str, str], int] = {}

    def datagram(self, data: bytes, line: Line, peer: tuple[Any, ...]) -> None:
        """A datagram with nothing behind it. `peer` is the sender's address as its socket tells it, the host first."""
        self.gather(data, line, peer)
        self.settle(line)

    def gather(self, data: bytes, line: Line, peer: tuple[Any, ...]) -> None:
        """One of several datagrams; what they bring is given on by `settle`."""
        now_ms = self._now_ms()
        if self._sources is not None and peer[0] not in self._sources and not self._is_asked(peer):
            line.strangers += 1
            self._drop("stranger", line.strangers, line, peer, now_ms)
            return
        if self._key is not None:
            packet_bytes = unsealed(data, self._key)
            if packet_bytes is None:
                line.forged += 1
                self._drop("forged", line.forged, line, peer, now_ms)
                return
            data = packet_bytes
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
        for step in steps:
            if isinstance(step, list) and self._steps and isinstance(self._steps[-1], list):
                self._steps[-1] += step
            else:
                self._steps.append(step)
        if self.sequencer.ended and not was_ended and self._may_log("end", line, now_ms):
            self.log.info("feed {line}: the engine ended session {n}", line=line.name, n=packet.session)
        self._arm(line, now_ms)

    def settle(self, line: Line) -> None:
        """Give on what the datagrams of `line` since the last call brought. Checking and applying many events at once
        costs a third less than one by one."""
        if self._steps:
            steps, self._steps = self._steps, []
            self._take(steps, line, self._now_ms())

    def _is_asked(self, peer: tuple[Any, ...]) -> bool:
        return self._asker is not None and self._asker.peer is not None and self._asker.peer[:2] == peer[:2]

    def _drop(self, what: str, count: int, line: Line, peer: object, now_ms: int) -> None:
        if self._may_log(what, line, now_ms):
            self.log.warn(
                "feed {line}: {what} datagram from {peer} dropped ({count} so far)",
                line=line.name,
                what=what,
                peer=peer,
                count=count,
            )

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
        if self._asker is not None:
            for request in self.sequencer.requests(now_ms):
                self._asker.ask(encode_request(request))
        self._arm(line, now_ms)

    def _arm(self, line: Line, now_ms: int) -> None:
        due_ms = self.sequencer.due_ms()
        if due_ms is None:
            return  # a timer that runs finds nothing to do: a gap that healed costs that, not a cancelled timer each
        wait_s = max(due_ms - now_ms, 0) / 1000
        if self._timer is None:
            self._timer = self._clock.callLater(wait_s, self._tick, line)
        elif due_ms < self._timer_ms:
            self._timer.reset(wait_s)
        else:
            return
        self._timer_ms = due_ms

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
            if step.count == 0:
                self.log.warn("feed {line}: events may be lost that came since the server stopped", line=line.name)
            elif self._may_log("gap", line, now_ms):
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


class FeedProtocol(Gatherer):
    """One line's socket."""

    def __init__(self, line: Line, intake: FeedIntake) -> None:
        self.line = line
        self._intake = intake

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.gather(datagram, addr)
        self.settle()

    def gather(self, datagram: bytes, addr: Any) -> None:
        """One of several datagrams; `settle` follows."""
        if len(datagram) >= PACKET_BYTES:
            self.line.truncated += 1
            return
        try:
            self._intake.gather(datagram, self.line, addr)
        except Exception:  # or the reactor would close the port
            self._intake.failed(self.line)

    def settle(self) -> None:
        try:
            self._intake.settle(self.line)
        except Exception:
            self._intake.failed(self.line)


class FeedService(Service):
    """Listens on all lines. Bound while the process is still privileged, before clients can come.

    With an `asker` missing events are asked for again, by the first line that has an address of its own.
    """

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
        asker: Asker | None = None,
        key: bytes | None = None,
        sources: Sources | None = None,
        grace_ms: int = 2,
        deadline_ms: int = 1_000,
        waiting_limit: int = 65_536,
    ) -> None:
        self._reactor = reactor
        self._now_ms = now_ms
        self._sealed = key is not None
        self._asker = asker
        self.intake = FeedIntake(
            reactor,
            apply=apply,
            user=user,
            now_ms=now_ms,
            asker=asker,
            key=key,
            sources=sources,
            grace_ms=grace_ms,
            deadline_ms=deadline_ms,
            waiting_limit=waiting_limit,
        )
        self.addresses = tuple(addresses)
        self.lines = [Line(str(address)) for address in addresses]
        self.ports: list[FeedPort] = []
        """Of each line, while it listens."""
        self._extra: FeedPort | None = None
        self._resumed_ms: int | None = None

    def privilegedStartService(self) -> None:
        """Raises ConfigError, one line, where an address cannot be listened on."""
        super().privilegedStartService()
        for address, line in zip(self.addresses, self.lines, strict=True):
            self.ports.append(self._listen(address, line))
            if not (self._sealed or address.is_loopback):
                self.log.warn(
                    "feed {line}: whoever reaches this address writes the market: set feed.key_file, or keep its"
                    " network to yourself",
                    line=line.name,
                )
        if self._asker is not None:
            own = [port for address, port in zip(self.addresses, self.ports, strict=True) if not address.multicast]
            if not own:  # a socket bound to a group is not what an answer comes to
                own = [self._listen(FeedAddress(0, self.addresses[0].interface), self.lines[0])]
                self._extra = own[0]
            self._asker.use(own[0])

    def _listen(self, address: FeedAddress, line: Line) -> FeedPort:
        port = FeedPort(address, FeedProtocol(line, self.intake), self._reactor)
        try:
            port.startListening()
        except CannotListenError as error:
            raise ConfigError(f"cannot listen on {address}: {error.socketError}") from None
        granted_bytes = ask_for_buffer(port.getHandle())
        enough = granted_bytes >= RECEIVE_BUFFER_BYTES
        (self.log.info if enough else self.log.warn)(
            "feed {line}: receive buffer of {granted} bytes granted, {asked} asked for{hint}",
            line=line.name,
            granted=granted_bytes,
            asked=RECEIVE_BUFFER_BYTES,
            hint="" if enough else "; a burst may be lost, raise net.core.rmem_max",
        )
        return port

    def startService(self) -> None:
        if not self.ports:
            self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        self.intake.stop()
        if self._asker is not None:
            self._asker.stop()
        ports, self.ports = self.ports, []
        if self._extra is not None:
            ports.append(self._extra)
            self._extra = None
        return gatherResults([port.stopListening() for port in ports])

    @property
    def unsent(self) -> int:
        """Requests for missing events that could not be sent."""
        return 0 if self._asker is None else self._asker.unsent

    def resume(self, session: int, seq: int) -> None:
        """Go on where an earlier run stopped. The feed was heard then, so that its silence counts from now on."""
        self.intake.sequencer.resume(session, seq)
        self._resumed_ms = self._now_ms()

    def silent_ms(self) -> int | None:
        """How long no packet of the running session came; None: never one."""
        heard_ms = self.intake.sequencer.heard_ms
        if heard_ms is None:
            heard_ms = self._resumed_ms
        return None if heard_ms is None else self._now_ms() - heard_ms

    def is_stale(self, stale_ms: int) -> bool:
        silent_ms = self.silent_ms()
        return silent_ms is None or silent_ms > stale_ms

    def read_kernel_drops(self) -> None:
        """Brings `kernel_dropped` of the lines up to date; call before they are read."""
        for line, port in zip(self.lines, self.ports, strict=False):
            line.kernel_dropped = kernel_drops(port.fileno())
        if self._extra is not None:
            self.lines[0].kernel_dropped += kernel_drops(self._extra.fileno())
