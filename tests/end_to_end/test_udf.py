"""The data feed of charts, asked as TradingView's stock adapter asks, against a whole server with a store.

The adapter is not to be had from a registry: `Adapter` does what it does, by the reading of its source that
docs/reference/udf.md tells.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
import treq

from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK, PATIENCE_S, Running
from tests.end_to_end.test_history import T, feed_all, page, trade

MINUTE = 60


class Adapter:
    """Looks at no status and no content type; goes by `s` in the body."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._newest: int | None = None

    async def ask(self, name: str, **query: object) -> Any:
        url = f"http://{LOOPBACK}:{self._running.port('listen 1')}/udf/{name}"
        params = {key.rstrip("_"): str(value) for key, value in query.items()}
        response = await treq.get(url, params=params, persistent=False, timeout=PATIENCE_S)
        assert response.code == 200
        return msgspec.json.decode(await response.content())

    async def bars(self, resolution: str, **query: object) -> list[dict[str, Any]]:
        answer = await self.ask("history", symbol="BTCUSDT", resolution=resolution, **query)
        assert answer["s"] in ("ok", "no_data"), answer["errmsg"]
        if answer["s"] == "no_data":
            return []
        return [dict(zip("tohlcv", row, strict=True)) for row in zip(*(answer[key] for key in "tohlcv"), strict=True)]

    async def all_bars(self, resolution: str, most: int, **query: Any) -> list[dict[str, Any]]:
        """As with `limitedServerResponse: {maxResponseLength: most, expectedOrder: "latestFirst"}`."""
        found = await self.bars(resolution, **query)
        length = len(found)
        while length == most and query["from_"] < query["to"]:
            query = {**query, "to": found[0]["t"], "countback": query["countback"] - length}
            older = await self.bars(resolution, **query)
            length = len(older)
            if older and older[-1]["t"] == found[0]["t"]:
                older.pop()
            found = older + found
        return found

    async def pulse(self, now: int) -> list[dict[str, Any]]:
        """What the listener is given by one look every 10 s; raises where the adapter does."""
        bars = await self.bars("1", from_=now - 10 * MINUTE, to=now, countback=2, firstDataRequest="false")
        if not bars:
            return []
        told = [bars[-1]]
        if self._newest is not None and bars[-1]["t"] > self._newest:
            assert len(bars) >= 2, "Not enough bars in history for proper pulse update. Need at least 2."
            told.insert(0, bars[-2])
        self._newest = bars[-1]["t"]
        return told


