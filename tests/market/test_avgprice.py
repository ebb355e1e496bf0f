"""The mean price of 5 minutes, against going over all trades."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_push.market.avgprice import AveragePriceData
from tests.market.exchange import Exchange, book, trade
from tests.market.test_ticker import T, steps, window

MINUTES_5 = 300_000


@settings(max_examples=200)
@given(st.lists(steps, max_size=30), st.sampled_from([1, 20, 60]))
def test_it_is_the_mean_of_its_trades_by_quantity(events: list[Any], hasten: int) -> None:
    exchange = Exchange("avgprice")
    now = T
    trades = [trade(1, "7.5", "1", T)]
    exchange.apply(*trades)
    for side, price, qty, forward, late, seconds in events:
        now = max(now, exchange.board.market_time) + forward // hasten
        exchange.apply(book(now, now, [], [], symbol="OTHER"))
        trades.append(trade(len(trades) + 1, price, qty, max(T, now - late), side))
        exchange.apply(trades[-1])
        for publication in exchange.run(seconds * 1_000):
            data = publication.data
            assert isinstance(data, AveragePriceData)
            expected = window(trades, data.close_time, MINUTES_5)
            assert expected is not None
            assert Decimal(data.price) == expected["weighted_avg"]
            assert data.last_time == max(trade.time for trade in trades)


def test_the_shape_and_when_it_is_complete() -> None:
    exchange = Exchange("avgprice")
    exchange.apply(trade(1, "7", "1", T + 100), trade(2, "9", "2", T + 299_900), trade(3, "9", "9", T + 300_000))
    exchange.run(2_000)
    first, second = exchange.sent("S@avgprice")
    assert first == {
        "symbol": "S",
        "minutes": 5,
        "price": "8.33333333",
        "lastTime": T + 300_000,
        "closeTime": T + 300_000,
        "complete": False,
    }
    assert (second["price"], second["closeTime"], second["complete"]) == ("9.00000000", T + 301_000, True)
