"""exchange-push-replay: plays a recorded feed into a server, as the engine's datagrams.

    exchange-push-replay FILE[.gz] --to udp:127.0.0.1:6791 [--speed N] [--session N] [--batch N] [--loop]

The file's format stands in docs/reference/recorded-feed.md. It is read as it is played, so it may be larger than
memory. Events that are due together share a datagram as far as one fits into an Ethernet frame.
"""

import argparse
import contextlib
import gzip
import ipaddress
import math
import re
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn, cast

import msgspec
from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from exchange_push.demo.looping import looped
from exchange_push.errors import ConfigError, WireError, quoted
from exchange_push.wire.events import decode_event
from exchange_push.wire.packet import encode

_FRAME_BYTES: Final = 1_400  # more would be split on the way, and lost as a whole
_HEARTBEAT_S: Final = 1.0
# No answer tells how fast the other side reads. A receive buffer that nobody may enlarge counts 425,984 bytes, in which
# a datagram weighs twice its length and 1,280 bytes at the least: at this pace it outlasts a stall of 85 ms.
_PACE_BYTES_PER_S: Final = 5_000_000
_LEAST_BYTES: Final = 1_280
_TURN_S: Final = 0.001
_TIME_END_MS: Final = 253_402_300_800_000
_DESTINATION: Final = re.compile(
    r"udp:(?P<host>(?:[^:\\]|\\:)+):(?P<port>[0-9]{1,5})(?::interface=(?P<interface>[0-9.]+))?"
)


class Recorded(NamedTuple):
    at_ms: int
    event: list[object]
    line: int


@dataclass(slots=True)
class Summary:
    """What was sent."""

    events: int = 0
    datagrams: int = 0
    heartbeats: int = 0
    sent_bytes: int = 0
    took_s: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.events} events in {self.datagrams} datagrams, {self.sent_bytes} bytes, "
            f"and {self.heartbeats} heartbeats in {self.took_s:.1f} s"
        )


class Replay:
    """Sends `recorded` by `send`, `speed` times as fast as it was recorded; 0: as fast as a server can take it."""

    def __init__(
        self,
        clock: IReactorTime,
        recorded: Iterable[Recorded],
        send: Callable[[bytes], None],
        *,
        session: int,
        speed: float = 1.0,
        batch: int = 1_000,
    ) -> None:
        self.summary = Summary()
        self._clock = clock
        self._recorded = iter(recorded)
        self._send = send
        self._session = session
        self._speed = speed
        self._batch = batch
        self._seq = 1
        self._next: Recorded | None = None
        self._first_ms = 0
        self._began_s = 0.0
        self._beat_s = 0.0

    async def run(self) -> Summary:
        """Plays all of it and ends the session. Raises what reading `recorded` raises, the session ended too."""
        self._began_s = self._clock.seconds()
        self._heartbeat()
        try:
            self._next = next(self._recorded, None)
            self._first_ms = 0 if self._next is None else self._next.at_ms
            while self._next is not None:
                wait_s = self._burst()
                if self._clock.seconds() >= self._beat_s:
                    self._heartbeat()
                wait_s = min(wait_s, self._beat_s - self._clock.seconds())
                await task.deferLater(self._clock, max(wait_s, _TURN_S))
        finally:
            self._send(encode(self._session, self._seq, None))
            self.summary.took_s = self._clock.seconds() - self._began_s
        return self.summary

    def _burst(self) -> float:
        """Sends what is due, as much as may go at once; in how many seconds there is more."""
        weight_bytes = 0
        while self._next is not None and weight_bytes < _PACE_BYTES_PER_S * _TURN_S:
            wait_s = self._began_s + self._due_ms(self._next) / 1000 - self._clock.seconds()
            if wait_s > 0:
                return max(wait_s, weight_bytes / _PACE_BYTES_PER_S)
            weight_bytes += max(2 * self._datagram(self._next), _LEAST_BYTES)
        return weight_bytes / _PACE_BYTES_PER_S

    def _due_ms(self, recorded: Recorded) -> int:
        """In ms since the beginning; whole ones, so that what shares a datagram does not depend on the machine."""
        return int((recorded.at_ms - self._first_ms) / self._speed) if self._speed else 0

    def _datagram(self, first: Recorded) -> int:
        """Sends `first` and what is due with it as far as there is room; the bytes of the datagram."""
        events = [first.event]
        try:
            datagram = encode(self._session, self._seq, events)
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"line {first.line}: {error}") from None
        try:
            while True:
                self._next = next(self._recorded, None)
                if self._next is None or self._due_ms(self._next) != self._due_ms(first):
                    break
                if len(events) >= self._batch or len(datagram) >= _FRAME_BYTES:
                    break
                try:
                    longer = encode(self._session, self._seq, [*events, self._next.event])
                except (ValueError, OverflowError):
                    break  # alone it may fit
                if len(longer) > _FRAME_BYTES:
                    break
                events.append(self._next.event)
                datagram = longer
        finally:  # what stands before a line that cannot be read is sent all the same
            self._send(datagram)
            self._seq += len(events)
            self.summary.events += len(events)
            self.summary.datagrams += 1
            self.summary.sent_bytes += len(datagram)
        return len(datagram)

    def _heartbeat(self) -> None:
        self._send(encode(self._session, self._seq, []))
        self.summary.heartbeats += 1
        self._beat_s = self._clock.seconds() + _HEARTBEAT_S


