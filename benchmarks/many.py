"""Many channels: 500 symbols of 6 channels, 5,000 clients with 1 to 50 subscriptions by Zipf's law, 20,000 trades/s.

    python -m benchmarks.many [--clients 5000] [--rate 20000] [--depth 1000] [--seconds 10]

Three processes: the server, a sender that puts trades of all symbols (twenty a datagram) and 1,000
depth changes a second into its feed, and the load. Printed: deliveries, the server's CPU, and percentiles of the age of
what came to the clients' sockets, beyond the cadence of its channel: for trades the time of the oldest in a message,
for a book and its best bid and ask that of the last change, for a ticker the end of its window. When it came is told by
the kernel, of one client in 20, since the load, which has to read it all on one core, comes to it later.
"""

import argparse
import json
import os
import random
import re
import resource
import select
import socket
import struct
import subprocess
import sys
import time

from benchmarks.fanout import LOAD_CORE, exchange_push, on_core
from benchmarks.load import Clients, cpu_s, masked
from benchmarks.round import SYMBOLS, zipf

_PORT = 17_900
_KINDS = ("trades", "depth", "ticker", "kline", "markprice", "bookticker")
_AGES = {
    "trades": (100, re.compile(rb'@trades","data":\{"trades":\[\{[^}]*?"time":(\d+)')),
    "bookticker": (50, re.compile(rb'@bookticker","data":\{[^}]*?"time":(\d+)')),
    "depth": (100, re.compile(rb'@depth","data":\{"type":"update"[^}]*?"time":(\d+)')),
    "ticker": (1000, re.compile(rb'@ticker","data":\{[^}]*?"closeTime":(\d+)')),
}
_TIMED = 20  # of so many clients one is looked at,
_OTHERS = 50  # after so many others, so that what it reads came at one time
_REST_S = 0.002  # woken by each message it would cost the server the waking, as clients on other machines do not
_SO_TIMESTAMPNS = 35  # of Linux; Python has no name for it
_TIMESPEC = struct.Struct("qq")


def _name(symbol: int) -> str:
    return f"S{symbol:03}USDT"


def send(port: int, rate: int, depth: int, seconds: float) -> None:
    """The engine: trades and depth changes, at their times."""
    from exchange_push.wire.packet import encode

    rng = random.Random(1)
    skt = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    skt.connect(("127.0.0.1", port))
    session = int(time.time() * 1000)
    number, trades, books = 1, [0] * SYMBOLS, [1] * SYMBOLS

    def say(events: list[list[object]]) -> None:
        nonlocal number
        skt.send(encode(session, number, events))
        number += len(events)

    now_ms = session
    for at in range(SYMBOLS):
        levels = (
            [[f"{100 - n / 100:.2f}", "1.5"] for n in range(1, 21)],
            [[f"{100 + n / 100:.2f}", "2"] for n in range(20)],
        )
        say([["book", _name(at), 1, now_ms, *levels]])
    begin_s = time.monotonic()
    changed = sent = 0
    while time.monotonic() < begin_s + seconds:
        now_ms = int(time.time() * 1000)
        due = int((time.monotonic() - begin_s) * depth)
        while changed + 20 <= due:
            changes: list[list[object]] = []
            for _ in range(20):
                at = rng.randrange(SYMBOLS)
                books[at] += 1
                quantity = f"{1 + rng.randrange(1000) / 1000:.3f}"
                changes.append(["depth", _name(at), books[at], books[at], now_ms, [["99.99", quantity]], []])
            say(changes)
            changed += 20
        due = int((time.monotonic() - begin_s) * rate)
        while sent + 20 <= due:
            events: list[list[object]] = []
            for _ in range(20):
                at = rng.randrange(SYMBOLS)
                trades[at] += 1
                sent += 1
                events.append(["trade", _name(at), trades[at], "100.00", "0.25", "buy", now_ms, sent])
            say(events)
        time.sleep(0.001)


