"""The user's own test section, to the letter, and hostile variants of it."""

import json
from typing import Any

import pytest
import pytest_twisted
import treq

from tests.end_to_end.conftest import Start
from tests.end_to_end.running import PATIENCE_S
from tests.wsclient import masked

# The body of the user's curl command, byte for byte, and the message that the client then receives.
CURL = rb"""{
     "c": "ex:1001@balance",
     "d": "{\"event\":\"@balance\",\"data\":{\"uid\":1001,\"balance\":[{\"currency\":\" BTC\",\"available\":100,\"unavailable\":100}]}}"
}"""
RECEIVED = (
    rb'{"event":"@balance","data":{"uid":1001,"balance":[{"currency":" BTC","available":100,"unavailable":100}]}}'
)


@pytest_twisted.ensureDeferred
async def test_the_seeds_own_test_works_to_the_letter(start: Start) -> None:
    running = start()
    client = await running.client()
    client.send(b'{"op":"auth","token":"***"}')
    assert await client.raw() == (1, b'{"result":true}')
    client.send(b'{"op":"subscribe","channel":"@balance"}')
    assert await client.raw() == (1, b'{"result":true}')

    response = await treq.post(
        running.api("/v1/mesh/publish"),
        CURL,
        headers={"Content-Type": "application/json"},
        persistent=False,
        timeout=PATIENCE_S,
    )

    assert await response.content() == b'{"E":null,"r":{"s":1,"f":0}}'
    assert await client.raw() == (1, RECEIVED)
    assert running.backend.asked == ["***"]


@pytest_twisted.ensureDeferred
async def test_the_same_push_works_as_a_line_and_over_the_websocket_api(start: Start) -> None:
    running = start()
    client = await running.client("@balance", token="***")
    push = json.loads(CURL)

    line = await running.raw("lines")
    line.transport.write(json.dumps(push).encode() + b"\n")
    await line.until(lambda: b"\n" in line.data)
    assert line.data.rstrip() == b'{"E":null,"r":{"s":1,"f":0}}'
    assert await client.raw() == (1, RECEIVED)

    from tests.wsclient import connect

    api = await connect(running.port("api"), "/ws/v1")
    assert await api.ask({"m": "mesh.publish", "p": push, "i": 12345}) == {"E": None, "r": {"s": 1, "f": 0}, "i": 12345}
    assert await client.raw() == (1, RECEIVED)
    await api.leave()


@pytest_twisted.ensureDeferred
async def test_a_login_and_what_follows_it_may_be_sent_at_once(start: Start) -> None:
    running = start()
    client = await running.client()
    messages = [
        {"op": "auth", "token": "***", "id": 1},
        {"op": "subscribe", "channel": "@order", "id": 2},
        {"op": "auth", "token": "unknown", "id": 3},
        {"op": "subscribe", "channel": "@balance", "id": 4},
        {"op": "list", "id": 5},
    ]
    client.transport.write(b"".join(masked(1, json.dumps(message).encode()) for message in messages))
    replies = [await client.next() for _ in messages]

    assert [reply["id"] for reply in replies] == [1, 2, 3, 4, 5]
    assert [reply.get("code") for reply in replies] == [None, None, 8, None, None]
    assert replies[4]["result"] == ["@order", "@balance"]


@pytest_twisted.ensureDeferred
async def test_a_second_login_as_someone_else_hears_nothing_more_of_the_first(start: Start) -> None:
    running = start()
    client = await running.client("@balance", token="***")
    assert await client.ask({"op": "auth", "token": "bob"}) == {"result": True}
    assert await running.push({"c": "ex:1001@balance", "d": {"of": "1001"}}) == {"E": None, "r": {"s": 0, "f": 0}}
    assert await client.ask({"op": "subscribe", "channel": "@balance"}) == {"result": True}
    await running.push({"c": "ex:1002@balance", "d": {"of": "1002"}})

    assert await client.event("@balance") == {"of": "1002"}


@pytest.mark.parametrize("channel", ["1001@balance", "ex:1001@balance", "1002@balance", "@@balance", "1001@@balance"])
@pytest_twisted.ensureDeferred
async def test_a_uid_in_a_channel_name_is_an_invalid_channel_for_its_owner_too(start: Start, channel: str) -> None:
    client = await start().client(token="***")

    assert (await client.ask({"op": "subscribe", "channel": channel}))["code"] == 4


@pytest_twisted.ensureDeferred
async def test_malformed_json_is_answered_and_the_connection_lives_on(start: Start) -> None:
    client = await start().client()
    for text in (b"{", b"{'op':'auth'}", b'{"op":}', b"\x00", b'{"token:"***"}'):
        assert (await client.ask(text))["code"] == 2

    assert (await client.ask({"op": "ping"}))["op"] == "pong"


@pytest.mark.parametrize(
    ("answer", "code"), [(None, 8), ({"uid": None}, 9), ({}, 9), ([], 9), ({"uid": True}, 9), ({"uid": "a b"}, 9)]
)
@pytest_twisted.ensureDeferred
async def test_a_doubtful_login_is_none(start: Start, answer: Any, code: int) -> None:
    running = start()
    running.backend.answers["odd"] = answer
    client = await running.client()

    assert (await client.ask({"op": "auth", "token": "odd"}))["code"] == code
    assert (await client.ask({"op": "subscribe", "channel": "@balance"})) == {"code": 1, "msg": "Not Auth"}


@pytest_twisted.ensureDeferred
async def test_without_an_auth_service_public_data_goes_on(start: Start) -> None:
    running = start(auth__url="http://127.0.0.1:1/websocket_auth")
    client = await running.client("BTCUSDT@trades")
    assert (await client.ask({"op": "auth", "token": "***"}))["code"] == 9
    running.feed(["trade", "BTCUSDT", 1, "100", "2", "buy", 1_700_000_000_000, None])

    assert (await client.event("BTCUSDT@trades"))["trades"][0]["price"] == "100"


@pytest_twisted.ensureDeferred
async def test_a_line_of_two_mebibytes_is_refused_and_the_next_one_taken(start: Start) -> None:
    running = start()
    client = await running.client("@balance", token="***")
    line = await running.raw("lines")
    line.transport.write(
        b'{"c":"ex:1001@balance","d":"' + b"x" * (2 << 20) + b'"}\n' + b'{"c":"1001@balance","d":"ok"}\n'
    )
    await line.until(lambda: line.data.count(b"\n") == 2)
    first, second = map(json.loads, line.data.splitlines())

    assert first["E"]["c"] == 413
    assert second == {"E": None, "r": {"s": 1, "f": 0}}
    assert await client.raw() == (1, b"ok")