class _Line(msgspec.Struct):
    at: int | None = None
    event: list[object] | None = None
    answer: object = None


def read(path: Path) -> Iterator[Recorded]:
    """The events of a recorded feed, in the order of the file. Raises ConfigError naming the line."""
    decoder = msgspec.json.Decoder(_Line)
    number = 0
    try:
        with _opened(path) as lines:
            for number, text in enumerate(lines, 1):
                if not text.strip():
                    continue
                line = decoder.decode(text)
                if line.event is None:
                    if line.answer is None:
                        raise WireError("neither event nor answer")
                    continue
                if line.at is None or not 0 <= line.at < _TIME_END_MS:
                    raise WireError(f"at is {quoted(line.at)}, expected ms since the epoch")
                decode_event(line.event)  # what a server would leave out is a fault of the file
                yield Recorded(line.at, line.event, number)
    except (WireError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigError(f"{path}, line {number}: {error}") from None
    except (OSError, EOFError, zlib.error) as error:
        where = f"{path}, after line {number}" if number else str(path)
        raise ConfigError(f"{where}: {getattr(error, 'strerror', None) or error}") from None


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if is_gzip else path.open("rb")


class Destination:
    """A UDP socket connected to where the server listens: `udp:HOST:PORT[:interface=ADDRESS]`.

    `interface` is the address of ours from which a multicast group is sent to. Raises ConfigError.
    """

    def __init__(self, text: str) -> None:
        self.refused = 0
        """Datagrams that found nobody listening, as far as the kernel told."""
        found = _DESTINATION.fullmatch(text)
        if found is None or not 1 <= int(found["port"]) <= 65_535:
            raise ConfigError(f"--to {quoted(text)}, expected udp:HOST:PORT[:interface=ADDRESS]")
        host, port, interface = found["host"].replace("\\:", ":"), found["port"], found["interface"]
        try:
            source = ipaddress.IPv4Address(interface).packed if interface else None
            family, _, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
            self._skt = socket.socket(family, socket.SOCK_DGRAM)
            try:
                if source is not None:
                    self._skt.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, source)
                self._skt.connect(address)
            except OSError:
                self._skt.close()
                raise
        except (OSError, ValueError) as error:
            raise ConfigError(f"--to {quoted(text)}: {getattr(error, 'strerror', None) or error}") from None

    def send(self, datagram: bytes) -> None:
        try:
            self._skt.send(datagram)
        except ConnectionRefusedError:  # of one before, and this one was not sent: try again, it may be up by now
            self.refused += 1
            with contextlib.suppress(ConnectionRefusedError):
                self._skt.send(datagram)

    def close(self) -> None:
        self._skt.close()


async def _play(reactor: Any, options: argparse.Namespace) -> None:
    file: Callable[[], Iterator[Recorded]] = partial(read, options.file)
    try:
        destination = Destination(options.to)
        try:
            replay = Replay(
                reactor,
                looped(file) if options.loop else file(),
                destination.send,
                session=options.session or int(time.time() * 1000),
                speed=options.speed,
                batch=options.batch,
            )
            try:
                await replay.run()
            except CancelledError:
                if not options.loop:  # which ends in no other way
                    raise
        finally:
            destination.close()
        print(f"sent {replay.summary}")
        if destination.refused:
            raise ConfigError(f"nobody listens on {options.to}: {destination.refused} datagrams were refused")
    except (ConfigError, OSError) as error:
        _fail(str(error))
    except CancelledError:
        _fail("interrupted")


def main(argv: Sequence[str] | None = None) -> None:
    """The console command. Raises SystemExit: 0 when all was sent, 1 after one line that says what is wrong."""
    parser = _Parser(prog="exchange-push-replay", description="Play a recorded feed into a server.")
    parser.add_argument("file", type=Path, metavar="FILE", help="the recorded feed, plain or gzip")
    parser.add_argument("--to", required=True, metavar="udp:HOST:PORT", help="where the server takes its feed")
    parser.add_argument("--speed", type=_speed, default=1.0, help="times as fast; 0: as fast as a server can take it")
    parser.add_argument("--session", type=_positive, help="number of the session; default: the time in ms")
    parser.add_argument("--batch", type=_positive, default=1_000, help="at most so many events in a datagram")
    parser.add_argument("--loop", action="store_true", help="again and again, as a market that goes on, until Ctrl-C")
    options = parser.parse_args(argv)

    def play(reactor: Any) -> Deferred[None]:
        playing = ensureDeferred(_play(reactor, options))
        reactor.addSystemEventTrigger("before", "shutdown", playing.cancel)  # SIGINT: the session is ended too
        return playing

    task.react(play)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(message)


def _fail(message: str) -> NoReturn:
    print(f"exchange-push-replay: {message}", file=sys.stderr)
    raise SystemExit(1)


def _speed(text: str) -> float:
    with contextlib.suppress(ValueError):
        speed = float(text)
        if 0 <= speed < math.inf:
            return speed
    raise argparse.ArgumentTypeError(f"{quoted(text)}, expected a number, 0 or more")


def _positive(text: str) -> int:
    if re.fullmatch("[0-9]{1,19}", text) and 1 <= int(text) < 1 << 63:
        return int(text)
    raise argparse.ArgumentTypeError(f"{quoted(text)}, expected a whole number, 1 or more")
