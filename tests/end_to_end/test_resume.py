"""A client that comes back, against the whole server."""

import pytest_twisted

from tests.end_to_end.conftest import Start


@pytest_twisted.ensureDeferred
async def test_a_trader_reconnects_and_misses_no_order_event(start: Start) -> None:
    running = start()
    trader = await running.client(token="***")
    reply = await trader.ask({"op": "subscribe", "channel": "@order", "seq": True})
    running.feed(["user", 1001, "order", {"id": 1}])
    assert (await trader.next())["data"] == {"id": 1}
    await trader.leave()
    await running.until(lambda: not running.server.hub.sessions)
    await running.push({"c": "ex:1001@order", "d": '{"event":"@order","data":{"id":2}}'})
    running.feed(["user", 1001, "order", {"id": 3}])
    await running.until(lambda: running.server.feed.lines[0].events == 2)

    trader = await running.client(token="***")
    since = {"epoch": reply["epoch"], "seq": 1}
    reply = await trader.ask({"op": "subscribe", "channel": "@order", "since": since})
    events = [await trader.next() for _ in range(2)]

    assert reply == {"result": True, "epoch": since["epoch"], "seq": 3, "recovered": True}
    assert [(event["seq"], event["data"]) for event in events] == [(2, {"id": 2}), (3, {"id": 3})]


@pytest_twisted.ensureDeferred
async def test_a_book_goes_on_where_the_client_left_it(start: Start) -> None:
    running = start()
    time = 1_700_000_000_000
    running.feed(["book", "BTCUSDT", 1, time, [["10", "1"]], [["11", "1"]]])
    client = await running.client()
    reply = await client.ask({"op": "subscribe", "channel": "BTCUSDT@depth", "seq": True, "checksum": True})
    snapshot = await client.next()
    await client.leave()
    await running.until(lambda: not running.server.hub.sessions)
    history = running.server.hub.history
    depth = running.server.registry.for_push("BTCUSDT@depth")
    assert depth is not None
    for number in range(2, 5):
        running.feed(["depth", "BTCUSDT", number, number, time + number, [["10", str(number)]], []])
        await running.until(lambda missed=number - 1: history.number(depth).seq == snapshot["seq"] + missed)  # type: ignore[misc]

    client = await running.client()
    since = {"epoch": reply["epoch"], "seq": snapshot["seq"]}
    reply = await client.ask({"op": "subscribe", "channel": "BTCUSDT@depth", "since": since, "checksum": True})
    events = [await client.next() for _ in range(reply["seq"] - since["seq"])]

    assert reply["recovered"] is True
    assert [event["data"]["prev"] for event in events] == [snapshot["data"]["last"], 2, 3]
    assert events[-1]["data"]["bids"] == [["10", "4"]]
