import pytest

from exchange_push.lifecycle import _with_backlog


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp:6790",
        "tcp:6790:interface=127.0.0.1",
        r"tcp:6790:interface=\:\:1",
        "tcp6:6790",
        "ssl:6790:privateKey=/a/b.pem",
        "haproxy:tcp:6790",
    ],
)
def test_a_port_bears_a_storm_of_reconnects(endpoint: str) -> None:
    assert _with_backlog(endpoint) == f"{endpoint}:backlog=4096"


@pytest.mark.parametrize(
    "endpoint",
    ["tcp:6790:backlog=7", "tcp:6790:127.0.0.1:7", "unix:/a", "systemd:domain=INET:index=0", "fd:3", "haproxy:unix:/a"],
)
def test_what_the_operator_said_of_the_backlog_stands(endpoint: str) -> None:
    assert _with_backlog(endpoint) == endpoint
