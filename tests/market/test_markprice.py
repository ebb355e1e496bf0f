"""Formulas against vectors computed by hand."""

from decimal import Decimal, localcontext

import pytest

from exchange_push.market.events import Funding, IndexPrice
from exchange_push.market.exact import WIDE
from exchange_push.market.feed import Product
from exchange_push.market.markprice import funding_basis, index_price, median, moving_basis
from tests.market.exchange import Exchange, book, channel, depth, trade

T = 1_700_000_000_000
HOUR = 3_600_000


def _index(price: str, weight: str = "1", source: str = "a", time: int = T, symbol: str = "S") -> IndexPrice:
    return IndexPrice(symbol, source, price, weight, time)


def test_the_index_is_the_weighted_mean_of_its_sources() -> None:
    sources = [_index("100", "1"), _index("103", "2"), _index("110", "0.5"), _index("999", "0")]
    # (100 + 206 + 55) / 3.5 = 361 / 3.5
    with localcontext(WIDE):
        index = index_price(sources)
        assert index is not None
        assert index.quantize(Decimal("0.0000001")) == Decimal("103.1428571")
        assert index_price([_index("5", "0")]) is None
        assert index_price([]) is None


@pytest.mark.parametrize(
    ("rate", "hours_left", "funding_hours", "expected"),
    [
        ("0.0001", 8, 8, "50005"),  # 50000 * (1 + 0.0001)
        ("0.0001", 2, 8, "50001.25"),  # a quarter of it
        ("-0.0004", 1, 4, "49995"),  # a quarter of -0.04 %
        ("0.0001", -1, 8, "50000"),  # funding is due: nothing left of it
    ],
)
def test_p1_holds_what_is_left_of_the_next_funding(
    rate: str, hours_left: int, funding_hours: int, expected: str
) -> None:
    with localcontext(WIDE):
        assert funding_basis(Decimal(50_000), Decimal(rate), hours_left * HOUR, funding_hours) == Decimal(expected)


def test_p2_is_the_index_and_the_mean_basis() -> None:
    with localcontext(WIDE):
        assert moving_basis(Decimal(100), [Decimal("0.5"), Decimal("-0.2"), Decimal("0.9")]) == Decimal("100.4")
        assert moving_basis(Decimal(100), []) == 100


def test_the_median_is_the_one_in_the_middle() -> None:
    one, two, three = Decimal(1), Decimal(2), Decimal(3)
    assert {median(*order) for order in ((one, two, three), (three, one, two), (two, three, one))} == {two}


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
    exchange = Exchange("markprice", products={"S": Product(basis_samples=2, perpetual=False)})
    exchange.apply(_index("100"), book(1, T, [("100", "1")], [("120", "1")]))
    exchange.tick()
    exchange.apply(book(2, T + 1, [("100", "1")], [("104", "1")]))
    exchange.run(1_000)
    assert exchange.state("S@markprice")["markPrice"] == "106.00000000"
    exchange.run(1_000)
    assert exchange.state("S@markprice")["markPrice"] == "102.00000000"


def test_a_dated_future_has_no_funding_but_a_settlement_price() -> None:
    exchange = Exchange("markprice", products={"S": Product(perpetual=False)})
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
