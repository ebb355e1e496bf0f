"""The server as an operator starts and stops it: in a process of its own."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wsclient import handshake

_BIN = Path(sys.executable).parent
_PATIENCE_S = 15


class Process:
    """A started server. Its output is read line by line until what is waited for."""

    def __init__(
        self, command: list[str], folder: Path, environ: dict[str, str], pass_fds: tuple[int, ...] = ()
    ) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            bufsize=0,  # or select would not see the lines that are read already
        )
        self.lines: list[str] = []

    def until(self, text: str) -> None:
        """Read lines until one holds `text`."""
        assert self.process.stdout is not None
        ends_s = time.monotonic() + _PATIENCE_S
        while not self.lines or text not in self.lines[-1]:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, ends_s - time.monotonic()))
            line = self.process.stdout.readline().decode() if ready else ""
            assert line, f"{text!r} never came: {self.output}"
            self.lines.append(line)

    def end(self) -> int:
        rest, _ = self.process.communicate(timeout=_PATIENCE_S)
        self.lines += rest.decode().splitlines(keepends=True)
        return self.process.returncode

    @property
    def output(self) -> str:
        return "".join(self.lines)


Launch = Callable[..., Process]


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


@pytest.fixture
def ports() -> dict[str, int]:
    return dict(zip(("listen", "api", "lines", "feed"), free_ports(4), strict=True))


@pytest.fixture
def launch(tmp_path: Path, ports: dict[str, int]) -> Iterator[Launch]:
    started: list[Process] = []

    def start(
        *flags: str, command: tuple[str, ...] = ("exchange-push",), environ: dict[str, str] | None = None
    ) -> Process:
        endpoints = [
            f"--listen=tcp:{ports['listen']}:interface=127.0.0.1",
            f"--api=tcp:{ports['api']}:interface=127.0.0.1",
            f"--lines=tcp:{ports['lines']}:interface=127.0.0.1",
            f"--feed=udp:{ports['feed']}:interface=127.0.0.1",
        ]
        program = str(_BIN / command[0])
        started.append(Process([program, *command[1:], *endpoints, *flags], tmp_path, environ or {}))
        return started[-1]

    yield start
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
            process.process.communicate()


COMMANDS = [
    ("exchange-push",),
    ("twistd", "-n", "exchange-push"),
    ("twist", "--log-format=text", "exchange-push"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_it_starts_in_any_folder_and_a_sigterm_ends_it_with_status_0(
    launch: Launch, command: tuple[str, ...], ports: dict[str, int], tmp_path: Path
) -> None:
    process = launch(command=command)
    process.until("listen 1 listens")
    client = socket.create_connection(("127.0.0.1", ports["listen"]))
    client.settimeout(_PATIENCE_S)
    client.sendall(handshake("/exchange-stream", {}))
    assert client.recv(4096).startswith(b"HTTP/1.1 101")
    process.process.send_signal(signal.SIGHUP)
    process.process.send_signal(signal.SIGTERM)
    received = b""
    while chunk := client.recv(4096):
        received += chunk
        if received.startswith(b"\x88"):
            client.sendall(b"\x88\x82\0\0\0\0\x03\xe9")
    client.close()

    assert received[2:4] == (1001).to_bytes(2, "big")
    assert process.end() == 0, process.output
    assert "Traceback" not in process.output
    assert not list(tmp_path.glob("*.pid"))


def test_a_client_that_does_not_answer_does_not_hold_up_the_stop(launch: Launch, ports: dict[str, int]) -> None:
    process = launch()
    process.until("listen 1 listens")
    client = socket.create_connection(("127.0.0.1", ports["listen"]))
    client.sendall(handshake("/exchange-stream", {}))
    client.recv(4096)
    process.process.send_signal(signal.SIGTERM)
    process.process.wait(10)
    client.close()

    assert process.end() == 0


@pytest.mark.parametrize("taken", ["listen", "api", "lines", "feed"])
@pytest.mark.parametrize("command", [("exchange-push",), ("twistd", "-n", "exchange-push")], ids=" ".join)
def test_a_port_in_use_is_one_line_and_status_1(
    launch: Launch, ports: dict[str, int], taken: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    kind = socket.SOCK_DGRAM if taken == "feed" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", ports[taken]))
        if taken != "feed":
            holder.listen()
        process = launch(command=command)
        status = process.end()

    assert status == 1
    assert "Traceback" not in process.output
    (line,) = [line for line in process.lines if line.startswith("exchange-push: ")]
    assert str(ports[taken]) in line
    assert "in use" in line
    assert not list(tmp_path.glob("*.pid"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--nonsense"], "--nonsense"),
        (["surplus"], "'surplus', expected options only"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
        (["--listen", "nonsense:1"], "nonsense:1"),
        (["--listen", "tcp:http"], "tcp:http"),
        (["--listen", "ssl:1:privateKey=/nowhere.pem"], "/nowhere.pem"),
        (["--listen", "systemd:domain=INET:index=0"], "systemd:domain=INET:index=0"),
        (["--feed", "tcp:1"], "udp:PORT"),
        (["--api", "tcp:1"], "internal.secret"),
        (["--lines", "tcp:1:interface=0.0.0.0"], "internal.secret"),
        (["--rerequest", "nonsense"], "HOST:PORT"),
        (["--feed-key", "/nowhere.key"], "/nowhere.key"),
        (["--auth-url", "nonsense"], "auth.url"),
        (["--auth-url", "http://"], "auth.url"),
        (["--book-url", "http://127.0.0.1:1/depth"], "{symbol}"),
        (["--book-url", "ftp://127.0.0.1/{symbol}"], "book.url"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_was_expected(
    launch: Launch, flags: list[str], expected: str
) -> None:
    process = launch(*flags)

    assert process.end() == 1
    assert len(process.lines) == 1
    assert expected in process.output


@pytest.mark.parametrize("endpoint", ["unix:/nowhere/clients", "tcp:1:interface=192.0.2.1"])
def test_where_it_cannot_listen_is_one_line(launch: Launch, endpoint: str) -> None:
    process = launch(f"--listen={endpoint}")

    assert process.end() == 1
    assert "Traceback" not in process.output
    (line,) = [line for line in process.lines if line.startswith("exchange-push: ")]
    assert f"cannot listen on {endpoint}" in line


def test_it_takes_a_socket_that_systemd_listens_on(tmp_path: Path, ports: dict[str, int]) -> None:
    flags = " ".join(
        f"--{flag}={kind}:0:interface=127.0.0.1" for flag, kind in (("api", "tcp"), ("lines", "tcp"), ("feed", "udp"))
    )
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        number = inherited.fileno()
        script = (
            f"exec 3<&{number}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=x"
            f" exec {_BIN}/exchange-push --listen=systemd:domain=INET:index=0 {flags}"
        )
        process = Process(["bash", "-c", script], tmp_path, {}, pass_fds=(number,))
        process.until("listen 1 listens")
        client = socket.create_connection(inherited.getsockname())
        client.sendall(handshake("/exchange-stream", {}))
        client.settimeout(_PATIENCE_S)
        head = client.recv(4096)
        client.close()
        process.process.terminate()

    assert head.startswith(b"HTTP/1.1 101")
    assert process.end() == 0, process.output


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("CLIENTS__PING", "1", "EXCHANGE_PUSH_CLIENTS__PING"),
        ("CLIENTS__PROXIES", "10.0.0.0/8", "clients.proxies: found '10.0.0.0/8', expected an IP address"),
        ("CLIENTS__ORIGINS", "ex.example", "clients.origins: found 'ex.example', expected * or one like https://"),
        ("INTERNAL__SECRET", "", "internal.secret"),
        ("INTERNAL__SECRET_FILE", "/nowhere", "/nowhere"),
    ],
)
def test_a_wrong_variable_is_one_line(launch: Launch, variable: str, text: str, expected: str) -> None:
    process = launch(environ={f"EXCHANGE_PUSH_{variable}": text})

    assert process.end() == 1
    assert len(process.lines) == 1
    assert expected in process.output


def test_a_configuration_can_be_checked_and_the_version_asked(launch: Launch) -> None:
    checked, asked = launch("--check-config"), launch("--version")

    assert checked.end() == 0
    assert checked.output == "The configuration is right.\n"
    assert asked.end() == 0
    assert asked.output.startswith("exchange-push 0.")


def test_the_internal_ports_listen_on_loopback_by_default(launch: Launch) -> None:
    from exchange_push.config import keys

    defaults = keys()
    for key in ("api.listen", "lines.listen"):
        assert str(defaults[key]).endswith("interface=127.0.0.1")
    assert defaults["feed.listen"] == ("udp:6791:interface=127.0.0.1",)
    assert launch("--check-config", environ={"EXCHANGE_PUSH_API__LISTEN": "tcp:1"}).end() == 0  # the flag goes over it


def test_a_default_start_listens_for_clients_everywhere_and_for_all_else_on_loopback(
    tmp_path: Path, ports: dict[str, int]
) -> None:
    from exchange_push.config import Config

    config = Config()
    defaults = {
        "listen": config.listen[0],
        "api": config.api.listen,
        "lines": config.lines.listen,
        "feed": config.feed.listen[0],
    }
    flags = [f"--{flag}={re.sub('[0-9]+', str(ports[flag]), text, count=1)}" for flag, text in defaults.items()]
    process = Process([str(_BIN / "exchange-push"), *flags], tmp_path, {})
    try:
        process.until("listen 1 listens")
        found = listening(process.process.pid)
    finally:
        process.process.terminate()
        process.end()

    assert found == {
        ("tcp", "0.0.0.0", ports["listen"]),
        ("tcp", "127.0.0.1", ports["api"]),
        ("tcp", "127.0.0.1", ports["lines"]),
        ("udp", "127.0.0.1", ports["feed"]),
    }
    assert "ws:// without TLS" in process.output, "public and plain is worth a warning"


def listening(pid: int) -> set[tuple[str, str, int]]:
    """What `ss -ltnup` shows of a process: kind, address and port of all that it listens on."""
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.exists() or link.is_symlink()]
    own = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:")}
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in own and fields[2].endswith(":0000"):  # no peer
                address, port = fields[1].split(":")
                host = socket.inet_ntoa(bytes.fromhex(address)[::-1]) if len(address) == 8 else address
                found.add((table, host, int(port, 16)))
    return found


def test_the_demo_shows_live_lines_as_a_client_sees_them(launch: Launch) -> None:
    (auth,) = free_ports(1)
    process = launch("--demo", "--auth-url", f"http://127.0.0.1:{auth}/websocket_auth")
    process.until("wscat -c ws://127.0.0.1:")
    for channel in ("BTCUSDT@bookticker", "BTCUSDT@trades", "BTCUSDT@kline"):
        process.until(channel)
    process.process.send_signal(signal.SIGINT)

    assert process.end() == 0
    assert "Traceback" not in process.output


def test_the_demo_is_asked_again_for_what_its_network_loses(launch: Launch, ports: dict[str, int]) -> None:
    (auth,) = free_ports(1)
    flags = ("--demo", "--auth-url", f"http://127.0.0.1:{auth}/websocket_auth")
    process = launch(*flags, environ={"EXCHANGE_PUSH_DEMO__LOSS": "0.1"})
    process.until("wscat -c ws://127.0.0.1:")
    found: dict[str, float] = {}
    ends_s = time.monotonic() + _PATIENCE_S
    while not found.get("recovered_events"):
        assert time.monotonic() < ends_s
        select.select([], [], [], 0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['api']}/metrics") as answer:
            numbers = re.findall(r"^exchange_push_feed_(\w+)_total\{.*\} (\S+)$", answer.read().decode(), re.MULTILINE)
        found = {name: float(number) for name, number in numbers}
    process.process.send_signal(signal.SIGINT)

    assert process.end() == 0
    assert found["requests"] > 0
    assert found["lost_events"] == 0


def test_in_the_background_it_starts_and_stops_and_a_port_in_use_ends_it_with_a_reason(
    launch: Launch, ports: dict[str, int], tmp_path: Path
) -> None:
    assert launch(command=("twistd", "exchange-push")).end() == 0
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        second = launch(command=("twistd", "--pidfile=second.pid", "exchange-push"))
        assert second.end() == 1
        assert f"cannot listen on udp:{ports['feed']}" in second.output  # of which twistd passes on 100 bytes
        assert "in use" in (tmp_path / "twistd.log").read_text()
        assert not (tmp_path / "second.pid").exists()
    finally:
        os.kill(pid, signal.SIGTERM)
    ends_s = time.monotonic() + _PATIENCE_S
    while (tmp_path / "twistd.pid").exists():
        assert time.monotonic() < ends_s
        select.select([], [], [], 0.05)
    assert "Server Shut Down" in (tmp_path / "twistd.log").read_text()
