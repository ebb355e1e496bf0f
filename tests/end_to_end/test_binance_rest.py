"""Binance's REST endpoints of a whole server: answers, errors, weights, and that they agree with the streams."""

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import treq

from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK, PATIENCE_S, Running
from tests.end_to_end.test_binance import visit

T = 1_700_000_000_000
BOOK = ["book", "BTCUSDT", 7000, T, [["50000.00", "1.5"], ["49999.50", "2"]], [["50000.10", "0.75"], ["50001", "4"]]]


class Answer:
    def __init__(self, status: int, headers: Any, body: Any) -> None:
        self.status = status
        self.body = body
        self._headers = headers

    def header(self, name: str) -> str | None:
        values = self._headers.getRawHeaders(name)
        return None if values is None else str(values[0])

    @property
    def weight(self) -> int:
        assert self.header("X-MBX-USED-WEIGHT") == self.header("X-MBX-USED-WEIGHT-1M")
        return int(self.header("X-MBX-USED-WEIGHT") or "")


async def ask(running: Running, path: str, method: str = "GET", *, who: str | None = None, **query: object) -> Answer:
    """Ask for a path, or for an endpoint of `/api/v3`; `who`: the address that a proxy says it is of."""
    path = path if path.startswith("/") else f"/api/v3/{path}"
    response = await treq.request(
        method,
        f"http://{LOOPBACK}:{running.port('listen 1')}{path}",
        params={name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()},
        headers={} if who is None else {"X-Forwarded-For": who},
        persistent=False,
        timeout=PATIENCE_S,
    )
    return Answer(response.code, response.headers, json.loads(await response.content()))


def trade(id: int, price: str, at: int, qty: str = "0.5", order: int | None = None, side: str = "buy") -> list[Any]:
    return ["trade", "BTCUSDT", id, price, qty, side, T + at, order]


async def open_market(running: Running, *trades: list[Any]) -> None:
    running.feed(BOOK)
    for one in trades:
        running.feed(one)
    board = running.server.board
    await running.until(lambda: bool((book := board.book("BTCUSDT")) and book.published_id == 7000))
    await running.until(lambda: len(board.executions("BTCUSDT", 1000)) == len(trades))


TRADES = (
    trade(81, "50000.10", 0, "0.250", order=1),
    trade(82, "50000.10", 1, "0.5", order=1),
    trade(83, "49999.50", 2_000, "1", order=2, side="sell"),
)


@pytest_twisted.ensureDeferred
async def test_ping_and_time_answer(start: Start) -> None:
    running = start()

    assert (await ask(running, "ping")).body == {}
    for folder in ("/api/v3", "/fapi/v1", "/dapi/v1"):
        found = (await ask(running, f"{folder}/time")).body
        assert abs(found["serverTime"] - running.server.terms.now_ms()) < 60_000


@pytest_twisted.ensureDeferred
async def test_trap_1_book_and_stream_have_the_same_text_for_the_same_number(start: Start) -> None:
    running = start()
    await open_market(running)
    client = await visit(running, "/ws/btcusdt@depth@100ms")
    before = (await ask(running, "depth", symbol="BTCUSDT")).body
    running.feed(["depth", "BTCUSDT", 7001, 7003, T + 50, [["50000.0", "0"], ["49998", "1"]], [["50000.10", "3.10"]]])
    update = await client.next()
    after = (await ask(running, "depth", symbol="BTCUSDT")).body

    assert (before["lastUpdateId"], update["U"], update["u"], after["lastUpdateId"]) == (7000, 7001, 7003, 7003)
    for side, changes in (("bids", update["b"]), ("asks", update["a"])):
        levels = dict(before[side])
        for price, qty in changes:
            if qty == "0.00000000":
                del levels[price]
            else:
                levels[price] = qty
        assert levels == dict(after[side])
    assert before["bids"] == [["50000.00000000", "1.50000000"], ["49999.50000000", "2.00000000"]]
    assert after["asks"] == [["50000.10000000", "3.10000000"], ["50001.00000000", "4.00000000"]]


