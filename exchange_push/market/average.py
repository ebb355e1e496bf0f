"""Weighted means over a stretch of market time: of the premium until funding, of the index until a delivery.

A stretch is divided into places of equal length, numbered from 1; each holds at most one sample, and a formula says
what a place weighs. So an average needs no memory of its samples, and goes on where a stop of the server left it.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from exchange_push.market.exact import ZERO

Weigh: TypeAlias = Callable[[int], int]


class Average(msgspec.Struct, array_like=True, frozen=True):
    """How far a mean got in the stretch of market time that begins at `start`, ms."""

    start: int
    place: int = 0
    """Of the last sample; 0: there was none."""
    total: Decimal = ZERO
    weight: int = 0
    settled: Decimal | None = None
    """What the stretch before led to: the funding rate that was paid at `start`. None: not known."""

    def add(self, place: int, sample: Decimal, weigh: Weigh) -> "Average":
        """With one more sample. Call within WIDE."""
        weight = weigh(place)
        return Average(self.start, place, self.total + weight * sample, self.weight + weight, self.settled)

    @property
    def value(self) -> Decimal | None:
        """None where there was no sample. Call within WIDE."""
        return self.total / self.weight if self.weight else None


def linear(place: int) -> int:
    """Weights 1, 2, 3, …: what is nearer to the end weighs more (Bybit, Binance)."""
    return place


def mean(place: int) -> int:
    """All weigh the same (OKX)."""
    return 1


AVERAGES: Final[Mapping[str, Weigh]] = {"linear": linear, "mean": mean}