@pytest_twisted.ensureDeferred
async def test_a_chart_opens_and_goes_back_to_the_beginning(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"), market__exchange="TESTEX")
    await feed_all(running, *(trade(n, f"{100 + n % 7}.50", 30_000 * n) for n in range(1, 400)))
    adapter = Adapter(running)
    config = await adapter.ask("config")
    assert config["supports_search"]
    assert not config["supports_group_request"]
    assert abs(await adapter.ask("time") - running.server.terms.now_ms() / 1000) < PATIENCE_S
    [hit] = await adapter.ask("search", query="BTC", type="", exchange="", limit=30)
    assert hit["full_name"] == "TESTEX:BTCUSDT"
    for name in (hit["ticker"], hit["full_name"]):
        info = await adapter.ask("symbols", symbol=name)
        assert (info["ticker"], info["pricescale"], info["volume_precision"]) == ("BTCUSDT", 100, 1)

    _, candles = await page(running, "/v1/klines", symbol="BTCUSDT", interval="1m", limit=1000)
    now = T // 1000 + 30 * 400
    bars = await adapter.all_bars("1", 50, from_=0, to=now, countback=1_500)
    assert len(bars) == len(candles) == 200
    assert [bar["t"] * 1000 for bar in bars] == [candle["start"] for candle in candles]
    for letter, field in zip("ohlcv", ("open", "high", "low", "close", "volume"), strict=True):
        assert [bar[letter] for bar in bars] == [float(candle[field]) for candle in candles]

    first = bars[0]["t"]
    for resolution, seconds in (("1D", 86_400), ("1W", 7 * 86_400), ("1M", None)):
        [*_, last] = await adapter.bars(resolution, from_=0, to=now, countback=2)
        assert last["t"] % 86_400 == 0
        assert seconds is None or last["t"] <= now < last["t"] + seconds
    assert await adapter.ask("history", symbol="BTCUSDT", resolution="1", from_=0, to=first, countback=300) == {
        "s": "no_data"
    }
    assert await adapter.ask("history", symbol="BTCUSDT", resolution="1", from_=now + 600, to=now + 900) == {
        "s": "no_data",
        "nextTime": bars[-1]["t"],
    }


@pytest_twisted.ensureDeferred
async def test_a_chart_is_told_of_both_bars_when_a_new_one_begins(start: Start) -> None:
    running = start()
    adapter = Adapter(running)
    minute = (T // 60_000 + 1) * 60
    at = minute * 1000 - T
    await feed_all(running, trade(1, "100", at + 1_000))
    assert [bar["c"] for bar in await adapter.pulse(minute + 10)] == [100]
    await feed_all(running, trade(2, "105", at + 59_000))
    await feed_all(running, trade(3, "110", at + 61_000))
    told = await adapter.pulse(minute + 70)
    assert [(bar["t"] - minute, bar["c"]) for bar in told] == [(0, 105), (60, 110)]
    # Three minutes without a trade, a look at the very moment at which the running one began.
    await feed_all(running, trade(4, "120", at + 240_000))
    told = await adapter.pulse(minute + 240)
    assert [(bar["t"] - minute, bar["c"], bar["v"]) for bar in told] == [(180, 110, 0), (240, 120, 0.5)]


@pytest_twisted.ensureDeferred
async def test_quotes_are_those_of_the_ticker(start: Start) -> None:
    running = start()
    client = await running.client("BTCUSDT@ticker")
    running.feed(["book", "BTCUSDT", 1, T, [["99.5", "1"]], [["100.75", "1"]]], trade(1, "100.5", 0))
    ticker = await client.event("BTCUSDT@ticker")
    while ticker["bid"] is None:
        ticker = await client.event("BTCUSDT@ticker")

    answer = await Adapter(running).ask("quotes", symbols="EXCHANGE:BTCUSDT,NONE")

    assert answer["s"] == "ok"
    found, unknown = answer["d"]
    assert (found["s"], found["n"]) == ("ok", "EXCHANGE:BTCUSDT")
    assert {key: found["v"][key] for key in ("lp", "bid", "ask", "spread", "volume")} == {
        "lp": 100.5,
        "bid": 99.5,
        "ask": 100.75,
        "spread": 1.25,
        "volume": 0.5,
    }
    assert (unknown["s"], unknown["n"], unknown["errmsg"]) == ("error", "NONE", "unknown symbol")


@pytest.mark.parametrize(
    ("path", "query", "why"),
    [
        ("symbols", {}, "no symbol"),
        ("symbols", {"symbol": "NONE"}, "unknown symbol 'NONE'"),
        ("history", {"symbol": "NONE", "resolution": "1", "countback": "2"}, "unknown symbol 'NONE'"),
        ("history", {"symbol": "BTCUSDT", "resolution": "x"}, "resolution is 'x'"),
        ("search", {"limit": "-1"}, "limit is '-1'"),
        ("quotes", {"symbols": ""}, "0 symbols, expected 1 to 100"),
        ("quotes", {"symbols": "A," * 101}, "101 symbols, expected 1 to 100"),
        ("nothing", {}, "no such page '/udf/nothing'"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_errors_are_told_in_the_body(start: Start, path: str, query: dict[str, str], why: str) -> None:
    running = start(market__symbols=["BTCUSDT"])

    answer = await Adapter(running).ask(path, **query)

    assert answer["s"] == "error"
    assert why in answer["errmsg"]


@pytest_twisted.ensureDeferred
async def test_a_store_that_cannot_be_read_is_an_error_in_the_body(start: Start, tmp_path: Path) -> None:
    running = start(store=str(tmp_path / "store"))
    await feed_all(running, *(trade(n, "100", 60_000 * n) for n in range(1, 10)))
    keeper = running.server.keeper
    assert keeper is not None
    await keeper.stopService()

    answer = await Adapter(running).ask("history", symbol="BTCUSDT", resolution="1", countback=500)

    assert answer["s"] == "error"
    assert answer["errmsg"]


@pytest_twisted.ensureDeferred
async def test_what_the_operator_says_of_a_symbol_goes_before_what_was_seen(start: Start) -> None:
    running = start(symbols={"BTCUSDT": {"tick_size": "0.5", "step_size": "0.0001"}})
    await feed_all(running, trade(1, "100", 0))

    info = await Adapter(running).ask("symbols", symbol="BTCUSDT")

    assert (info["minmov"], info["pricescale"], info["volume_precision"]) == (5, 10, 4)
    assert info["description"] == "BTC / USDT"


@pytest_twisted.ensureDeferred
async def test_a_key_that_stands_there_twice_is_an_error_in_the_body_too(start: Start) -> None:
    running = start()
    url = f"http://{LOOPBACK}:{running.port('listen 1')}/udf/symbols?symbol=A&symbol=B"
    response = await treq.get(url, persistent=False, timeout=PATIENCE_S)

    assert response.code == 200
    assert (await response.json())["s"] == "error"