@pytest_twisted.ensureDeferred
async def test_update_ids_go_on_in_both_when_the_engine_begins_them_anew(start: Start) -> None:
    running = start()
    await open_market(running)
    client = await visit(running, "/ws/btcusdt@bookTicker")
    assert (await client.next())["u"] == 7000
    running.session, running.seq = 2, 1
    running.feed(["book", "BTCUSDT", 5, T + 99, [["7", "1"]], [["8", "1"]]])
    quote = await client.next()
    board = running.server.board
    await running.until(lambda: bool((book := board.book("BTCUSDT")) and book.published_id == 5))

    found = (await ask(running, "depth", symbol="BTCUSDT")).body
    assert found["lastUpdateId"] == quote["u"] > 7000


@pytest_twisted.ensureDeferred
async def test_depth_of_futures_has_its_times_and_only_the_levels_asked_for(start: Start) -> None:
    running = start()
    await open_market(running)

    found = (await ask(running, "/fapi/v1/depth", symbol="BTCUSDT", limit=1)).body
    assert list(found) == ["lastUpdateId", "E", "T", "bids", "asks"]
    assert (found["T"], found["bids"]) == (T, [["50000.00000000", "1.50000000"]])
    assert abs(found["E"] - running.server.terms.now_ms()) < 60_000


@pytest_twisted.ensureDeferred
async def test_a_book_that_is_not_known_is_not_answered_as_an_empty_one(start: Start) -> None:
    running = start(market__symbols=["BTCUSDT"])

    found = await ask(running, "depth", symbol="BTCUSDT")
    assert (found.status, found.body["code"]) == (503, -1000)
    assert found.body["msg"] == "depth of BTCUSDT is not known at present."


@pytest_twisted.ensureDeferred
async def test_trades_come_one_by_one_and_merged_as_in_their_streams(start: Start) -> None:
    running = start()
    await open_market(running)
    client, other = await visit(running, "/ws/btcusdt@trade"), await visit(running, "/ws/btcusdt@aggTrade")
    running.feed(*TRADES)
    streamed = [await client.next() for _ in TRADES]
    running.feed(trade(84, "50000.10", 2_500))
    merged = [await other.next()]
    while merged[-1]["l"] < 84:
        merged.append(await other.next())

    found = (await ask(running, "trades", symbol="BTCUSDT")).body
    assert [(one["id"], one["price"], one["qty"], one["time"], one["isBuyerMaker"]) for one in found[:3]] == [
        (one["t"], one["p"], one["q"], one["T"], one["m"]) for one in streamed
    ]
    assert found[0]["quoteQty"] == "12500.02500000"
    assert found[0]["isBestMatch"] is True
    assert [one["id"] for one in (await ask(running, "trades", symbol="BTCUSDT", limit=2)).body] == [83, 84]
    keys = ("a", "p", "q", "f", "l", "T", "m", "M")
    agg = (await ask(running, "aggTrades", symbol="BTCUSDT")).body
    assert agg == [{key: one[key] for key in keys} for one in merged]
    futures = (await ask(running, "/fapi/v1/aggTrades", symbol="BTCUSDT")).body
    assert futures == [{key: value for key, value in one.items() if key != "M"} for one in agg]


@pytest.mark.parametrize("stored", [True, False])
@pytest_twisted.ensureDeferred
async def test_aggregate_trades_can_be_read_on_from_an_id_and_by_time(
    start: Start, tmp_path: Path, stored: bool
) -> None:
    running = start(store=str(tmp_path / "store") if stored else "none")
    await open_market(running, *(trade(n, f"{100 + n}", 1_000 * n) for n in range(1, 40)))
    if stored:
        await running.until(lambda: running.server.keeper is not None and running.server.keeper.writes > 0)

    async def ids(**query: object) -> list[int]:
        return [one["a"] for one in (await ask(running, "aggTrades", symbol="BTCUSDT", **query)).body]

    every = list(range(1, 40))
    read, first = [], 0
    while page := await ids(fromId=first, limit=7):
        read += page
        first = page[-1] + 1
    assert read == every
    assert await ids() == every
    assert await ids(limit=3) == [37, 38, 39]
    assert await ids(startTime=T + 5_000, endTime=T + 9_000) == [5, 6, 7, 8, 9]
    assert await ids(startTime=T + 5_000, limit=2) == [5, 6]
    assert await ids(endTime=T + 5_000, limit=2) == [4, 5]


