"""The store of a whole server, and the history that it answers over HTTP."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
import treq

from exchange_push.catalog import open_store
from exchange_push.errors import ConfigError
from exchange_push.store.keeper import Keeper
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK, PATIENCE_S, Running

T = 1_700_000_000_000


async def page(running: Running, path: str, **query: object) -> tuple[int, Any]:
    url = f"http://{LOOPBACK}:{running.port('listen 1')}{path}"
    response = await treq.get(
        url,
        params={name.rstrip("_"): str(value) for name, value in query.items()},
        persistent=False,
        timeout=PATIENCE_S,
    )
    return response.code, msgspec.json.decode(await response.content())


def trade(id: int, price: str, at: int, qty: str = "0.5") -> list[Any]:
    return ["trade", "BTCUSDT", id, price, qty, "buy", T + at, None]


async def feed_all(running: Running, *events: list[Any]) -> None:
    for event in events:
        running.feed(event)
    expected = sum(event[0] == "trade" for event in events) + running.server.board.trades
    await running.until(lambda: running.server.board.trades >= expected)


@pytest_twisted.ensureDeferred
async def test_the_last_candle_of_history_and_stream_agree(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    client = await running.client("BTCUSDT@kline_1m")
    await feed_all(running, *(trade(n, f"{100 + n}.5", 7_000 * n) for n in range(1, 40)))
    running.feed(["book", "BTCUSDT", 1, T + 274_000, [["1", "1"]], [["2", "1"]]])
    running.feed(["book", "BTCUSDT", 2, T + 274_001, [["1", "1"]], [["2", "2"]]])
    closed = {}
    while len(closed) < 4:
        data = await client.event("BTCUSDT@kline_1m")
        if data["closed"]:
            closed[data["start"]] = data

    status, candles = await page(running, "/v1/klines", symbol="BTCUSDT", interval="1m")

    assert status == 200
    assert [candle["start"] for candle in candles] == [T - 20_000 + 60_000 * n for n in range(5)]
    assert {candle["start"]: candle for candle in candles if candle["closed"]} == closed
    assert not candles[-1]["closed"]
    assert list(candles[0]) == list(closed[candles[0]["start"]])
    assert await page(running, "/v1/klines", symbol="BTCUSDT", from_=T, limit=2) == (200, candles[1:3])
    assert await page(running, "/v1/klines", symbol="BTCUSDT", limit=2) == (200, candles[-2:])
    assert await page(running, "/v1/klines", symbol="BTCUSDT", to=candles[2]["start"]) == (200, candles[:2])


@pytest_twisted.ensureDeferred
async def test_a_server_that_starts_again_has_all_that_was_stored(start: Start, tmp_path: Path) -> None:
    first = start(store=str(tmp_path / "store"))
    await feed_all(first, *(trade(n, f"{100 + n % 7}.5", 30_000 * n) for n in range(1, 500)))
    await first.until(lambda: first.server.keeper is not None and first.server.keeper.writes > 1)
    pages = [("/v1/klines", {"interval": name}) for name in ("1m", "5m", "1h", "1d", "1M")]
    pages += [("/v1/klines", {"interval": "1s", "from_": T + 31_000, "to": T + 431_000})]
    pages += [("/v1/trades", {}), ("/v1/trades", {"from_": T + 30_000, "to": T + 300_000})]
    before = [await page(first, path, symbol="BTCUSDT", **query) for path, query in pages]
    await first.stop_server()

    second = start(store=str(tmp_path / "store"))
    await second.until(lambda: second.server.board.market_time > 0)
    after = [await page(second, path, symbol="BTCUSDT", **query) for path, query in pages]

    assert all(status == 200 for status, _ in before)
    assert [len(answer) for _, answer in before] == [250, 51, 5, 2, 1, 400, 499, 9]
    assert after == before
    second.session, second.seq = first.session, first.seq
    client = await second.client("BTCUSDT@ticker")
    second.feed(trade(500, "100.5", 30_000 * 500))
    data = await client.event("BTCUSDT@ticker")
    while data["lastId"] != 500:
        data = await client.event("BTCUSDT@ticker")
    assert (data["count"], data["firstId"], data["complete"]) == (500, 1, False)


@pytest_twisted.ensureDeferred
async def test_ticker_and_book_are_one_object_as_in_the_stream(start: Start) -> None:
    running = start()
    assert await page(running, "/v1/ticker", symbol="BTCUSDT") == (
        404,
        {"code": 404, "msg": "no ticker of BTCUSDT is known"},
    )
    client = await running.client("BTCUSDT@depth")
    running.feed(["book", "BTCUSDT", 7, T, [["10", "1"], ["9", "2"]], [["11", "1"], ["12", "3"]]])
    snapshot = await client.event("BTCUSDT@depth")

    assert await page(running, "/v1/depth", symbol="BTCUSDT") == (200, snapshot)
    _, cut = await page(running, "/v1/depth", symbol="BTCUSDT", limit=1)
    assert cut == {**snapshot, "bids": [["10", "1"]], "asks": [["11", "1"]]}


@pytest.mark.parametrize(
    ("path", "query", "status", "msg"),
    [
        ("/v1/klines", {}, 400, "no symbol"),
        ("/v1/klines", {"symbol": "btc"}, 400, "symbol is 'btc'"),
        ("/v1/klines", {"symbol": "BTCUSDT", "interval": "7m"}, 400, "interval is '7m', expected one of 1s, 1m"),
        (
            "/v1/klines",
            {"symbol": "BTCUSDT", "limit": "1501"},
            400,
            "limit is '1501', expected a number from 1 to 1500",
        ),
        ("/v1/klines", {"symbol": "BTCUSDT", "limit": "0"}, 400, "limit is '0'"),
        ("/v1/klines", {"symbol": "BTCUSDT", "from_": "-1"}, 400, "from is '-1', expected a time in ms"),
        ("/v1/klines", {"symbol": "BTCUSDT", "from_": "9" * 99}, 400, "from is"),
        ("/v1/klines", {"symbol": "BTCUSDT", "from_": "5", "to": "4"}, 400, "to is 4, expected 5 or more"),
        ("/v1/klines", {"symbol": "BTCUSDT", "start": "5"}, 400, "found 'start', expected symbol, interval, from"),
        ("/v1/trades", {"symbol": "BTCUSDT", "interval": "1m"}, 400, "found 'interval'"),
        ("/v1/depth", {"symbol": "BTCUSDT"}, 404, "no depth of BTCUSDT"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_wrong_question_is_answered_by_what_is_wrong(
    start: Start, path: str, query: dict[str, str], status: int, msg: str
) -> None:
    found, answer = await page(start(), path, **query)

    assert found == status
    assert answer["code"] == status
    assert msg in answer["msg"]


@pytest_twisted.ensureDeferred
async def test_a_symbol_without_a_past_has_an_empty_one(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"), market__symbols=["BTCUSDT"])

    for path in ("/v1/klines", "/v1/trades"):
        assert await page(running, path, symbol="BTCUSDT") == (200, [])
    assert (await page(running, "/v1/klines", symbol="XRPUSDT"))[0] == 404


@pytest_twisted.ensureDeferred
async def test_a_store_that_is_in_use_ends_the_start_with_one_line(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    keeper = running.server.keeper
    assert keeper is not None

    with pytest.raises(ConfigError, match="in use by another exchange-push"):
        Keeper(
            None,
            lambda: open_store(f"sqlite:{tmp_path / 'store'}", {}),
            restore=lambda kept, place: None,
            amended=lambda _: None,
            now_ms=lambda: 0,
        ).startService()


@pytest_twisted.ensureDeferred
async def test_trades_that_a_gap_took_can_be_sent_later_and_make_history_and_stream_whole(
    start: Start, tmp_path: Path
) -> None:
    running = start(store=str(tmp_path / "store"), feed__grace_ms=0)
    client = await running.client("BTCUSDT@kline_1m")
    running.feed(trade(1, "100.5", 0), trade(2, "101.5", 1_000))
    running.seq += 1
    running.feed(trade(4, "103.5", 30_000))
    for number in range(5, 12):
        running.feed(trade(number, "100.5", 60_000 * number))
    await running.until(lambda: running.server.board.trades == 10)
    span = {"symbol": "BTCUSDT", "from_": T - 20_000, "limit": 2}
    _, before = await page(running, "/v1/klines", **span)
    answer = await running.push([trade(3, "99.5", 20_000)], path="/v1/events")

    event = await client.event("BTCUSDT@kline_1m")
    while (event["start"], event["count"]) != (T - 20_000, 4):
        event = await client.event("BTCUSDT@kline_1m")
    _, after = await page(running, "/v1/klines", **span)
    assert answer["r"] == {"s": 1, "f": 0}
    assert [(candle["count"], candle["complete"]) for candle in before] == [(3, False), (0, True)]
    assert after == [event, before[1]]
    assert (event["low"], event["complete"], event["rev"]) == ("99.5", False, 1)  # the first: it began within it


@pytest_twisted.ensureDeferred
async def test_what_was_stored_is_told_to_be_stale_while_the_feed_is_not_heard_again(
    start: Start, tmp_path: Path
) -> None:
    first = start(store=str(tmp_path / "store"))
    await feed_all(first, trade(1, "100.5", 0), trade(2, "100.5", 1_000))
    await first.stop_server()
    second = start(store=str(tmp_path / "store"), feed__stale_ms=200)
    client = await second.client("system", "BTCUSDT@ticker")
    assert (await client.event("BTCUSDT@ticker"))["lastId"] in (1, 2)

    assert (await client.event("system"))["type"] == "stale"
    assert await second.get("/readyz") == {"status": "the feed is silent"}
    second.session, second.seq = first.session, first.seq
    second.feed()
    assert (await client.event("system"))["type"] == "live"
    closes = await client.event("BTCUSDT@ticker")
    while closes["lastId"] != 2:
        closes = await client.event("BTCUSDT@ticker")


@pytest_twisted.ensureDeferred
async def test_a_client_that_leaves_before_its_answer_costs_no_line_in_the_log(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    await feed_all(running, trade(1, "100.5", 0), trade(2, "100.5", 120_000))
    keeper = running.server.keeper
    assert keeper is not None
    caller = await running.raw("listen 1")
    caller.transport.write(b"GET /v1/klines?symbol=BTCUSDT HTTP/1.1\r\nHost: a\r\n\r\n")
    await running.until(lambda: keeper.reads == 1)
    caller.transport.abortConnection()

    await running.until(lambda: keeper.reading == 0)
    assert keeper.faults == 0
