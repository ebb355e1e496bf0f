"""What a mark price is fed with, second by second; its formulas have tests of their own."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.events import Funding, IndexPrice, Restart
from exchange_push.market.markprice import MarkPrices
from exchange_push.market.product import Product
from tests.market.exchange import Exchange, book, channel, depth, trade

T = 1_700_000_000_000
HOUR = 3_600_000


def _index(price: str, weight: str = "1", source: str = "a", time: int = T, symbol: str = "S") -> IndexPrice:
    return IndexPrice(symbol, source, price, weight, time)


def test_nothing_is_said_until_an_index_is_known() -> None:
    exchange = Exchange("markprice", "*@markprice")
    exchange.apply(trade(1, "7", "1", T), book(1, T, [("6", "1")], [("8", "1")]), Funding("S", "0.0001", T, T))
    exchange.run(2_000)
    exchange.apply(_index("7", "0"))
    exchange.run(2_000)
    assert exchange.published == []
    assert exchange.state("S@markprice") is None
    assert exchange.state("*@markprice") is None


def test_what_is_missing_is_replaced_by_the_index() -> None:
    exchange = Exchange("markprice")
    exchange.apply(_index("100"))
    exchange.tick()
    assert exchange.sent("S@markprice") == [
        {
            "symbol": "S",
            "markPrice": "100.00000000",
            "indexPrice": "100.00000000",
            "settlePrice": None,
            "fundingRate": None,
            "nextFundingTime": None,
            "time": T,
        }
    ]
    assert exchange.board.state(channel("S@markprice")) is exchange.published[0][1]


def test_the_mark_is_the_median_of_funding_basis_moving_basis_and_last_trade() -> None:
    exchange = Exchange("markprice")
    exchange.apply(_index("50000"), Funding("S", "0.0001", T + 8 * HOUR, T), trade(1, "50020", "1", T))
    exchange.apply(book(1, T, [("50009", "1")], [("50011", "1")]))
    exchange.tick()
    # P1 50005, P2 50010, last 50020
    assert exchange.state("S@markprice")["markPrice"] == "50010.00000000"
    exchange.apply(depth(2, 2, T, [("50009", "0"), ("49989", "1")], []))
    exchange.run(1_000)
    # Second sample: mid 50000, basis 0; mean 5: P2 50005; 0.7 s are gone, so that P1 is a little less than that.
    data = exchange.state("S@markprice")
    assert (data["markPrice"], data["fundingRate"], data["nextFundingTime"]) == (
        "50005.00000000",
        "0.0001",
        T + 8 * HOUR,
    )
    exchange.apply(trade(2, "40000", "1", T + 1_000))
    exchange.run(1_000)
    # Third: mean 10/3: P2 50003.33…, P1 hardly below 50005, last 40000.
    assert exchange.state("S@markprice")["markPrice"] == "50003.33333333"


def test_the_basis_is_that_of_the_last_samples_only() -> None:
    exchange = Exchange("markprice", products={"S": Product(basis_samples=2, product="future")})
    exchange.apply(_index("100"), book(1, T, [("100", "1")], [("120", "1")]))
    exchange.tick()
    exchange.apply(book(2, T + 1, [("100", "1")], [("104", "1")]))
    exchange.run(1_000)
    assert exchange.state("S@markprice")["markPrice"] == "106.00000000"
    exchange.run(1_000)
    assert exchange.state("S@markprice")["markPrice"] == "102.00000000"


def test_a_dated_future_has_no_funding_but_a_settlement_price() -> None:
    exchange = Exchange("markprice", products={"S": Product(product="future")})
    exchange.apply(_index("100"), Funding("S", "0.5", T + HOUR, T), trade(1, "300", "1", T))
    exchange.tick()
    data = exchange.state("S@markprice")
    assert (data["settlePrice"], data["markPrice"]) == ("100.00000000", "100.00000000")
    assert (data["fundingRate"], data["nextFundingTime"]) == (None, None)


def test_an_older_price_of_a_source_does_not_replace_a_newer_one() -> None:
    exchange = Exchange("markprice")
    exchange.apply(_index("100", time=T + 5), _index("90", time=T), _index("102", source="b"))
    exchange.tick()
    assert exchange.state("S@markprice")["indexPrice"] == "101.00000000"


def test_it_comes_every_second_and_the_array_only_with_what_changed() -> None:
    exchange = Exchange("markprice", "*@markprice")
    exchange.apply(_index("100"), _index("7", symbol="Q"))
    exchange.tick()
    exchange.apply(_index("8", symbol="Q", time=T + 9))
    exchange.run(3_000)
    assert len(exchange.sent("S@markprice")) == 4
    assert [[data["symbol"] for data in array] for array in exchange.sent("*@markprice")] == [["S", "Q"], ["Q"]]
    assert [data["markPrice"] for data in exchange.state("*@markprice")] == ["100.00000000", "8.00000000"]


def marks(exchange: Exchange) -> MarkPrices:
    return exchange.board.marks


def later(exchange: Exchange, time: int, price: str = "50000") -> None:
    """Let a new index price bring market time to `time`, which is that of the wall's next second."""
    exchange.now_ms += 950 - exchange.now_ms % 1_000
    exchange.apply(_index(price, time=time), book(time, time, [], [], symbol="WITNESS"))
    exchange.tick()


