"""The index against vectors computed by hand, and against a second, naive one on fractions."""

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.events import IndexPrice
from exchange_push.market.exact import WIDE
from exchange_push.market.index import OUTLIERS, Index, index, median

T = 1_700_000_000_000


def found(*sources: tuple[str, str] | IndexPrice, outliers: str = "exclude", **options: Any) -> Index:
    """The index of these sources, (price, weight) of "a", "b", …; its price to seven digits."""
    events = [
        source if isinstance(source, IndexPrice) else IndexPrice("S", chr(ord("a") + place), *source, T)
        for place, source in enumerate(sources)
    ]
    options = {"since": 0, "weights": {}, "band": Decimal("0.03")} | options
    with localcontext(WIDE):
        result = index(events, treat=OUTLIERS[outliers], **options)
    price = result.price
    return result if price is None else result._replace(price=price.quantize(Decimal("0.0000001")))


def test_it_is_the_weighted_mean_of_its_sources() -> None:
    # (100 + 206 + 55) / 3.5 = 361 / 3.5
    sources = ("100", "1"), ("103", "2"), ("110", "0.5")
    assert found(*sources, outliers="keep").price == Decimal("103.1428571")
    assert found(*sources, ("999", "0"), outliers="keep").price == Decimal("103.1428571")


@pytest.mark.parametrize("sources", [(), (("5", "0"),), (("0", "1"),), (("0.000", "1"), ("7", "0.0"))])
def test_sources_that_weigh_or_cost_nothing_are_none(sources: tuple[tuple[str, str], ...]) -> None:
    assert found(*sources) == (None, 0, 0)


def test_a_source_that_is_too_old_is_left_out_and_the_others_weigh_the_more() -> None:
    old = IndexPrice("S", "old", "90", "3", T - 1)
    # Without it (100 * 1 + 102 * 3) / 4; with it (100 + 306 + 270) / 7 = 676 / 7
    sources = ("100", "1"), ("102", "3"), old
    assert found(*sources, since=T) == (Decimal("101.5"), 1, 0)
    assert found(*sources, since=T - 1, outliers="keep") == (Decimal("96.5714286"), 0, 1)
    assert found(old, since=T) == (None, 1, 0)


def test_configured_weights_replace_those_of_the_events_and_name_all_that_counts() -> None:
    # a 100 * 0.75 + b 101 * 0.25; c is not named.
    weights = {"a": Decimal("0.75"), "b": Decimal("0.25"), "nobody": Decimal(9)}
    assert found(("100", "5"), ("101", "5"), ("500", "5"), weights=weights) == (Decimal("100.25"), 0, 0)
    assert found(("100", "5"), weights={"b": Decimal(1)}) == (None, 0, 0)


@pytest.mark.parametrize(
    ("outliers", "price"),
    [
        ("exclude", "100.5"),  # (100 + 101) / 2
        ("clamp", "101.6766667"),  # the median 101 and 3 %: 104.03; (100 + 101 + 104.03) / 3
        ("keep", "107"),  # (100 + 101 + 120) / 3
    ],
)
def test_a_price_far_from_the_median_is_treated_as_configured(outliers: str, price: str) -> None:
    assert found(("100", "1"), ("101", "1"), ("120", "1"), outliers=outliers) == (Decimal(price), 0, 1)


def test_the_edge_of_the_band_belongs_to_it() -> None:
    assert found(("100", "1"), ("97", "1"), ("103", "1")) == (100, 0, 0)
    assert found(("100", "1"), ("96.99", "1"), ("103", "1")) == (Decimal("101.5"), 0, 1)


def test_of_two_sources_nobody_can_say_which_is_wrong() -> None:
    assert found(("100", "1"), ("200", "1")) == (150, 0, 0)


def test_where_no_source_agrees_with_another_there_is_no_index() -> None:
    # The median of 100, 100, 200, 200 is 150, and nothing lies within 3 % of it.
    assert found(*[("100", "1"), ("200", "1")] * 2) == (None, 0, 4)


def test_a_stale_source_has_no_say_in_the_median() -> None:
    old = [IndexPrice("S", f"old {number}", "200", "1", T - 1) for number in range(5)]
    assert found(("100", "1"), ("101", "1"), ("102", "1"), *old, since=T) == (101, 5, 0)


def test_the_median_is_the_one_in_the_middle_or_the_mean_of_the_two() -> None:
    assert median([Decimal(3), Decimal(1), Decimal(2)]) == 2
    assert median([Decimal(4), Decimal(1), Decimal(2), Decimal(9)]) == 3


_source = st.tuples(
    st.integers(0, 1100).map(lambda tenths: f"{tenths / 10 if tenths < 900 else 100 + tenths / 100:.3f}"),
    st.sampled_from(["0", "0.25", "1", "3.5"]),
    st.integers(T - 3, T),
)


@given(st.lists(_source, max_size=7), st.sampled_from(sorted(OUTLIERS)), st.sets(st.integers(0, 6)), st.booleans())
def test_a_second_index_on_fractions_agrees(
    sources: list[tuple[str, str, int]], outliers: str, named: set[int], with_weights: bool
) -> None:
    weights = {str(place): Decimal(place) / 4 for place in named} if with_weights else {}
    live = []
    for place, (price, weight, time) in enumerate(sources):
        weighs = (Fraction(place, 4) if place in named else Fraction()) if weights else Fraction(weight)
        if time >= T - 1 and weighs and Fraction(price):
            live.append((Fraction(price), weighs))
    if len(live) >= 3:
        prices = sorted(price for price, _ in live)
        middle = (prices[(len(prices) - 1) // 2] + prices[len(prices) // 2]) / 2
        low, high = middle * Fraction(97, 100), middle * Fraction(103, 100)
        if outliers == "exclude":
            live = [(price, weight) for price, weight in live if low <= price <= high]
        elif outliers == "clamp":
            live = [(max(low, min(high, price)), weight) for price, weight in live]
    expected = sum(price * weight for price, weight in live) / sum(weight for _, weight in live) if live else None

    events = [IndexPrice("S", str(place), *source) for place, source in enumerate(sources)]
    with localcontext(WIDE):
        price = index(events, since=T - 1, weights=weights, treat=OUTLIERS[outliers], band=Decimal("0.03")).price

    assert (price is None) == (expected is None)
    assert price is None or expected is None or abs(Fraction(price) - expected) < Fraction(1, 10**60)