@pytest_twisted.ensureDeferred
async def test_klines_are_the_candles_of_the_stream_the_running_one_last(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    client = await visit(running, "/ws/btcusdt@kline_1m")
    await open_market(running, *(trade(n, f"{100 + n}.5", 7_000 * n) for n in range(1, 40)))
    candles: dict[int, Any] = {}
    while len(candles) < 5 or candles[max(candles)]["n"] < 5:
        candle = (await client.next())["k"]
        candles[candle["t"]] = candle

    rows = (await ask(running, "klines", symbol="BTCUSDT", interval="1m")).body
    keys = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
    assert rows == [[candles[start][key] for key in keys] for start in sorted(candles)]
    assert rows == (await ask(running, "uiKlines", symbol="BTCUSDT", interval="1m", timeZone="5:45")).body
    assert rows == (await ask(running, "/fapi/v1/klines", symbol="BTCUSDT", interval="1m")).body
    of_a_pair: dict[str, object] = {"pair": "BTCUSDT", "contractType": "PERPETUAL", "interval": "1m"}
    assert rows == (await ask(running, "/fapi/v1/continuousKlines", **of_a_pair)).body
    first = rows[1][0]
    assert rows[1:3] == (await ask(running, "klines", symbol="BTCUSDT", interval="1m", startTime=first, limit=2)).body
    assert rows[:2] == (await ask(running, "klines", symbol="BTCUSDT", interval="1m", endTime=first)).body


@pytest_twisted.ensureDeferred
async def test_klines_read_page_by_page_are_all_of_them_each_once(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    await open_market(running, *(trade(n, f"{100 + n % 9}.5", 1_700 * n) for n in range(1, 60)))

    async def rows(**query: object) -> list[Any]:
        return list((await ask(running, "klines", symbol="BTCUSDT", interval="1s", **query)).body)

    every = await rows()
    assert len(every) == 100  # also of the seconds without a trade
    assert [row[0] for row in every] == list(range(every[0][0], every[-1][0] + 1, 1_000))
    read, since = [], 0
    while page := await rows(startTime=since, limit=7):
        read += page
        since = page[-1][0] + 1
    assert read[: len(every)] == every[:-1] + read[len(every) - 1 : len(every)]  # the last one was still running
    back, until = [], every[-2][0]
    while page := await rows(endTime=until, limit=7):
        back = page + back
        until = page[0][0] - 1
    assert back == every[:-1]


@pytest_twisted.ensureDeferred
async def test_figures_are_those_of_the_streams(start: Start) -> None:
    running = start()
    await open_market(running, *TRADES)
    # As many as there are messages of each: the one before the request or the one after it has its figures.
    names = {
        "priceChange": "p",
        "weightedAvgPrice": "w",
        "lastPrice": "c",
        "openPrice": "o",
        "volume": "v",
        "count": "n",
    }
    names |= {"prevClosePrice": "x", "bidPrice": "b", "askQty": "A", "closeTime": "C", "firstId": "F"}
    client = await visit(running, "/ws/btcusdt@ticker")
    streamed = [await client.next()]
    while streamed[-1]["n"] < 3:
        streamed.append(await client.next())
    found = (await ask(running, "ticker/24hr", symbol="BTCUSDT")).body
    while streamed[-1]["C"] < found["closeTime"]:
        streamed.append(await client.next())

    [same] = [one for one in streamed if one["C"] == found["closeTime"]]
    assert {key: found[key] for key in names} == {key: same[letter] for key, letter in names.items()}
    mini = (await ask(running, "ticker/24hr", symbol="BTCUSDT", type="MINI")).body
    assert "priceChange" not in mini
    assert (mini["count"], mini["lastPrice"]) == (3, "49999.50000000")
    assert (await ask(running, "ticker/price", symbol="BTCUSDT")).body == {
        "symbol": "BTCUSDT",
        "price": "49999.50000000",
    }
    assert (await ask(running, "ticker/bookTicker", symbol="BTCUSDT")).body == {
        "symbol": "BTCUSDT",
        "bidPrice": "50000.00000000",
        "bidQty": "1.50000000",
        "askPrice": "50000.10000000",
        "askQty": "0.75000000",
    }


@pytest_twisted.ensureDeferred
async def test_the_mean_price_is_that_of_the_stream(start: Start) -> None:
    running = start()
    await open_market(running, *TRADES)
    client = await visit(running, "/ws/btcusdt@avgPrice")
    streamed = await client.next()
    while streamed["w"] != "49999.75714286":
        streamed = await client.next()

    found = (await ask(running, "avgPrice", symbol="BTCUSDT")).body
    assert found == {"mins": 5, "price": streamed["w"], "closeTime": streamed["T"]}


@pytest_twisted.ensureDeferred
async def test_without_a_symbol_all_of_which_something_is_known_are_told(start: Start) -> None:
    running = start(market__symbols=["BTCUSDT", "ETHUSDT"])
    await open_market(running, *TRADES)

    for path in ("ticker/price", "ticker/bookTicker"):
        assert [one["symbol"] for one in (await ask(running, path)).body] == ["BTCUSDT"]
        assert [one["symbol"] for one in (await ask(running, path, symbols=["BTCUSDT"])).body] == ["BTCUSDT"]
        assert (await ask(running, path, symbols=["BTCUSDT", "ETHUSDT"])).status == 503
    info = (await ask(running, "exchangeInfo")).body
    assert [one["symbol"] for one in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert [one["symbol"] for one in (await ask(running, "exchangeInfo", symbol="ETHUSDT")).body["symbols"]] == [
        "ETHUSDT"
    ]
    assert (await ask(running, "exchangeInfo", permissions=["MARGIN"])).body["symbols"] == []
    assert (await ask(running, "exchangeInfo", permissions="SPOT", symbol="BTCUSDT")).body["code"] == -1128
    assert (await ask(running, "exchangeInfo", symbolStatus="HALT")).body["symbols"] == []


@pytest_twisted.ensureDeferred
async def test_a_ticker_of_any_window_is_added_up_from_what_is_stored(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    trades = [trade(n, f"{100 + n % 13}.5", 60_000 * n) for n in range(200)]
    await open_market(running, *trades)
    await running.until(lambda: running.server.keeper is not None and running.server.keeper.writes > 0)

    for name, minutes in (("1m", 1), ("59m", 59), ("2h", 120), ("3h", 180), ("7d", 10_080)):
        found = (await ask(running, "ticker", symbol="BTCUSDT", windowSize=name)).body
        since = found["openTime"]
        inside = [one for one in trades if one[6] >= since]
        assert found["closeTime"] - since - minutes * 60_000 in range(60_000)
        assert since % 60_000 == 0
        assert (found["count"], found["firstId"], found["lastId"]) == (len(inside), inside[0][2], 199)
        assert (found["openPrice"], found["lastPrice"]) == (f"{inside[0][3]}0000000", "104.50000000")
        assert found["highPrice"] == max((one[3] for one in inside), key=float) + "0000000"
        assert found["volume"] == f"{len(inside) / 2:.8f}"


@pytest_twisted.ensureDeferred
async def test_mark_price_and_funding_are_those_of_the_stream(start: Start) -> None:
    running = start()
    running.feed(BOOK, ["index", "BTCUSDT", "a", "50000", "1", T], ["funding", "BTCUSDT", "0.0001", T + 9_000, T])
    client = await visit(running, "/ws/btcusdt@markPrice@1s")
    streamed = await client.next()
    found = (await ask(running, "/fapi/v1/premiumIndex", symbol="BTCUSDT")).body

    assert found["lastFundingRate"] == streamed["r"] == "0.00010000"
    assert (found["nextFundingTime"], found["indexPrice"]) == (streamed["T"], streamed["i"])
    assert (found["interestRate"], found["symbol"]) == ("0.0001", "BTCUSDT")


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("nothing", {}, 404, -1020),
        ("/api/v3/", {}, 404, -1020),
        ("account", {}, 404, -1020),
        ("/fapi/v1/nothing", {"symbol": "BTCUSDT"}, 404, -1020),
        ("/fapi/v1/fundingRate", {}, 404, -1020),
        ("ping", {"x": 1}, 400, -1101),
        ("depth", {}, 400, -1102),
        ("depth", {"symbol": "XRPUSDT"}, 400, -1121),
        ("depth", {"symbol": "btcusdt"}, 400, -1100),
        ("depth", {"symbol": "BTCUSDT", "limit": 0}, 400, -1130),
        ("depth", {"symbol": "BTCUSDT", "depth": 5}, 400, -1104),
        ("klines", {"symbol": "BTCUSDT"}, 400, -1102),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, 400, -1120),
        ("klines", {"symbol": "BTCUSDT", "interval": "1d", "timeZone": "8"}, 400, -1130),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "timeZone": "0"}, 400, -1104),
        ("/fapi/v1/continuousKlines", {"pair": "BTCUSDT", "interval": "1m"}, 400, -1102),
        ("/fapi/v1/continuousKlines", {"pair": "BTCUSDT", "contractType": "X", "interval": "1m"}, 400, -1130),
        ("aggTrades", {"symbol": "BTCUSDT", "fromId": 1, "startTime": 5}, 400, -1128),
        ("aggTrades", {"symbol": "BTCUSDT", "fromId": "x"}, 400, -1100),
        ("ticker", {}, 400, -1102),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "8d"}, 400, -1130),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "3m"}, 400, -1130),
        ("ticker", {"symbols": ["BTCUSDT"] * 101}, 400, -1151),
        ("ticker/24hr", {"symbol": "BTCUSDT", "type": "ALL"}, 400, -1130),
        ("ticker/price", {"symbol": ""}, 400, -1105),
        ("ticker/price", {"symbols": ["BTCUSDT", "BTCUSDT"]}, 400, -1151),
        ("/fapi/v1/ticker/price", {"symbols": ["BTCUSDT"]}, 400, -1104),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_question_is_answered_by_its_number(
    start: Start, path: str, query: dict[str, Any], status: int, code: int
) -> None:
    running = start()
    await open_market(running)

    found = await ask(running, path, **query)
    assert (found.status, found.body["code"], list(found.body)) == (status, code, ["code", "msg"])
    assert found.weight == 1 if status == 404 else found.weight >= 1


