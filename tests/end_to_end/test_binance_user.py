"""A user's events over the WebSocket API of a whole server, pushed in every way that there is."""

import json
import zlib

import pytest_twisted

from tests.end_to_end.conftest import Start
from tests.end_to_end.running import Running
from tests.end_to_end.test_binance import Client, visit

SIGNATURE = "0" * 64
PUSH = {"asset": "USDT", "free": "1.5", "locked": "0.25", "time": 7}


async def log_in(running: Running, token: str) -> Client:
    client = await visit(running, "/ws-api/v3")
    now_ms = running.server.terms.now_ms()
    params = {"apiKey": token, "timestamp": now_ms, "signature": SIGNATURE}
    answer = await client.ask({"id": "1", "method": "userDataStream.subscribe.signature", "params": params})
    assert answer == {"id": "1", "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []}
    return client


@pytest_twisted.ensureDeferred
async def test_pushes_by_all_ways_come_as_events_of_their_user(start: Start) -> None:
    running = start()
    client, bob = await log_in(running, "***"), await log_in(running, "bob")
    assert running.backend.asked == ["***", "bob"]
    balances = [{"a": "USDT", "f": "1.50000000", "l": "0.25000000"}]
    running.feed(["user", 1001, "balance", PUSH])
    assert (await client.next())["event"]["B"] == balances
    await running.push({"c": "1001@balance", "d": PUSH})
    assert (await client.next())["event"]["B"] == balances
    await running.push({"c": "1001@balance", "d": '{"event":"@balance","data":{"asset":"USDT","available":"1.50"}}'})
    assert (await client.next())["event"]["B"] == [{"a": "USDT", "f": "1.50000000", "l": "0.00000000"}]
    await running.push({"c": "1002@order", "d": {"orderId": 5, "symbol": "BTCUSDT", "status": "NEW", "side": "buy"}})
    event = await bob.next()
    assert (event["subscriptionId"], event["event"]["e"], event["event"]["S"]) == (0, "executionReport", "BUY")
    assert abs(event["event"]["E"] - running.server.terms.now_ms()) < 60_000


@pytest_twisted.ensureDeferred
async def test_a_user_who_is_logged_out_by_the_operator_is_told(start: Start) -> None:
    running = start()
    client = await log_in(running, "***")
    await running.push({}, "/v1/users/1001/logout")

    assert (await client.next())["event"]["e"] == "eventStreamTerminated"
    await running.push({"c": "1001@balance", "d": PUSH})
    answer = await client.ask({"id": 2, "method": "session.subscriptions"})
    assert answer["result"] == []


@pytest_twisted.ensureDeferred
async def test_a_key_that_is_not_known_is_refused_and_the_connection_stays(start: Start) -> None:
    running = start()
    client = await visit(running, "/ws-api/v3")
    params = {"apiKey": "nobody", "timestamp": running.server.terms.now_ms(), "signature": SIGNATURE}
    answer = await client.ask({"id": 1, "method": "session.logon", "params": params})

    assert (answer["status"], answer["error"]["code"]) == (401, -2015)
    assert "nobody" not in str(answer)
    assert (await client.ask({"id": 2, "method": "ping"}))["result"] == {}


@pytest_twisted.ensureDeferred
async def test_events_are_compressed_for_who_agreed_to_it(start: Start) -> None:
    running = start()
    client = await visit(running, "/ws-api/v3", **{"Sec-WebSocket-Extensions": "permessage-deflate"})
    assert client.head is not None
    assert b"permessage-deflate" in client.head
    params = {"apiKey": "***", "timestamp": running.server.terms.now_ms(), "signature": SIGNATURE}
    await client.ask({"id": 1, "method": "userDataStream.subscribe.signature", "params": params})
    await running.push({"c": "1001@balance", "d": {"balances": [{**PUSH, "asset": f"A{n}"} for n in range(200)]}})

    _, payload = await client.raw()
    event = json.loads(zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff"))
    assert len(event["event"]["B"]) == 200


@pytest_twisted.ensureDeferred
async def test_a_server_that_stops_says_so_first(start: Start) -> None:
    running = start()
    client = await log_in(running, "***")
    await running.stop_server()

    assert (await client.next())["event"]["e"] == "serverShutdown"
    assert await client.close_code() == 1001
