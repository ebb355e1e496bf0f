"""Premium and funding rate against vectors computed by hand, and against second ones on fractions."""

from collections.abc import Iterable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.exact import WIDE
from exchange_push.market.funding import PREMIUMS, funding_rate, impact_price

Levels = list[tuple[int | str, int | str]]


def levels(side: Iterable[tuple[int | str, int | str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(qty)) for price, qty in side]


@pytest.mark.parametrize(
    ("side", "notional", "price"),
    [
        ([(100, 50)], 4_000, "100"),
        # 1,000 at 100 are 10; the 3,000 left at 120 are 25: 4,000 / 35
        ([(100, 10), (120, 100)], 4_000, "114.28571429"),
        # 4,000 and no more: 10 and 25 again
        ([(100, 10), (120, 25)], 4_000, "114.28571429"),
        ([(100, 10), (120, "24.99999999")], 4_000, None),
        # 50 * 2 + 49 * 2 = 198, the 2 left at 48 are 1/24: 200 / (4 + 1/24) = 4800 / 97
        ([(50, 2), (49, 2), (48, 2)], 200, "49.48453608"),
        ([], 1, None),
    ],
)
def test_the_impact_price_is_what_an_order_of_this_size_costs_on_average(
    side: Levels, notional: int, price: str | None
) -> None:
    with localcontext(WIDE):
        found = impact_price(levels(side), Decimal(notional))
    assert (None if found is None else str(found.quantize(Decimal("0.00000001")))) == (
        None if price is None else str(Decimal(price).quantize(Decimal("0.00000001")))
    )


def test_no_more_of_a_book_is_read_than_is_needed() -> None:
    side = iter(levels([(100, 10), (101, 10), (102, 10)]))
    with localcontext(WIDE):
        assert impact_price(side, Decimal(1_010)) is not None
    assert list(side) == levels([(102, 10)])


@pytest.mark.parametrize(
    ("formula", "bids", "asks", "premium"),
    [
        ("impact", [(50_010, 1)], [(50_020, 1)], "0.0002"),  # the bid stands 10 above 50,000
        ("impact", [(49_980, 1)], [(49_990, 1)], "-0.0002"),  # the ask stands 10 below
        ("impact", [(49_990, 1)], [(50_010, 1)], "0"),  # the index lies between
        ("impact", [(50_010, "0.01")], [(49_990, 1)], "-0.0002"),  # too thin a bid counts for nothing
        ("impact", [], [(49_990, 1)], "-0.0002"),
        ("impact", [(50_010, "0.01")], [], None),
        ("mid", [(50_010, "0.01")], [(50_020, "0.01")], "0.0003"),  # 15 above
        ("mid", [(50_000, 1), (1, 1)], [(49_000, 1), (99_000, 1)], "-0.01"),  # 49,500
        ("mid", [], [(49_000, 1)], None),
        ("mid", [(49_000, 1)], [], None),
    ],
)
def test_the_premium(formula: str, bids: Levels, asks: Levels, premium: str | None) -> None:
    with localcontext(WIDE):
        found = PREMIUMS[formula](Decimal(50_000), iter(levels(bids)), iter(levels(asks)), Decimal(4_000))
    assert found == (None if premium is None else Decimal(premium))


@pytest.mark.parametrize(
    ("average", "options", "rate"),
    [
        ("0.0003", {}, "0.0001"),  # within 0.05 % of the interest: that
        ("0.0006", {}, "0.0001"),  # at the edge
        ("0.0008", {}, "0.0003"),  # 0.08 % - 0.05 %
        ("-0.0009", {}, "-0.0004"),  # -0.09 % + 0.05 %
        ("0.0008", {"hours": 4}, "0.00015"),  # half of the time, half of the rate
        ("0.0008", {"hours": 1, "base_hours": 1}, "0.0003"),
        ("0.0003", {"interest": Decimal(0), "clamp": Decimal(0)}, "0.0003"),  # OKX: the average itself
        ("0.09", {"cap": Decimal("0.003")}, "0.003"),
        ("-0.09", {"cap": Decimal("0.003"), "floor": Decimal("-0.004")}, "-0.004"),
        ("-0.09", {"cap": Decimal("0.003")}, "-0.0895"),
        ("0.09", {"hours": 4, "cap": Decimal("0.003")}, "0.003"),  # the cap is of what is paid
    ],
)
def test_the_funding_rate(average: str, options: dict[str, Any], rate: str) -> None:
    with localcontext(WIDE):
        assert _rate(Decimal(average), **options) == Decimal(rate)


def _rate(average: Decimal, **options: Any) -> Decimal:
    usual = {"interest": Decimal("0.0001"), "clamp": Decimal("0.0005"), "hours": 8, "base_hours": 8}
    return funding_rate(average, **usual | options)


_share = st.integers(-9_999, 9_999).map(lambda number: Decimal(number) / 1_000_000)


@given(_share, _share, _share.map(abs), st.sampled_from([1, 2, 3, 4, 8, 24]), st.none() | _share, st.none() | _share)
def test_a_second_rate_on_fractions_agrees(
    average: Decimal, interest: Decimal, clamp: Decimal, hours: int, cap: Decimal | None, floor: Decimal | None
) -> None:
    drawn = Fraction(interest) - Fraction(average)
    if drawn > clamp:
        drawn = Fraction(clamp)
    elif drawn < -clamp:
        drawn = -Fraction(clamp)
    expected = (Fraction(average) + drawn) / Fraction(8, hours)
    if cap is not None and expected > cap:
        expected = Fraction(cap)
    if floor is not None and expected < floor:
        expected = Fraction(floor)

    with localcontext(WIDE):
        found = _rate(average, interest=interest, clamp=clamp, hours=hours, cap=cap, floor=floor)
    assert abs(Fraction(found) - expected) < Fraction(1, 10**60)


_side = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 50)), max_size=6)


@given(_side, _side, st.integers(1, 20_000), st.integers(1, 300))
def test_a_second_premium_bought_coin_by_coin_agrees(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], notional: int, index: int
) -> None:
    def filled(side: list[tuple[int, int]]) -> Fraction | None:
        """Pays for one whole coin after the other, and for the last part of one."""
        paid, got = Fraction(), Fraction()
        for price in [price for price, qty in side for _ in range(qty)]:
            part = min(Fraction(1), (notional - paid) / price)
            paid, got = paid + part * price, got + part
            if paid == notional:
                return paid / got
        return None

    bids, asks = sorted(bids, reverse=True), sorted(asks)
    bid, ask = filled(bids), filled(asks)
    above = max(Fraction(), bid - index) if bid is not None else Fraction()
    below = max(Fraction(), index - ask) if ask is not None else Fraction()
    with localcontext(WIDE):
        found = PREMIUMS["impact"](Decimal(index), levels(bids), levels(asks), Decimal(notional))

    assert (found is None) == (bid is None and ask is None)
    assert found is None or abs(Fraction(found) - (above - below) / index) < Fraction(1, 10**60)
