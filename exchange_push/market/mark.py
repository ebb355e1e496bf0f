"""The mark price: what positions are valued at.

    P1  fair     index * (1 + rate * hours to funding / hours between fundings)
    P2  basis    index + mean of the basis, (bid + ask) / 2 - index, over the last samples
        median   of P1, P2 and the last trade

Formulas without state; call them within WIDE. What of their inputs is not known is given as the index.
"""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from exchange_push.market.exact import ZERO
from exchange_push.market.index import median

_HOUR_MS: Final = 3_600_000


class Inputs(NamedTuple):
    """What a mark price is made of."""

    p1: Decimal
    p2: Decimal
    last: Decimal


Mark: TypeAlias = Callable[[Inputs], Decimal]


def funding_basis(index: Decimal, rate: Decimal, to_funding_ms: int, funding_hours: int) -> Decimal:
    """P1: the index, and what of the next funding is still to be earned (Binance, Bybit, BitMEX)."""
    return index * (1 + rate * max(to_funding_ms, 0) / (_HOUR_MS * funding_hours))


def moving_basis(index: Decimal, samples: Collection[Decimal]) -> Decimal:
    """P2: the index and the mean basis (Binance, Bybit, OKX)."""
    return index + sum(samples, ZERO) / len(samples) if samples else index


def of_median(inputs: Inputs) -> Decimal:
    """Of a perpetual contract (Binance, Bybit)."""
    return median(inputs)


def of_basis(inputs: Inputs) -> Decimal:
    """Of a dated future (Binance); of all contracts (OKX)."""
    return inputs.p2


def of_fair(inputs: Inputs) -> Decimal:
    """The fair price (BitMEX)."""
    return inputs.p1


MARKS: Final[Mapping[str, Mark]] = {"median": of_median, "basis": of_basis, "fair": of_fair}