@pytest_twisted.ensureDeferred
async def test_who_posts_is_told_in_the_same_way(start: Start) -> None:
    found = await ask(start(), "userDataStream", "POST")

    assert (found.status, found.body["code"], found.weight) == (404, -1020, 1)
    assert (await ask(start(), "ping", "POST")).body["msg"] == "This operation is not supported: 'POST /api/v3/ping'."


@pytest_twisted.ensureDeferred
async def test_trap_2_every_answer_tells_the_weight_used(start: Start) -> None:
    running = start()
    await open_market(running)
    used = 0
    for path, query, weight in (
        ("ping", {}, 1),
        ("exchangeInfo", {}, 20),
        ("depth", {"symbol": "BTCUSDT"}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 100}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 101}, 25),
        ("depth", {"symbol": "BTCUSDT", "limit": 1000}, 50),
        ("depth", {"symbol": "BTCUSDT", "limit": 9999}, 250),
        ("trades", {"symbol": "BTCUSDT"}, 25),
        ("aggTrades", {"symbol": "BTCUSDT"}, 4),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m"}, 2),
        ("ticker/24hr", {}, 80),
        ("ticker/24hr", {"symbols": ["BTCUSDT"]}, 2),
        ("ticker/price", {"symbol": "BTCUSDT"}, 2),
        ("ticker/price", {}, 4),
        ("nothing", {}, 1),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 1000}, 20),
    ):
        before = used
        used = (await ask(running, path, **query)).weight
        # The minute may have turned in between.
        assert used in (before + weight, weight), path


