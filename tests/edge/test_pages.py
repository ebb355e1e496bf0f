from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from exchange_push.edge.pages import public_site


class Transport(StringTransportWithDisconnection):
    """Of a peer that takes nothing: asked to close, it waits for it."""

    aborted = False

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.aborted = True
        super().loseConnection()


class Caller:
    def __init__(self) -> None:
        self.clock = Clock()
        symbols = [f"X{number}" for number in range(20_000)]
        site = public_site(self.clock, {b"/v1/symbols": lambda query: symbols}, ("https://ex.example",))
        self.protocol: Any = site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        self.transport = Transport()
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def ask(self, method: str = "GET", **headers: str) -> tuple[str, bytes]:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "a", **headers}.items())
        self.protocol.dataReceived(f"{method} /v1/symbols HTTP/1.1\r\n{lines}\r\n".encode())
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        return head.decode(), body


def test_a_page_is_json_that_no_cache_keeps() -> None:
    head, body = Caller().ask()

    assert len(msgspec.json.decode(body)) == 20_000
    assert "application/json" in head
    assert "no-store" in head
    assert Caller().ask("HEAD") == (head, b"")


def test_a_page_may_be_read_by_listed_origins_only() -> None:
    assert "access-control-allow-origin: https://ex.example" in Caller().ask(Origin="https://ex.example")[0].lower()
    for origin in ("https://evil.example", "null", "https://ex.example.evil.example"):
        assert "access-control-allow-origin" not in Caller().ask(Origin=origin)[0].lower()


def test_who_does_not_take_its_answer_is_let_go() -> None:
    caller = Caller()
    caller.ask()
    caller.clock.advance(9.9)
    assert caller.transport.disconnecting
    assert not caller.transport.aborted
    caller.clock.advance(0.2)

    assert caller.transport.aborted


def test_who_asks_nothing_is_let_go() -> None:
    caller = Caller()
    caller.clock.advance(10)

    assert caller.transport.aborted
