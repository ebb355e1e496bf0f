"""`@trade`: every trade alone, as the engine reported it; `@trades` has them merged."""

from typing import Literal

import msgspec

from exchange_push.market.events import Trade
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication


class Execution(msgspec.Struct, frozen=True, gc=False):
    """`side` is the taker's. The order that took stays between the engine and its owner."""

    id: int
    price: str
    qty: str
    side: Literal["buy", "sell"]
    time: int


class ExecutionsData(msgspec.Struct, frozen=True):
    """Oldest first."""

    trades: list[Execution]


class ExecutionsFeed:
    """Publishes what was taken since it was last due. It has no state: what was before is asked of `@trades`."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._waiting: dict[Market, list[Trade]] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        for market in self._markets.wanted_of(self._kind, tick.traded):
            self._waiting[market] = [*self._waiting.get(market, ()), *tick.traded[market]]
        if not due:
            return []
        waiting, self._waiting = self._waiting, {}
        return [
            Publication(Channel(self._kind, market.symbol), ExecutionsData([execution(trade) for trade in trades]))
            for market, trades in waiting.items()
        ]

    def state(self, owner: str) -> Publication | None:
        return None


def execution(trade: Trade) -> Execution:
    return Execution(trade.id, trade.price, trade.qty, trade.side, trade.time)
