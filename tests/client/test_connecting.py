"""The thin part of the client: pauses, deadlines, tokens. The server is bytes on a transport, the clock a test's."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from exchange_push.client import Client, Closed, Connected, Event, LoggedIn, LoginFailed, Subscribed
from tests.fakes import LoggedFailures
from tests.wsclient import WsClient

URL = "ws://127.0.0.1:1/exchange-stream"


def frame(opcode: int, payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes([0x80 | opcode, len(payload)]) + payload


class Reader(WsClient):
    """Reads what a client of ours sends: frames with a mask."""

    def _frame(self) -> tuple[int, bytes] | None:
        data = self.data
        if len(data) < 6:
            return None
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        mask = data[at : at + 4]
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data[at + 4 : at + 4 + size]))
        self.data = data[at + 4 + size :]
        return data[0] & 0x0F, payload

    def _take(self, opcode: int, payload: bytes) -> None:
        self.frames.append((opcode, payload))

    def read(self, data: bytes) -> list[tuple[int, bytes]]:
        self.data += data
        while (found := self._frame()) is not None:
            self._take(*found)
        frames, self.frames = self.frames, []
        return frames


class Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True

    def setTcpNoDelay(self, on: bool) -> None: ...

    def unregisterProducer(self) -> None: ...


class Line:
    """One connection, from the server's end."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.transport = Transport()
        self._reader = Reader()
        protocol.makeConnection(self.transport)
        self.head = self.transport.value().decode()
        self.transport.clear()

    def accept(self, subprotocol: str | None = None) -> None:
        key = next(line for line in self.head.split("\r\n") if line.startswith("Sec-WebSocket-Key")).split(": ")[1]
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        chosen = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        self.protocol.dataReceived(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (base64.b64encode(digest), chosen.encode())
        )

    def frames(self) -> list[tuple[int, bytes]]:
        found = self._reader.read(self.transport.value())
        self.transport.clear()
        return found

    def heard(self) -> list[Any]:
        return [json.loads(payload) for opcode, payload in self.frames() if opcode == 1]

    def say(self, message: object) -> None:
        self.protocol.dataReceived(frame(1, json.dumps(message).encode()))

    def agree(self) -> list[Any]:
        """Answer all that was asked with success, pings too, and what is asked then."""
        asked = self.heard()
        for request in asked:
            ping = request["op"] == "ping"
            self.say({**({"op": "pong", "time": 1} if ping else {"result": True}), "id": request["id"]})
        return asked + (self.agree() if asked else [])

    def close(self, code: int, reason: str = "") -> None:
        self.protocol.dataReceived(frame(8, code.to_bytes(2, "big") + reason.encode()))
        self.lose(ConnectionDone())

    def lose(self, reason: Exception | None = None) -> None:
        self.protocol.connectionLost(Failure(reason or ConnectionLost()))


class Endpoint:
    """Connects when the test says so."""

    def __init__(self) -> None:
        self.dialled: list[Deferred[Any]] = []
        self._factory: Any = None

    def connect(self, factory: Any) -> Deferred[Any]:
        self._factory = factory
        self.dialled.append(Deferred())
        return self.dialled[-1]

    def reach(self) -> Line:
        protocol = self._factory.buildProtocol(None)
        line = Line(protocol)
        self.dialled[-1].callback(protocol)
        return line


class Stage:
    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.notices: list[Any] = []
        self.events: list[Event] = []
        self.client = Client(
            URL,
            reactor=self.clock,
            endpoint=self.endpoint,  # type: ignore[arg-type]
            on_notice=self.notices.append,
            **{"random": lambda: 0.0, **options},
        )

    def open(self) -> Line:
        line = self.endpoint.reach()
        line.accept()
        return line

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)

    def pause(self) -> float:
        """How long it waits until it dials again."""
        before, begun = len(self.endpoint.dialled), self.clock.seconds()
        while len(self.endpoint.dialled) == before:
            self.clock.advance(0.05)
            assert self.clock.seconds() < begun + 100
        return round(self.clock.seconds() - begun, 1)


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    """Starts a client; nothing of it may be left when it was stopped."""
    stages: list[Stage] = []

    def start(**options: Any) -> Stage:
        stages.append(Stage(**options))
        stages[-1].client.startService()
        return stages[-1]

    yield start
    for each in stages:
        if each.client.running:
            each.client.stopService()
        if each.client._protocol is not None:
            each.client._protocol.connectionLost(Failure(ConnectionDone()))
        assert each.clock.getDelayedCalls() == []


