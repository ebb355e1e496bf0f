"""Binance's language on real sockets: paths, control, streams, limits."""

import json
from typing import Any

import pytest_twisted

from tests.end_to_end.conftest import Start
from tests.end_to_end.running import Running
from tests.wsclient import WsClient, connect

T = 1_700_000_000_000
BOOK = ["book", "BTCUSDT", 7000, T, [["50000.00", "1.5"], ["49999.50", "2"]], [["50000.10", "0.75"]]]


class Client(WsClient):
    """Speaks it; `ask` passes over what is not the reply."""

    async def ask(self, message: object) -> Any:
        self.send(message)
        while True:
            found = await self.next()
            if "id" in found:
                return found

    async def stream(self, name: str) -> Any:
        """The data of the next combined message of a stream."""
        while True:
            found = await self.next()
            if found.get("stream") == name:
                return found["data"]


async def open_market(running: Running) -> None:
    """The book is there, and published."""
    running.feed(BOOK)
    await running.until(lambda: bool((book := running.server.board.book("BTCUSDT")) and book.published_id == 7000))


async def visit(running: Running, path: str, **headers: str) -> Client:
    client = Client()
    running.callers.append(client)
    await connect(running.port("listen 1"), path, headers, client)
    assert client.head is not None
    assert client.head.startswith(b"HTTP/1.1 101"), client.head
    return client


@pytest_twisted.ensureDeferred
async def test_a_client_subscribes_to_depth_trades_klines_and_tickers(start: Start) -> None:
    running = start()
    await open_market(running)
    client = await visit(running, "/ws")
    streams = ["btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@ticker"]
    assert await client.ask({"method": "SUBSCRIBE", "params": streams, "id": 1}) == {"result": None, "id": 1}
    assert await client.ask({"method": "LIST_SUBSCRIPTIONS", "id": "x"}) == {"result": streams, "id": "x"}
    running.feed(
        ["depth", "BTCUSDT", 7001, 7003, T + 50, [["50000.00", "0"]], [["50000.20", "3.1"]]],
        ["trade", "BTCUSDT", 81, "50000.10", "0.250", "buy", T + 60, 9001],
        ["trade", "BTCUSDT", 82, "50000.10", "0.5", "buy", T + 61, 9001],
    )
    heard: dict[str, list[Any]] = {}
    while len(heard) < 5 or len(heard["trade"]) < 2:
        message = await client.next()
        heard.setdefault(message["e"], []).append(message)

    [depth] = heard["depthUpdate"]
    assert depth == {
        "e": "depthUpdate",
        "E": depth["E"],
        "s": "BTCUSDT",
        "U": 7001,
        "u": 7003,
        "b": [["50000.00000000", "0.00000000"]],
        "a": [["50000.20000000", "3.10000000"]],
    }
    assert [(trade["t"], trade["p"], trade["q"], trade["m"]) for trade in heard["trade"]] == [
        (81, "50000.10000000", "0.25000000", False),
        (82, "50000.10000000", "0.50000000", False),
    ]
    [together] = heard["aggTrade"]
    assert (together["a"], together["f"], together["l"], together["q"]) == (81, 81, 82, "0.75000000")
    assert heard["kline"][-1]["k"]["v"] == "0.75000000"
    assert heard["24hrTicker"][-1]["c"] == "50000.10000000"
    assert json.loads(json.dumps(heard)) == heard
