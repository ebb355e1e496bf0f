"""The index of a symbol: what it costs elsewhere, by several sources.

    index  sum(weight * price) / sum(weight), of the sources that are fresh and not outlying

Formulas without state; call them within WIDE.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from exchange_push.market.events import IndexPrice
from exchange_push.market.exact import ZERO

_JURY: Final = 3  # of two sources that disagree nobody can say which is wrong


class Constituent(NamedTuple):
    price: Decimal
    weight: Decimal


class Index(NamedTuple):
    """What the sources come to; `price` is None where none is left that weighs anything."""

    price: Decimal | None
    stale: int
    """Sources left out because they are old."""
    outlying: int
    """Sources too far from the others, whatever was done with them."""


Treat: TypeAlias = Callable[[Iterable[Constituent], Decimal, Decimal], list[Constituent]]


def exclude(constituents: Iterable[Constituent], low: Decimal, high: Decimal) -> list[Constituent]:
    """Leave out what is not within the bounds (Bitunix)."""
    return [constituent for constituent in constituents if low <= constituent.price <= high]


def clamp(constituents: Iterable[Constituent], low: Decimal, high: Decimal) -> list[Constituent]:
    """Take what is not within the bounds for the nearer one (Binance)."""
    return [Constituent(min(max(price, low), high), weight) for price, weight in constituents]


def keep(constituents: Iterable[Constituent], low: Decimal, high: Decimal) -> list[Constituent]:
    """Take all as they are."""
    return list(constituents)


OUTLIERS: Final[Mapping[str, Treat]] = {"exclude": exclude, "clamp": clamp, "keep": keep}


def index(
    sources: Iterable[IndexPrice], *, since: int, weights: Mapping[str, Decimal], treat: Treat, band: Decimal
) -> Index:
    """The index of the prices that are of `since` or later.

    Where `weights` names sources, these alone count, with its weights and not their own. With three or more, one is
    outlying whose price is further from their median than `band`, a share of it. A price of zero is none.
    """
    stale = 0
    fresh: list[Constituent] = []
    for source in sources:
        weight = weights.get(source.source, ZERO) if weights else Decimal(source.weight)
        price = Decimal(source.price)
        if weight and price:
            if source.time < since:
                stale += 1
            else:
                fresh.append(Constituent(price, weight))
    outlying = 0
    if len(fresh) >= _JURY:
        middle = median([price for price, _ in fresh])
        low, high = middle * (1 - band), middle * (1 + band)
        outlying = sum(not low <= price <= high for price, _ in fresh)
        if outlying:
            fresh = treat(fresh, low, high)
    return Index(weighted_mean(fresh), stale, outlying)


def weighted_mean(constituents: Iterable[Constituent]) -> Decimal | None:
    """None where they weigh nothing."""
    total = weights = ZERO
    for price, weight in constituents:
        total += weight * price
        weights += weight
    return total / weights if weights else None


def median(numbers: Iterable[Decimal]) -> Decimal:
    """The one in the middle; of an even number the mean of the two."""
    ordered = sorted(numbers)
    place = len(ordered) // 2
    return ordered[place] if len(ordered) % 2 else (ordered[place - 1] + ordered[place]) / 2
