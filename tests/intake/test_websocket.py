"""The internal WebSocket over real sockets, through the Front that it shares with the HTTP API."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs

from exchange_push.edge.front import Front
from exchange_push.intake.gate import Gate
from exchange_push.intake.http import Api
from exchange_push.intake.websocket import MESSAGE_BYTES, PushFactory
from exchange_push.wire import push
from tests.fakes import LoggedFailures
from tests.intake.office import CURL_BODY, CURL_MESSAGE, SENT, Broken, Office
from tests.wsclient import RawClient, WsClient, connect, connect_raw, masked

CANARY = "canary-77aa10"


class House:
    """A listening port of the internal API."""

    def __init__(self, secret: str | None = None) -> None:
        self.office = Office()
        gate = Gate(secret, origins=("http://ok.example",), hosts=("push.internal",))
        clock: Any = reactor
        self.pushes = PushFactory(clock, self.office.desk, gate)
        self.api = Api(clock, self.office.desk, gate, metrics=lambda: b"", ready=lambda: None)
        self.front = Front(clock, web=self.api, websocket=self.pushes, bodies=True)
        self.listening = clock.listenTCP(0, self.front, interface="127.0.0.1")
        self.port: int = self.listening.getHost().port
        self.callers: list[RawClient] = []

    async def connect(self, path: str = "/ws/v1", client: WsClient | None = None, **headers: str) -> WsClient:
        found = await connect(self.port, path, headers, client)
        self.callers.append(found)
        return found

    async def close(self) -> None:
        for caller in self.callers:
            await caller.leave()
        await self.listening.stopListening()
        while self.pushes.connected or self.api.connected:
            await turn()


async def turn() -> None:
    await deferLater(reactor, 0, lambda: None)  # type: ignore[arg-type]


@pytest_twisted.async_yield_fixture()
async def house() -> AsyncIterator[House]:
    found = House()
    yield found
    await found.close()


@pytest_twisted.async_yield_fixture()
async def locked() -> AsyncIterator[House]:
    found = House(CANARY)
    yield found
    await found.close()


def publish(**fields: object) -> dict[str, object]:
    return {"m": "mesh.publish", "p": fields, "i": 12345}


# -- requests


@pytest_twisted.ensureDeferred
async def test_a_publish_is_the_originals_and_so_is_its_answer(house: House) -> None:
    user = house.office.listener("@balance", "1001")
    back_end = await house.connect()
    back_end.send(b'{"m":"mesh.publish","p":%b,"i":12345}' % CURL_BODY)
    assert await back_end.raw() == (1, b'{"E":null,"r":{"s":1,"f":0},"i":12345}')
    assert user.raw() == [(1, CURL_MESSAGE)]


@pytest_twisted.ensureDeferred
async def test_http_and_websocket_share_one_port(house: House) -> None:
    back_end = await house.connect()
    assert back_end.head is not None
    assert back_end.head.startswith(b"HTTP/1.1 101 ")
    raw = await connect_raw(house.port)
    house.callers.append(raw)
    body = b"Content-Length: %d\r\n\r\n" % len(CURL_BODY) + CURL_BODY
    raw.transport.write(b"POST /v1/mesh/publish HTTP/1.1\r\nHost: localhost\r\n" + body)
    await raw.until(lambda: raw.data.endswith(b"}"))
    assert json.loads(raw.data.partition(b"\r\n\r\n")[2]) == {"E": None, "r": {"s": 0, "f": 0}}


@pytest_twisted.ensureDeferred
async def test_many_requests_may_be_in_flight(house: House) -> None:
    house.office.listener("@balance", "1001")
    back_end = await house.connect()
    for number in range(2000):
        back_end.send({**publish(c="1001@balance", d="x"), "i": number})
    for number in range(2000):
        assert await back_end.next() == {**SENT, "i": number}


@pytest_twisted.ensureDeferred
async def test_sends_calls_events_and_pings_are_answered(house: House) -> None:
    client = house.office.lobby.client()
    name = client.session.client_id
    back_end = await house.connect()
    done = {"E": None, "r": {"s": True}, "i": 1}

    def call(function: str, *args: object) -> dict[str, object]:
        return {"m": "conn.call", "p": {"c": name, "f": function, "a": args}, "i": 1}

    assert await back_end.ask({"m": "mesh.send", "p": {"c": name, "d": "hi"}, "i": 1}) == done
    assert await back_end.ask(call("subscribe", "BTCUSDT@trades", "BTCUSDT@depth")) == done
    assert await back_end.ask(call("unsubscribe", "BTCUSDT@depth")) == done
    assert await back_end.ask(call("set_context_value", "user_id", 10000)) == done
    assert client.session.channel_names() == ["BTCUSDT@trades"]
    assert client.session.context == {"user_id": 10000}
    assert client.raw() == [(1, b"hi")]
    assert (await back_end.ask(call("subscribe", "1001@order")))["E"]["c"] == 301
    assert await back_end.ask({"e": [["trade"]], "i": 2}) == {"E": None, "r": {"s": 0, "f": 1}, "i": 2}
    back_end.send(b"ping")
    assert await back_end.raw() == (1, b"pong")


@pytest_twisted.ensureDeferred
async def test_hostile_messages_are_answered_and_the_connection_lives_on(house: House) -> None:
    back_end = await house.connect()
    for message in (b"", b"{", b"null", b"[]", b"[" * 100_000, b'{"m":"mesh.publish","p":{"c":"a@b","d":NaN},"i":1}'):
        back_end.send(message)
        assert (await back_end.next())["E"]["c"] == 101
    back_end.transport.write(masked(2, b'{"m":"mesh.publish","p":{"c":"1@balance","d":"x"}}'))
    assert (await back_end.next())["E"] is None, "a binary frame is taken alike"
    assert back_end.closed is None


@pytest_twisted.ensureDeferred
async def test_a_fault_of_ours_is_answered_and_the_connection_lives_on(
    house: House, logged_failures: LoggedFailures
) -> None:
    house.office.broken = True
    back_end = await house.connect()
    for _ in range(5):
        answer = await back_end.ask(publish(c="1001@balance", d="x"))
        assert answer["E"] == {"c": 401, "m": "internal error"}
    assert len(logged_failures.flush(Broken)) == 5


@pytest_twisted.ensureDeferred
async def test_a_fault_below_the_desk_closes_with_1011_and_logs_no_payload(
    house: House, logged_failures: LoggedFailures
) -> None:
    back_end = await house.connect()
    house.pushes.desk = None  # type: ignore[assignment]  # whoever asks it fails
    with capturedLogs() as events:
        back_end.send(publish(c="1001@balance", d=CANARY))
        assert await back_end.close_code() == 1011
        await back_end.gone()
    assert CANARY not in str([event["log_format"] for event in events])
    assert house.pushes.faults == 1
    assert len(logged_failures.flush(AttributeError)) == 1


# -- how much


@pytest_twisted.ensureDeferred
async def test_a_message_of_a_mebibyte_is_taken_and_one_byte_more_closes_with_1009(house: House) -> None:
    back_end = await house.connect()
    head = b'{"m":"mesh.publish","p":{"c":"1@balance","d":"'
    whole = head + b"x" * (MESSAGE_BYTES - len(head) - 3) + b'"}}'
    assert len(whole) == MESSAGE_BYTES
    assert (await back_end.ask(whole))["E"] is None
    back_end.send(whole + b" ")
    assert await back_end.close_code() == 1009


@pytest_twisted.ensureDeferred
async def test_what_is_announced_too_big_is_refused_before_it_comes(house: House) -> None:
    back_end = await house.connect()
    back_end.transport.write(b"\x81\xff" + (2**40).to_bytes(8, "big") + bytes(4))
    assert await back_end.close_code() == 1009


@pytest_twisted.ensureDeferred
async def test_who_does_not_read_its_answers_is_read_no_more(house: House) -> None:
    back_end = await house.connect()
    (protocol,) = house.pushes.connected
    back_end.transport.pauseProducing()
    while not protocol._paused:
        back_end.transport.write(masked(1, b"?") * 20_000)
        await turn()
    taken = house.pushes.messages
    back_end.transport.write(masked(1, b"?") * 1000)
    for _ in range(50):
        await turn()
    assert house.pushes.messages == taken
    assert len(protocol.transport.dataBuffer) + protocol.transport._tempDataLen < 8 << 20
    back_end.transport.resumeProducing()
    await back_end.until(lambda: house.pushes.messages > taken)


# -- who may come in (S8, S24)


async def status(house: House, path: str = "/ws/v1", **headers: str) -> int:
    """The HTTP status of a handshake, whose refusals are JSON without a word about our software."""
    found = await house.connect(path, **headers)
    assert found.head is not None
    assert b"Server: exchange-push" in found.head
    assert b"utobahn" not in found.head
    code = int(found.head.split()[1])
    if code != 101:
        await found.gone()
        answer = json.loads(found.data)
        assert answer["r"] is None
        assert answer["E"]["m"].isprintable()
    return code


@pytest_twisted.ensureDeferred
async def test_web_pages_and_foreign_hosts_stay_out(house: House) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:6789", "file://", "http://ok.example.evil.example"):
        assert await status(house, Origin=origin) == 403
    for host in ("evil.example", "evil.example:6789", "127.0.0.1.evil.example", "0.0.0.0"):
        assert await status(house, Host=host) == 403
    assert await status(house, Origin="http://ok.example") == 101
    assert await status(house, Host="push.internal") == 101
    assert await status(house, Host="localhost:6789") == 101


@pytest_twisted.ensureDeferred
async def test_the_secret_comes_with_the_handshake(locked: House) -> None:
    for authorization in ("Bearer wrong", f"Basic {CANARY}", CANARY):
        assert await status(locked, Authorization=authorization) == 403
    assert await status(locked) == 403
    assert await status(locked, path=f"/ws/v1?secret={CANARY}") == 403
    assert await status(locked, Authorization=f"Bearer {CANARY}") == 101


@pytest_twisted.ensureDeferred
async def test_other_paths_and_other_versions_are_no_websocket_of_ours(house: House) -> None:
    for path in (
        "/",
        "/ws/v2",
        "/ws/v1/",
        "/v1/mesh/publish",
        "/?redirect=https://evil.example",
        "/?redirect=x&after=a",
    ):
        assert await status(house, path=path) == 404
    for headers in ({"Sec-WebSocket-Version": "7"}, {"Sec-WebSocket-Key": "x"}, {"Connection": "close"}):
        assert await status(house, **headers) == 400


@pytest_twisted.ensureDeferred
async def test_nothing_that_a_peer_sent_gets_into_a_log(locked: House) -> None:
    with capturedLogs() as events:
        for text in (CANARY, "a\x1b[31m", "a\xa0b"):
            for headers in ({"Authorization": f"Bearer {text}"}, {"Origin": text}, {"Host": text}, {"Upgrade": text}):
                await locked.connect(**headers)
        back_end = await locked.connect(Authorization=f"Bearer {CANARY}")
        back_end.send({"m": CANARY, "p": {}, "i": CANARY})
        await back_end.next()
        back_end.transport.write(b"\xff" + CANARY.encode())
        await back_end.close_code()
    assert [event for event in events if CANARY in str(event) or "\x1b" in str(event)] == []


def test_a_secret_in_a_request_shows_nowhere() -> None:
    assert CANARY not in repr(push.decode_line(b'{"auth":"%b"}' % CANARY.encode()))
