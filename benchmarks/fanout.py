"""Fan-out to 1,000 clients of one channel, 200 bytes a message, beside the peers that are installed.

    python -m benchmarks.fanout [--rounds 7] [--seconds 1.5] [--clients 1000] [--python PYTHON]

The server has one core, the load another. All servers run all the time and are measured in turn; printed is the median
of the rounds: the server's CPU for each message delivered, with one message in a turn of the reactor and with eight,
and the 99th percentile of the time from publishing to reading at 50 messages a second. `--python`: an interpreter that
has the peers (socketify, websockets), where this one has not. Left out: encoding, which all clients share, and TLS.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.load import Clients, Publisher, burst, steady

_PEERS = Path(__file__).parent / "peers"
_PORT = 17_600
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = 0, 1
SUBSCRIBE = b'{"op":"subscribe","channel":"BENCH@ticker"}'
# Without the compiled loop, as where no compiler was.
_IN_PYTHON = (
    "import sys; sys.modules['exchange_push.edge._sending'] = None; from exchange_push.service import main; main()"
)
_COMPILED = "from exchange_push.service import main; main()"


@dataclass
class Server:
    """A running server and how to speak with it."""

    name: str
    pid: int
    port: int
    lines: int
    path: str = "/"
    template: str = "%s"

    def clients(self) -> Clients:
        return Clients(self.port, self.path, [SUBSCRIBE])

    def publisher(self, size: int = 200) -> Publisher:
        return Publisher(self.lines, self.template, size)


def on_core(core: int) -> None:
    """Put this process on a core of its own, where there are several."""
    if len(_CORES) > 1:
        os.sched_setaffinity(0, {_CORES[core]})


def _answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
    import socket

    for _ in range(100):
        if process.poll() is not None:
            return False
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


@contextmanager
def running(command: list[str], port: int, lines: int, env: dict[str, str] | None = None) -> Iterator[int | None]:
    """Start a server on its core; its pid, None where it does not come up."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: on_core(SERVER_CORE),
    )
    try:
        yield process.pid if _answers(port, process) and _answers(lines, process) else None
    finally:
        process.terminate()
        process.wait()


@contextmanager
def exchange_push(name: str, port: int, code: str = _COMPILED, **settings: object) -> Iterator[Server]:
    """The server itself, with what the benchmarks change of its configuration."""
    loopback = "interface=127.0.0.1"
    flags = [
        f"--listen=tcp:{port}:{loopback}:backlog=4096",
        f"--api=tcp:{port + 2}:{loopback}",
        f"--lines=tcp:{port + 1}:{loopback}",
        f"--feed=udp:{port + 3}:{loopback}",
        "--store=none",
    ]
    # The load looks for no ping within what it reads: it would be taken for dead.
    settings = {"clients__ping_s": 3600, **settings}
    env = {f"EXCHANGE_PUSH_{key.upper()}": str(value) for key, value in settings.items()}
    with running([sys.executable, "-c", code, *flags], port, port + 1, env) as pid:
        assert pid is not None, "exchange-push does not start"
        yield Server(name, pid, port, port + 1, "/exchange-stream", '{"c":"BENCH@ticker","d":%s}')


@contextmanager
def peer(name: str, python: str, file: str, port: int) -> Iterator[Server | None]:
    command = [python, str(_PEERS / file), str(port)]
    with running(command, port, port + 1, {"PYTHONPATH": str(_PEERS.parent.parent)}) as pid:
        yield None if pid is None else Server(name, pid, port, port + 1)


def measure(server: Server, count: int, seconds: float) -> tuple[float, float, float]:
    clients, publisher = server.clients(), server.publisher()
    try:
        clients.connect(count)
        burst(clients, publisher, server.pid, 1, 0.2)
        one = burst(clients, publisher, server.pid, 1, seconds)
        eight = burst(clients, publisher, server.pid, 8, seconds)
        calm = steady(clients, publisher, server.pid, 50, seconds)
    finally:
        clients.close()
        publisher.close()
    assert not clients.closed
    return one.us_a_delivery, eight.us_a_delivery, calm.p99_ms


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--python", default=os.environ.get("PEERS_PYTHON", sys.executable))
    options = parser.parse_args()
    on_core(LOAD_CORE)
    with (
        exchange_push("exchange-push", _PORT) as ours,
        exchange_push("exchange-push, loop in Python", _PORT + 10, _IN_PYTHON) as in_python,
        peer("send() and nothing else", sys.executable, "floor.py", _PORT + 20) as floor,
        peer("uWebSockets (socketify)", options.python, "uws.py", _PORT + 30) as uws,
        peer("websockets, broadcast()", options.python, "websockets.py", _PORT + 40) as websockets,
        peer("plain Autobahn, sendMessage", sys.executable, "autobahn.py", _PORT + 50) as autobahn,
    ):
        servers = [server for server in (floor, ours, in_python, uws, websockets, autobahn) if server is not None]
        found: dict[str, list[tuple[float, float, float]]] = {server.name: [] for server in servers}
        for _ in range(options.rounds):
            for server in servers:
                found[server.name].append(measure(server, options.clients, options.seconds))
    print(f"{options.clients:,} clients, median of {options.rounds} rounds; in brackets: how often the floor")
    print(f"{'':<30} {'µs CPU a delivery, 1 a turn':>28} {'8 a turn':>16} {'p99 ms at 50/s':>16}")
    least = [median(column) for column in zip(*found[servers[0].name], strict=True)]
    for name, rounds in found.items():
        one, eight, p99 = (median(column) for column in zip(*rounds, strict=True))
        print(f"{name:<30} {one:>20.2f} ({one / least[0]:.2f}) {eight:>8.2f} ({eight / least[1]:.2f}) {p99:>16.2f}")


if __name__ == "__main__":
    main()
