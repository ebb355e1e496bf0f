"""The newest trades one by one, against a list of all."""

from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.feed import Market
from exchange_push.market.product import Product
from exchange_push.market.recent import Recent
from tests.market.exchange import Exchange, trade


@given(st.lists(st.integers(1, 700), max_size=12), st.integers(1, 1_000))
def test_the_newest_are_there_in_their_order_and_no_more_than_needed_is_kept(sizes: list[int], limit: int) -> None:
    recent, market, trades = Recent(), Market("S", Product()), []
    for size in sizes:
        batch = [trade(len(trades) + n, "1.5", "2", 10 * (len(trades) + n)) for n in range(size)]
        recent.add(market, batch)
        trades += batch

    assert recent.newest(market, limit) == trades[-limit:]
    assert sum(recent._sizes.get(market, ())) < 1_000 + 700


def test_a_trade_that_comes_late_stands_where_its_time_is() -> None:
    recent, market = Recent(), Market("S", Product())
    recent.add(market, [trade(1, "1", "1", 10), trade(3, "1", "1", 30)])
    recent.add(market, [trade(2, "1", "1", 20)])

    assert [found.id for found in recent.newest(market, 10)] == [1, 2, 3]


def test_a_board_gives_the_trades_that_it_published() -> None:
    exchange = Exchange("trades")
    exchange.apply(trade(1, "1.50", "2", 1_000, order=7), trade(2, "1.50", "3", 1_000, "sell", order=8))
    exchange.run(100)

    assert [(one.id, one.price, one.qty, one.side) for one in exchange.board.executions("S", 10)] == [
        (1, "1.50", "2", "buy"),
        (2, "1.50", "3", "sell"),
    ]
    assert [one.id for one in exchange.board.executions("S", 1)] == [2]
    assert exchange.board.executions("T", 1) == []
