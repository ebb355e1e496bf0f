"""The whole server under 50,000 single-trade datagrams a second: what the kernel dropped, and the CPU.

    python -m benchmarks.server [--rate 50000] [--seconds 10] [--clients 4]

Three processes: this one runs the server, as `twistd exchange-push` does, with a store; another sends trades of four
symbols over loopback UDP; a third holds WebSocket clients that subscribe to ticker and every kline of all four, and to
the trades of one, and read.
Printed: datagrams sent, read and dropped by the kernel, trades taken, messages delivered, and the server's CPU a trade.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import defer, task

from exchange_push.config import load
from exchange_push.lifecycle import Listener
from exchange_push.market.interval import INTERVALS
from exchange_push.service import ExchangePush, monotonic_ms

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT")

_SENDER = """
import socket, sys, time
from exchange_push.wire.packet import encode
port, rate, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
symbols = sys.argv[4].split(",")
total = int(rate * seconds)
begin_ms = int(time.time() * 1000)
def trade(n):
    price = f"{50000 + n * 7919 % 100}.{n % 10}"
    return ["trade", symbols[n % len(symbols)], n, price, "0.12500", "buy", begin_ms + n * 1000 // rate, n // 3]
datagrams = [encode(begin_ms, 1 + n, [trade(n)]) for n in range(total)]
skt = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
skt.connect(("127.0.0.1", port))
start = time.perf_counter()
sent = 0
while sent < total:
    due = min(total, int((time.perf_counter() - start) * rate) + 1)
    while sent < due:
        skt.send(datagrams[sent])
        sent += 1
    time.sleep(0.0005)
print(sent, time.perf_counter() - start)
"""

_CLIENTS = """
import json, select, socket, sys
port, count, channels = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(",")
request = json.dumps({"op": "subscribe", "channels": channels}).encode()
frame = bytes([0x81, 0xFE]) + len(request).to_bytes(2, "big") + bytes(4) + request
sockets = []
for _ in range(count):
    skt = socket.create_connection(("127.0.0.1", port))
    skt.sendall(b"GET /exchange-stream HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n"
                b"Upgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n" + frame)
    sockets.append(skt)
while sockets:
    for skt in select.select(sockets, [], [])[0]:
        try:
            read = skt.recv(1 << 20)
        except ConnectionError:
            read = b""
        if not read:
            sockets.remove(skt)
"""


async def _measure(reactor: Any, rate: int, seconds: float, clients: int, store: str) -> None:
    loopback = "interface=127.0.0.1"
    flags = {
        "listen": [f"tcp:0:{loopback}"],
        "api.listen": f"tcp:0:{loopback}",
        "lines.listen": f"tcp:0:{loopback}",
        "feed.listen": [f"udp:0:{loopback}"],
        "store": store,
        # The clients here have to share a core with the sender, and may not read for a while.
        "clients.outbox_bytes": 16 << 20,
    }
    server = ExchangePush(load(flags, {}), reactor, monotonic_ms)
    server.privilegedStartService()
    server.startService()
    listener = server.getServiceNamed("listen 1")
    assert isinstance(listener, Listener)
    assert listener.port is not None
    port: Any = listener.port.getHost()
    kinds = ("ticker", *(f"kline_{interval}" for interval in INTERVALS))
    channels = ",".join([f"{symbol}@{kind}" for symbol in SYMBOLS for kind in kinds] + [f"{SYMBOLS[0]}@trades"])
    readers = subprocess.Popen([sys.executable, "-c", _CLIENTS, str(port.port), str(clients), channels])
    line = server.feed.lines[0]
    while sum(count for _, count in server.hub.channels()) < clients * len(channels.split(",")):
        await task.deferLater(reactor, 0.05)
    feed_port = server.feed.ports[0].getHost().port
    sender = subprocess.Popen(
        [sys.executable, "-c", _SENDER, str(feed_port), str(rate), str(seconds), ",".join(SYMBOLS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not line.packets:
        await task.deferLater(reactor, 0.01)
    cpu_s, begun_s = time.process_time(), time.monotonic()
    while sender.poll() is None:
        await task.deferLater(reactor, 0.05)
    took_s = time.monotonic() - begun_s
    cpu_s = time.process_time() - cpu_s
    await task.deferLater(reactor, 1)  # the last tick, and what waits for clients
    assert sender.stdout is not None
    sent, sent_s = (float(word) for word in sender.stdout.read().split())
    server.feed.read_kernel_drops()
    print(
        f"sent {sent:,.0f} datagrams of one trade at {sent / sent_s:,.0f}/s for {sent_s:.1f} s\n"
        f"read {line.packets:,}, dropped by the kernel {line.kernel_dropped:,}, lost {line.lost_events:,}; "
        f"trades taken {server.board.trades:,}\n"
        f"{clients} clients got {server.hub.deliveries:,} messages; still connected {len(server.clients.connected)}\n"
        f"CPU of the server: {cpu_s / took_s:.0%} of a core, {cpu_s / max(line.packets, 1) * 1e6:.1f} µs a trade"
    )
    await server.stopService()
    readers.terminate()
    readers.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=50_000, help="datagrams a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")

        def measure(reactor: Any) -> defer.Deferred[None]:
            return defer.ensureDeferred(_measure(reactor, options.rate, options.seconds, options.clients, store))

        with suppress(SystemExit):  # by which react ends
            task.react(measure, [])


if __name__ == "__main__":
    main()
