"""All benchmarks, one after the other: `python -m benchmarks`, or `make bench`. Each tells what it leaves out."""

import subprocess
import sys

# A process for each: what one left in memory shall not weigh on the next.
_BENCHMARKS = (
    ("wire: a datagram until its events lie in order", "feed"),
    ("market: a trade in the market room", "market"),
    ("path: a trade from datagram to frames", "path"),
    ("store: ten million candles", "store"),
    ("fan-out: 1,000 clients of a channel, beside the peers that are installed", "fanout"),
    ("many channels: 500 symbols, 5,000 clients, 20,000 trades a second", "many"),
    ("round: between publication and send(), where everybody listens to something else", "round"),
    ("slow clients: 1 % that never read", "slow"),
    ("subscriptions: 10,000 at once", "subscribe"),
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
