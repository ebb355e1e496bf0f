from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.demo.accounts import Account, order_data
from exchange_push.demo.matching import Instrument, Matching, Order

BTC = Instrument("BTCUSDT", 1, 3)
FILLS = st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(900, 1100)), max_size=30)


def account(*fills):
    account = Account(1001, Decimal("100000"))
    for qty, price in fills:
        account.fill("BTCUSDT", Decimal(qty), Decimal(price))
    return account


@pytest.mark.parametrize(
    ("fills", "balance", "qty", "entry"),
    [
        ([(2, 100)], 100000, 2, 100),
        ([(2, 100), (2, 110)], 100000, 4, 105),
        ([(2, 100), (-1, 110)], 100010, 1, 100),
        ([(2, 100), (-2, 110)], 100020, 0, 0),
        ([(2, 100), (-3, 110)], 100020, -1, 110),
        ([(-2, 100), (1, 90)], 100010, -1, 100),
        ([(-2, 100), (5, 120)], 99960, 3, 120),
    ],
)
def test_what_is_closed_is_paid_out_and_what_is_opened_is_averaged(fills, balance, qty, entry):
    after = account(*fills)
    assert after.balance == balance
    assert after.positions["BTCUSDT"] == (qty, entry)


@given(FILLS)
def test_money_and_position_together_are_worth_what_was_traded(fills):
    after = account(*fills)
    held = after.positions.get("BTCUSDT", (Decimal(0), Decimal(0)))
    last = 1000
    worth = Fraction(after.balance) + Fraction(held[0]) * (last - Fraction(held[1]))
    traded = 100000 + sum(qty * (last - price) for qty, price in fills)
    assert abs(worth - traded) < Fraction(1, 10_000)  # entries are rounded to 8 decimals
    assert held[0] == sum(qty for qty, _ in fills)


def test_an_order_tells_how_far_it_is():
    matching = Matching()
    order = Order(7, 1001, "sell", 640_001, 500)
    matching.place(order)
    assert order_data(BTC, order, False, 5) == {
        "orderId": 7,
        "symbol": "BTCUSDT",
        "side": "sell",
        "type": "limit",
        "price": "64000.1",
        "qty": "0.500",
        "filled": "0.000",
        "status": "NEW",
        "time": 5,
    }
    matching.place(Order(8, None, "buy", None, 200))
    assert order_data(BTC, order, False, 6)["status"] == "PARTIALLY_FILLED"
    assert order_data(BTC, order, True, 6)["status"] == "CANCELED"
    matching.place(Order(9, None, "buy", None, 300))
    assert order_data(BTC, order, True, 7)["status"] == "FILLED"


def test_a_market_order_has_no_price():
    order = Order(7, 1001, "buy", None, 500)
    told = order_data(BTC, order, True, 5)
    assert (told["type"], told["price"], told["status"]) == ("market", None, "CANCELED")
