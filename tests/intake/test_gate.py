import pytest

from exchange_push.errors import ConfigError, MalformedPush, PushCode
from exchange_push.intake.gate import Gate, guard_listen

LOCAL = {"host": "127.0.0.1:6789"}


def refused(gate: Gate, headers: dict[str, str]) -> bool:
    try:
        gate.check(headers)
    except MalformedPush as error:
        return error.code is PushCode.NOT_AUTHORISED and error.msg.isprintable()
    return False


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:6789", "127.9.8.7:1", "localhost", "LocalHost:6789", "[::1]", "[::1]:6789"],
)
def test_loopback_hosts_may_come_in(host: str) -> None:
    assert not refused(Gate(), {"host": host})


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:6789", "127.0.0.1.evil.example", "localhost.evil.example", "evil-localhost",
        "0.0.0.0", "0.0.0.0:6789", "10.0.0.1", "192.0.2.1:6789", "[::]", "[fe80::1]:6789", "127.0.0.1, evil.example",
        "127.0.0.1:6789:1", "127.1", "2130706433", "0x7f.1", "127.0.0.1@evil.example", "localhost\0",
        "localhost\x1b[31m", "::1",
    ],
)  # fmt: skip
def test_a_name_rebound_to_us_stays_out(host: str) -> None:
    gate = Gate()
    assert refused(gate, {"host": host})
    assert refused(gate, {})
    assert gate.refused == 2


def test_listed_hosts_may_come_in_with_any_port_or_their_own() -> None:
    gate = Gate(hosts=("push.internal", "Other.Internal:6789"))
    for host in ("push.internal", "push.internal:1", "PUSH.INTERNAL:6789", "other.internal:6789", "localhost"):
        assert not refused(gate, {"host": host})
    for host in ("other.internal", "other.internal:1", "x.push.internal", "push.internal.evil.example"):
        assert refused(gate, {"host": host})


@pytest.mark.parametrize(
    "origin",
    [
        "http://127.0.0.1:6789",
        "http://localhost",
        "https://evil.example",
        "null",
        "",
        "file://",
        "http://ok.example.evil",
    ],
)
def test_any_origin_stays_out_but_a_listed_one(origin: str) -> None:
    gate = Gate(origins=("http://ok.example",))
    assert refused(gate, {**LOCAL, "origin": origin})
    assert not refused(gate, {**LOCAL, "origin": "HTTP://OK.example"})


def test_a_page_of_another_site_stays_out_though_it_sends_no_origin() -> None:
    for site in ("cross-site", "same-site"):
        assert refused(Gate(), {**LOCAL, "sec-fetch-site": site})
    for site in ("none", "same-origin"):
        assert not refused(Gate(), {**LOCAL, "sec-fetch-site": site})


@pytest.mark.parametrize(
    "authorization",
    ["", "secret", "Bearer", "Bearer ", "Bearer Secret", "Bearer secret ", "Bearer secre", "Bearer secrets",
     "Basic secret", "Bearer secret, Bearer secret", "Bearersecret", "Bearer \u00e9", "Bearer secret\n"],
)  # fmt: skip
def test_a_wrong_secret_stays_out(authorization: str) -> None:
    gate = Gate("secret")
    assert refused(gate, {**LOCAL, "authorization": authorization})
    assert refused(gate, LOCAL)
    assert gate.refused == 2


def test_the_secret_opens_whatever_the_case_of_its_scheme() -> None:
    gate = Gate("sécret é")
    for scheme in ("Bearer", "bearer", "BEARER", "Bearer  "):
        assert not refused(gate, {**LOCAL, "authorization": f"{scheme} sécret é"})
    assert gate.refused == 0
    gate.check(LOCAL, secret=False)


def test_a_secret_does_not_open_to_web_pages() -> None:
    assert refused(Gate("s"), {**LOCAL, "origin": "http://evil.example", "authorization": "Bearer s"})


OPEN = [
    "tcp:6792",
    "tcp:port=6792",
    "tcp:6792:interface=",
    "tcp:6792:interface=0.0.0.0",
    r"tcp6:6792:interface=\:\:",
    "tcp:6792:interface=192.0.2.1",
    "tcp:6792:interface=127.0.0.1.example",
    "tcp:6792:interface=0.0.0.0:interface=127.0.0.1",
    "ssl:6789:privateKey=key.pem",
    "systemd:domain=INET:index=0",
    "haproxy:tcp:6789",
    "haproxy",
    "fd:3",
    "onion:80",
    "",
]
CLOSED = [
    "tcp:6789:interface=127.0.0.1",
    "tcp:6789:interface=127.0.0.53:backlog=5",
    "tcp:6789:interface=localhost",
    r"tcp6:6792:interface=\:\:1",
    "ssl:6789:interface=127.0.0.1:privateKey=key.pem",
    "haproxy:tcp:6789:interface=127.0.0.1",
    "unix:/run/exchange-push.sock",
    r"unix:/run/a\:b.sock:mode=600",
]


@pytest.mark.parametrize("description", OPEN)
def test_without_a_secret_nothing_that_others_reach_is_listened_on(description: str) -> None:
    with pytest.raises(ConfigError) as raised:
        guard_listen(description, None, "lines.listen")
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"lines.listen: {description}")
    assert "internal.secret" in str(raised.value)
    with pytest.raises(ConfigError):
        guard_listen(description, "", "lines.listen")


@pytest.mark.parametrize("description", CLOSED)
def test_loopback_and_unix_sockets_need_no_secret(description: str) -> None:
    assert _guarded(description, None)


@pytest.mark.parametrize("description", OPEN + CLOSED)
def test_with_a_secret_the_operator_may_listen_anywhere(description: str) -> None:
    assert _guarded(description, "s")


def _guarded(description: str, secret: str | None) -> bool:
    guard_listen(description, secret, "api.listen")
    return True
