"""Tickers of other windows, against the second implementation of the ticker's."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_push.market.events import Trade
from exchange_push.market.kline import KlineData
from exchange_push.market.rolling import RollingTickerData, add_up
from tests.market.exchange import Exchange, book, trade
from tests.market.test_ticker import DAY, HOUR, T, steps, window

MINUTE = 60_000
LENGTHS = {"1h": (HOUR, MINUTE), "4h": (4 * HOUR, MINUTE), "1d": (DAY, 1_000)}


def _check(data: Any, trades: list[Trade]) -> None:
    assert isinstance(data, RollingTickerData)
    expected = window(trades, data.close_time, *LENGTHS[data.window])
    assert expected is not None
    for name, value in expected.items():
        if hasattr(data, name):
            found = getattr(data, name)
            assert (Decimal(found) if isinstance(value, Decimal) else found) == value, name


@settings(max_examples=200)
@given(st.sampled_from(["1h", "4h", "1d"]), st.lists(steps, max_size=30), st.sampled_from([1, 20, 60]))
def test_each_is_the_window_of_its_trades(length: str, events: list[Any], hasten: int) -> None:
    exchange = Exchange(f"ticker_{length}")
    now = T
    trades = [trade(1, "7.5", "1", T)]
    exchange.apply(*trades)
    for side, price, qty, forward, late, seconds in events:
        now = max(now, exchange.board.market_time) + forward // hasten
        exchange.apply(book(now, now, [], [], symbol="OTHER"))
        trades.append(trade(len(trades) + 1, price, qty, max(T, now - late), side))
        exchange.apply(trades[-1])
        for publication in exchange.run(seconds * 1_000):
            _check(publication.data, trades)
    exchange.run(3_000)
    _check(exchange.published[-1][1].data, trades)


def test_hours_of_trades_leave_the_window_minute_by_minute() -> None:
    exchange = Exchange("ticker_1h", "ticker_4h")
    trades: list[Trade] = []
    checked = {"1h": 0, "4h": 0}
    for second in range(0, 6 * 3_600, 20):
        price, qty = f"{100 + second * 7_919 % 501}.{second % 7}", f"0.{second % 89 + 1}"
        trades.append(trade(len(trades) + 1, price, qty, T + second * 1_000))
        exchange.apply(trades[-1])
        exchange.now_ms += 950
        for publication in exchange.tick():
            if second % 600 == 0:
                assert isinstance(publication.data, RollingTickerData)
                _check(publication.data, trades)
                checked[publication.data.window] += 1
    assert min(checked.values()) > 20


def test_the_shape_is_the_tickers_without_the_book() -> None:
    exchange = Exchange("ticker_1h")
    exchange.apply(trade(1, "50000.1", "2", T + 100), trade(2, "51000", "1", T + 200))
    exchange.run(2_000)
    assert exchange.sent("S@ticker_1h")[0] == {
        "symbol": "S",
        "window": "1h",
        "open": "50000.1",
        "high": "51000",
        "low": "50000.1",
        "last": "51000",
        "change": "999.9",
        "changePercent": "2.000",
        "weightedAvg": "50333.40000000",
        "volume": "3",
        "quoteVolume": "151000.2",
        "count": 2,
        "firstId": 1,
        "lastId": 2,
        "openTime": (T + 1_000 - HOUR) // MINUTE * MINUTE,
        "closeTime": T + 1_000,
        "complete": False,
    }


def test_an_hour_is_complete_once_it_was_heard() -> None:
    exchange = Exchange("ticker_1h", "ticker_4h")
    exchange.apply(trade(1, "7", "1", T))
    for minute in range(1, 63):
        exchange.apply(trade(minute + 1, "7", "1", T + minute * MINUTE))
        exchange.now_ms += MINUTE - 50
        exchange.tick()
    assert exchange.state("S@ticker_1h")["complete"] is True
    assert exchange.state("S@ticker_4h")["complete"] is False


def test_the_array_of_all_has_those_of_which_it_shows_a_change() -> None:
    exchange = Exchange("*@ticker_1h")
    exchange.apply(trade(1, "7", "1", T), trade(1, "8", "1", T, symbol="OTHER"))
    exchange.run(2_000)
    exchange.apply(book(1, T + 2_000, [("6", "1")], []), trade(2, "9", "1", T + 2_100, symbol="OTHER"))
    exchange.run(2_000)
    first, second = exchange.sent("*@ticker_1h")
    assert [data["symbol"] for data in first] == ["S", "OTHER"]
    assert [(data["symbol"], data["last"]) for data in second] == [("OTHER", "9")]
    assert [data["symbol"] for data in exchange.state("*@ticker_1h")] == ["S", "OTHER"]


candles = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["7.5", "7.50", "80", "9.25"]), st.sampled_from(["1", "0.333", "12"])), max_size=4
    ),
    max_size=6,
)


@given(candles)
def test_candles_add_up_to_the_figures_of_their_trades(minutes: list[list[tuple[str, str]]]) -> None:
    exchange = Exchange("kline_1m")
    trades: list[Trade] = []
    for place, minute in enumerate(minutes):
        for price, qty in minute:
            trades.append(trade(len(trades) + 1, price, qty, T + place * MINUTE + len(trades)))
            exchange.apply(trades[-1])
        exchange.run(MINUTE)
    found = [publication.data for _, publication in exchange.published]
    closed: list[Any] = [data for data in found if isinstance(data, KlineData) and data.closed]
    end = T + len(minutes) * MINUTE

    data = add_up("S", "6m", closed, "5", T, end)
    expected = window(trades, end, end - T, 1)
    if expected is None:
        assert (data.open, data.high, data.low, data.last, data.count, data.first_id) == ("5",) * 4 + (0, -1)
        assert (data.weighted_avg, data.change, data.change_percent) == ("5.00000000", "0", "0.000")
        return
    for name, value in expected.items():
        if hasattr(data, name):
            shown = getattr(data, name)
            assert (Decimal(shown) if isinstance(value, Decimal) else shown) == value, name
