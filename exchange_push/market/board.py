"""All feeds of all symbols: events in, publications out.

Deterministic: the same events and ticks give the same publications. What falls between two ticks is taken together,
so a trade that comes after its second has ended, but in the same tick, is not late.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import localcontext
from types import MappingProxyType
from typing import Final

from exchange_push.market.bars import fold
from exchange_push.market.book import Book
from exchange_push.market.clock import LEAP_MS, MarketClock, Recorded
from exchange_push.market.events import (
    BookSnapshot,
    DepthChange,
    Gap,
    IndexPrice,
    MarketEvent,
    Restart,
    Trade,
)
from exchange_push.market.exact import EXACT
from exchange_push.market.feed import Feed, FeedFactory, Market, Markets, Product, Tick
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

TICK_MS: Final = 50

LATE_S: Final = 60
"""A trade corrects every candle it belongs to if it comes less than this after the end of its second."""

_NEVER: Final = -(1 << 62)
_NO_PRODUCTS: Final[Mapping[str, Product]] = MappingProxyType({})


class Board:
    """Computes the channels of `kinds`; `wanted` tells whether anyone listens, so that a payload is worth building.

    `now_ms` is the monotonic clock everywhere; market time comes from the events.
    """

    def __init__(
        self,
        kinds: Mapping[ChannelKind, FeedFactory],
        *,
        wanted: Callable[[Channel], bool],
        products: Mapping[str, Product] = _NO_PRODUCTS,
        close_grace_ms: int = 250,
    ) -> None:
        self.trades = 0
        """Taken, late ones too."""
        self.duplicate_trades = 0
        self.late_trades = 0
        """Of a second that had ended by the tick before."""
        self.late_trades_dropped = 0
        """Later than LATE_S: some candle that they belong to stays without them."""
        self.restarted_ids = 0
        """How often an engine began a symbol's trade ids anew."""
        self.epoch = 1
        self._clock = MarketClock(close_grace_ms)
        self._recorded = Recorded()
        self._markets = Markets(wanted, products, self._recorded)
        self._feeds: dict[ChannelKind, Feed] = {kind: make(kind, self._markets) for kind, make in kinds.items()}
        self._slots: dict[int, int] = {}
        self._second = 0  # of market time at the last tick
        self._traded: dict[Market, None] = {}
        self._open_bars: dict[Market, None] = {}
        self._booked: dict[Market, None] = {}
        self._gaps: list[tuple[int, int]] = []

    @property
    def market_time(self) -> int:
        """Market time at the last event or tick, ms since the epoch; 0 before the first event."""
        return self._clock.time

    @property
    def book_gaps(self) -> int:
        """How often a book went out of sync."""
        return sum(book.gaps for book in self._books())

    @property
    def old_book_events(self) -> int:
        return sum(book.old_events for book in self._books())

    @property
    def restarted_books(self) -> int:
        """How often an engine began a symbol's update ids anew."""
        return sum(book.restarted_ids for book in self._books())

    def symbols(self) -> list[str]:
        """Every symbol ever heard of, sorted."""
        return sorted(self._markets.by_symbol)

    def owns_book(self, symbol: str) -> bool:
        """Whether a whole book of the symbol has come by the feed."""
        market = self._markets.by_symbol.get(symbol)
        return market is not None and market.book is not None and market.book.heard

    def apply(self, events: Iterable[MarketEvent | Restart | Gap], now_ms: int) -> None:
        """Take in events in their order. Nothing is added up yet, so this is called without EXACT."""
        markets = self._markets.by_symbol
        clock = self._clock
        recorded = self._recorded
        # Market time so far; what goes beyond it by much, or follows nothing or a gap, is looked at by `_leap`.
        time = _NEVER if recorded.begin is None or recorded.losing else clock.read(now_ms)
        for event in events:
            if isinstance(event, Restart):
                self._restart(event.session)
                continue
            if isinstance(event, Gap):
                if recorded.begin is not None:
                    clock.hear(time, now_ms)
                    recorded.lose(clock.heard)
                    time = _NEVER
                continue
            market = markets.get(event.symbol) or self._markets.open(event.symbol)
            if isinstance(event, Trade):
                if event.id <= market.mark_id:
                    if event.time <= market.mark_time:
                        self.duplicate_trades += 1
                        continue
                    self.restarted_ids += 1
                market.mark_id = event.id
                market.mark_time = event.time
                trades = market.trades
                if not trades:
                    self._traded[market] = None
                trades.append(event)
            elif isinstance(event, DepthChange):
                self._book(market).take_depth(event)
            elif isinstance(event, BookSnapshot):
                self._book(market).take_book(event)
            elif isinstance(event, IndexPrice):
                known = market.sources.get(event.source)
                if known is None or event.time >= known.time:
                    market.sources[event.source] = event
            elif market.funding is None or event.time >= market.funding.time:
                market.funding = event
            if event.time > time:
                if event.time > time + LEAP_MS:
                    clock.hear(time, now_ms)
                    self._leap(event.time)
                    clock.hear(event.time, now_ms)
                    time = clock.time
                else:
                    time = event.time
        clock.hear(time, now_ms)

    def flush(self, now_ms: int) -> list[Publication]:
        """What is to be published now; called every TICK_MS."""
        due: dict[int, bool] = {}
        for every_ms in {kind.every_ms for kind in self._feeds}:
            slot = now_ms // every_ms
            due[every_ms] = slot != self._slots.get(every_ms)
            self._slots[every_ms] = slot
        publications: list[Publication] = []
        if self._recorded.begin is None:
            return publications
        with localcontext(EXACT):
            tick = self._tick(now_ms)
            for kind, feed in self._feeds.items():
                publications += feed.flush(tick, due[kind.every_ms])
        return publications

    def state(self, channel: Channel) -> Publication | None:
        """The current state for a new subscriber; the same object until it changes."""
        feed = self._feeds.get(channel.kind)
        if feed is None:
            return None
        with localcontext(EXACT):
            return feed.state(channel.owner)

    def _books(self) -> Iterable[Book]:
        return (market.book for market in self._markets.by_symbol.values() if market.book is not None)

    def _book(self, market: Market) -> Book:
        self._booked[market] = None
        if market.book is None:
            market.book = Book(self.epoch)
        return market.book

    def _restart(self, session: int) -> None:
        self.epoch = session
        for market in self._markets.by_symbol.values():
            if market.book is not None:
                self._book(market).restart(session)

    def _leap(self, time: int) -> None:
        if self._recorded.begin is None:
            self._recorded.begin = time
            self._second = time // 1_000
        gap = self._recorded.resume(time)
        if gap is not None:
            self._gaps.append(gap)

    def _tick(self, now_ms: int) -> Tick:
        tick = Tick(self._clock.read(now_ms), booked=self._booked, leaps=self._clock.leaps, gaps=self._gaps)
        self._booked, self._clock.leaps, self._gaps = {}, [], []
        second = tick.time // 1_000
        if second > self._second:
            for market in list(self._open_bars):
                if market not in self._traded:
                    self._close_bars(tick, market, second)
        for market in self._traded:
            tick.traded[market] = market.trades
            self._close_bars(tick, market, second)
        self._traded = {}
        self._second = second
        return tick

    def _close_bars(self, tick: Tick, market: Market, second: int) -> None:
        """Fold the market's new trades, and give away the bars of the seconds before `second`."""
        bar = market.bar
        bars = {} if bar is None else {bar.second: bar}
        if market.trades:
            self.trades += len(market.trades)
            market.no = fold(market.trades, bars, market.no)
            market.trades = []
        market.bar = bars.pop(second, None)
        for ended in sorted(bars):
            bar = bars[ended]
            if ended >= self._second:
                tick.closed.append((market, bar))
                market.last_price = bar.close
            else:
                tick.late.append((market, bar))
                self.late_trades += bar.count
                if ended < self._second - LATE_S:
                    self.late_trades_dropped += bar.count
        if market.bar is None:
            self._open_bars.pop(market, None)
        else:
            self._open_bars[market] = None
            market.last_price = market.bar.close
