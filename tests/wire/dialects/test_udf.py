import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.interval import INTERVALS
from exchange_push.market.kline import KlineData
from exchange_push.market.ticker import TickerData
from exchange_push.wire.dialects import udf

LISTING = udf.Listing("BTCUSDT", "EX", "BTC / USDT", Decimal("0.01"), 3)


def candle(start_s: int, *, closed: bool = True, price: str = "50000.10", minutes: int = 1) -> KlineData:
    start, end = start_s * 1000, (start_s + 60 * minutes) * 1000
    return KlineData(
        symbol="BTCUSDT",
        interval="1m",
        start=start,
        end=end,
        open=price,
        high=price,
        low=price,
        close=price,
        volume="0.250",
        quote_volume="1",
        taker_volume="0",
        taker_quote_volume="0",
        count=1,
        first_id=1,
        last_id=1,
        closed=closed,
        complete=True,
        rev=0,
    )


def ticker(**changed: Any) -> TickerData:
    figures: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "open": "50000.1",
        "high": "51000",
        "low": "50000.1",
        "last": "51000",
        "last_qty": "1",
        "change": "999.9",
        "change_percent": "2.000",
        "weighted_avg": "50333.40000000",
        "prev_close": None,
        "volume": "3",
        "quote_volume": "151000.2",
        "count": 2,
        "first_id": 1,
        "last_id": 2,
        "open_time": 0,
        "close_time": 86_400_000,
        "bid": "50999.99",
        "bid_qty": "1",
        "ask": "51000.01",
        "ask_qty": "1",
        "complete": False,
    }
    return TickerData(**{**figures, **changed})


def test_every_interval_has_its_resolution() -> None:
    assert list(udf.RESOLUTIONS.values()) == list(INTERVALS)
    for resolution in (name for name in udf.RESOLUTIONS if name.isdecimal()):
        assert INTERVALS[udf.RESOLUTIONS[resolution]].length_ms == int(resolution) * 60_000


@pytest.mark.parametrize(
    ("resolution", "interval"), [("1S", "1s"), ("S", "1s"), ("60", "1h"), ("D", "1d"), ("W", "1w")]
)
def test_resolutions_have_short_names_too(resolution: str, interval: str) -> None:
    assert udf.asked({"resolution": resolution, "countback": "1"}).interval == interval


