"""kill -9 at random moments while an engine trades: every candle in the end is that of all trades, each once."""

import os
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest_twisted
import treq
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import LoopingCall, deferLater

from exchange_push.demo.sender import Sender
from exchange_push.market.interval import INTERVALS
from tests.end_to_end.running import LOOPBACK, PATIENCE_S, reactor
from tests.end_to_end.test_launch import Launch, launch, ports

__all__ = ["launch", "ports"]

KILLS = int(os.environ.get("KILLS", "8"))
T = 1_700_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class Engine:
    """Trades without end, and keeps all of it; its market runs twenty times as fast as the wall's clock."""

    def __init__(self, feed_port: int) -> None:
        self.sender = Sender(reactor, [(LOOPBACK, feed_port)], T, kept_packets=1_000_000)
        self.port = reactor.listenUDP(0, self.sender, interface=LOOPBACK, maxPacketSize=65_536)
        self.trades: list[tuple[str, int, str, str, str, int]] = []
        self._random = Random(7)
        self._began_s = reactor.seconds()
        self._ids = dict.fromkeys(SYMBOLS, 0)
        self._loop = LoopingCall(self._trade)
        self._loop.start(0.01)

    def _trade(self) -> None:
        random = self._random
        time = T + int((reactor.seconds() - self._began_s) * 20_000)
        events: list[object] = []
        for _ in range(5):
            symbol = random.choice(SYMBOLS)
            self._ids[symbol] += 1
            late = random.choice((0, 0, 0, 300, 2_000))
            trade = (symbol, self._ids[symbol], f"{random.randrange(90, 110)}.50", f"{random.randrange(1, 9)}.25")
            self.trades.append((*trade, random.choice(("buy", "sell")), max(T, time - late)))
            events.append(["trade", *self.trades[-1], None])
        self.sender.send(events)

    async def stop(self) -> None:
        self._loop.stop()
        await maybeDeferred(self.port.stopListening)

    def candles(self, symbol: str, interval: str) -> Iterator[dict[str, Any]]:
        """By going over all trades, in order of their ids."""
        by_start: dict[int, list[Any]] = {}
        for trade in self.trades:
            if trade[0] == symbol:
                by_start.setdefault(INTERVALS[interval].start(trade[5]), []).append(trade)
        for start in sorted(by_start):
            trades = by_start[start]
            prices = [Decimal(price) for _, _, price, _, _, _ in trades]
            qtys = [Decimal(qty) for _, _, _, qty, _, _ in trades]
            yield {
                "start": start,
                "open": trades[0][2],
                "high": str(max(prices)),
                "low": str(min(prices)),
                "close": trades[-1][2],
                "volume": str(sum(qtys)),
                "quoteVolume": str(sum(price * qty for price, qty in zip(prices, qtys, strict=True))),
                "count": len(trades),
                "firstId": trades[0][1],
                "lastId": trades[-1][1],
            }


async def page(port: int, path: str, **query: str) -> Any:
    url = f"http://{LOOPBACK}:{port}{path}"
    response = await treq.get(url, params=query, persistent=False, timeout=PATIENCE_S)
    return msgspec.json.decode(await response.content())