# Bids 10 above the index of 50,000, deep enough: a premium of 0.02 %. Bids 50 above: 0.1 %.
START = T - T % (8 * HOUR)  # of the funding interval that T lies in
END = START + 8 * HOUR
SMALL = book(1, START, [("50010", "1")], [("50020", "1")])
LARGE = book(2, START, [("50050", "1")], [("50060", "1")])


def test_without_funding_events_the_rate_comes_of_the_premium() -> None:
    exchange = Exchange("markprice")
    exchange.apply(SMALL)
    later(exchange, START)
    # 0.02 % is within 0.05 % of the interest.
    assert exchange.state("S@markprice")["fundingRate"] == "0.00010000"
    assert exchange.state("S@markprice")["nextFundingTime"] == END
    exchange.apply(LARGE)
    later(exchange, START + 5_000)
    # (1 * 0.0002 + 2 * 0.001) / 3 = 0.00073333…, less 0.0005
    assert exchange.state("S@markprice")["fundingRate"] == "0.00023333"
    later(exchange, START + 9_999)  # of the same five seconds
    assert exchange.state("S@markprice")["fundingRate"] == "0.00023333"
    later(exchange, START + 20_000)
    # The fifth place; the third and the fourth had no sample: (1 * 0.0002 + 2 * 0.001 + 5 * 0.001) / 8 = 0.0009
    assert exchange.state("S@markprice")["fundingRate"] == "0.00040000"


def test_p1_counts_with_the_rate_that_was_settled_last() -> None:
    fair = {"S": Product(mark="fair", interest=Decimal(0), funding_clamp=Decimal(0))}
    exchange = Exchange("markprice", products=fair)
    exchange.apply(LARGE)
    later(exchange, START)
    # The rate to come is 0.1 %, but none was settled yet: the index alone.
    assert exchange.state("S@markprice")["fundingRate"] == "0.00100000"
    assert exchange.state("S@markprice")["markPrice"] == "50000.00000000"
    exchange.apply(book(3, START, [("49000", "1")], [("51000", "1")]))
    later(exchange, END)
    data = exchange.state("S@markprice")
    # Settled at 0.1 %, of which all is still to come: 50,050. The new interval has a premium of 0 so far.
    assert (data["fundingRate"], data["nextFundingTime"]) == ("0.00000000", END + 8 * HOUR)
    assert data["markPrice"] == "50050.00000000"
    later(exchange, END + 6 * HOUR)
    assert exchange.state("S@markprice")["markPrice"] == "50012.50000000"  # a quarter
    later(exchange, END + 24 * HOUR)  # two intervals of which nothing was heard
    assert exchange.state("S@markprice")["markPrice"] == "50000.00000000"


def test_what_the_engine_says_of_funding_goes_over_what_is_computed() -> None:
    exchange = Exchange("markprice")
    exchange.apply(LARGE, Funding("S", "0.000123", T + 1, T))
    later(exchange, T)
    data = exchange.state("S@markprice")
    assert (data["fundingRate"], data["nextFundingTime"]) == ("0.000123", T + 1)


def test_without_a_book_nothing_is_known_of_a_premium() -> None:
    exchange = Exchange("markprice")
    later(exchange, START)
    exchange.apply(SMALL, depth(7, 7, START, [], []))  # out of sync
    later(exchange, START + 5_000)
    data = exchange.state("S@markprice")
    assert (data["fundingRate"], data["nextFundingTime"]) == (None, None)


