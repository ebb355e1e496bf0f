"""The clients hear of nothing but the loopback, whichever of the two ways there is."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients import guard

PROBE = """
import socket, sys

def outcome(call):
    try:
        return call() or "reached"
    except OSError as error:
        return type(error).__name__

def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as tcp:
        tcp.settimeout(5)
        tcp.connect(address)

def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"", address)

server = socket.create_server(("127.0.0.1", 0))
print(outcome(lambda: connect(socket.AF_INET, server.getsockname())))
print(outcome(lambda: connect(socket.AF_INET, ("192.0.2.1", 80))))
print(outcome(lambda: connect(socket.AF_INET6, ("2001:db8::1", 80))))
print(outcome(lambda: send(("192.0.2.1", 80))))
print(outcome(lambda: socket.getaddrinfo("api.binance.com", 443) and None))
"""


def probe(tmp_path: Path, *command: str) -> list[str]:
    program = tmp_path / "probe.py"
    program.write_text(PROBE)
    done = subprocess.run([*command, str(program)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_hook_lets_nothing_but_the_loopback_through(tmp_path: Path) -> None:
    assert probe(tmp_path, sys.executable, guard.__file__) == ["reached"] + 4 * ["PermissionError"]


@pytest.mark.parametrize("attempt", ["import subprocess; subprocess.run(['true'])", "import os; os.fork()"])
def test_the_hook_lets_no_other_program_start(tmp_path: Path, attempt: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(attempt)
    done = subprocess.run([sys.executable, guard.__file__, str(program)], capture_output=True, text=True, timeout=60)

    assert "PermissionError: the guard cannot see" in done.stderr
    assert done.returncode == 1


def test_the_world_of_the_clients_has_a_loopback_and_nothing_else_or_the_hook_instead(tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper.py"
    wrapper.write_text(
        "import subprocess, sys\n"
        "from tests.clients.guard import alone, guarded, raise_loopback\n"
        "if alone(): raise_loopback()\n"
        "sys.exit(subprocess.run([sys.executable, *guarded(sys.argv[1:])]).returncode)\n"
    )
    command = guard.inside([sys.executable, str(wrapper)])
    refused = ["OSError", "OSError", "OSError", "gaierror"] if guard.namespaces() else 4 * ["PermissionError"]

    assert probe(tmp_path, "env", f"PYTHONPATH={Path(__file__).parents[2]}", *command) == ["reached", *refused]
    assert len(socket.if_nameindex()) > 1 or not guard.namespaces()  # here, there is more
