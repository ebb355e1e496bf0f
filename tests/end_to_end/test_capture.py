"""A real capture, sent into a real server over UDP, and compared with what the exchange itself said at the time."""

import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_twisted
from twisted.internet.utils import getProcessOutputAndValue

from tests.end_to_end.conftest import Start
from tests.end_to_end.running import Running
from tests.wsclient import WsClient

CAPTURE = Path(__file__).parent.parent / "data" / "binance-futures.jsonl.gz"


class Capture(NamedTuple):
    events: list[list[Any]]
    best: dict[tuple[str, int], tuple[str, str, str, str]]
    """Bid, its quantity, ask, its quantity by symbol and update id.

    The exchange's candles are of no use here: they end in the middle of the aggregate trades that the feed is made of.
    """


@pytest.fixture(scope="module")
def capture() -> Capture:
    found = Capture([], {})
    with gzip.open(CAPTURE, "rt") as lines:
        for line in map(json.loads, lines):
            match line:
                case {"event": event}:
                    found.events.append(event)
                case {"answer": {"kind": "bookticker"} as answer}:
                    best = answer["bid"], answer["bidQty"], answer["ask"], answer["askQty"]
                    found.best[answer["symbol"], answer["id"]] = best
    return found


class BookOfAClient:
    """What a client keeps of one symbol's `@depth`, checking the chain on the way."""

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.last: int | None = None
        self.snapshots = 0

    def take(self, data: dict[str, Any]) -> None:
        if data["type"] == "snapshot":
            self.bids, self.asks = {}, {}
            self.snapshots += 1
            assert data["prev"] is None
            assert data["first"] == data["last"]
        else:
            assert data["prev"] == self.last
            assert data["first"] == data["prev"] + 1
            assert data["last"] >= data["first"]
        for side, levels in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            for price, qty in levels:
                if qty == "0":
                    del side[price]
                else:
                    side[price] = qty
        assert data["bids"] == sorted(data["bids"], key=lambda level: -Decimal(level[0]))
        assert data["asks"] == sorted(data["asks"], key=lambda level: Decimal(level[0]))
        self.last = data["last"]

    def best(self) -> tuple[str, str, str, str]:
        bid, ask = max(self.bids, key=Decimal), min(self.asks, key=Decimal)
        return bid, self.bids[bid], ask, self.asks[ask]


class Follower:
    """Reads a client's events and keeps what they tell, by symbol."""

    def __init__(self, client: WsClient) -> None:
        self._client = client
        self.books: dict[str, BookOfAClient] = defaultdict(BookOfAClient)
        self.trades: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.klines: dict[tuple[str, int], dict[str, Any]] = {}
        self.bests: dict[tuple[str, int], tuple[str, str, str, str]] = {}

    async def read(self) -> None:
        message = await self._client.next()
        symbol, _, kind = message["event"].partition("@")
        data = message["data"]
        if kind == "depth":
            self.books[symbol].take(data)
        elif kind == "trades":
            self.trades[symbol] += data["trades"]
        elif kind == "bookticker":
            self.bests[symbol, data["id"]] = data["bid"], data["bidQty"], data["ask"], data["askQty"]
        elif kind.startswith("kline"):
            self.klines[symbol, data["start"]] = data


def symbols(capture: Capture) -> list[str]:
    return sorted({event[1] for event in capture.events})


def channels(capture: Capture) -> Iterator[str]:
    for symbol in symbols(capture):
        for kind in ("depth", "trades", "kline", "bookticker"):
            yield f"{symbol}@{kind}"


@pytest_twisted.ensureDeferred
async def test_the_best_bid_and_ask_are_the_exchanges_own_at_every_update_id_it_told(
    start: Start, capture: Capture
) -> None:
    running = start()
    client = await running.client(*(f"{symbol}@depth" for symbol in symbols(capture)))
    follower = Follower(client)
    compared = set()
    for event in capture.events:
        running.feed(event)
        if event[0] == "depth" and (event[1], event[3]) in capture.best:
            book = follower.books[event[1]]
            while book.last != event[3]:
                await follower.read()
            assert book.best() == capture.best[event[1], event[3]]
            compared.add((event[1], event[3]))

    assert len(compared) == 50
    assert all(book.snapshots == 1 for book in follower.books.values())


