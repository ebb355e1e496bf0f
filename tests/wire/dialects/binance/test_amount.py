from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.exact import EXACT, plain
from exchange_push.wire.dialects.binance.amount import NOTHING, amount, amounts

TEXTS = st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,18})?", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("50000", "50000.00000000"),
        ("0.5", "0.50000000"),
        ("007.60", "7.60000000"),
        ("000", "0.00000000"),
        ("0.00000000", "0.00000000"),
        ("0.123456789", "0.123456789"),
        ("0.1234567890", "0.123456789"),
        ("1.000000000000000001", "1.000000000000000001"),
        ("1.000000000000000000", "1.00000000"),
        ("-0.000125", "-0.00012500"),
    ],
)
def test_a_number_has_eight_decimals_or_those_it_needs(text: str, shown: str) -> None:
    assert amount(text) == shown


@given(TEXTS, TEXTS)
def test_equal_numbers_are_one_text_and_others_are_not(one: str, other: str) -> None:
    assert Decimal(amount(one)) == Decimal(one)
    assert (amount(one) == amount(other)) is (Decimal(one) == Decimal(other))
    assert amount(plain(Decimal(one).normalize(EXACT))) == amount(one)


@given(st.from_regex(r"0{1,20}(\.0{1,18})?", fullmatch=True))
def test_a_level_that_is_removed_has_the_quantity_that_clients_compare_with(zero: str) -> None:
    assert amounts([("1.5", zero)]) == [("1.50000000", NOTHING)]