@given(
    first=st.integers(0, 50),
    count=st.integers(0, 60),
    running=st.booleans(),
    start=st.integers(0, 120),
    length=st.integers(0, 120),
    countback=st.one_of(st.none(), st.integers(0, 70)),
)
def test_the_bars_of_a_question_are_those_of_its_definition(
    first: int, count: int, running: bool, start: int, length: int, countback: int | None
) -> None:
    candles = [candle(60 * (first + n), closed=not (running and n == count - 1)) for n in range(count)]
    end = start + length
    query = {"resolution": "1", "from": str(start * 60), "to": str(end * 60)}
    if countback is not None:
        query["countback"] = str(countback)

    found = [each.start // 60_000 for each in udf.inside(candles, udf.asked(query))]

    expected = []
    for each in candles:
        minute = each.start // 60_000
        before_end = minute < end or (minute == end and not each.closed)
        if before_end and (countback or minute >= start):
            expected.append(minute)
    if countback:
        while len(expected) > countback:
            expected.pop(0)
    assert found == expected


def test_an_answer_is_bounded_and_then_holds_the_newest() -> None:
    candles = [candle(60 * n) for n in range(2 * udf.MOST)]
    for query in ({"from": "0"}, {"countback": "99999"}):
        found = udf.inside(candles, udf.asked({"resolution": "1", "to": "999999", **query}))

        assert found == candles[-udf.MOST :]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"countback": "2"}, "no resolution, expected one of 1S, 1, 3"),
        ({"resolution": "7", "countback": "2"}, "resolution is '7', expected one of 1S"),
        ({"resolution": "1"}, "neither from nor countback"),
        ({"resolution": "1", "from": "-1"}, "from is '-1', expected a time in seconds"),
        ({"resolution": "1", "from": "1e3"}, "from is '1e3', expected a time in seconds"),
        ({"resolution": "1", "from": "9" * 5000}, "expected a time in seconds"),
        ({"resolution": "1", "from": "7", "to": "6"}, "to is 6, expected 7 or more, as from"),
        ({"resolution": "1", "countback": "two"}, "countback is 'two', expected a number"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(query: dict[str, str], why: str) -> None:
    with pytest.raises(udf.Refused) as refused:
        udf.asked(query)

    assert why in str(refused.value)


def test_bars_are_numbers_with_the_digits_of_the_server() -> None:
    text = udf.encode(
        udf.bars([candle(60, price="123456789012345678.123456789012345678"), candle(120, price="007.50")])
    )
    bars = json.loads(text, parse_float=Decimal)

    assert bars["s"] == "ok"
    assert bars["t"] == [60, 120]
    assert bars["o"] == bars["h"] == bars["l"] == bars["c"]
    assert bars["c"] == [Decimal("123456789012345678.123456789012345678"), Decimal("7.50")]
    assert b"7.50]" in text
    assert bars["v"] == [Decimal("0.250")] * 2


def test_where_no_bars_are_the_last_one_before_is_named() -> None:
    assert udf.encode(udf.no_bars(candle(60))) == b'{"s":"no_data","nextTime":60}'
    assert udf.encode(udf.no_bars(None)) == b'{"s":"no_data"}'


def test_a_quote_has_the_figures_that_are_known_and_the_exact_spread() -> None:
    name = "EX:BTCUSDT"
    full = json.loads(udf.encode(udf.quote(name, LISTING, ticker(bid="0.1", ask="0.3"))), parse_float=Decimal)
    assert (full["s"], full["n"]) == ("ok", name)
    assert full["v"]["spread"] == Decimal("0.2")
    assert full["v"]["lp"] == 51000
    assert "prev_close_price" not in full["v"]

    half = json.loads(udf.encode(udf.quote(name, LISTING, ticker(bid=None, prev_close="49000"))))["v"]
    assert "spread" not in half
    assert "bid" not in half
    assert half["prev_close_price"] == 49000


def test_a_search_finds_by_name_and_puts_beginnings_first() -> None:
    def symbols(**query: str) -> list[str]:
        return [hit.symbol for hit in udf.found(["ABTC", "BTCB", "BTCA", "ETH"], "EX", query)]

    assert symbols(query="btc") == ["BTCA", "BTCB", "ABTC"]
    assert symbols(query="BTC", limit="1") == ["BTCA"]
    assert symbols() == ["ABTC", "BTCA", "BTCB", "ETH"]
    assert symbols(query="EX:E") == ["ETH"]
    assert symbols(exchange="EX", type="crypto", query="ETH") == ["ETH"]
    assert symbols(exchange="OTHER") == symbols(type="stock") == symbols(query="NONE") == []
    with pytest.raises(udf.Refused, match="limit is '101'"):
        symbols(limit="101")


@pytest.mark.parametrize(
    ("tick_size", "minmov", "pricescale"),
    [("0.01", 1, 100), ("0.010", 1, 100), ("0.5", 5, 10), ("0.25", 25, 100), ("1", 1, 1), ("10", 10, 1), ("50", 50, 1)],
)
def test_a_symbol_tells_what_its_prices_are_multiples_of(tick_size: str, minmov: int, pricescale: int) -> None:
    info = udf.symbol_info(LISTING._replace(tick_size=Decimal(tick_size)))

    assert (info.minmov, info.pricescale) == (minmov, pricescale)
    assert Decimal(info.minmov) / info.pricescale == Decimal(tick_size)


def test_a_symbol_tells_what_it_is() -> None:
    info = udf.symbol_info(LISTING)

    assert (info.description, info.volume_precision) == ("BTC / USDT", 3)
    assert "s" not in json.loads(udf.encode(info))
    assert set(info.supported_resolutions) == set(udf.config("EX").supported_resolutions)