def true_books(capture: Capture) -> dict[str, dict[str, dict[Decimal, str]]]:
    """By symbol, the books after the whole capture: the plainest way to compute them."""
    books: dict[str, dict[str, dict[Decimal, str]]] = {}
    ids: dict[str, int] = {}
    for event in capture.events:
        if event[0] == "book":
            books[event[1]] = {
                "bids": {Decimal(price): qty for price, qty in event[4]},
                "asks": {Decimal(price): qty for price, qty in event[5]},
            }
            ids[event[1]] = event[2]
        elif event[0] == "depth" and event[1] in books and event[3] > ids[event[1]]:
            for side, levels in (("bids", event[5]), ("asks", event[6])):
                for price, qty in levels:
                    books[event[1]][side].pop(Decimal(price), None)
                    if Decimal(qty):
                        books[event[1]][side][Decimal(price)] = qty
    return books


@pytest.mark.parametrize("speed", ["0", "20"])
@pytest_twisted.ensureDeferred
async def test_a_replay_at_any_speed_ends_in_the_same_books_trades_and_candles(
    start: Start, capture: Capture, speed: str
) -> None:
    running = start()
    client = await running.client(*channels(capture))
    follower = Follower(client)
    arguments = [str(CAPTURE), "--to", f"udp:127.0.0.1:{running.feed_port}", "--speed", speed]
    code = "import sys; from exchange_push.demo.replay import main; main()"
    played = getProcessOutputAndValue(sys.executable, ["-c", code, *arguments], env={})
    trades = [event for event in capture.events if event[0] == "trade"]
    ends = {event[1]: event[3] for event in capture.events if event[0] == "depth"}

    def count_of(symbol: str) -> int:
        return sum(trade["count"] for trade in follower.trades[symbol])

    while (
        sum(map(count_of, symbols(capture))) < len(trades)
        or any(follower.books[symbol].last != ends[symbol] for symbol in ends)
        or not _candles_hold(follower, trades)
    ):
        await follower.read()
    stdout, stderr, status = await played

    assert status == 0, stderr
    assert b"844 events" in stdout
    _compare(running, follower, capture, trades)


def _candles_hold(follower: Follower, trades: list[list[Any]]) -> bool:
    held = sum(kline["count"] for kline in follower.klines.values())
    return held >= len(trades)


def _compare(running: Running, follower: Follower, capture: Capture, trades: list[list[Any]]) -> None:
    for symbol, sides in true_books(capture).items():
        book = follower.books[symbol]
        assert {Decimal(price): qty for price, qty in book.bids.items()} == sides["bids"]
        assert {Decimal(price): qty for price, qty in book.asks.items()} == sides["asks"]
    for symbol in symbols(capture):
        of_symbol = [event for event in trades if event[1] == symbol]
        merged = follower.trades[symbol]
        ids = [number for trade in merged for number in range(trade["first"], trade["last"] + 1)]
        assert ids == [event[2] for event in of_symbol]
        assert sum(Decimal(trade["qty"]) for trade in merged) == sum(Decimal(event[4]) for event in of_symbol)
    for (symbol, start_ms), kline in follower.klines.items():
        inside = [event for event in trades if event[1] == symbol and start_ms <= event[6] < kline["end"]]
        if not inside:
            assert kline["count"] == 0
            continue
        prices = [Decimal(event[3]) for event in inside]
        assert Decimal(kline["open"]) == prices[0]
        assert Decimal(kline["close"]) == prices[-1]
        assert Decimal(kline["high"]) == max(prices)
        assert Decimal(kline["low"]) == min(prices)
        assert kline["count"] == len(inside)
        assert (kline["firstId"], kline["lastId"]) == (inside[0][2], inside[-1][2])
        assert Decimal(kline["volume"]) == sum(Decimal(event[4]) for event in inside)
        assert Decimal(kline["quoteVolume"]) == sum(Decimal(event[3]) * Decimal(event[4]) for event in inside)
    line = running.server.feed.lines[0]
    assert (line.gaps, line.malformed, line.malformed_events, line.kernel_dropped) == (0, 0, 0, 0)
