from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from exchange_push.edge.pages import AnyRequest, Asked, Reply, public_site


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
        self.asked: list[Asked] = []
        pages = {
            b"/v1/symbols": lambda asked: symbols if not asked.query else [],
            b"/web/*": self._file,
            b"/web/api/*": lambda asked: "api",
            b"/any/*": AnyRequest(self._file),
        }
        site = public_site(self.clock, pages, ("https://ex.example",), frozenset({"192.168.1.1", "10.0.0.1"}))
        self.protocol: Any = site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        self.transport = Transport()
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def _file(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return Reply(b"<p>", "text/html", 418, {"Cache-Control": "max-age=60", "X-Weight": "1"})

    def ask(self, method: str = "GET", path: str = "/v1/symbols", **headers: str) -> tuple[str, bytes]:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "a", **headers}.items())
        self.protocol.dataReceived(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
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


def test_a_page_may_be_anything_with_headers_of_its_own() -> None:
    caller = Caller()
    head, body = caller.ask(path="/web/a/b.html?x=1&y=%40", Accept="text/html")

    assert head.startswith("HTTP/1.1 418 ")
    assert body == b"<p>"
    lines = head.lower().split("\r\n")
    assert {"content-type: text/html", "cache-control: max-age=60", "x-weight: 1"} <= set(lines)
    (asked,) = caller.asked
    assert (asked.path, asked.query, asked.address) == ("/web/a/b.html", {"x": "1", "y": "@"}, "192.168.1.1")
    assert asked.header("accept") == "text/html"
    assert asked.header("x-none") is None


def test_a_folder_answers_for_all_in_there_without_a_page() -> None:
    assert Caller().ask(path="/web/api/x/y")[1] == b'"api"'
    assert Caller().ask(path="/web/")[1] == b"<p>"
    for path in ("/web", "/webber", "/", "/v1/symbols/x"):
        assert "404" in Caller().ask(path=path)[0].split("\r\n")[0]


def test_an_answer_may_be_given_requests_of_all_kinds() -> None:
    for method in ("GET", "POST", "DELETE"):
        caller = Caller()
        head, _ = caller.ask(method, "/any/x?a=1&a=2&b=")
        assert head.startswith("HTTP/1.1 418 ")
        (asked,) = caller.asked
        assert (asked.method, asked.args) == (method, {"a": ["1", "2"], "b": [""]})
    assert "HTTP/1.1 405 " in Caller().ask("POST", "/web/x")[0]
    assert "HTTP/1.1 400 " in Caller().ask("GET", "/v1/symbols?a=1&a=2")[0]


def test_who_asks_behind_a_listed_proxy_is_known_by_its_own_address() -> None:
    for forwarded_for, address in (
        ("192.0.2.7", "192.0.2.7"),
        ("198.51.100.9, 192.0.2.7, 10.0.0.1", "192.0.2.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("nobody", "192.168.1.1"),
    ):
        caller = Caller()
        caller.ask(path="/any/x", **{"X-Forwarded-For": forwarded_for})
        assert caller.asked[0].address == address
