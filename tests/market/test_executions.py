from hypothesis import given
from hypothesis import strategies as st

from tests.market.exchange import Exchange, trade

T = 1_700_000_000_000


def test_every_trade_comes_alone_and_says_nothing_of_its_order() -> None:
    exchange = Exchange("trade")
    exchange.apply(trade(81, "50000.10", "0.250", T, "buy", 9_001), trade(82, "50000.10", "0.5", T + 1, "sell", 9_001))
    exchange.tick()
    assert exchange.sent("S@trade") == [
        {
            "trades": [
                {"id": 81, "price": "50000.10", "qty": "0.250", "side": "buy", "time": T},
                {"id": 82, "price": "50000.10", "qty": "0.5", "side": "sell", "time": T + 1},
            ]
        }
    ]
    assert exchange.state("S@trade") is None


@given(st.lists(st.integers(0, 3), max_size=12))
def test_each_id_comes_once_and_in_order_whatever_fell_into_a_tick(counts: list[int]) -> None:
    exchange = Exchange("trade", "trades")
    last = 0
    for count in counts:
        exchange.apply(*(trade(last + number, "7", "1", T + last, "buy", 5) for number in range(1, count + 1)))
        last += count
        exchange.tick()
    exchange.run(100)
    assert [one["id"] for data in exchange.sent("S@trade") for one in data["trades"]] == list(range(1, last + 1))
    merged = [one for data in exchange.sent("S@trades") for one in data["trades"]]
    assert sum(one["count"] for one in merged) == last


def test_nothing_is_kept_for_nobody() -> None:
    wanted = False
    exchange = Exchange("trade", wanted=lambda channel: wanted)
    exchange.apply(trade(1, "7", "1", T))
    exchange.tick()
    wanted = True
    exchange.apply(trade(2, "7", "1", T + 1))
    exchange.tick()
    assert [one["id"] for data in exchange.sent("S@trade") for one in data["trades"]] == [2]
