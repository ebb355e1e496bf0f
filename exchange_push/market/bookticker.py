"""`@bookticker`: best bid and ask, when they changed."""

import msgspec

from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication


class BookTickerData(msgspec.Struct, frozen=True, rename="camel"):
    """An empty side is null. `id` and `time` are of the last update of the book."""

    bid: str | None
    bid_qty: str | None
    ask: str | None
    ask_qty: str | None
    id: int
    time: int


class BookTickerFeed:
    """Silent while the book is out of sync."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._changed: dict[Market, None] = {}
        self._last: dict[Market, tuple[int, BookTickerData]] = {}  # with the losses of the book then
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        self._changed.update(tick.booked)
        publications: list[Publication] = []
        if due:
            for market in self._changed:
                if self._update(market) and self._markets.wanted(Channel(self._kind, market.symbol)):
                    publications.append(self._state(market))
            self._changed = {}
        return publications

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        if market is None or market.book is None or market not in self._last:
            return None
        return self._state(market) if self._last[market][0] == market.book.losses else None

    def _update(self, market: Market) -> bool:
        book = market.book
        if book is None or not book.in_sync:
            self._last.pop(market, None)
            return False
        quote = book.quote()
        losses, last = self._last.get(market, (None, None))
        if last is not None and losses == book.losses and quote == (last.bid, last.bid_qty, last.ask, last.ask_qty):
            return False
        self._last[market] = (book.losses, BookTickerData(*quote, book.id, book.time))
        self._states.pop(market, None)
        return True

    def _state(self, market: Market) -> Publication:
        state = self._states.get(market)
        if state is None:
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), self._last[market][1])
        return state
