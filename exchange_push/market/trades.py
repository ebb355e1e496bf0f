"""`@trades`: every trade, those of one execution at one price merged."""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from exchange_push.market.events import Trade
from exchange_push.market.exact import plain
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

_STATE_TRADES = 50


class MergedTrade(msgspec.Struct, frozen=True, gc=False):
    """The trades `first` to `last`, `count` of them; `time` is the first one's."""

    first: int
    last: int
    price: str
    qty: str
    side: Literal["buy", "sell"]
    time: int
    count: int


class TradesData(msgspec.Struct, frozen=True):
    """Oldest first."""

    trades: list[MergedTrade]


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


class TradesFeed:
    """Publishes what was taken since it was last due; the state is the newest 50 that were published."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._waiting: dict[Market, list[Trade]] = {}
        self._newest: dict[Market, deque[MergedTrade]] = {}
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        waiting = self._waiting
        for market, trades in tick.traded.items():
            if market in waiting:
                waiting[market] = waiting[market] + trades  # the list itself is the tick's
            else:
                waiting[market] = trades
        publications: list[Publication] = []
        if due and waiting:
            for market, trades in waiting.items():
                merged = merge(trades)
                self._newest.setdefault(market, deque(maxlen=_STATE_TRADES)).extend(merged)
                self._states.pop(market, None)
                channel = Channel(self._kind, market.symbol)
                if self._markets.wanted(channel):
                    publications.append(Publication(channel, TradesData(merged)))
            self._waiting = {}
        return publications

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        newest = None if market is None else self._newest.get(market)
        if market is None or newest is None:
            return None
        state = self._states.get(market)
        if state is None:
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), TradesData(list(newest)))
        return state
