"""`@depth_250ms`, `@depth_500ms`, `@depth_1s`: what `@depth` publishes, summed up over a longer time.

Each is a chain of its own, of the book as `@depth` last published it, and is kept only while somebody listens: it
begins with a snapshot of then.
"""

from exchange_push.market.book import Lag
from exchange_push.market.depth import DepthData
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication


class SlowDepthFeed:
    """The chains of one cadence. In the catalogue it stands behind the feed of `@depth`."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._lags: dict[Market, Lag] = {}
        self._awaited: dict[Market, None] = {}  # books that were not published since they came, or came back
        self._seen: dict[Market, int] = {}  # with their losses then: books that were
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        for market in tick.booked:
            if market.book is not None and self._seen.get(market) != market.book.losses:
                self._awaited[market] = None
        publications: list[Publication] = []
        for market in list(self._awaited):
            book = market.book
            if book is not None and book.published_id is not None:
                del self._awaited[market]
                self._seen[market] = book.losses
                if not self._goes_on(market) and self._is_wanted(market):
                    self._begin(market)
                    publications.append(self._state(market))
        if due:
            for market, lag in list(self._lags.items()):
                if not self._is_wanted(market):
                    self._end(market)
                elif self._goes_on(market) and market.book is not None and market.book.published_id != lag.last:
                    publications.append(self._update(market, lag))
        return publications

    def state(self, owner: str) -> Publication | None:
        """The book as of the last message of the chain, which begins now where it had no listener."""
        market = self._markets.by_symbol.get(owner)
        if market is None or market.book is None or market.book.published_id is None:
            return None
        if not self._goes_on(market):
            self._begin(market)
        return self._state(market)

    def _is_wanted(self, market: Market) -> bool:
        return self._markets.wanted(Channel(self._kind, market.symbol))

    def _goes_on(self, market: Market) -> bool:
        """Whether there is a chain, and the book was not lost since it began."""
        lag = self._lags.get(market)
        return lag is not None and market.book is not None and lag.losses == market.book.losses

    def _begin(self, market: Market) -> None:
        assert market.book is not None
        self._lags[market] = market.book.lag(self)
        self._states.pop(market, None)

    def _end(self, market: Market) -> None:
        assert market.book is not None
        market.book.lags.pop(self, None)
        self._lags.pop(market)
        self._states.pop(market, None)

    def _update(self, market: Market, lag: Lag) -> Publication:
        book = market.book
        assert book is not None
        self._states.pop(market, None)
        prev = lag.last
        bids, asks = book.bids.changes_since(lag.bids), book.asks.changes_since(lag.asks)
        lag = self._lags[market] = book.lag(self)
        data = DepthData("update", bids, asks, prev + 1, lag.last, prev, book.epoch, lag.time)
        return Publication(Channel(self._kind, market.symbol), data)

    def _state(self, market: Market) -> Publication:
        state = self._states.get(market)
        if state is None:
            book, lag = market.book, self._lags[market]
            assert book is not None
            bids, asks = book.bids.published(before=lag.bids), book.asks.published(before=lag.asks)
            data = DepthData("snapshot", bids, asks, lag.last, lag.last, None, book.epoch, lag.time)
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), data)
        return state
