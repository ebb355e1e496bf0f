"""`@bookticker`: best bid and ask, when they changed; `*@bookticker`: those of all symbols that changed."""

from collections.abc import Iterable

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


def quotes(markets: Markets) -> dict[Market, tuple[int, BookTickerData]]:
    """Best bid and ask of each book in sync, as last looked at, with its losses then: one for both feeds."""
    return {}


class BookTickerFeed(TopFeed[BookTickerData]):
    """The best bid and ask."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        super().__init__(kind, markets)
        self._last = markets.shared(quotes)

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


class EveryBookTickerFeed:
    """One array a second of the symbols whose best bid or ask changed; the state is the array of all.

    Without those whose book is out of sync. In the catalogue it stands behind the feed of `@bookticker`, which looks.
    """

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._channel = Channel(kind, ALL)
        self._markets = markets
        self._quotes = markets.shared(quotes)
        self._last: dict[Market, tuple[int, BookTickerData]] = {}
        self._all: Publication | None = None

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        if not due:
            return []
        self._all = None
        last, self._last = self._last, dict(self._quotes)
        if not self._markets.wanted(self._channel):
            return []
        publication = self._publication(market for market, quote in self._last.items() if quote is not last.get(market))
        return [] if publication is None else [publication]

    def state(self, owner: str) -> Publication | None:
        if self._all is None:
            self._all = self._publication(self._last)
        return self._all

    def _publication(self, markets: Iterable[Market]) -> Publication | None:
        """Of those of these markets whose book was not lost since it was looked at."""
        data: list[SymbolBookTickerData] = []
        shifts: list[int] = []
        for market in markets:
            losses, quote = self._last[market]
            if market.book is not None and market.book.losses == losses:
                data.append(SymbolBookTickerData(market.symbol, *msgspec.structs.astuple(quote)))
                shifts.append(market.book.shift)
        if not data:
            return None
        publication = Publication(self._channel, data)
        publication.shifts = shifts
        return publication