@pytest_twisted.ensureDeferred
async def test_beyond_its_weight_an_address_is_refused_and_who_goes_on_is_banned(start: Start) -> None:
    running = start(binance__weight_per_minute=30, binance__refusals=1, clients__proxies=[LOOPBACK])
    client, other = "192.0.2.7", "192.0.2.8"
    answers = [await ask(running, "exchangeInfo", who=client)]
    while answers[-1].status != 418:  # the minute may turn in between
        assert len(answers) < 9
        answers.append(await ask(running, "exchangeInfo", who=client))

    refused, banned = answers[-2:]
    assert (refused.status, refused.body["code"], banned.body["code"]) == (429, -1003, -1003)
    assert 1 <= int(refused.header("Retry-After") or "") <= 60
    assert 60 < int(banned.header("Retry-After") or "") <= 120
    assert (await ask(running, "ping", who=client)).status == 418
    assert (await ask(running, "ping", who=other)).status == 200
    assert "no such page" in (await ask(running, "/v1/nothing", who=client)).body["msg"]  # only this language
    assert running.server.asking.weights.bans == 1


@pytest_twisted.ensureDeferred
async def test_what_ccxt_asks_for_when_it_starts_is_there(start: Start) -> None:
    running = start()
    await open_market(running)

    assert (await ask(running, "/dapi/v1/exchangeInfo")).body["symbols"] == []
    for nothing in ("margin/allPairs", "asset/tradeFee"):
        assert (await ask(running, f"/sapi/v1/{nothing}", timestamp=1, signature="x")).body == []
    coins = (await ask(running, "/sapi/v1/capital/config/getall", timestamp=1, signature="x")).body
    assert [coin["coin"] for coin in coins] == ["BTC", "USDT"]
    contracts = (await ask(running, "/fapi/v1/exchangeInfo")).body
    assert [one["contractType"] for one in contracts["symbols"]] == ["PERPETUAL"]


