"""Prices and quantities as Binance's clients expect them: one text for one number, with at least 8 decimals.

Clients keep books in dictionaries by the price's text, and compare a quantity with "0.00000000": so REST and streams
both write through here. Digits beyond 8 decimals are kept, zeros at their end are not.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from exchange_push.market.events import Level

_PLACES: Final = 8

NOTHING: Final = "0.00000000"

Amount: TypeAlias = Annotated[str, Meta(pattern=rf"^-?\d+\.\d{{{_PLACES},}}$")]
Amounts: TypeAlias = list[tuple[Amount, Amount]]
"""Levels of a book: price and quantity."""


@lru_cache(maxsize=1 << 15)  # the prices of a book come again and again, and many quantities in several streams
def amount(text: str) -> str:
    """A number in plain notation (`-0.5`, `007.60`) as `-0.50000000`, `7.60000000`."""
    whole, _, decimals = text.partition(".")
    if len(decimals) != _PLACES:
        decimals = decimals.rstrip("0").ljust(_PLACES, "0")
    if whole[:1] == "0" and len(whole) > 1:
        whole = whole.lstrip("0") or "0"
    return f"{whole}.{decimals}"


def amounts(levels: Iterable[Level]) -> Amounts:
    return [(amount(price), amount(qty)) for price, qty in levels]
