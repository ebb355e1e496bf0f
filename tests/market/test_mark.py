"""The formulas of the mark price against vectors computed by hand."""

from decimal import Decimal, localcontext

import pytest

from exchange_push.market.exact import WIDE
from exchange_push.market.mark import MARKS, Inputs, funding_basis, moving_basis

HOUR = 3_600_000


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


@pytest.mark.parametrize(("formula", "mark"), [("median", 102), ("basis", 101), ("fair", 102)])
def test_a_mark_is_made_of_p1_p2_and_the_last_trade(formula: str, mark: int) -> None:
    with localcontext(WIDE):
        assert MARKS[formula](Inputs(p1=Decimal(102), p2=Decimal(101), last=Decimal(110))) == mark


def test_the_median_is_the_one_in_the_middle_whichever_that_is() -> None:
    one, two, three = Decimal(1), Decimal(2), Decimal(3)
    orders = ((one, two, three), (three, one, two), (two, three, one))
    with localcontext(WIDE):
        assert {MARKS["median"](Inputs(*order)) for order in orders} == {two}