@pytest_twisted.ensureDeferred
async def test_a_store_that_cannot_be_asked_is_said_to_be_busy(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    await open_market(running, trade(1, "100", 0), trade(2, "100", 120_000))
    keeper = running.server.keeper
    assert keeper is not None
    keeper.reading = 64

    found = await ask(running, "aggTrades", symbol="BTCUSDT")
    keeper.reading = 0
    assert (found.status, found.body["code"]) == (503, -1008)
    assert found.weight > 0


@pytest_twisted.ensureDeferred
async def test_where_it_is_turned_off_nothing_of_it_is_there(start: Start) -> None:
    running = start(binance__enabled=False)

    found = await ask(running, "ping")
    assert (found.status, found.body) == (404, {"code": 404, "msg": "no such page"})
    assert found.header("X-MBX-USED-WEIGHT") is None


@pytest_twisted.ensureDeferred
async def test_what_futures_are_asked_is_answered_over_their_websocket_api(start: Start) -> None:
    running = start()
    await open_market(running, *TRADES)
    client = await visit(running, "/ws-fapi/v1")
    answers = [
        await client.ask({"id": method, "method": method, "params": {"symbol": "BTCUSDT"}})
        for method in ("ticker.price", "ticker.book")
    ]

    for answer, path in zip(answers, ("ticker/price", "ticker/bookTicker"), strict=True):
        assert answer["status"] == 200
        assert answer["result"] == (await ask(running, f"/fapi/v1/{path}", symbol="BTCUSDT")).body
    book = await client.ask({"id": 1, "method": "depth", "params": {"symbol": "BTCUSDT", "limit": 5}})
    assert list(book["result"]) == ["lastUpdateId", "E", "T", "bids", "asks"]
    assert book["rateLimits"][0]["count"] - answers[-1]["rateLimits"][0]["count"] == 2 + 1 + 2  # REST's, and its own


@pytest_twisted.ensureDeferred
async def test_the_same_questions_are_answered_over_the_websocket_api(start: Start) -> None:
    running = start()
    await open_market(running, *TRADES)
    client = await visit(running, "/ws-api/v3")
    for method, path, params in (
        ("depth", "depth", {"symbol": "BTCUSDT", "limit": 1}),
        ("klines", "klines", {"symbol": "BTCUSDT", "interval": "1m"}),
        ("trades.recent", "trades", {"symbol": "BTCUSDT"}),
        ("trades.aggregate", "aggTrades", {"symbol": "BTCUSDT", "fromId": 82}),
        ("ticker.price", "ticker/price", {"symbols": ["BTCUSDT"]}),
        ("ticker.book", "ticker/bookTicker", {}),
    ):
        answer = await client.ask({"id": method, "method": method, "params": params})
        assert (answer["status"], answer["result"]) == (200, (await ask(running, path, **params)).body)
        assert answer["rateLimits"][0]["limit"] == 6000
        assert answer["rateLimits"][0]["count"] > 0
    refused = await client.ask({"id": 1, "method": "klines", "params": {"symbol": "BTCUSDT", "interval": "7m"}})
    assert (refused["status"], refused["error"]["code"]) == (400, -1120)