def test_each_formula_of_a_product_can_be_named() -> None:
    product = Product(
        mark="basis", premium="mid", premium_average="mean", funding_hours=4, interest=Decimal(0), premium_sample_s=60
    )
    exchange = Exchange("markprice", products={"S": product})
    exchange.apply(book(1, START, [("50100", "1")], [("50140", "1")]))
    later(exchange, START)
    exchange.apply(book(2, START, [("50000", "1")], [("50000.02", "1")]))
    later(exchange, START + 59_999)
    later(exchange, START + 60_000)
    data = exchange.state("S@markprice")
    # Premiums 120 / 50,000 and 0.01 / 50,000: their mean 0.0012001 less 0.0005, and half of it for four hours
    assert (data["fundingRate"], data["nextFundingTime"]) == ("0.00035005", START + 4 * HOUR)
    # Basis 120, 0.01, 0.01
    assert data["markPrice"] == "50040.00666667"


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(-99, 99), st.booleans()), min_size=1, max_size=30),
    st.sets(st.integers(0, 29)),
)
def test_a_rate_is_the_same_however_often_the_server_stops(steps: list[tuple[int, int, bool]], stops: set[int]) -> None:
    # A second or more goes by between two events, as on the wall: else market time would have gone on without them.
    def run(stops: set[int]) -> list[tuple[str | None, int | None]]:
        exchange, time, found = Exchange("markprice"), END - 60_000, []
        for number, (seconds, basis, known) in enumerate(steps):
            time += seconds * 1_000
            if number in stops:
                saved = marks(exchange).saved()
                exchange = Exchange("markprice")
                marks(exchange).load(saved)
            bids = [(str(50_000 + basis), "1")] if known else []
            exchange.apply(_index("50000", time=time), book(number, time, bids, [("60000", "1")]))
            exchange.tick()
            exchange.now_ms += 1_000
            data = exchange.state("S@markprice")
            found.append((data["fundingRate"], data["nextFundingTime"]))
        return found

    assert run(stops) == run(set())


def test_what_is_saved_and_not_yet_heard_of_again_is_saved_again() -> None:
    exchange = Exchange("markprice")
    exchange.apply(LARGE)
    later(exchange, START)
    again = Exchange("markprice")
    marks(again).load(marks(exchange).saved())
    third = Exchange("markprice")
    marks(third).load(marks(again).saved())
    later(third, START + 5_000)
    assert third.state("S@markprice")["fundingRate"] == "0.00050000"  # of the one sample of the first
    with pytest.raises(msgspec.MsgspecError):
        marks(third).load({"S": b"\xc1"})