def test_pauses_between_attempts_double_up_to_thirty_seconds_and_are_at_least_half_of_that(
    stage: Callable[..., Stage],
) -> None:
    for jitter, expected in ((0.0, [0.5, 1, 2, 4, 8, 15, 15]), (1.0, [1, 2, 4, 8, 16, 30, 30])):
        calm = stage(random=lambda jitter=jitter: jitter)
        pauses = []
        for _ in expected:
            calm.endpoint.dialled[-1].errback(ConnectionRefusedError("nobody"))
            pauses.append(calm.pause())

        assert pauses == expected
        assert calm.notices[0] == Closed(1006, "not connected: nobody", expected[0])


def test_a_server_that_accepts_and_kicks_is_not_hammered_and_one_that_stood_is_soon_tried_again(
    stage: Callable[..., Stage],
) -> None:
    calm = stage()
    pauses = []
    for stood_s in (0, 0, 0, 0, 11, 0):
        line = calm.open()
        for _ in range(stood_s):
            line.agree()
            calm.wait(1)
        line.close(4013, "full")
        pauses.append(calm.pause())

    assert pauses == [0.5, 1, 2, 4, 0.5, 1]
    assert [type(notice) for notice in calm.notices[:2]] == [Connected, Closed]
    assert calm.notices[1] == Closed(4013, "full", 0.5)


@pytest.mark.parametrize("code", [4500, 4501, 4503, 4505, 1002, 1009])
def test_a_close_that_asks_for_a_change_is_for_good(stage: Callable[..., Stage], code: int) -> None:
    calm = stage()
    calm.open().close(code, "why")
    calm.wait(100)

    assert len(calm.endpoint.dialled) == 1
    assert calm.notices[-1] == Closed(code, "why", None)


def test_a_connect_or_a_handshake_that_takes_too_long_is_given_up(stage: Callable[..., Stage]) -> None:
    calm = stage()
    calm.wait(10)
    assert isinstance(calm.notices[-1], Closed)
    calm.pause()
    line = calm.endpoint.reach()
    calm.wait(9.9)
    assert not line.transport.aborted
    calm.wait(0.2)
    assert line.transport.aborted
    line.lose()
    assert calm.pause() > 0


def test_a_refused_handshake_is_tried_again(stage: Callable[..., Stage]) -> None:
    calm = stage()
    line = calm.endpoint.reach()
    line.protocol.dataReceived(b"HTTP/1.1 404 Not Found\r\n\r\n")
    line.lose(ConnectionDone())

    assert calm.notices[-1].again_s == 0.5
    assert "404" in calm.notices[-1].reason


def test_what_is_wanted_is_asked_for_on_each_connection_in_one_request(stage: Callable[..., Stage]) -> None:
    calm = stage()
    line = calm.open()
    line.agree()
    for number in range(30):
        calm.client.subscribe(f"S{number}@ticker", calm.events.append)
    calm.wait(0.05)
    [asked, *_] = line.agree()
    assert len(asked["channels"]) == 30
    line.say({"event": "S3@ticker", "data": {"last": "1.50"}})
    assert calm.events == [Event("S3@ticker", {"last": "1.50"})]
    line.lose()
    calm.pause()
    line = calm.open()

    assert len(line.heard()[0]["channels"]) == 31  # system with them
    assert calm.notices.count(Subscribed("S3@ticker")) == 1


def test_a_server_that_answers_nothing_is_dropped_and_the_latency_of_one_that_does_is_known(
    stage: Callable[..., Stage],
) -> None:
    calm = stage()
    line = calm.open()
    line.agree()
    assert calm.client.latency_ms == 0
    while not (heard := line.heard()):
        calm.wait(0.05)
    [ping] = heard
    calm.wait(0.2)
    line.say({"op": "pong", "time": 1, "id": ping["id"]})
    assert calm.client.latency_ms == pytest.approx(200)
    calm.wait(24)
    assert not line.transport.aborted
    calm.wait(3)
    assert line.transport.aborted
    line.lose()
    assert calm.client.latency_ms is None
    assert calm.pause() == 0.5


def test_a_token_may_be_a_function_or_take_its_time(stage: Callable[..., Stage]) -> None:
    waiting: Deferred[str] = Deferred()
    answers: list[Any] = ["one", waiting, fail(ValueError("no vault"))]
    calm = stage(token=lambda: answers.pop(0))
    calm.client.subscribe("@order", calm.events.append)
    tokens = []
    for _ in range(2):
        line = calm.open()
        asked = line.agree()
        if not waiting.called and not any(request["op"] == "auth" for request in asked):
            waiting.callback("two")
            calm.wait(0.05)
            asked = line.agree()
        tokens += [request["token"] for request in asked if request["op"] == "auth"]
        assert calm.notices[-2:] == [LoggedIn(), Subscribed("@order")]
        line.lose()
        calm.pause()
    calm.open()

    assert tokens == ["one", "two"]
    assert calm.notices[-1] == LoginFailed(None, "no token: no vault", again=True)


