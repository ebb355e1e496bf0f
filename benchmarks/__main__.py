"""All benchmarks, one after the other: `python -m benchmarks`, or `make bench`. Each tells what it leaves out."""

import subprocess
import sys

# A process for each: what one left in memory shall not weigh on the next.
_BENCHMARKS = (
    ("wire: a datagram until its events lie in order", "feed"),
    ("market: a trade in the market room", "market"),
    ("path: a trade from datagram to frames", "path"),
    ("fan-out: 1,000 clients of a channel, beside the peers that are installed", "fanout"),
    ("compression: what it saves, and costs once for all", "deflate"),
    ("connections: handshakes, memory of those that are idle, a storm of all at once", "connections"),
    ("server: 50,000 datagrams a second into the whole server", "server"),
)


def main() -> None:
    for title, name in _BENCHMARKS:
        print(f"\n{title}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