@pytest_twisted.ensureDeferred
async def test_a_server_killed_again_and_again_loses_no_trade_and_counts_none_twice(
    launch: Launch, ports: dict[str, int]
) -> None:
    random = Random(KILLS)
    engine: Engine | None = None
    asked = reactor.listenUDP(0, Sender(reactor, [], 1), interface=LOOPBACK)  # keeps the port for the engine
    rerequest = asked.getHost().port
    await maybeDeferred(asked.stopListening)
    flags = ("--store=store.sqlite", f"--rerequest={LOOPBACK}:{rerequest}")
    process = launch(*flags)
    process.until("lines listens")
    for _ in range(KILLS):
        if engine is None:
            engine = Engine(ports["feed"])
            await maybeDeferred(engine.port.stopListening)
            engine.port = reactor.listenUDP(rerequest, engine.sender, interface=LOOPBACK, maxPacketSize=65_536)
        await deferLater(reactor, random.uniform(0.05, 1.5))
        process.process.kill()
        process.end()
        await deferLater(reactor, random.uniform(0, 0.3))
        process = launch(*flags)
        process.until("lines listens")
    assert engine is not None
    await deferLater(reactor, 1.0)
    await engine.stop()
    last = {symbol: max(trade[1] for trade in engine.trades if trade[0] == symbol) for symbol in SYMBOLS}
    tickers: dict[str, Any] = {}
    newest = max(trade[5] for trade in engine.trades)  # the last id may be a late one's, and come before it
    while any(
        tickers.get(symbol, {}).get("lastId") != last[symbol] or tickers[symbol]["closeTime"] <= newest
        for symbol in SYMBOLS
    ):
        await deferLater(reactor, 0.1)
        tickers = {symbol: await page(ports["listen"], "/v1/ticker", symbol=symbol) for symbol in SYMBOLS}

    for symbol in SYMBOLS:
        own = [trade for trade in engine.trades if trade[0] == symbol]
        for interval in ("1s", "1m", "5m", "1h", "1d"):
            found = await page(ports["listen"], "/v1/klines", symbol=symbol, interval=interval, limit="1500")
            by_start = {candle["start"]: candle for candle in found}
            wanted = [candle for candle in engine.candles(symbol, interval) if candle["start"] >= found[0]["start"]]
            assert wanted
            for candle in wanted:
                assert {key: by_start[candle["start"]][key] for key in candle} == candle
            assert {candle["complete"] for candle in found[1:]} <= {True}
        trades = await page(ports["listen"], "/v1/trades", symbol=symbol, limit="1500")
        ids = sorted(number for trade in trades for number in range(trade["first"], trade["last"] + 1))
        # The answer begins at a time; of the ids about there some are late, so of before.
        assert ids[100:] == list(range(ids[100], last[symbol] + 1))
        assert (tickers[symbol]["count"], tickers[symbol]["firstId"]) == (len(own), 1)
    process.process.terminate()
    assert process.end() == 0


class Books:
    """An engine of one book, which may begin anew in a session of its own; each book has a price of its own."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports
        self._books = 0
        self._open()

    def _open(self) -> None:
        self._sender = Sender(reactor, [(LOOPBACK, self._ports["feed"])], T + self._books)
        self._port = reactor.listenUDP(0, self._sender, interface=LOOPBACK)

    async def begin_anew(self) -> None:
        await self.close()
        self._open()

    async def close(self) -> None:
        await maybeDeferred(self._port.stopListening)

    async def number(self, id: int) -> int:
        """The number under which clients of Binance are shown the book of this update id."""
        self._books += 1
        self._sender.send([["book", "BTCUSDT", id, T + self._books, [[f"{self._books}", "1"]], []]])
        found: dict[str, Any] = {}
        while found.get("bids") != [[f"{self._books}.00000000", "1.00000000"]]:
            await deferLater(reactor, 0.05)
            found = await page(self._ports["listen"], "/api/v3/depth", symbol="BTCUSDT")
        return int(found["lastUpdateId"])


@pytest_twisted.ensureDeferred
async def test_the_update_ids_of_binances_clients_never_go_back_over_stops_and_kills(
    launch: Launch, ports: dict[str, int]
) -> None:
    engine = Books(ports)
    shown: list[int] = []
    # Whether the server was killed or stopped before, whether the engine began anew, the update id of its next book.
    runs = [
        (False, False, 1_000),
        (False, False, 1_005),
        (True, False, 1_010),
        (False, True, 1),
        (True, True, 2),
        (True, False, 3),
        (False, False, 4),
    ]
    process = launch("--store=store.sqlite")
    process.until("lines listens")
    for killed, anew, id in runs:
        if shown:
            process.process.kill() if killed else process.process.terminate()
            process.end()
            process = launch("--store=store.sqlite")
            process.until("lines listens")
        if anew:
            await engine.begin_anew()
        shown.append(await engine.number(id))
    await engine.close()

    assert shown[:2] == [1_000, 1_005]
    assert shown == sorted(set(shown))
    assert shown[-1] == shown[-2] + 1
    process.process.terminate()
    assert process.end() == 0
