"""A symbol's product: what must be known of it beside its events, as the operator configures it.

A formula is named by the table it stands in: a new one is one function and one row.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from exchange_push.errors import quoted
from exchange_push.market.average import AVERAGES
from exchange_push.market.exact import ZERO
from exchange_push.market.funding import PREMIUMS
from exchange_push.market.index import OUTLIERS
from exchange_push.market.mark import MARKS

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_FORMULAS: Final = {"index_outliers": OUTLIERS, "premium": PREMIUMS, "premium_average": AVERAGES, "mark": MARKS}
_ONE: Final = Decimal(1)
_STEPS: Final = ("tick_size", "step_size", "min_price", "max_price", "min_qty", "max_qty")
_FINEST: Final = Decimal("0.00000001")
# What symbols are quoted in where nothing else is said, the longer name before what it ends with.
_QUOTES: Final = (
    *("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "DAI"),
    *("USD", "EUR", "GBP", "JPY", "TRY", "BRL", "AUD", "BTC", "ETH", "BNB"),
)


class Product(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Raises ValueError, of one line that names the field, for what its types cannot say."""

    product: Literal["perpetual", "future"] = "perpetual"
    """A dated future has no funding, and an estimated settlement price."""
    halted: bool = False
    """Its mark price stands still."""
    index_weights: dict[str, Decimal] = {}
    """By source. Where there are any, other sources do not count, and the weights that events carry neither."""
    index_stale_ms: Count = 60_000
    """Age past which a source does not count; 0: it never gets too old."""
    index_outliers: str = "exclude"
    index_band: Decimal = Decimal("0.03")
    """Distance from the median of the sources past which one is outlying, as a share of it."""
    mark: str | None = None
    """None: that of the product."""
    basis_samples: Positive = 30
    """Seconds over which the basis of the mark price is averaged."""
    funding_hours: Positive = 8
    """Between two payments of funding, counted from the epoch."""
    funding_base_hours: Positive = 8
    """Hours for which interest and premium are meant."""
    interest: Decimal = Decimal("0.0001")
    funding_clamp: Decimal = Decimal("0.0005")
    """How far the interest may draw the rate away from the premium."""
    funding_cap: Decimal | None = None
    funding_floor: Decimal | None = None
    premium: str = "impact"
    premium_sample_s: Positive = 5
    premium_average: str = "linear"
    impact_notional: Decimal = Decimal(4_000)
    """Price times quantity of the order that the impact prices are of."""
    delivery: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    settlement_s: Positive = 3_600
    """Time before the delivery over which the settlement price is averaged."""
    base: str | None = None
    """What is traded; None: it is guessed from the symbol, and so is `quote`."""
    quote: str | None = None
    tick_size: Decimal = _FINEST
    """Prices are multiples of it,"""
    step_size: Decimal = _FINEST
    """and quantities of this."""
    min_price: Decimal | None = None
    """None: one tick."""
    max_price: Decimal | None = None
    min_qty: Decimal | None = None
    """None: one step."""
    max_qty: Decimal | None = None
    min_notional: Decimal = ZERO

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise ValueError(fault)

    @property
    def perpetual(self) -> bool:
        return self.product == "perpetual"

    @property
    def mark_formula(self) -> str:
        return self.mark or ("median" if self.perpetual else "basis")

    @property
    def delivery_ms(self) -> int | None:
        return None if self.delivery is None else (self.delivery - _EPOCH) // _MS

    def assets(self, symbol: str) -> tuple[str, str]:
        """Base and quote of this symbol. Where nobody said and its name does not tell, all of it is the base."""
        base, quote = _guess(symbol)
        return self.base or base, self.quote or quote

    def _faults(self) -> Iterator[str]:
        for name, formulas in _FORMULAS.items():
            formula = getattr(self, name)
            if formula is not None and formula not in formulas:
                yield f"{name} is {quoted(formula)}, expected one of {', '.join(formulas)}"
        for source, weight in self.index_weights.items():
            if not weight.is_finite() or weight < 0:
                yield f"index_weights: {quoted(source)} weighs {weight}, expected 0 or more"
        if self.index_weights and not any(self.index_weights.values()):
            yield "index_weights: all are 0, expected one above it"
        if not (self.index_band.is_finite() and 0 < self.index_band < _ONE):
            yield f"index_band is {self.index_band}, expected a share between 0 and 1"
        if not self.impact_notional.is_finite() or self.impact_notional <= 0:
            yield f"impact_notional is {self.impact_notional}, expected more than 0"
        for name in ("interest", "funding_clamp", "funding_cap", "funding_floor"):
            rate = getattr(self, name)
            if rate is not None and not (rate.is_finite() and abs(rate) < _ONE):
                yield f"{name} is {rate}, expected a share between -1 and 1"
        if self.funding_clamp < ZERO:
            yield f"funding_clamp is {self.funding_clamp}, expected 0 or more"
        if self.funding_cap is not None and self.funding_floor is not None and self.funding_cap < self.funding_floor:
            yield f"funding_cap is {self.funding_cap}, expected at least funding_floor, {self.funding_floor}"
        if self.delivery is not None and self.perpetual:
            yield 'delivery is of a dated future, expected product = "future" beside it'
        for name in _STEPS:
            size = getattr(self, name)
            if size is not None and not (size.is_finite() and size > 0):
                yield f"{name} is {size}, expected more than 0"
        if not (self.min_notional.is_finite() and self.min_notional >= 0):
            yield f"min_notional is {self.min_notional}, expected 0 or more"


def _guess(symbol: str) -> tuple[str, str]:
    base, separator, rest = symbol.replace("_", "-").partition("-")
    if separator and rest:
        quote = rest.partition("-")[0]
        if not quote.isdecimal():  # BTC-USDT, BTC-USDT-SWAP
            return base, quote
    for quote in _QUOTES:
        if base.endswith(quote) and base != quote:  # BTCUSDT, BTCUSDT_261225
            return base.removesuffix(quote), quote
    return symbol, ""
