"""What is published of a book's top, whole, when it changed: the part that best levels and best bid and ask share."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from exchange_push.market.book import Book
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

D = TypeVar("D")


class TopFeed(ABC, Generic[D]):
    """Silent while the book is out of sync; the first look at a book that is in sync again counts as a change.

    While nobody wants any of its channels, books are not looked at; who comes gets the top of that moment.
    """

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._changed: dict[Market, None] = {}
        self._last: dict[Market, tuple[int, D]] = {}  # with the losses of the book then
        self._states: dict[Market, Publication] = {}
        self._asked: dict[Market, tuple[tuple[int, int], Publication]] = {}  # with losses and id of the book then

    @abstractmethod
    def _look(self, book: Book, last: D | None) -> D | None:
        """The top of the book; None where it is as it was at the `last` look."""

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        self._changed.update(tick.booked)
        publications: list[Publication] = []
        if not self._markets.any_wanted(self._kind):
            self._changed, self._last, self._states, self._asked = {}, {}, {}, {}
        elif due:
            for market in self._changed:
                if self._update(market) and self._markets.wanted(Channel(self._kind, market.symbol)):
                    publications.append(self._state(market))
            self._changed = {}
        return publications

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        if market is None or market.book is None:
            return None
        if market not in self._last:
            return self._ask(market, market.book) if market.book.published_id is not None else None
        return self._state(market) if self._last[market][0] == market.book.losses else None

    def _ask(self, market: Market, book: Book) -> Publication | None:
        """The top of a book that `@depth` published and nobody looked at.

        Where nothing has changed since, this is the look that the next one is compared with. Where something has, it is
        none: what others hear does not depend on it.
        """
        if book.id == book.published_id and market not in self._changed:
            return self._state(market) if self._update(market) else None
        as_of = book.losses, book.id
        asked = self._asked.get(market)
        if asked is None or asked[0] != as_of:
            data = self._look(book, None)
            if data is None:
                return None
            asked = self._asked[market] = as_of, Publication(Channel(self._kind, market.symbol), data)
        return asked[1]

    def _update(self, market: Market) -> bool:
        book = market.book
        if book is None or not book.in_sync:
            self._last.pop(market, None)
            return False
        losses, last = self._last.get(market, (None, None))
        data = self._look(book, last if losses == book.losses else None)
        if data is None:
            return False
        self._last[market] = (book.losses, data)
        self._states.pop(market, None)
        return True

    def _state(self, market: Market) -> Publication:
        state = self._states.get(market)
        if state is None:
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), self._last[market][1])
        return state
