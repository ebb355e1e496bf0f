"""What an attacker costs the server in memory: measured from outside, on a process of its own."""

import socket
from pathlib import Path

from tests.end_to_end.test_launch import Launch, launch, ports  # noqa: F401  # fixtures
from tests.wsclient import handshake, masked

ATTACKERS_OF_A_KIND = 20
MIB = 1 << 20


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def attacker(port: int, *messages: bytes) -> socket.socket:
    """A client that says something and never reads again."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect(("127.0.0.1", port))
    caller.sendall(handshake("/exchange-stream", {}))
    assert caller.recv(4096).startswith(b"HTTP/1.1 101")
    caller.settimeout(0.2)
    try:
        for message in messages:
            caller.sendall(message)
    except OSError:  # it is read no more, or gone: that is a defence
        pass
    return caller


def test_an_attacker_costs_little_more_than_its_outbox(launch: Launch, ports: dict[str, int]) -> None:  # noqa: F811
    silent = socket.create_server(("127.0.0.1", 0))  # an auth service that never answers
    process = launch(
        f"--auth-url=http://127.0.0.1:{silent.getsockname()[1]}/", environ={"EXCHANGE_PUSH_AUTH__TIMEOUT_S": "60"}
    )
    process.until("listen 1 listens")
    port = ports["listen"]
    nested = b'{"op":"subscribe","channels":[' + b",".join([b"{}"] * 20_000) + b"]}"
    kinds = {
        "pings": [masked(9, b"x" * 125) * 900],
        "errors": [masked(1, b"{") * 900],
        "fragments": [masked(1, b"x" * 60_000, fin=False)],
        "behind a login": [masked(1, b'{"op":"auth","token":"t"}'), masked(1, nested) * 14],
        "never reads": [masked(1, b'{"op":"subscribe","channels":["system","BTCUSDT@trades"]}')],
    }
    first = attacker(port, masked(1, b'{"op":"ping"}'))
    before = resident_bytes(process.process.pid)
    attackers = [attacker(port, *messages) for messages in kinds.values() for _ in range(ATTACKERS_OF_A_KIND)]
    line = socket.create_connection(("127.0.0.1", ports["lines"]))
    push = b'{"c":"system","d":"' + b"x" * 60_000 + b'"}\n'
    for _ in range(16):  # just below the bound, where most is held
        line.sendall(push)
        assert line.recv(4096).startswith(b'{"E":null')
    grown = resident_bytes(process.process.pid) - before
    for caller in (first, line, silent, *attackers):
        caller.close()

    assert grown / len(attackers) < 0.5 * MIB, f"{grown / len(attackers) / MIB:.2f} MiB each"
