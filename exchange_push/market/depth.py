"""`@depth`: the book, then its changes. `@depth5`, `@depth10`, `@depth20`: its best levels, whole."""

from functools import partial
from typing import Literal

import msgspec

from exchange_push.market.book import Book, Side, checksum
from exchange_push.market.events import Level
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.market.top import TopFeed
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

_CHECKSUM_LEVELS = 25


class DepthData(msgspec.Struct, frozen=True):
    """A whole book as of update `last`, or the levels that the updates `first` to `last` changed."""

    type: Literal["snapshot", "update"]
    bids: list[Level]
    asks: list[Level]
    first: int
    last: int
    prev: int | None
    epoch: int
    time: int


class BestLevelsData(msgspec.Struct, frozen=True):
    bids: list[Level]
    asks: list[Level]
    last: int
    epoch: int
    time: int


class DepthFeed:
    """One chain of updates for each symbol, for all who listen.

    A snapshot begins it anew when the book comes in sync. The state is the book as of the last message of the chain.
    """

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._changed: dict[Market, None] = {}
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        self._changed.update(tick.booked)
        publications: list[Publication] = []
        if due:
            for market in self._changed:
                publication = self._publish(market)
                if publication is not None:
                    publications.append(publication)
            self._changed = {}
        return publications

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        if market is None or market.book is None or market.book.published_id is None:
            return None
        state = self._states.get(market)
        if state is None:
            state = self._states[market] = self._snapshot(market, market.book, market.book.published_id)
        return state

    def _publish(self, market: Market) -> Publication | None:
        book = market.book
        if book is None or not book.in_sync or book.id == book.published_id:
            return None
        self._states.pop(market, None)
        prev = book.published_id
        channel = Channel(self._kind, market.symbol)
        if not self._markets.wanted(channel):
            book.publish()
            return None
        if prev is None:
            book.publish()
            publication = self._states[market] = self._snapshot(market, book, book.id)
            return publication
        data = DepthData(
            "update", book.bids.changes(), book.asks.changes(), prev + 1, book.id, prev, book.epoch, book.time
        )
        book.publish()
        return Publication(channel, data, checksum=partial(_checksum, book.bids, book.asks))

    def _snapshot(self, market: Market, book: Book, last: int) -> Publication:
        data = DepthData(
            "snapshot",
            book.bids.published(),
            book.asks.published(),
            last,
            last,
            None,
            book.epoch,
            book.published_time,
        )
        return Publication(Channel(self._kind, market.symbol), data, checksum=lambda: checksum(data.bids, data.asks))


def _checksum(bids: Side, asks: Side) -> int:
    # Of the levels as last published: what comes in between does not spoil it, the next update does.
    return checksum(bids.published(_CHECKSUM_LEVELS), asks.published(_CHECKSUM_LEVELS))


class BestLevelsFeed(TopFeed[BestLevelsData]):
    """The best `levels` of each side."""

    def __init__(self, kind: ChannelKind, markets: Markets, *, levels: int) -> None:
        super().__init__(kind, markets)
        self._levels = levels

    def _look(self, book: Book, last: BestLevelsData | None) -> BestLevelsData | None:
        bids, asks = book.bids.best(self._levels), book.asks.best(self._levels)
        if last is not None and last.bids == bids and last.asks == asks:
            return None
        return BestLevelsData(bids, asks, book.id, book.epoch, book.time)