def test_a_delivery_is_settled_at_the_mean_index_of_the_time_before_it() -> None:
    delivery = datetime.fromtimestamp(T // 1_000, UTC)
    exchange = Exchange("markprice", products={"S": Product(product="future", delivery=delivery, settlement_s=4)})
    found = []
    for second, price in [(-5, "90"), (-4, "100"), (-3, "104"), (-1, "111"), (0, "500"), (9, "501")]:
        later(exchange, T + second * 1_000, price)
        found.append(exchange.state("S@markprice")["settlePrice"])
    # The index itself; 100; (100 + 104) / 2; of four seconds nothing came of the third: (100 + 104 + 111) / 3
    assert found == [f"{price}.00000000" for price in (90, 100, 102, 105, 105, 105)]
    again = Exchange("markprice", products={"S": Product(product="future", delivery=delivery, settlement_s=4)})
    marks(again).load(marks(exchange).saved())
    later(again, T + 10_000, "502")
    assert again.state("S@markprice")["settlePrice"] == "105.00000000"


def test_a_delivery_of_which_nothing_was_heard_has_no_settlement_price() -> None:
    delivery = datetime.fromtimestamp(T // 1_000, UTC)
    exchange = Exchange("markprice", products={"S": Product(product="future", delivery=delivery)})
    later(exchange, T + 1)
    assert exchange.state("S@markprice")["settlePrice"] is None


def test_a_mark_whose_sources_are_all_old_is_not_published_until_one_is_new() -> None:
    exchange = Exchange("markprice", "*@markprice", products={"S": Product(index_stale_ms=2_000)})
    exchange.apply(_index("100"), _index("7", symbol="Q"))
    exchange.run(2_000)
    assert exchange.board.unpriced() == set()
    before = len(exchange.sent("S@markprice"))
    known = exchange.state("S@markprice")
    exchange.run(3_000)
    assert exchange.board.unpriced() == {"S"}
    assert (marks(exchange).stale_sources, marks(exchange).outlying_sources) == (1, 0)
    assert len(exchange.sent("S@markprice")) == before
    # Whoever comes now gets the last one with its own time.
    old = exchange.state("S@markprice")
    assert {**old, "time": 0} == {**known, "time": 0}
    assert old["time"] == exchange.sent("S@markprice")[-1]["time"] <= T + 2_000
    assert [data["time"] == old["time"] for data in exchange.state("*@markprice")] == [True, False]
    exchange.apply(_index("101", time=T + 40_000))
    exchange.run(1_000)
    assert exchange.board.unpriced() == set()
    assert exchange.sent("S@markprice")[-1]["indexPrice"] == "101.00000000"


def test_sources_never_get_old_where_they_are_said_to_come_on_change_only() -> None:
    exchange = Exchange("markprice", products={"S": Product(index_stale_ms=0)})
    exchange.apply(_index("100"), _index("7", symbol="Q"))
    exchange.run(100_000)
    assert exchange.board.unpriced() == {"Q"}


def test_a_basis_of_long_ago_is_no_basis() -> None:
    exchange = Exchange("markprice", products={"S": Product(mark="basis", basis_samples=2)})
    exchange.apply(_index("100"), book(1, T, [("109", "1")], [("111", "1")]))
    exchange.run(1_000)
    exchange.apply(book(2, T, [], []))
    exchange.run(1_000)
    assert exchange.state("S@markprice")["markPrice"] == "110.00000000"
    exchange.run(1_000)
    assert exchange.state("S@markprice")["markPrice"] == "100.00000000"


def test_a_crossed_book_says_nothing_of_a_basis_or_premium() -> None:
    exchange = Exchange("markprice", products={"S": Product(mark="basis")})
    exchange.apply(_index("100"), book(1, T, [("111", "99")], [("109", "99")]))
    exchange.run(1_000)
    data = exchange.state("S@markprice")
    assert (data["markPrice"], data["fundingRate"]) == ("100.00000000", None)


def test_the_figures_of_a_halted_symbol_stand_still() -> None:
    trading = Exchange("markprice")
    trading.apply(_index("100", symbol="Q"), _index("100"))
    trading.run(1_000)
    halted = Exchange("markprice", products={"S": Product(halted=True), "N": Product(halted=True)})
    marks(halted).load(marks(trading).saved())
    assert halted.state("S@markprice") == trading.state("S@markprice")
    halted.now_ms = 950
    halted.apply(*(_index("200", symbol=symbol, time=T + 90_000) for symbol in "NQ"))
    later(halted, T + 90_000, "200")
    assert halted.state("S@markprice") == {**trading.state("S@markprice"), "time": T + 90_000}
    assert halted.state("N@markprice") is None  # nothing is known of before
    assert halted.state("Q@markprice")["indexPrice"] == "200.00000000"
    again = Exchange("markprice", products={"S": Product(halted=True)})
    marks(again).load(marks(halted).saved())
    assert again.state("S@markprice") == halted.state("S@markprice")


def test_market_time_set_back_begins_all_averages_anew() -> None:
    exchange = Exchange("markprice")
    exchange.apply(LARGE, trade(1, "50000", "1", T))
    later(exchange, T)
    exchange.apply(Restart(9), trade(2, "50000", "1", T - 90 * 24 * HOUR), trade(3, "50000", "1", T - 90 * 24 * HOUR))
    exchange.run(1_000)
    assert exchange.state("S@markprice") is None
    assert marks(exchange).saved() == {}


def test_every_three_seconds_the_newest_figures_are_sent_once_more_to_who_wants_fewer() -> None:
    exchange = Exchange("markprice", "*@markprice", "markprice_3s", "*@markprice_3s")
    for second in range(7):
        exchange.apply(IndexPrice("S", "x", str(100 + second), "1", T + second * 1_000))
        exchange.run(1_000)
    fast, slow = exchange.sent("S@markprice"), exchange.sent("S@markprice_3s")
    assert len(fast) == 8
    assert slow == fast[::3]
    assert [sent[0] for sent in exchange.sent("*@markprice_3s")] == slow
    assert exchange.state("S@markprice_3s") == exchange.state("S@markprice")
    assert exchange.state("*@markprice_3s") == exchange.state("*@markprice")
