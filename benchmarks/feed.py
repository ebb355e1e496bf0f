"""What a datagram of the feed costs until its events lie in order before the board.

    python -m benchmarks.feed [--rate 50000] [--seconds 5] [--per-datagram 1]

First the pure rooms alone (decode, order, check), then the whole intake: another process sends trades over loopback
UDP at a steady rate to a FeedService whose board only counts. Printed: CPU of this process (interrupts of the kernel
on its behalf included) per datagram, and what the kernel dropped. Left out: the board itself (benchmarks/market.py),
and the sender's CPU.
"""

import argparse
import subprocess
import sys
import time
import timeit
from collections.abc import Iterable
from typing import Any

from twisted.internet import defer, task

from exchange_push.intake.feed_port import FeedAddress
from exchange_push.intake.udp import FeedService
from exchange_push.market.events import Gap, MarketEvent, Restart
from exchange_push.wire.events import decode_events
from exchange_push.wire.packet import decode, encode
from exchange_push.wire.sequence import Line, Sequencer

_SENDER = """
import socket, sys, time
from exchange_push.wire.packet import encode
port, rate, seconds, per = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
trade = ["trade", "BTCUSDT", 123456789, "50000.12", "0.12500", "buy", 1700000000000, 1000]
skt = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
skt.connect(("127.0.0.1", port))
total = int(rate * seconds)
datagrams = [encode(1, 1 + n * per, [trade] * per) for n in range(total)]
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


class CountingBoard:
    def __init__(self) -> None:
        self.events = 0

    def apply(self, events: Iterable[MarketEvent | Restart | Gap], now_ms: int) -> None:
        for _ in events:
            self.events += 1


def pure(per_datagram: int) -> None:
    trade = ["trade", "BTCUSDT", 123456789, "50000.12", "0.12500", "buy", 1700000000000, 1000]
    datagrams = [encode(1, 1 + n * per_datagram, [trade] * per_datagram) for n in range(20_000 // per_datagram)]

    def once() -> None:
        sequencer, line = Sequencer(), Line("A")
        for datagram in datagrams:
            for step in sequencer.received(decode(datagram), line, 0):
                if isinstance(step, list):
                    decode_events(step)

    best = min(timeit.repeat(once, number=1, repeat=5)) / len(datagrams) * 1e6
    print(f"pure, {per_datagram:2d} trades a datagram: {best:6.2f} µs a datagram, {best / per_datagram:.2f} µs a trade")


async def sockets(reactor: Any, rate: int, seconds: float, per_datagram: int) -> None:
    board = CountingBoard()
    service = FeedService(
        reactor,
        [FeedAddress(0)],
        apply=board.apply,
        user=lambda event: None,
        now_ms=lambda: int(time.monotonic() * 1000),
    )
    service.startService()
    line, port = service.lines[0], service.ports[0].getHost().port
    sender = subprocess.Popen(
        [sys.executable, "-c", _SENDER, str(port), str(rate), str(seconds), str(per_datagram)],
        stdout=subprocess.PIPE,
        text=True,
    )
    while not line.packets:
        await task.deferLater(reactor, 0.01)
    cpu_s = time.process_time()
    while sender.poll() is None:
        await task.deferLater(reactor, 0.05)
    await task.deferLater(reactor, 0.2)
    cpu_s = time.process_time() - cpu_s
    assert sender.stdout is not None
    sent, took_s = (float(word) for word in sender.stdout.read().split())
    service.read_kernel_drops()
    print(
        f"sockets, {per_datagram:2d} trades a datagram: {sent / took_s:,.0f} datagrams/s for {took_s:.1f} s, "
        f"{line.packets:,} of {sent:,.0f} read, {line.kernel_dropped} dropped by the kernel, {line.lost_events} lost; "
        f"{cpu_s / max(line.packets, 1) * 1e6:.1f} µs of CPU a datagram"
    )
    await service.stopService()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=50_000, help="datagrams a second")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--per-datagram", type=int, default=1)
    options = parser.parse_args()
    pure(1)
    pure(20)
    task.react(
        lambda reactor: defer.ensureDeferred(sockets(reactor, options.rate, options.seconds, options.per_datagram))
    )


if __name__ == "__main__":
    main()
