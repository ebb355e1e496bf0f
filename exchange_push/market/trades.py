"""`@trades`: every trade, those of one execution at one price merged."""

from collections import deque

import msgspec

from exchange_push.market.events import Trade
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.market.kept import Kept
from exchange_push.market.merged import MergedTrade, merge
from exchange_push.market.recent import Recent
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

_STATE_TRADES = 50


class TradesData(msgspec.Struct, frozen=True):
    """Oldest first."""

    trades: list[MergedTrade]


class TradesFeed:
    """Publishes what was taken since it was last due; the state is the newest 50 that were published."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._waiting: dict[Market, list[Trade]] = {}
        self._newest: dict[Market, deque[MergedTrade]] = {}
        self._states: dict[Market, Publication] = {}
        self.recent = Recent()

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        waiting = self._waiting
        for market, trades in tick.traded.items():
            if market in waiting:
                waiting[market] = waiting[market] + trades  # the list itself is the tick's
            else:
                waiting[market] = trades
        publications: list[Publication] = []
        changes = self._markets.changes
        if due and waiting:
            for market, trades in waiting.items():
                self.recent.add(market, trades)
                merged = merge(trades)
                self._newest.setdefault(market, deque(maxlen=_STATE_TRADES)).extend(merged)
                if changes is not None:
                    changes.trades.setdefault(market.symbol, []).extend(merged)
                self._states.pop(market, None)
                channel = Channel(self._kind, market.symbol)
                if self._markets.wanted(channel):
                    publications.append(Publication(channel, TradesData(merged)))
            self._waiting = {}
        return publications

    def restore(self, kept: Kept) -> None:
        for symbol in kept.symbols:
            if symbol.trades:
                market = self._markets.by_symbol[symbol.symbol]
                self._newest[market] = deque(symbol.trades, maxlen=_STATE_TRADES)

    def newest(self, symbol: str) -> list[MergedTrade]:
        """What the state holds."""
        market = self._markets.by_symbol.get(symbol)
        return [] if market is None else list(self._newest.get(market, ()))

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        newest = None if market is None else self._newest.get(market)
        if market is None or newest is None:
            return None
        state = self._states.get(market)
        if state is None:
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), TradesData(list(newest)))
        return state
