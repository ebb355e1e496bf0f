"""Trades as clients get them: those of one execution at one price are one."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from exchange_push.market.events import Trade
from exchange_push.market.exact import plain


class MergedTrade(msgspec.Struct, frozen=True, gc=False):
    """The trades `first` to `last`, `count` of them; `time` is the first one's."""

    first: int
    last: int
    price: str
    qty: str
    side: Literal["buy", "sell"]
    time: int
    count: int


def merge(trades: Iterable[Trade]) -> list[MergedTrade]:
    """Merge neighbours: contiguous ids, one taker order and price; where the engine tells no order, one time.

    Call within EXACT.
    """
    merged: list[MergedTrade] = []
    run: list[Trade] = []
    for trade in trades:
        if run and not _joins(run[-1], trade):
            merged.append(_merged(run))
            run = []
        run.append(trade)
    if run:
        merged.append(_merged(run))
    return merged


def _joins(before: Trade, trade: Trade) -> bool:
    return (
        trade.id == before.id + 1
        and trade.side == before.side
        and trade.order == before.order
        and (trade.order is not None or trade.time == before.time)
        and (trade.price == before.price or Decimal(trade.price) == Decimal(before.price))
    )


def _merged(run: list[Trade]) -> MergedTrade:
    first = run[0]
    if len(run) == 1:
        return MergedTrade(first.id, first.id, first.price, first.qty, first.side, first.time, 1)
    qty = plain(sum(map(Decimal, (trade.qty for trade in run)), Decimal(0)))
    return MergedTrade(first.id, run[-1].id, first.price, qty, first.side, first.time, len(run))
