from decimal import Decimal, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.exact import EXACT, is_zero, plain, ratio, rounded

_numbers = st.decimals(min_value=0, max_value=10**20 - 1, places=18, allow_nan=False)


@given(_numbers, _numbers.filter(bool))
def test_a_ratio_is_rounded_once_half_even(numerator: Decimal, denominator: Decimal) -> None:
    exact = Fraction(numerator) / Fraction(denominator)
    assert Fraction(ratio(numerator, denominator, Decimal("0.001"))) == Fraction(round(exact * 1_000), 1_000)


def test_a_tie_goes_to_the_even_digit_and_just_beside_it_does_not() -> None:
    step = Decimal("0.001")
    assert (ratio(Decimal("0.0005"), Decimal(1), step), ratio(Decimal("0.0015"), Decimal(1), step)) == (
        "0.000",
        "0.002",
    )
    above = Decimal("0.0005" + "0" * 120 + "1")
    assert ratio(above, Decimal(1), step) == "0.001"
    assert rounded(Decimal("-0.0004"), step) == "0.000"


def test_numbers_are_written_without_an_exponent() -> None:
    assert plain(Decimal("0.0000001") * Decimal("0.10")) == "0.000000010"
    assert plain(Decimal("1E+3")) == "1000"


def test_a_sum_that_does_not_fit_is_an_error_and_not_a_wrong_number() -> None:
    with localcontext(EXACT):
        most = Decimal("9" * 20 + "." + "9" * 18)
        assert most * most * 10**9 + Decimal("1E-36") > most
        with pytest.raises(Inexact):
            _ = Decimal(1) / 3


@pytest.mark.parametrize(("text", "zero"), [("0", True), ("0.000", True), ("00", True), ("0.01", False), ("10", False)])
def test_a_quantity_of_nothing_is_known_by_its_text(text: str, zero: bool) -> None:
    assert is_zero(text) is zero
