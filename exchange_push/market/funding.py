"""The funding rate of a perpetual contract: what its price stands above the index, as the longs pay the shorts for it.

    impact  price at which an order for the impact notional would be filled, on average
    P       (max(0, impact bid - index) - max(0, index - impact ask)) / index, sampled and averaged until funding is due
    rate    (average P + clamp(interest - average P, -c, c)) * hours between fundings / 8, within floor and cap

Binance's, published for perpetual contracts since September 2025; with other names and parameters Bybit's and OKX's.
Formulas without state; call them within WIDE.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import Final, TypeAlias

from exchange_push.market.exact import ZERO

Quantities: TypeAlias = Iterable[tuple[Decimal, Decimal]]
"""(price, quantity) of one side of a book, best first."""
Premium: TypeAlias = Callable[[Decimal, Quantities, Quantities, Decimal], Decimal | None]


def impact_price(levels: Quantities, notional: Decimal) -> Decimal | None:
    """Average price at which an order worth `notional` is filled; None where the levels do not suffice."""
    left, filled = notional, ZERO
    for price, qty in levels:
        worth = price * qty
        if worth >= left:
            return notional * price / (filled * price + left)  # notional / (filled + left / price), divided once
        left -= worth
        filled += qty
    return None


def impact(index: Decimal, bids: Quantities, asks: Quantities, notional: Decimal) -> Decimal | None:
    """The premium by what a trade of some size costs (Binance, Bybit, BitMEX).

    A side too thin for it says nothing of a premium there; None where both are.
    """
    bid, ask = impact_price(bids, notional), impact_price(asks, notional)
    if bid is None and ask is None:
        return None
    above = ZERO if bid is None else max(ZERO, bid - index)
    below = ZERO if ask is None else max(ZERO, index - ask)
    return (above - below) / index


def mid(index: Decimal, bids: Quantities, asks: Quantities, notional: Decimal) -> Decimal | None:
    """The premium by the middle of best bid and ask (OKX); None where a side is empty."""
    best = [price for side in (bids, asks) for price, _ in islice(side, 1)]
    return ((best[0] + best[1]) / 2 - index) / index if len(best) == 2 else None


PREMIUMS: Final[Mapping[str, Premium]] = {"impact": impact, "mid": mid}


def funding_rate(
    average: Decimal,
    *,
    interest: Decimal,
    clamp: Decimal,
    hours: int,
    base_hours: int,
    cap: Decimal | None = None,
    floor: Decimal | None = None,
) -> Decimal:
    """Rate of one payment, each `hours`; `interest` and the average premium are such of `base_hours`."""
    rate = (average + min(max(interest - average, -clamp), clamp)) * hours / base_hours
    if cap is not None:
        rate = min(rate, cap)
    return rate if floor is None else max(rate, floor)
