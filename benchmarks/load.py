"""Load for WebSocket servers that fan out: many clients in one process, which count and time what arrives.

A message holds one backquote, followed by the time at which it was published, in ns; so clients need not parse frames.
"""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

READ_BYTES = 1 << 18
_SAMPLED = 8  # of so many reads one is timed

_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """A client's frame; the mask is zeros, which is as good a mask as any."""
    size = len(payload)
    head = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + head + bytes(4) + payload


def cpu_s(pid: int) -> float:
    """What all threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Figures:
    """What a stretch of time brought."""

    deliveries: int = 0
    published: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def us_a_delivery(self) -> float:
        return self.cpu_s / max(1, self.deliveries) * 1e6

    @property
    def p99_ms(self) -> float:
        return quantiles(self.latencies_ms, n=100)[98] if len(self.latencies_ms) > 1 else 0.0


class Clients:
    """Connections to one server, which say `first` after the handshake; `at_once` are being made at a time."""

    def __init__(self, port: int, path: str, first: list[bytes], *, at_once: int = 256) -> None:
        self._port = port
        self._at_once = at_once
        self._hello = _HANDSHAKE.format(path=path).encode()
        self._requests = first
        self._answers = 1 if first else 0
        self._poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.deaf: list[socket.socket] = []
        self.deliveries = 0
        self.closed = 0
        self._reads = 0
        # One for all reads: memory of its own for each costs more or less by where it happens to lie.
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.latencies_ms: list[float] | None = None

    def connect(self, count: int, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Open so many more, subscribe each, and wait until the server has answered all."""
        greeting: dict[int, bytes] = {}
        opened = 0
        wanted = len(self.sockets) + count
        made = len(self.sockets)
        while made < wanted:
            while opened < count and len(greeting) < self._at_once:
                self._open(greeting, opened)
                opened += 1
            for number, event in self._poll.poll(0.05):
                if number not in greeting:
                    self._read(number)
                elif event & select.EPOLLOUT:
                    self.sockets[number].send(self._hello)
                    self._poll.modify(number, select.EPOLLIN)
                else:
                    made += self._greeted(greeting, number)
            meanwhile()

    def _open(self, greeting: dict[int, bytes], index: int) -> None:
        skt = socket.socket()
        skt.setblocking(False)
        skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # 28,000 ports of one address are not enough for many
        skt.bind((f"127.0.{1 + index // 250 % 250}.{1 + index % 250}", 0))
        skt.connect_ex(("127.0.0.1", self._port))
        self.sockets[skt.fileno()] = skt
        greeting[skt.fileno()] = b""
        self._poll.register(skt, select.EPOLLOUT)

    def _greeted(self, greeting: dict[int, bytes], number: int) -> bool:
        had = greeting[number]
        found = had + self.sockets[number].recv(READ_BYTES)
        greeting[number] = found
        head, end, rest = found.partition(b"\r\n\r\n")
        if not end:
            return False
        assert head.startswith(b"HTTP/1.1 101"), head
        if b"\r\n\r\n" not in had:
            self.sockets[number].send(self.first())
        if self._answers and not rest:
            return False
        del greeting[number]
        return True

    def first(self) -> bytes:
        """What the next client says after its handshake."""
        return b"".join(map(masked, self._requests))

    def heard(self, data: bytes) -> None:
        """Something was read."""
        self.deliveries += data.count(b"`")

    def receive(self, number: int) -> bytes:
        size = self.sockets[number].recv_into(self.buffer)
        return bytes(self.buffer[:size])

    def _read(self, number: int) -> None:
        try:
            data = self.receive(number)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._poll.unregister(number)
            self.sockets.pop(number).close()
            self.closed += 1
            return
        self.heard(data)
        if b"\x89" in data[:2] or (data[0] == 0x89):
            self.sockets[number].send(masked(data[2 : 2 + data[1]], 10))
        self._reads += 1
        if self.latencies_ms is not None and self._reads % _SAMPLED == 0:
            at = data.find(b"`")
            sent = data[at + 1 : at + 20]
            if at >= 0 and len(sent) == 19 and sent.isdigit():  # not of a ping, whose bytes are any
                self.latencies_ms.append((time.monotonic_ns() - int(sent)) / 1e6)

    def turn_deaf(self, count: int) -> None:
        """So many of them read no more from now on."""
        for number in list(self.sockets)[:count]:
            self._poll.unregister(number)
            self.deaf.append(self.sockets.pop(number))

    def look(self, wait_s: float) -> None:
        for number, _ in self._poll.poll(wait_s):
            self._read(number)

    def close(self) -> None:
        for skt in [*self.sockets.values(), *self.deaf]:
            skt.close()
        self._poll.close()


class Publisher:
    """Says lines to a server's port for them; `template` makes a line of a message."""

    def __init__(self, port: int, template: str, size: int = 200) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._template = template.encode()
        self._padding = b"x" * (size - 60)
        self.published = 0

    def publish(self, count: int = 1) -> None:
        message = b'{"event":"BENCH@ticker","data":{"t":"`%019d","p":"%b"}}' % (time.monotonic_ns(), self._padding)
        self._socket.sendall((self._template.replace(b"%s", message) + b"\n") * count)
        self.published += count
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            self._socket.recv(READ_BYTES)  # answers are not looked at, but must not fill the buffers
        self._socket.setblocking(True)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def measured(figures: Figures, clients: Clients, pid: int) -> Iterator[None]:
    begin_s, begin_cpu_s, had = time.monotonic(), cpu_s(pid), clients.deliveries
    clients.latencies_ms = figures.latencies_ms
    yield
    clients.latencies_ms = None
    figures.seconds = time.monotonic() - begin_s
    figures.cpu_s = cpu_s(pid) - begin_cpu_s
    figures.deliveries = clients.deliveries - had


def burst(clients: Clients, publisher: Publisher, pid: int, at_once: int, seconds: float) -> Figures:
    """So many messages at once; the next when all have arrived everywhere."""
    figures = Figures()
    with measured(figures, clients, pid):
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            publisher.publish(at_once)
            due = clients.deliveries + at_once * len(clients.sockets)
            while clients.deliveries < due and time.monotonic() < end_s + 5:
                clients.look(0.1)
    return figures


def steady(clients: Clients, publisher: Publisher, pid: int, a_second: float, seconds: float) -> Figures:
    """So many messages a second, whatever arrives."""
    figures = Figures()
    with measured(figures, clients, pid):
        begin_s = next_s = time.monotonic()
        while next_s < begin_s + seconds:
            now_s = time.monotonic()
            if now_s >= next_s:
                publisher.publish()
                next_s += 1 / a_second
            clients.look(max(0.0, min(next_s - time.monotonic(), 0.05)))
    return figures