def test_a_coroutine_gives_a_token_and_one_that_never_comes_is_not_waited_for(stage: Callable[..., Stage]) -> None:
    async def token() -> str:
        return "from a coroutine"

    calm = stage(token=token)
    line = calm.open()
    assert [request["token"] for request in line.agree() if request["op"] == "auth"] == ["from a coroutine"]
    never: Deferred[str] = Deferred()
    calm.client.log_in(lambda: never)
    for _ in range(31):
        line.agree()
        calm.wait(1)

    assert any(isinstance(notice, LoginFailed) for notice in calm.notices)


def test_a_token_that_comes_when_the_connection_is_gone_is_not_used(stage: Callable[..., Stage]) -> None:
    asked: list[Deferred[str]] = []

    def token() -> Deferred[str]:
        asked.append(Deferred(lambda deferred: None))
        return asked[-1]

    calm = stage(token=token)
    calm.open().lose()
    assert not [notice for notice in calm.notices if isinstance(notice, LoginFailed)]
    calm.pause()
    line = calm.open()
    asked[1].callback("new")
    calm.wait(0.05)

    assert [request["token"] for request in line.heard() if request["op"] == "auth"] == ["new"]


def test_the_close_of_a_client_is_clean_and_told_once(stage: Callable[..., Stage]) -> None:
    calm = stage()
    line = calm.open()
    calm.client.subscribe("A@ticker", calm.events.append)
    calm.wait(0.05)
    line.agree()
    gone: list[None] = []
    calm.client.stopService().addCallback(gone.append)
    assert line.frames()[-1] == (8, (1000).to_bytes(2, "big"))
    line.say({"event": "A@ticker", "data": 1})
    assert (gone, calm.events) == ([], [])
    line.close(1000)

    assert gone == [None]
    assert calm.notices[-1] == Closed(1000, "", None)
    assert calm.clock.getDelayedCalls() == []


def test_a_server_that_answers_no_close_is_cut(stage: Callable[..., Stage]) -> None:
    calm = stage()
    line = calm.open()
    stopped = calm.client.stopService()
    calm.wait(3.1)
    assert line.transport.aborted
    line.lose()

    assert stopped.called


def test_a_client_can_be_stopped_while_it_connects_and_while_it_waits_and_be_started_again(
    stage: Callable[..., Stage],
) -> None:
    calm = stage()
    calm.client.stopService()
    assert calm.clock.getDelayedCalls() == []
    calm.client.startService()
    calm.endpoint.dialled[-1].errback(ConnectionRefusedError())
    calm.client.stopService()
    assert calm.clock.getDelayedCalls() == []
    calm.client.startService()
    line = calm.endpoint.reach()
    stopped = calm.client.stopService()
    calm.client.startService()
    assert line.transport.aborted
    line.lose()

    assert stopped.called
    calm.pause()
    calm.open()
    assert calm.notices[-1] == Connected()


def test_a_handler_that_fails_is_logged_and_the_others_hear_on(
    stage: Callable[..., Stage], logged_failures: LoggedFailures
) -> None:
    calm = stage()
    calm.client.subscribe("A@ticker", lambda event: 1 // 0)
    calm.client.subscribe("B@ticker", calm.events.append)
    line = calm.open()
    line.agree()
    line.say({"event": "A@ticker", "data": 1})
    line.say({"event": "B@ticker", "data": 2})

    assert calm.events == [Event("B@ticker", 2)]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_msgpack_is_spoken_where_the_server_takes_it(stage: Callable[..., Stage]) -> None:
    calm = stage(binary=True)
    calm.client.subscribe("A@ticker", calm.events.append)
    line = calm.endpoint.reach()
    assert "Sec-WebSocket-Protocol: exchange-push.msgpack" in line.head
    line.accept("exchange-push.msgpack")
    [(opcode, payload), *_] = line.frames()
    request = msgspec.msgpack.decode(payload)
    assert (opcode, request["channels"]) == (2, ["system", "A@ticker"])
    line.protocol.dataReceived(frame(2, msgspec.msgpack.encode({"result": True, "id": request["id"]})))
    line.protocol.dataReceived(frame(2, msgspec.msgpack.encode({"event": "A@ticker", "data": 1})))
    line.protocol.dataReceived(frame(1, b'{"event":"A@ticker","data":184467440737095516160}'))

    assert [event.data for event in calm.events] == [1, 184467440737095516160]


def test_numbers_with_a_fraction_keep_their_digits(stage: Callable[..., Stage]) -> None:
    calm = stage()
    calm.client.subscribe("A@order", calm.events.append)
    line = calm.open()
    line.agree()
    line.protocol.dataReceived(frame(1, b'{"event":"A@order","data":{"price":0.10000000000000000001}}'))
    line.protocol.dataReceived(frame(1, b"no JSON"))

    assert str(calm.events[0].data["price"]) == "0.10000000000000000001"
    assert calm.notices[-1].message == "no JSON"
