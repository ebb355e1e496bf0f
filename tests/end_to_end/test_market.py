"""Generated feeds through real UDP at several speeds; all that clients saw, compared with a second implementation."""

import json
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import msgpack
import pytest
import pytest_twisted
from twisted.internet import reactor as imported_reactor
from twisted.internet.task import deferLater

from exchange_push.wire.packet import encode
from tests.end_to_end.conftest import Start
from tests.end_to_end.generated_feed import ALL_SYMBOLS, NO_BOOK, Event, GeneratedFeed
from tests.end_to_end.reference_market import (
    INTERVALS,
    ReferenceMarket,
    Sides,
    Trade,
    best_quote,
    candle_span,
    checksum,
    joins,
)
from tests.end_to_end.running import Running
from tests.wsclient import WsClient, connect, masked

reactor: Any = imported_reactor

KINDS = ("depth", "depth5", "depth10", "depth20", "trades", "ticker", "bookticker", "markprice")
NUMBERS = {"open", "high", "low", "close", "volume", "quoteVolume", "takerVolume", "takerQuoteVolume", "change"}


class Watcher(WsClient):
    """A client that keeps all it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, list[Any]] = defaultdict(list)

    def knows_the_day_of(self, time_ms: int) -> bool:
        tickers = [self.messages[f"{symbol}@ticker"] for symbol in ALL_SYMBOLS]
        return all(ticker and ticker[-1]["closeTime"] > time_ms for ticker in tickers)

    def _take(self, opcode: int, payload: bytes) -> None:
        message = (json.loads if opcode == 1 else msgpack.unpackb)(payload) if opcode in (1, 2) else {}
        if "event" in message:
            self.messages[message["event"]].append(message["data"])
        else:
            super()._take(opcode, payload)


def _numbers(levels: list[Any]) -> list[tuple[Fraction, Fraction]]:
    return [(Fraction(price), Fraction(qty)) for price, qty in levels]


def _best(sides: Sides, count: int) -> list[list[tuple[Fraction, Fraction]]]:
    bids, asks = sides
    return [sorted(bids.items(), reverse=True)[:count], sorted(asks.items())[:count]]


def channels(symbols: tuple[str, ...]) -> list[str]:
    kinds = (*KINDS, *(f"kline_{interval}" for interval in INTERVALS))
    return [f"{symbol}@{kind}" for symbol in symbols for kind in kinds] + ["*@ticker", "*@markprice"]


async def watch(running: Running, *, binary: bool) -> Watcher:
    """A client that subscribes to everything."""
    headers = {"Sec-WebSocket-Protocol": "exchange-push.msgpack"} if binary else {}
    watcher = Watcher()
    await connect(running.port("listen 1"), headers=headers, client=watcher)
    running.callers.append(watcher)
    request = {"op": "subscribe", "channels": channels(ALL_SYMBOLS), "checksum": True}
    if binary:
        watcher.transport.write(masked(2, msgpack.packb(request)))
    else:
        watcher.send(request)
    opcode, payload = await watcher.raw()
    assert (msgpack.unpackb(payload) if binary else json.loads(payload)) == {"result": True}
    assert opcode == (2 if binary else 1)
    return watcher


def datagrams(events: list[Event], rng: Random) -> Iterator[list[bytes]]:
    """Bursts of datagrams: some change places, come twice, overlap, or are heartbeats.

    The first of a session stays the first: it sets the next number.
    """
    session, seq, at = 1, 1, 0
    burst: list[bytes] = []
    while at < len(events):
        if events[at][0] == "session":
            yield burst
            session, seq, at, burst = events[at][1], 1, at + 1, []
        count = rng.choice((1, 1, 2, 7, 20))
        ends = next((n for n in range(at, min(at + count, len(events))) if events[n][0] == "session"), at + count)
        batch = events[at:ends]
        datagram = encode(session, seq, batch)
        whim = rng.randrange(8)
        if whim == 1:
            burst += [datagram, datagram]
        elif whim == 2:
            burst += [encode(session, seq, []), datagram]
        elif whim == 3 and seq > 1:
            burst += [encode(session, seq - 1, [events[at - 1], *batch[:1]]), datagram]
        elif whim == 4 and seq > 1 and burst:
            burst[-1:] = [datagram, burst[-1]]
        else:
            burst.append(datagram)
        if seq == 1 or len(burst) >= 8:
            yield burst
            burst = []
        seq += len(batch)
        at += len(batch)
    yield burst


@pytest.mark.parametrize(
    ("pace", "pause_s", "seed"),
    [
        ("seconds", 0.0, 1),
        ("seconds", 0.03, 2),
        ("minutes", 0.0, 3),
        ("minutes", 0.02, 4),
        ("months", 0.0, 5),
        ("months", 0.06, 6),
    ],
)
@pytest_twisted.ensureDeferred
async def test_clients_see_what_the_events_amount_to(start: Start, pace: str, pause_s: float, seed: int) -> None:
    events = GeneratedFeed(seed, pace, 200).events
    reference = ReferenceMarket(events)
    # This engine sends the price of a source when it changes, and that may be a month from now.
    running = start(clients__outbox_bytes=64 << 20, symbols__NOBOOK__index_stale_ms=0)
    early = [await watch(running, binary=binary) for binary in (False, True)]
    late: list[Watcher] = []
    bursts = list(datagrams(events, Random(seed)))
    for number, burst in enumerate(bursts):
        for datagram in burst:
            running.datagram(datagram)
        await deferLater(reactor, pause_s)
        if number in (1, len(bursts) // 3, len(bursts) * 2 // 3):
            late.append(await watch(running, binary=number == 1))
    line = running.server.feed.lines[0]
    taken = sum(map(len, reference.trades.values()))
    last_ms = max(reference.times)
    board = running.server.board
    await running.until(lambda: board.market_time > last_ms + 3_000)
    watchers = [*early, *late]
    for watcher in watchers:
        await running.until(partial(watcher.knows_the_day_of, last_ms))

    assert (line.gaps, line.malformed, line.malformed_events, line.kernel_dropped, line.errors) == (0, 0, 0, 0, 0)
    assert line.duplicates > 0
    assert line.reordered > 0
    assert running.server.ticks.faults == 0
    assert (board.trades, board.late_trades_dropped, board.disbelieved, board.set_backs) == (taken, 0, 0, 0)
    for watcher in watchers:
        assert watcher.lost is None
        for symbol in ALL_SYMBOLS:
            check_books(watcher, reference, symbol)
            check_trades(watcher, reference, symbol, whole=watcher in early)
            for interval in INTERVALS:
                check_candles(watcher, reference, symbol, interval, whole=watcher in early)
            check_ticker(watcher, reference, symbol)
        check_markprice(watcher, reference)
    # Of what is never dropped, the binary client is told the same; of the rest either may have missed something.
    for symbol in ALL_SYMBOLS:
        assert early[0].messages[f"{symbol}@trades"] == early[1].messages[f"{symbol}@trades"]


def check_books(watcher: Watcher, reference: ReferenceMarket, symbol: str) -> None:
    """Following the chain of updates gives the true book at every message; so it is with all that comes of books."""
    held: tuple[dict[str, str], dict[str, str]] = {}, {}
    last: tuple[int, int] | None = None
    for data in watcher.messages[f"{symbol}@depth"]:
        if data["type"] == "snapshot":
            held = {}, {}
            assert data["prev"] is None
            assert data["first"] == data["last"]
        else:
            assert (data["epoch"], data["prev"]) == last
            assert data["prev"] < data["first"] <= data["last"]
        for side, levels, sign in zip(held, (data["bids"], data["asks"]), (-1, 1), strict=True):
            prices = [sign * Fraction(price) for price, _ in levels]
            assert prices == sorted(set(prices))
            for price, qty in levels:
                if qty == "0":
                    del side[price]
                else:
                    side[price] = qty
        last = data["epoch"], data["last"]
        numbers = tuple({Fraction(price): Fraction(qty) for price, qty in side.items()} for side in held)
        assert numbers == reference.books[(symbol, *last)]
        assert data["checksum"] == checksum(*held)
    assert last == reference.last_book.get(symbol)
    for count in (5, 10, 20):
        for data in watcher.messages[f"{symbol}@depth{count}"]:
            sides = reference.books[symbol, data["epoch"], data["last"]]
            assert [_numbers(data["bids"]), _numbers(data["asks"])] == _best(sides, count)
    quotes: dict[int, set[Any]] = defaultdict(set)
    for (name, _, id), sides in reference.books.items():
        if name == symbol:
            quotes[id].add(best_quote(sides))
    for data in watcher.messages[f"{symbol}@bookticker"]:
        assert _quote(data) in quotes[data["id"]]
    if last is not None:
        assert _quote(watcher.messages[f"{symbol}@bookticker"][-1]) == reference.quote(symbol)


def _quote(data: Any) -> tuple[Fraction | None, ...]:
    return tuple(None if data[key] is None else Fraction(data[key]) for key in ("bid", "bidQty", "ask", "askQty"))


def check_trades(watcher: Watcher, reference: ReferenceMarket, symbol: str, *, whole: bool) -> None:
    """What came partitions the trades taken (or the newest of them), and what could be merged was."""
    published = watcher.messages[f"{symbol}@trades"]
    taken = reference.trades[symbol]
    count = sum(merged["count"] for data in published for merged in data["trades"])
    assert count == len(taken) if whole else count <= len(taken)
    left = iter(taken[-count:])
    for data in published:
        before: Trade | None = None
        for merged in data["trades"]:
            run = [next(left) for _ in range(merged["count"])]
            assert all(joins(one, other) for one, other in pairwise(run))
            if whole and before is not None:
                assert not joins(before, run[0])
            before = run[-1]
            assert (merged["first"], merged["last"], merged["time"]) == (run[0].id, run[-1].id, run[0].time)
            assert (merged["price"], merged["side"]) == (run[0].price, run[0].side)
            assert Fraction(merged["qty"]) == sum(Fraction(trade.qty) for trade in run)


def check_candles(watcher: Watcher, reference: ReferenceMarket, symbol: str, interval: str, *, whole: bool) -> None:
    """Every candle was closed once and then only corrected; the last word on each is right."""
    revisions: dict[int, list[Any]] = defaultdict(list)
    for data in watcher.messages[f"{symbol}@kline_{interval}"]:
        assert (data["symbol"], data["interval"], data["end"]) == (
            symbol,
            interval,
            candle_span(interval, data["start"])[1],
        )
        if data["closed"]:
            revisions[data["start"]].append(data)
        else:
            assert data["rev"] == 0
    running = watcher.messages[f"{symbol}@kline_{interval}"][-1]
    if whole:
        must = {start for start, needed in reference.empty_starts(symbol, interval) if needed}
        may = {start for start, _ in reference.empty_starts(symbol, interval)}
        with_trades = reference.starts_with_trades(symbol, interval)
        closed = {start for start in revisions if start < candle_span(interval, max(reference.times))[0]}
        assert must | {start for start in with_trades if start in closed or start < max(closed, default=0)} <= closed
        assert closed <= may | with_trades
    for start, datas in revisions.items():
        revs = [data["rev"] for data in datas]
        assert revs == list(range(revs[0], revs[0] + len(revs)))
        assert revs[0] == 0 or not whole
        assert figures(datas[-1]) == reference.candle(symbol, interval, start)
    if not running["closed"]:
        assert figures(running) == reference.candle(symbol, interval, running["start"])


def figures(data: Any) -> dict[str, Any]:
    wanted = (*sorted(NUMBERS - {"change"}), "count", "firstId", "lastId")
    return {key: Fraction(data[key]) if key in NUMBERS else data[key] for key in wanted}


def check_ticker(watcher: Watcher, reference: ReferenceMarket, symbol: str) -> None:
    tickers = watcher.messages[f"{symbol}@ticker"]
    assert all(data["closeTime"] % 1_000 == 0 for data in tickers)
    data = dict(tickers[-1])
    assert _quote(data) == reference.quote(symbol)
    expected = reference.ticker(symbol, data["closeTime"])
    assert {key: Fraction(data[key]) if key in NUMBERS - {"open"} else data[key] for key in expected} == expected
    array = [one for all_ in watcher.messages["*@ticker"] for one in all_ if one["symbol"] == symbol][-1]
    times = {"openTime", "closeTime"}
    assert {k: v for k, v in array.items() if k not in times} == {k: v for k, v in data.items() if k not in times}


def check_markprice(watcher: Watcher, reference: ReferenceMarket) -> None:
    data = watcher.messages[f"{NO_BOOK}@markprice"][-1]
    rate, next_time = reference.funding[NO_BOOK]
    assert data["indexPrice"] == reference.index(NO_BOOK)
    assert data["markPrice"] == reference.mark_without_book(NO_BOOK, data["time"])
    assert (data["fundingRate"], data["nextFundingTime"], data["settlePrice"]) == (rate, next_time, None)
    array = [one for all_ in watcher.messages["*@markprice"] for one in all_ if one["symbol"] == NO_BOOK][-1]
    assert array["indexPrice"] == data["indexPrice"]


@pytest_twisted.ensureDeferred
async def test_what_the_operator_says_of_a_product_reaches_its_mark_price(start: Start) -> None:
    running = start(symbols__NOBOOK__funding_hours=1)
    client = await running.client("NOBOOK@markprice")
    now_ms = 1_700_000_000_000
    running.feed(
        ["index", "NOBOOK", "one", "100", "1", now_ms],
        ["trade", "NOBOOK", 1, "200", "1", "buy", now_ms, None],
        ["funding", "NOBOOK", "0.01", now_ms + 360_000_000, now_ms],
    )
    data = await client.event("NOBOOK@markprice")
    assert 199 < float(data["markPrice"]) <= 200  # 100 hours of 1 % each; of 8 hours it would be 112.5


@pytest_twisted.ensureDeferred
async def test_a_year_of_its_own_in_one_event_and_an_older_recording_after_it_stop_no_candle(start: Start) -> None:
    running = start()
    client = await running.client("BTCUSDT@kline_1s", "ETHUSDT@kline_1s")
    now_ms = 1_700_000_000_000
    running.feed(["trade", "BTCUSDT", 1, "7", "1", "buy", now_ms, None])
    running.feed(["trade", "BTCUSDT", 2, "7", "1", "buy", now_ms + 10**12, None])
    await deferLater(reactor, 0.5)
    running.feed(["trade", "BTCUSDT", 3, "8", "1", "buy", now_ms + 900, None])
    while not (data := await client.event("BTCUSDT@kline_1s"))["closed"]:
        pass
    assert (data["start"], data["count"], data["lastId"]) == (now_ms, 2, 3)

    running.session, running.seq = 2, 1
    year_before_ms = now_ms - 365 * 86_400_000
    running.feed(["trade", "ETHUSDT", 1, "9", "1", "buy", year_before_ms, None])
    while not (data := await client.event("ETHUSDT@kline_1s"))["closed"]:
        pass
    assert (data["start"], data["count"], data["rev"]) == (year_before_ms, 1, 0)
