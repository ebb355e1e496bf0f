from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.demo.matching import Instrument, Matching, Order, decimal

SIDES = st.sampled_from(["buy", "sell"])
PLACED = st.tuples(SIDES, st.none() | st.integers(1, 12), st.integers(1, 9))
CANCELLED = st.integers(1, 40)  # the id of an order, placed or not
FLOW = st.lists(PLACED | CANCELLED, max_size=40)


class Naive:
    """The rule of price and time as one would say it: of all who wait, the best price first, then the oldest."""

    def __init__(self):
        self.waiting = []  # [id, side, price, left], oldest first

    def place(self, order_id, side, price, qty):
        fills = []
        while qty:
            others = [order for order in self.waiting if order[1] != side]
            others.sort(key=lambda order: order[2] if side == "buy" else -order[2])  # stable: the oldest stays first
            if not others or (price is not None and (others[0][2] - price) * (1 if side == "buy" else -1) > 0):
                break
            maker = others[0]
            part = min(qty, maker[3])
            fills.append((maker[2], part, order_id, maker[0]))
            qty -= part
            maker[3] -= part
            if not maker[3]:
                self.waiting.remove(maker)
        if qty and price is not None:
            self.waiting.append([order_id, side, price, qty])
        return fills

    def cancel(self, order_id):
        self.waiting = [order for order in self.waiting if order[0] != order_id]

    def levels(self, side):
        prices = {order[2] for order in self.waiting if order[1] == side}
        return [
            (price, sum(order[3] for order in self.waiting if order[1:3] == [side, price]))
            for price in sorted(prices, reverse=side == "buy")
        ]


def play(matching, number, action):
    """One action of a flow; gives the order placed, if any, and its fills."""
    if isinstance(action, int):
        matching.cancel(action)
        return None, []
    order = Order(number, None, *action)
    return order, matching.place(order)


@given(FLOW)
def test_orders_meet_by_price_then_time(flow):
    matching, naive = Matching(), Naive()
    for number, action in enumerate(flow, 1):
        _, fills = play(matching, number, action)
        if isinstance(action, int):
            naive.cancel(action)
            expected = []
        else:
            expected = naive.place(number, *action)
        assert [(fill.price, fill.qty, fill.taker.id, fill.maker.id) for fill in fills] == expected
        assert [matching.levels(side) for side in ("buy", "sell")] == [naive.levels(side) for side in ("buy", "sell")]


@given(FLOW)
def test_no_quantity_is_made_or_lost(flow):
    matching, orders, traded = Matching(), {}, {}
    for number, action in enumerate(flow, 1):
        order, fills = play(matching, number, action)
        if order is not None:
            orders[number] = order
        for fill in fills:
            for side in (fill.taker, fill.maker):
                traded[side.id] = traded.get(side.id, 0) + fill.qty
    for order in orders.values():
        assert order.filled == traded.get(order.id, 0)
        assert 0 <= order.left <= order.qty
        assert (order.id in matching.orders) <= (order.left > 0)
    waiting = sum(order.left for order in matching.orders.values())
    assert waiting == sum(qty for side in ("buy", "sell") for _, qty in matching.levels(side))


@given(FLOW)
def test_a_book_is_never_crossed(flow):
    matching = Matching()
    for number, action in enumerate(flow, 1):
        play(matching, number, action)
        bid, ask = matching.best("buy"), matching.best("sell")
        assert bid is None or ask is None or bid < ask


@given(FLOW, st.integers(1, 7))
def test_the_changes_put_together_are_the_book(flow, every):
    matching = Matching(first_id=500)
    last = 499
    books = {"buy": {}, "sell": {}}
    for number, action in enumerate([*flow, 99], 1):
        play(matching, number, action)
        if number % every and number <= len(flow):
            continue
        changes = matching.take_changes()
        if changes is None:
            assert last == matching.update_id
            continue
        assert changes.first == last + 1
        last = changes.last
        for side, changed in (("buy", changes.bids), ("sell", changes.asks)):
            books[side].update(changed)
            books[side] = {price: qty for price, qty in books[side].items() if qty}
            assert books[side] == dict(matching.levels(side))
    assert last == matching.update_id
    assert matching.take_changes() is None


@given(FLOW)
def test_trades_are_numbered_without_a_hole(flow):
    matching = Matching(first_id=7)
    ids = [fill.id for number, action in enumerate(flow, 1) for fill in play(matching, number, action)[1]]
    assert ids == list(range(7, 7 + len(ids)))


def test_a_maker_that_is_filled_in_part_keeps_its_place():
    matching = Matching()
    for number in (1, 2):
        matching.place(Order(number, None, "sell", 100, 5))
    matching.place(Order(3, None, "buy", 100, 3))
    fills = matching.place(Order(4, None, "buy", 100, 4))
    assert [(fill.maker.id, fill.qty) for fill in fills] == [(1, 2), (2, 2)]


def test_a_taker_gets_the_makers_price():
    matching = Matching()
    matching.place(Order(1, None, "sell", 100, 5))
    assert [fill.price for fill in matching.place(Order(2, None, "buy", 120, 5))] == [100]


def test_what_a_market_order_leaves_does_not_wait():
    matching = Matching()
    matching.place(Order(1, None, "sell", 100, 5))
    order = Order(2, None, "buy", None, 8)
    assert len(matching.place(order)) == 1
    assert order.left == 3
    assert matching.orders == {}
    assert matching.levels("buy") == []


def test_cancelling_what_does_not_wait_changes_nothing():
    matching = Matching()
    matching.place(Order(1, None, "buy", 100, 5))
    matching.take_changes()
    assert matching.cancel(2) is None
    assert matching.take_changes() is None


@given(st.integers(-(10**20), 10**20), st.integers(0, 18))
def test_text_is_the_exact_decimal(units, digits):
    text = decimal(units, digits)
    assert Decimal(text) == Decimal(units).scaleb(-digits)
    assert len(text.partition(".")[2]) == digits


@pytest.mark.parametrize(("units", "text"), [(1, "0.00001"), (16250, "0.16250"), (100000, "1.00000")])
def test_prices_keep_all_their_decimals(units, text):
    assert Instrument("DOGEUSDT", 5, 0).price(units) == text
    assert Instrument("DOGEUSDT", 5, 0).qty(units) == str(units)
