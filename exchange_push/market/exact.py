"""Arithmetic on prices and quantities: exact where it can be, rounded once where it cannot.

Whoever computes enters `EXACT` with `decimal.localcontext` once per call, not once per trade. Not for text that only
passes through: that stays the engine's own.
"""

from decimal import (
    ROUND_05UP,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

# A price times a quantity has at most 40 digits before the point and 36 behind; the rest is room for sums.
EXACT = Context(prec=200, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])

# ROUND_05UP keeps the last digit off 0 and 5 when anything was cut, so that rounding a second time, to the places
# wanted, gives what rounding once would have given.
WIDE = Context(prec=100, rounding=ROUND_05UP, traps=[InvalidOperation, DivisionByZero, Overflow])

ZERO = Decimal(0)


def plain(number: Decimal) -> str:
    """The number without an exponent."""
    return format(number, "f")


def rounded(number: Decimal, step: Decimal) -> str:
    """The number half-even to the digits of `step` (`Decimal("0.001")`), never "-0.000"."""
    result = number.quantize(step, ROUND_HALF_EVEN, WIDE)
    return format(result if result else abs(result), "f")


def ratio(numerator: Decimal, denominator: Decimal, step: Decimal) -> str:
    """`numerator / denominator`, rounded once as `rounded` does."""
    return rounded(WIDE.divide(numerator, denominator), step)


def is_zero(quantity: str) -> bool:
    """Whether a quantity as the engine writes it ("0", "0.000") is nothing."""
    return not quantity.strip("0.")
