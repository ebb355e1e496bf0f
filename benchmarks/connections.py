"""Connections: handshakes, memory of those that are idle, and a storm of all who come back at once.

    python -m benchmarks.connections [--clients 10000] [--storm 5000] [--memory-only 50000]

Handshakes: the server's CPU for 2,000 of them, beside plain Autobahn. Memory: resident bytes of the server for each of
10,000 real connections with five subscriptions each; then of 50,000
on transports in memory, in a process of their own, where the limit of open files allows no more real ones. Storm: 500
clients get 10 messages a second while 5,000 connect and subscribe at once: how long until all are back, and the 99th
percentile of the time from publishing to reading meanwhile. Left out: the kernel's memory for sockets.
"""

import argparse
import gc
import os
import resource
import subprocess
import sys
import time
from typing import Any

from benchmarks.fanout import LOAD_CORE, SUBSCRIBE, Server, exchange_push, on_core, peer
from benchmarks.load import Clients, cpu_s, masked, resident_bytes

_PORT = 17_700
FIVE = (
    b'{"op":"subscribe","channels":'
    b'["BTCUSDT@depth","BTCUSDT@trades","BTCUSDT@ticker","BTCUSDT@kline","BTCUSDT@markprice"]}'
)


def handshakes(server: Server, count: int = 2000) -> float:
    """A second of the server's CPU."""
    clients = Clients(server.port, server.path, [])
    before_s = cpu_s(server.pid)
    clients.connect(count)
    used_s = cpu_s(server.pid) - before_s
    clients.close()
    return count / used_s


def idle(server: Server, count: int) -> float:
    """KiB of resident memory for each connection."""
    first = Clients(server.port, server.path, [FIVE])
    first.connect(200)
    clients = Clients(server.port, server.path, [FIVE])
    before = resident_bytes(server.pid)
    clients.connect(count)
    time.sleep(1)
    each = (resident_bytes(server.pid) - before) / count / 1024
    for connected in (first, clients):
        connected.close()
    return each


def storm(server: Server, count: int) -> tuple[float, float, float]:
    """(seconds until all were back, p99 ms of the deliveries meanwhile, p99 ms before)."""
    steady = Clients(server.port, server.path, [SUBSCRIBE])
    steady.connect(500)
    publisher = server.publisher()
    next_s = time.monotonic()

    def tick() -> None:
        nonlocal next_s
        while time.monotonic() >= next_s:
            publisher.publish()
            next_s += 0.1
        steady.look(0)

    def p99(latencies_ms: list[float]) -> float:
        return sorted(latencies_ms)[len(latencies_ms) * 99 // 100]

    before: list[float] = []
    during: list[float] = []
    steady.latencies_ms = before
    end_s = time.monotonic() + 3
    while time.monotonic() < end_s:
        tick()
        steady.look(0.005)
    steady.latencies_ms = during
    back = Clients(server.port, server.path, [SUBSCRIBE], at_once=count)
    begin_s = time.monotonic()
    back.connect(count, meanwhile=tick)
    took_s = time.monotonic() - begin_s
    for clients in (steady, back):
        clients.close()
    publisher.close()
    return took_s, p99(during), p99(before)


def in_memory(count: int) -> None:
    """Print the KiB of resident memory for each connection on a transport in memory."""
    from twisted.internet import reactor as imported
    from twisted.internet.address import IPv4Address

    from exchange_push.config import load
    from exchange_push.service import ExchangePush, monotonic_ms

    reactor: Any = imported
    address = IPv4Address("TCP", "127.0.0.1", 4000)

    class Transport:
        __slots__ = ("disconnecting", "producer")

        def write(self, data: bytes) -> None: ...

        def registerProducer(self, producer: object, streaming: bool) -> None:
            self.producer = producer

        def unregisterProducer(self) -> None: ...

        pauseProducing = resumeProducing = unregisterProducer

        def getPeer(self) -> IPv4Address:
            return address

        getHost = getPeer

    server = ExchangePush(load({}, {}), reactor, monotonic_ms)
    hello = (
        b"GET /exchange-stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    def connect() -> object:
        protocol: Any = server.front.buildProtocol(address)
        protocol.makeConnection(Transport())
        protocol.dataReceived(hello)
        protocol.dataReceived(masked(FIVE))
        return protocol

    kept = [connect() for _ in range(200)]
    reactor.iterate(0)
    gc.collect()
    before = resident_bytes(os.getpid())
    for number in range(count):
        kept.append(connect())
        if number % 20 == 0:
            reactor.iterate(0)
    while server.front.accepted > server.clients.handshakes:
        reactor.iterate(0)
    gc.collect()
    print((resident_bytes(os.getpid()) - before) / count / 1024)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--storm", type=int, default=5_000)
    parser.add_argument("--memory-only", type=int, default=50_000)
    parser.add_argument("--in-memory", type=int)
    options = parser.parse_args()
    if options.in_memory:
        in_memory(options.in_memory)
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    clients = min(options.clients, most - 1000)
    on_core(LOAD_CORE)
    with exchange_push("exchange-push", _PORT) as ours, peer("", sys.executable, "autobahn.py", _PORT + 10) as plain:
        assert plain is not None
        for _ in range(3):
            print(f"handshakes a second of CPU: {handshakes(ours):,.0f}; plain Autobahn {handshakes(plain):,.0f}")
    with exchange_push("exchange-push", _PORT + 20) as ours:
        print(f"{clients:,} idle connections, 5 subscriptions each: {idle(ours, clients):.1f} KiB each")
    command = [sys.executable, "-m", "benchmarks.connections", "--in-memory", str(options.memory_only)]
    each = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{options.memory_only:,} on transports in memory: {each:.1f} KiB each")
    with exchange_push("exchange-push", _PORT + 30) as ours:
        took_s, during, before = storm(ours, min(options.storm, most - 1000))
        print(f"storm of {options.storm:,}: all back in {took_s:.1f} s; p99 {during:.0f} ms, before it {before:.0f} ms")


if __name__ == "__main__":
    main()