def _requests(rng: random.Random, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        names = {f"{_name(symbol)}@{rng.choice(_KINDS)}" for symbol in zipf(rng, rng.randint(1, 50))}
        found.append(json.dumps({"op": "subscribe", "channels": sorted(names)}).encode())
    return found


class Aged(Clients):
    """Clients that look at how old what comes to them is."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        super().__init__(port, "/exchange-stream", requests)
        self.ages_ms: dict[str, list[float]] = {name: [] for name in _AGES}
        self.messages = self.bytes = 0
        self._timed: set[int] = set()
        self._timed_poll = select.epoll()
        self._came_ms: float | None = None

    def time(self) -> None:
        """Let the kernel note of some of them when something comes."""
        for number in list(self.sockets)[::_TIMED]:
            self.sockets[number].setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._timed.add(number)
            self._poll.unregister(number)
            self._timed_poll.register(number, select.EPOLLIN)

    def look(self, wait_s: float) -> None:
        time.sleep(_REST_S)
        for index, (number, _) in enumerate(self._poll.poll(wait_s)):
            self._read(number)
            if index % _OTHERS == 0:
                for timed, _ in self._timed_poll.poll(0):
                    self._read(timed)

    def first(self) -> bytes:
        return masked(self._requests.pop())

    def receive(self, number: int) -> bytes:
        self._came_ms = None
        if number not in self._timed:
            return super().receive(number)
        size, notes, _, _ = self.sockets[number].recvmsg_into([self.buffer], 64)
        for _, _, note in notes:
            seconds, ns = _TIMESPEC.unpack(note)
            self._came_ms = seconds * 1000 + ns / 1e6
        return bytes(self.buffer[:size])

    def heard(self, data: bytes) -> None:
        self.messages += data.count(b'{"event":')
        self.bytes += len(data)
        if self._came_ms is not None:
            for name, (cadence_ms, pattern) in _AGES.items():
                # The last one: what is read together came at several times, and the kernel tells the last of these.
                match = pattern.search(data, max(0, data.rfind(b'@%b"' % name.encode())))
                if match is not None:
                    self.ages_ms[name].append(self._came_ms - int(match[1]) - cadence_ms)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--rate", type=int, default=20_000, help="trades a second")
    parser.add_argument("--depth", type=int, default=1000, help="depth changes a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send(options.send, options.rate, options.depth, options.seconds)
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    on_core(LOAD_CORE)
    with exchange_push("exchange-push", _PORT) as server:
        clients = Aged(server.port, _requests(random.Random(2), options.clients))
        clients.connect(options.clients)
        clients.time()
        sender = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.many", "--send", str(_PORT + 3)),
                *("--rate", str(options.rate), "--depth", str(options.depth), "--seconds", str(options.seconds + 3)),
            ],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        end_s = time.monotonic() + 3  # the first of everything
        while time.monotonic() < end_s:
            clients.look(0.05)
        for ages in clients.ages_ms.values():
            ages.clear()
        messages, size = clients.messages, clients.bytes
        begin_s, begin_cpu_s = time.monotonic(), cpu_s(server.pid)
        load_s = time.process_time()
        while time.monotonic() < begin_s + options.seconds:
            clients.look(0.05)
        took_s = time.monotonic() - begin_s
        used_s = cpu_s(server.pid) - begin_cpu_s
        load_s = time.process_time() - load_s
        sender.wait()
        messages, size = clients.messages - messages, clients.bytes - size
        print(
            f"{len(clients.sockets):,} of {options.clients:,} clients got {messages / took_s:,.0f} messages a second, "
            f"{size / took_s / 1e6:.1f} MB/s; CPU of the server {used_s / took_s:.0%} of a core, "
            f"{used_s / messages * 1e6:.2f} µs a message; of the load {load_s / took_s:.0%}"
        )
        for name, ages in clients.ages_ms.items():
            ages.sort()
            p50, p99 = ages[len(ages) // 2], ages[len(ages) * 99 // 100]
            print(f"age of {name} beyond the cadence: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        clients.close()


if __name__ == "__main__":
    main()
