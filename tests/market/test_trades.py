from decimal import Decimal, localcontext
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.events import Trade
from exchange_push.market.exact import EXACT
from exchange_push.market.trades import merge
from tests.market.exchange import Exchange, channel, trade

T = 1_700_000_000_000

_fills = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 2]),  # step of the id
        st.sampled_from(["7.6", "7.60", "8"]),
        st.sampled_from(["1", "0.50", "99999999999999999999.999999999999999999"]),
        st.sampled_from(["buy", "sell"]),
        st.integers(0, 1),
        st.sampled_from([None, None, 1, "1"]),
    ),
    max_size=30,
)


def _trades(fills: list[Any]) -> list[Trade]:
    trades: list[Trade] = []
    last = 0
    for step, price, qty, side, later, order in fills:
        last += step
        trades.append(trade(last, price, qty, T + later, side, order))
    return trades


def _key(t: Trade) -> tuple[object, ...]:
    return (Decimal(t.price), t.side, type(t.order), t.order, t.time if t.order is None else None)


@given(_fills)
def test_merged_trades_partition_the_ids_and_keep_the_sums(fills: list[Any]) -> None:
    trades = _trades(fills)
    with localcontext(EXACT):
        merged = merge(trades)
    place = 0
    for one in merged:
        members = trades[place : place + one.count]
        place += one.count
        assert [t.id for t in members] == list(range(one.first, one.last + 1))
        assert len({_key(t) for t in members}) == 1
        with localcontext(EXACT):
            assert Decimal(one.qty) == sum(Decimal(t.qty) for t in members)
        assert (one.price, one.time, one.side) == (members[0].price, members[0].time, members[0].side)
        if one.count == 1:
            assert one.qty == members[0].qty
        if place < len(trades):  # and none was left apart that belongs to it
            after = trades[place]
            assert after.id != one.last + 1 or _key(after) != _key(members[-1])
    assert place == len(trades)


def test_fills_of_one_order_at_one_price_are_merged_every_100_ms() -> None:
    exchange = Exchange("trades")
    exchange.run(100)
    exchange.apply(trade(1, "7.60", "1.5", T, "sell", "a"), trade(2, "7.60", "1.50", T + 3, "sell", "a"))
    exchange.tick()
    exchange.apply(trade(3, "7.600", "1", T + 9, "sell", "a"), trade(4, "7.59", "1", T + 9, "sell", "a"))
    exchange.tick()
    exchange.apply(trade(5, "7.59", "1", T + 9, "sell", "a"))
    exchange.run(100)
    both = {"price": "7.59", "qty": "1", "side": "sell", "time": T + 9, "count": 1}
    assert [now_ms for now_ms, _ in exchange.published] == [200, 300]
    assert exchange.sent("S@trades") == [
        {
            "trades": [
                {"first": 1, "last": 3, "price": "7.60", "qty": "4.00", "side": "sell", "time": T, "count": 3},
                {"first": 4, "last": 4, **both},
            ]
        },
        {"trades": [{"first": 5, "last": 5, **both}]},
    ]


def test_the_state_is_the_newest_50_that_were_published() -> None:
    exchange = Exchange("trades")
    assert exchange.state("S@trades") is None
    for number in range(1, 61):
        exchange.apply(trade(number, "7", "1", T + number))
        if number % 7 == 0:
            exchange.run(100)
    wished = channel("S@trades")
    state = exchange.board.state(wished)
    assert state is exchange.board.state(wished)
    assert [t["first"] for t in exchange.state("S@trades")["trades"]] == list(range(7, 57))
    exchange.run(100)
    assert [t["first"] for t in exchange.state("S@trades")["trades"]] == list(range(11, 61))


def test_a_trade_comes_once_unless_the_engine_restarted_its_ids() -> None:
    exchange = Exchange("trades")
    exchange.apply(trade(5, "7", "1", T), trade(5, "7", "1", T), trade(4, "7", "1", T - 1), trade(6, "7", "1", T + 1))
    exchange.run(100)
    exchange.apply(trade(6, "7", "1", T), trade(1, "7", "1", T + 2), trade(1, "7", "1", T + 2))
    exchange.run(100)
    assert [t["first"] for data in exchange.sent("S@trades") for t in data["trades"]] == [5, 6, 1]
    board = exchange.board
    assert (board.trades, board.duplicate_trades, board.restarted_ids) == (3, 4, 1)


def test_ids_begin_anew_only_where_the_time_is_later_than_that_of_all_trades() -> None:
    exchange = Exchange("trades")
    exchange.apply(trade(5, "7", "1", T + 100), trade(6, "7", "1", T), trade(5, "7", "1", T + 100))
    exchange.run(100)
    assert (exchange.board.trades, exchange.board.duplicate_trades, exchange.board.restarted_ids) == (2, 1, 0)


def test_trades_of_two_symbols_do_not_mix() -> None:
    exchange = Exchange("trades")
    exchange.apply(trade(1, "7", "1", T), trade(1, "9", "1", T, symbol="Q"), trade(2, "7", "1", T))
    exchange.run(100)
    assert [t["count"] for t in exchange.state("S@trades")["trades"]] == [2]
    assert [t["price"] for t in exchange.state("Q@trades")["trades"]] == ["9"]
