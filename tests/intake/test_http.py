import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import capturedLogs
from twisted.web.client import Agent

from exchange_push.intake.gate import Gate
from exchange_push.intake.http import Api
from tests.fakes import LoggedFailures
from tests.intake.office import CURL_BODY, CURL_MESSAGE, NOBODY, SENT, Broken, Office
from tests.wsclient import connect_raw

CANARY = "canary-81cd02"
PUSH = b'{"c":"1001@balance","d":"x"}'


class Transport(StringTransportWithDisconnection):
    def loseConnection(self) -> None:
        self.disconnecting = True  # as a socket's, which its protocol looks at
        super().loseConnection()


class Caller:
    """A connection to the API on a transport of strings."""

    def __init__(self, secret: str | None = None, **options: Any) -> None:
        self.office = Office()
        self.clock = Clock()
        self.missing: str | None = None
        self.api = Api(
            self.clock,
            self.office.desk,
            Gate(secret, origins=("http://ok.example",), hosts=("push.internal",)),
            metrics=lambda: b"exchange_push_x 1\n",
            ready=lambda: self.missing,
            **options,
        )
        self.connect()

    def connect(self) -> None:
        self.channel: Any = self.api.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        self.transport = Transport()
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def says(self, data: bytes) -> bytes:
        self.channel.dataReceived(data)
        return self.heard()

    def heard(self) -> bytes:
        sent = self.transport.value()
        self.transport.clear()
        return sent

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """The status and JSON of one request."""
        data = self.says(request(method, path, body, **headers))
        head, _, answer = data.partition(b"\r\n\r\n")
        assert b"Content-Length: %d\r\n" % len(answer) in head + b"\r\n"
        assert b"Content-Type: application/json" in head
        return int(head.split()[1]), json.loads(answer)


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    lines = {"Host": "127.0.0.1:6789", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value != "-")
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = request("POST", "/v1/mesh/publish", Transfer_Encoding="chunked")

ROWS = [
    ("POST", "/v1/mesh/publish"),
    ("POST", "/v1/mesh/send"),
    ("POST", "/v1/events"),
    ("POST", "/v1/users/1001/logout"),
    ("POST", "/v1/users/1001/disconnect"),
    ("GET", "/v1/channels"),
    ("GET", "/v1/clients"),
    ("GET", "/v1/clients/1001"),
    ("GET", "/metrics"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]


# -- the table


def test_the_originals_curl_command_reaches_the_user_byte_for_byte() -> None:
    caller = Caller()
    user = caller.office.listener("@balance", "1001")
    # as curl sends it
    head = b"POST /v1/mesh/publish HTTP/1.1\r\nHost: 127.0.0.1:6789\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
    fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(CURL_BODY)
    answer = caller.says(head + fields + CURL_BODY)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'\r\n\r\n{"E":null,"r":{"s":1,"f":0}}')
    assert user.raw() == [(1, CURL_MESSAGE)]


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "-"]
)
def test_the_content_type_does_not_matter(content_type: str) -> None:
    caller = Caller()
    assert caller.ask("POST", "/v1/mesh/publish", PUSH, Content_Type=content_type) == (200, NOBODY)


def test_an_array_is_answered_by_an_array() -> None:
    body = b"[" + PUSH + b',{"c":"?","d":""}]'
    status, answers = Caller().ask("POST", "/v1/mesh/publish", body)
    assert (status, [answer["E"] and answer["E"]["c"] for answer in answers]) == (200, [None, 101])


def test_the_publish_path_is_the_operators_choice() -> None:
    caller = Caller(publish_path="/push/v2.0")
    assert caller.ask("POST", "/push/v2.0", PUSH) == (200, NOBODY)
    assert caller.ask("POST", "/push/v2x0", PUSH)[0] == 404
    assert caller.ask("POST", "/v1/mesh/publish", PUSH)[0] == 404


