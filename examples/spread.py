"""`@spread`: best ask less best bid, when it changed. The worked example of docs/howto/add-a-channel.md."""

from decimal import Decimal

import msgspec

from exchange_push.market.exact import plain
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication


class SpreadData(msgspec.Struct, frozen=True):
    """`time` is of the last update of the book."""

    spread: str
    time: int


class SpreadFeed:
    """Silent while the book is out of sync, or a side of it is empty."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._changed: dict[Market, None] = {}
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        self._changed.update(tick.booked)
        if not due:
            return []
        changed, self._changed = self._changed, {}
        updated = [market for market in changed if self._update(market)]
        return [self._states[market] for market in updated if self._markets.wanted(Channel(self._kind, market.symbol))]

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        return None if market is None else self._states.get(market)

    def _update(self, market: Market) -> bool:
        """Whether there is something new to say of the market."""
        book, quote = market.book, market.quote()
        if book is None or not book.in_sync or quote.bid is None or quote.ask is None:
            self._states.pop(market, None)
            return False
        data = SpreadData(plain(Decimal(quote.ask) - Decimal(quote.bid)), book.time)
        last = self._states.get(market)
        if last is not None and isinstance(last.data, SpreadData) and last.data.spread == data.spread:
            return False
        self._states[market] = Publication(Channel(self._kind, market.symbol), data)
        return True
