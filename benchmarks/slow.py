"""Clients that never read: what they cost in memory, and what all others notice.

    python -m benchmarks.slow [--seconds 20] [--clients 1000] [--rounds 3]

1,000 clients of a channel that must not drop (a push) and 200 bytes a message, eight at a time and the next eight when
all who read have them. In turn: all read; 10 of them read nothing from the first message on. Printed: the 99th
percentile of the time from publishing to reading for those who read, how much the server's resident memory grew, and
how many were closed. Left out: what the kernel holds for those sockets (64 KiB each, set by us).
"""

import argparse
import resource
from statistics import median

from benchmarks.fanout import LOAD_CORE, exchange_push, on_core
from benchmarks.load import burst, resident_bytes

_PORT = 17_800
_SHARE = 100  # one of so many never reads


def measure(clients: int, deaf: int, seconds: float, port: int) -> tuple[float, float]:
    """(p99 ms, MiB by which the server grew)."""
    with exchange_push("exchange-push", port) as server:
        crowd, publisher = server.clients(), server.publisher()
        crowd.connect(clients)
        burst(crowd, publisher, server.pid, 8, 1)
        before = resident_bytes(server.pid)
        crowd.turn_deaf(deaf)
        figures = burst(crowd, publisher, server.pid, 8, seconds)
        grown = (resident_bytes(server.pid) - before) / (1 << 20)
        assert not crowd.closed
        crowd.close()
        publisher.close()
    return figures.p99_ms, grown


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    on_core(LOAD_CORE)
    deaf = options.clients // _SHARE
    found: dict[int, list[tuple[float, float]]] = {0: [], deaf: []}
    for number in range(options.rounds):
        for count in found:
            found[count].append(measure(options.clients, count, options.seconds, _PORT + number * 10 + 5 * bool(count)))
    for count, rounds in found.items():
        p99_ms, grown = (median(column) for column in zip(*rounds, strict=True))
        print(f"{count:>4} of {options.clients:,} never read: p99 {p99_ms:.2f} ms, resident memory +{grown:.1f} MiB")


if __name__ == "__main__":
    main()