def test_a_send_goes_to_one_connection() -> None:
    caller = Caller()
    client = caller.office.lobby.client()
    body = json.dumps({"c": client.session.client_id, "d": "hi"}).encode()
    assert caller.ask("POST", "/v1/mesh/send", body) == (200, {"E": None, "r": {"s": True}})
    assert client.raw() == [(1, b"hi")]
    status, answer = caller.ask("POST", "/v1/mesh/send", b'{"c":"99","d":"hi"}')
    assert (status, answer["E"]["c"]) == (502, 401)


def test_events_are_applied() -> None:
    caller = Caller()
    body = b'[["trade","BTCUSDT",1,"7.60","2","buy",1700000000000],["trade"]]'
    assert caller.ask("POST", "/v1/events", body) == (200, {"E": None, "r": {"s": 1, "f": 1}})
    assert caller.ask("POST", "/v1/events", b"{}")[0] == 400


def test_users_are_logged_out_and_disconnected() -> None:
    caller = Caller()
    users = [caller.office.listener("@balance", "1001") for _ in range(2)]
    assert caller.ask("POST", "/v1/users/1001/logout", b"{}") == (200, {"E": None, "r": {"s": 2}})
    assert [user.session.uid for user in users] == [None, None]
    other = caller.office.lobby.client("a-b_C")
    assert caller.ask("POST", "/v1/users/a-b%5FC/disconnect") == (200, {"E": None, "r": {"s": 1}})
    assert other.closed is not None
    assert other.closed[0] == 4503
    for uid in ("a%20b", "%31001%0a", "%00", "%ff", "a.b", "a" * 65):
        assert caller.ask("POST", f"/v1/users/{uid}/logout", b"{}")[0] == 400


def test_channels_and_clients_are_shown() -> None:
    caller = Caller()
    caller.office.listener("BTCUSDT@trades")
    caller.office.listener("@balance", "1001")
    assert caller.ask("GET", "/v1/channels") == (200, {"1001@balance": 1, "BTCUSDT@trades": 1})
    assert caller.ask("GET", "/v1/channels?prefix=BTC") == (200, {"BTCUSDT@trades": 1})
    assert caller.ask("GET", "/v1/channels?prefix=ex:1001%40&limit=5") == (200, {"1001@balance": 1})
    assert caller.ask("GET", "/v1/channels?limit=1") == (200, {"1001@balance": 1})
    status, clients = caller.ask("GET", "/v1/clients")
    assert (status, [client["client_id"] for client in clients]) == (200, ["1", "2"])
    assert set(clients[0]) == {"client_id", "uid", "peer", "since", "channels", "waiting"}
    assert caller.ask("GET", "/v1/clients/1001") == (200, clients[1:])
    assert caller.ask("GET", "/v1/clients?limit=1") == (200, clients[:1])
    assert caller.ask("GET", "/v1/clients/1002") == (200, [])


@pytest.mark.parametrize("query", ["limit=", "limit=-1", "limit=x", "limit=1e3", "limit=9999999999", "limit=%FF"])
def test_a_limit_is_a_number(query: str) -> None:
    status, answer = Caller().ask("GET", f"/v1/channels?{query}")
    assert (status, answer["E"]["c"]) == (400, 101)


def test_metrics_and_health_are_shown() -> None:
    caller = Caller()
    metrics = caller.says(request("GET", "/metrics"))
    assert b"Content-Type: text/plain; version=0.0.4" in metrics
    assert metrics.endswith(b"\r\n\r\nexchange_push_x 1\n")
    assert caller.ask("GET", "/healthz") == (200, {"status": "ok"})
    assert caller.ask("GET", "/readyz") == (200, {"status": "ok"})
    caller.missing = "feed silent for 5 s"
    assert caller.ask("GET", "/readyz") == (503, {"status": "feed silent for 5 s"})
    assert caller.ask("GET", "/healthz")[0] == 200


