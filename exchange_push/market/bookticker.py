"""`@bookticker`: best bid and ask, when they changed; `*@bookticker`: those of all symbols that changed."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from exchange_push.market.book import Book
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.market.top import TopFeed
from exchange_push.pubsub.channel import ALL, Channel, ChannelKind
from exchange_push.pubsub.publication import Publication


class BookTickerData(msgspec.Struct, frozen=True, rename="camel"):
    """An empty side is null. `id` and `time` are of the last update of the book."""

    bid: str | None
    bid_qty: str | None
    ask: str | None
    ask_qty: str | None
    id: int
    time: int


class BookTickerFeed(TopFeed[BookTickerData]):
    """The best bid and ask."""

    def _look(self, book: Book, last: BookTickerData | None) -> BookTickerData | None:
        quote = book.quote()
        if last is not None and quote == (last.bid, last.bid_qty, last.ask, last.ask_qty):
            return None
        return BookTickerData(*quote, book.id, book.time)


class SymbolBookTickerData(msgspec.Struct, frozen=True, rename="camel"):
    """An empty side is null. `id` and `time` are of the last update of the symbol's book."""

    symbol: str
    bid: str | None
    bid_qty: str | None
    ask: str | None
    ask_qty: str | None
    id: int
    time: int


class _Seen(NamedTuple):
    """A symbol's, as last looked at, with losses and shift of its book then."""

    losses: int
    shift: int
    data: SymbolBookTickerData


class EveryBookTickerFeed:
    """One array a second of the symbols whose best bid or ask changed; the state is the array of all.

    Without those whose book is out of sync; one that is in sync again counts as a change. While nobody listens, no book
    is looked at.
    """

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._channel = Channel(kind, ALL)
        self._markets = markets
        self._booked: dict[Market, None] = {}
        self._last: dict[Market, _Seen] = {}
        self._all: Publication | None = None

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        if not self._markets.any_wanted(self._channel.kind):
            self._booked, self._last, self._all = {}, {}, None
            return []
        self._booked.update(tick.booked)
        if not due:
            return []
        booked, self._booked = self._booked, {}
        changed = [market for market in booked if self._update(market)]
        return [self._publication(changed)] if changed and self._markets.wanted(self._channel) else []

    def state(self, owner: str) -> Publication | None:
        if not self._last:  # nobody listened until now
            for market in self._markets.by_symbol.values():
                self._update(market)
        if self._all is None and self._last:
            self._all = self._publication(self._last)
        return self._all

    def _update(self, market: Market) -> bool:
        book, last = market.book, self._last.get(market)
        if book is None or not book.in_sync:
            if last is not None:
                del self._last[market]
                self._all = None
            return False
        quote = book.quote()
        if last is not None and last.losses == book.losses:
            data = last.data
            if quote == (data.bid, data.bid_qty, data.ask, data.ask_qty):
                return False
        data = SymbolBookTickerData(market.symbol, *quote, book.id, book.time)
        self._last[market] = _Seen(book.losses, book.shift, data)
        self._all = None
        return True

    def _publication(self, markets: Iterable[Market]) -> Publication:
        seen = [self._last[market] for market in markets]
        publication = Publication(self._channel, [each.data for each in seen])
        publication.shifts = [each.shift for each in seen]
        return publication