PATHS = [
    "/", "/v1", "/v1/mesh/publish/", "/v1//channels", "/v1/users//logout", "/v1/users/a/b", "//healthz", "/V1/channels",
    "/../healthz", "http://127.0.0.1/healthz", "*", "/v1/clients/a/b", "/%00", "/%1b%5b31m", "/ws/v1",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_path_is_404_in_json(path: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        status, answer = Caller().ask(method, path)
        assert (status, answer["r"], answer["E"]["m"].isprintable()) == (404, None, True)


@pytest.mark.parametrize("data", [b"GET /\x1b[31m HTTP/1.1\r\n\r\n", b"?\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n"])
def test_what_is_no_http_is_400_and_the_end(data: bytes) -> None:
    caller = Caller()
    head, _, body = caller.says(data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(body) == {"E": {"c": 101, "m": "no HTTP request"}, "r": None}
    assert not caller.transport.connected


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_a_wrong_method_is_405_with_what_is_allowed(method: str, path: str) -> None:
    caller = Caller()
    allowed = ("GET", "HEAD") if method == "GET" else ("POST",)
    for wrong in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"} - set(allowed):
        answer = caller.says(request(wrong, path))
        assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        assert b"\r\nAllow: " + ", ".join(allowed).encode() + b"\r\n" in answer


def test_head_is_get_without_the_body() -> None:
    caller = Caller()
    answer = caller.says(request("HEAD", "/healthz"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 15\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    assert caller.ask("GET", "/healthz")[0] == 200


def test_requests_may_follow_each_other_without_waiting() -> None:
    caller = Caller()
    answers = caller.says(request("POST", "/v1/mesh/publish", PUSH) * 100 + request("GET", "/healthz"))
    assert answers.count(b"HTTP/1.1 200 OK") == 101
    assert caller.api.requests == 101


def test_no_answer_tells_what_software_and_version_we_are() -> None:
    caller = Caller()
    for method, path in [*ROWS, ("GET", "/nothing"), ("OPTIONS", "*")]:
        answer = caller.says(request(method, path))
        assert b"\r\nServer: exchange-push\r\n" in answer
        assert b"wisted" not in answer


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b"", 400, 101), (b"{", 400, 101), (b"\xff", 400, 101), (b"{}", 400, 101), (b'{"c":"?","d":""}', 400, 101),
     (b"[" * 100_000, 400, 101), (b'{"c":"a@b","d":NaN}', 400, 101), (b"[" + b"0," * 10_000 + b"0]", 413, 413)],
)  # fmt: skip
def test_errors_have_a_fitting_status(body: bytes, status: int, code: int) -> None:
    found, answer = Caller().ask("POST", "/v1/mesh/publish", body)
    assert (found, answer["E"]["c"]) == (status, code)


def test_faults_of_ours_are_logged_and_answered(logged_failures: LoggedFailures) -> None:
    caller = Caller()
    caller.office.broken = True
    assert caller.ask("POST", "/v1/mesh/publish", PUSH)[0] == 502
    caller.api._metrics = lambda: 1 / 0  # type: ignore[assignment,return-value]
    status, answer = caller.ask("GET", "/metrics")
    assert (status, answer["E"]["m"]) == (500, "internal error")
    assert caller.ask("GET", "/healthz")[0] == 200
    assert len(logged_failures.flush(Broken, ZeroDivisionError)) == 2


# -- who may ask


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_web_pages_and_foreign_hosts_stay_out_everywhere(method: str, path: str) -> None:
    for secret in (None, CANARY):
        caller = Caller(secret)
        user = caller.office.listener("@balance", "1001")
        body = PUSH if method == "POST" else None
        bearer = {"Authorization": f"Bearer {CANARY}"}
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:6789"},
            {"Host": "evil.example"},
            {"Host": "-"},
            {"Sec_Fetch_Site": "cross-site"},
        ):
            caller.connect()
            status, answer = caller.ask(method, path, body, **{**bearer, **headers})
            assert (status, answer["E"]["c"]) == (403, 403)
        assert user.raw() == []
        assert user.session.uid == "1001"


def test_listed_origins_and_hosts_may_come_in() -> None:
    caller = Caller()
    assert caller.ask("GET", "/v1/channels", Origin="http://ok.example")[0] == 200
    assert caller.ask("GET", "/v1/channels", Host="push.internal:6789")[0] == 200


@pytest.mark.parametrize(("method", "path"), ROWS)
def test_the_secret_is_asked_for_but_for_health(method: str, path: str) -> None:
    free = path in ("/healthz", "/readyz")
    caller = Caller(CANARY)
    for authorization in ("-", "Bearer wrong", f"Basic {CANARY}"):
        answer = caller.says(request(method, path, Authorization=authorization))
        assert answer.startswith(b"HTTP/1.1 200 " if free else b"HTTP/1.1 403 Forbidden\r\n")
    assert b" 403 " not in caller.says(request(method, path, Authorization=f"Bearer {CANARY}"))
    assert caller.says(request("GET", "/nothing")).startswith(b"HTTP/1.1 403 ")


def test_two_hosts_in_one_request_are_none_of_ours() -> None:
    data = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    assert Caller().says(data).startswith(b"HTTP/1.1 403 ")


def test_a_header_that_is_no_text_is_only_wrong() -> None:
    data = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\r\n\r\n"
    assert Caller(CANARY).says(data).startswith(b"HTTP/1.1 403 ")


def test_who_may_not_come_in_is_told_before_the_body_comes() -> None:
    caller = Caller(CANARY)
    head = request("POST", "/v1/mesh/publish", b"x" * 1000)[:-1000]
    assert caller.says(head).startswith(b"HTTP/1.1 403 ")


# -- how much, and how slowly (S15, S18)


def test_a_body_is_taken_up_to_its_limit_and_not_a_byte_more() -> None:
    for size, status in ((999, 400), (1000, 400), (1001, 413)):
        caller = Caller(body_bytes=1000)
        assert caller.ask("POST", "/v1/mesh/publish", b"x" * size)[0] == status


def test_an_announced_body_that_is_too_big_is_refused_before_it_comes() -> None:
    caller = Caller()
    size = 50 << 20
    head = request("POST", "/v1/mesh/publish", Content_Length=str(size), Expect="100-continue")
    answer = caller.says(head)
    assert answer.startswith(b"HTTP/1.1 413 Request Entity Too Large\r\n")
    assert b"Connection: close" in answer
    assert b"100 Continue" not in answer
    assert str(size).encode() in answer.partition(b"\r\n\r\n")[2]


def test_a_chunked_body_is_cut_off_while_it_comes_and_never_stored() -> None:
    caller = Caller(body_bytes=100_000)
    caller.channel.dataReceived(CHUNKED)
    caller.channel.dataReceived(chunk(b"x" * 100_000))
    assert caller.heard() == b""
    assert caller.says(chunk(b"x")).startswith(b"HTTP/1.1 413 ")
    for _ in range(100):
        caller.channel.dataReceived(chunk(b"x" * 100_000))
    content = caller.channel.requests[0].content
    assert isinstance(content, BytesIO), "Twisted would take it into a file"
    assert content.getvalue() == b""
    assert caller.heard() == b""
    caller.clock.advance(2)
    assert not caller.transport.connected


def test_a_peer_that_is_told_early_and_sends_its_body_anyway_gets_one_answer_and_the_end() -> None:
    caller = Caller(body_bytes=10)
    answer = caller.says(request("POST", "/v1/mesh/publish", b"x" * 11) + request("GET", "/healthz"))
    assert answer.count(b"HTTP/1.1") == 1
    assert not caller.transport.connected


def test_a_chunked_push_within_the_limit_is_a_push() -> None:
    caller = Caller()
    user = caller.office.listener("@balance", "1001")
    answer = caller.says(CHUNKED + chunk(PUSH[:5]) + chunk(PUSH[5:]) + b"0\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == SENT
    assert user.raw() == [(1, b"x")]


@pytest.mark.parametrize("data", [request("POST", "/v1/mesh/publish", b"x" * 1000), CHUNKED + chunk(b"x") * 1000])
def test_a_dripping_body_is_cut_off_after_ten_seconds(data: bytes) -> None:
    caller = Caller()
    for byte in range(99):
        caller.channel.dataReceived(data[byte : byte + 1])
        caller.clock.advance(0.1)
    assert caller.heard() == b""
    caller.clock.advance(0.2)
    assert caller.heard().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert not caller.transport.connected
    assert caller.api.late == 1


def test_a_dripping_head_of_a_later_request_is_cut_off_too() -> None:
    caller = Caller()
    caller.ask("GET", "/healthz")
    caller.clock.advance(59)
    for byte in request("GET", "/healthz", X="y" * 1000)[:99]:
        caller.channel.dataReceived(bytes([byte]))
        caller.clock.advance(0.1)
    assert caller.transport.connected
    caller.clock.advance(0.2)
    assert not caller.transport.connected


def test_an_idle_connection_is_kept_a_minute_and_no_longer() -> None:
    caller = Caller()
    for _ in range(3):
        assert caller.ask("GET", "/healthz")[0] == 200
        caller.clock.advance(59)
    caller.clock.advance(1)
    assert not caller.transport.connected
    assert caller.heard() == b""
    caller.clock.advance(10)
    assert caller.clock.getDelayedCalls() == []


def test_nothing_is_logged_of_requests_be_they_good_or_hostile() -> None:
    hostile = ("\x1b[31m", CANARY, "a\x85b", "\u2028")
    with capturedLogs() as events:
        for secret in (None, CANARY):
            caller = Caller(secret)
            for text in hostile:
                caller.connect()
                caller.says(request("GET", f"/{text}", User_Agent=text, Origin=text))
                caller.connect()
                caller.says(request("POST", "/v1/mesh/publish", json.dumps({"c": text, "d": CANARY}).encode()))
                caller.connect()
                caller.says(request("GET", "/metrics", Authorization=f"Bearer {text}", Host=text))
    assert events == []


# -- over a socket


class Server:
    """A listening API."""

    def __init__(self) -> None:
        self.office = Office()
        self.api = Api(reactor, self.office.desk, Gate(), metrics=lambda: b"", ready=lambda: None)  # type: ignore[arg-type]
        self.listening: Any = reactor.listenTCP(0, self.api, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.port: int = self.listening.getHost().port


@pytest_twisted.async_yield_fixture()
async def server() -> AsyncIterator[Server]:
    found = Server()
    yield found
    await found.listening.stopListening()
    while found.api.connected:
        await deferLater(reactor, 0, lambda: None)  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_treq_pushes_over_a_socket(server: Server) -> None:
    user = server.office.listener("@balance", "1001")
    client = treq.client.HTTPClient(Agent(reactor))
    response = await client.post(f"http://127.0.0.1:{server.port}/v1/mesh/publish", CURL_BODY)
    assert response.code == 200
    assert await response.json() == SENT
    assert user.raw() == [(1, CURL_MESSAGE)]


@pytest_twisted.ensureDeferred
async def test_a_body_of_fifty_mebibytes_is_answered_while_it_is_sent(server: Server) -> None:
    client = await connect_raw(server.port)
    client.transport.write(request("POST", "/v1/mesh/publish", Content_Length=str(50 << 20)) + b"x" * (5 << 20))
    await client.until(lambda: client.data.endswith(b"}"))
    assert client.data.startswith(b"HTTP/1.1 413 ")
    await client.leave()


@pytest_twisted.ensureDeferred
async def test_http_1_0_is_answered_and_closed(server: Server) -> None:
    client = await connect_raw(server.port)
    client.transport.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
    await client.gone()
    assert client.data.endswith(b'\r\n\r\n{"status":"ok"}')
