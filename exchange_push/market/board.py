"""All feeds of all symbols: events in, publications out.

Deterministic: the same events and ticks give the same publications. What falls between two ticks is taken together,
so a trade that comes after its second has ended, but in the same tick, is not late.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from decimal import localcontext
from types import MappingProxyType
from typing import Final

import msgspec

from exchange_push.market.bars import Bar, fold, fold_any, fold_running
from exchange_push.market.book import FROM_ZERO, Book, Numbering
from exchange_push.market.changes import Changes, Late
from exchange_push.market.chart import Candles
from exchange_push.market.clock import LATE_MS, LEAP_MS, PATIENCE_MS, MarketClock
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
from exchange_push.market.executions import Execution, execution
from exchange_push.market.feed import Feed, FeedFactory, Lasting, Market, Markets, Past, Tick
from exchange_push.market.kept import Kept, State
from exchange_push.market.kline import KlineData, KlineFeed
from exchange_push.market.latency import Latency
from exchange_push.market.markprice import MarkPrices
from exchange_push.market.merged import MergedTrade
from exchange_push.market.product import Product
from exchange_push.market.recorded import Recorded, Stretch, Verdict
from exchange_push.market.trades import TradesFeed
from exchange_push.pubsub.channel import Channel, ChannelKind, SlowPolicy
from exchange_push.pubsub.publication import Publication

TICK_MS: Final = 50

_MARKS_MS: Final = 10_000  # an average over hours does not miss so much of it

_LATE_S: Final = LATE_MS // 1_000
_NEVER: Final = -(1 << 62)
_FOR_EVER: Final = 1 << 62
_NO_PRODUCTS: Final[Mapping[str, Product]] = MappingProxyType({})


class Board:
    """Computes the channels of `kinds`; `wanted` tells whether anyone listens, so that a payload is worth building,
    `any_wanted` whether to any channel of a kind.

    `now_ms` is the monotonic clock everywhere; market time comes from the events. `latest_ms` tells the latest time
    (since the epoch) that an event can have; it is asked only about one that has no other witness. With a `past` there
    is a store: it is given `changes`, and `restore` gives back what it kept.
    """

    def __init__(
        self,
        kinds: Mapping[ChannelKind, FeedFactory],
        *,
        wanted: Callable[[Channel], bool],
        any_wanted: Callable[[ChannelKind], bool] = lambda kind: True,
        products: Mapping[str, Product] = _NO_PRODUCTS,
        close_grace_ms: int = 250,
        latest_ms: Callable[[], int] = lambda: _FOR_EVER,
        past: Past | None = None,
    ) -> None:
        self.trades = 0
        """Taken, late ones too."""
        self.duplicate_trades = 0
        self.late_trades = 0
        """Of a second that had ended by the tick before."""
        self.late_trades_dropped = 0
        """Later than LATE_MS, without a store: some candle that they belong to stays without them."""
        self.repaired_trades = 0
        """Lost once, and taken after all."""
        self.restarted_ids = 0
        """How often an engine began a symbol's trade ids anew."""
        self.disbelieved = 0
        """Events with a time so far ahead that it was taken for a mistake."""
        self.set_backs = 0
        """How often market time was set back, and all candles and tickers began anew."""
        self.storable = False
        """Whether `changes` may be asked for: all that is published one by one was so on this tick."""
        self.crossed_books = 0
        """How often the best bid of a book reached its best ask, as of a tick."""
        self.epoch = 1
        self._grace_ms = close_grace_ms
        self._latest_ms = latest_ms
        self._clock = MarketClock(close_grace_ms)
        self._recorded = Recorded()
        self._markets = Markets(wanted, any_wanted, products, self._recorded, past)
        self.marks = self._markets.shared(MarkPrices)
        """Of all symbols: what is lost at present, and what outlives the process."""
        self._feeds: dict[ChannelKind, Feed] = {kind: make(kind, self._markets) for kind, make in kinds.items()}
        self._cadences = {kind: (kind.every_ms, kind.after_ms) for kind in kinds}
        self._queued = {self._cadences[kind] for kind in kinds if kind.slow is SlowPolicy.QUEUE}
        self.latency = Latency(kinds, TICK_MS)
        self._now_ms = 0  # of the events being applied
        self._slots: dict[tuple[int, int], int] = {}
        self._second = 0  # of market time at the last tick
        self._traded: dict[Market, None] = {}
        self._open_bars: dict[Market, None] = {}
        self._booked: dict[Market, None] = {}
        self._unsure: dict[Market, None] = {}
        self._gaps: list[Stretch] = []
        self._told: dict[Market, Stretch] = {}
        self._touched: dict[Market, None] = {}  # since the last changes
        self._numbering: dict[str, Numbering] = {}  # of books, by symbol, in an earlier run
        self._ended = False  # nothing is published any more
        self._marked = 0  # when averages of premiums were among them
        self._crossed: dict[Market, None] = {}
        self._doubted: MarketEvent | None = None  # far ahead of all others, and not borne out yet
        self._doubted_ms = 0
        self._behind_ms = 0  # since when new trades came that lie far behind
        self._heard_before = 0  # highest time of the sessions before this one
        self._traded_before: dict[Market, list[Trade]] = {}  # trades of this tick, before market time was set back
        self._anew = False

    @property
    def market_time(self) -> int:
        """Market time at the last event or tick, ms since the epoch; 0 before the first event."""
        return self._clock.time

    @property
    def standing(self) -> bool:
        """Whether it goes on where an earlier run stopped, and was given nothing yet; not even that there is nothing,
        which is how to let market time go on where the feed is silent."""
        return self._clock.standing

    @property
    def heard_time(self) -> int:
        """The highest time of an event, ms since the epoch; 0 before the first."""
        return self._clock.heard

    @property
    def book_gaps(self) -> int:
        """How often a book went out of sync."""
        return sum(book.gaps for book in self._books())

    @property
    def old_book_events(self) -> int:
        return sum(book.old_events for book in self._books())

    @property
    def inconsistent_books(self) -> int:
        """How often a whole book differed from the one held at its id."""
        return sum(book.inconsistencies for book in self._books())

    @property
    def restarted_books(self) -> int:
        """How often an engine began a symbol's update ids anew."""
        return sum(book.restarted_ids for book in self._books())

    def symbols(self) -> list[str]:
        """Every symbol ever heard of, sorted."""
        return sorted(self._markets.by_symbol)

    def knows(self, symbol: str) -> bool:
        """Whether the symbol was ever heard of."""
        return symbol in self._markets.by_symbol

    @property
    def has_symbols(self) -> bool:
        """Whether any was."""
        return bool(self._markets.by_symbol)

    def owns_book(self, symbol: str) -> bool:
        """Whether a whole book of the symbol has come by the feed."""
        market = self._markets.by_symbol.get(symbol)
        return market is not None and market.book is not None and market.book.heard

    def apply(self, events: Iterable[MarketEvent | Restart | Gap], now_ms: int) -> None:
        """Take in events in their order. Nothing is added up yet, so this is called without EXACT."""
        clock = self._clock
        self._now_ms = now_ms
        highest, behind, far = self._bounds(now_ms)
        for event in events:
            if isinstance(event, Trade) and behind <= event.time <= far:  # as nearly all are
                if event.time > highest:
                    highest = event.time
                self._take_trade(event)
            elif isinstance(event, Restart | Gap):
                clock.hear(highest, now_ms)
                self._interrupt(event, now_ms)
                highest, behind, far = self._bounds(now_ms)
            elif behind <= event.time <= far:
                highest = max(highest, event.time)
                self._take(event)
            else:
                clock.hear(highest, now_ms)
                self._weigh(event, now_ms)
                highest, behind, far = self._bounds(now_ms)
        clock.hear(highest, now_ms)

    def flush(self, now_ms: int, *, last: bool = False) -> list[Publication]:
        """What is to be published now; called every TICK_MS. The `last` time, all is due."""
        self._ended = last
        due: dict[tuple[int, int], bool] = {}
        for cadence in dict.fromkeys(self._cadences.values()):
            every_ms, after_ms = cadence
            slot = (now_ms - after_ms) // every_ms
            due[cadence] = last or slot != self._slots.get(cadence)
            self._slots[cadence] = slot
        self.storable = all(due[cadence] for cadence in self._queued)
        publications: list[Publication] = []
        if self._recorded.begin is None:
            return publications
        doubted = None if self._clock.standing else self._doubted
        if doubted and now_ms - self._doubted_ms >= self._grace_ms and doubted.time <= self._latest_ms():
            self._settle(now_ms)  # nothing speaks against it
        with localcontext(EXACT):
            tick = self._tick(now_ms)
            for kind, feed in self._feeds.items():
                publications += feed.flush(tick, due[self._cadences[kind]])
        for publication in publications:
            self._stamp(publication)
        self._note_unsure(tick)
        return publications

    def state(self, channel: Channel) -> Publication | None:
        """The current state for a new subscriber; the same object until it changes."""
        feed = self._feeds.get(channel.kind)
        if feed is None:
            return None
        with localcontext(EXACT):
            state = feed.state(channel.owner)
        if state is not None and not state.time:
            self._stamp(state)
        return state

    def _stamp(self, publication: Publication) -> None:
        """Say of what time it is, and how its update ids go on where an engine's did not."""
        publication.time = self._clock.time
        if publication.channel.kind.of_book:
            market = self._markets.by_symbol.get(publication.channel.owner)
            publication.shift = 0 if market is None or market.book is None else market.book.shift

    def book(self, symbol: str) -> Book | None:
        """The book of a symbol, in sync or not; None: no event of it ever came."""
        market = self._markets.by_symbol.get(symbol)
        return None if market is None else market.book

    def books_out_of_sync(self) -> list[str]:
        """Symbols whose book is waiting for a whole one."""
        markets = self._markets.by_symbol.values()
        return [market.symbol for market in markets if market.book is not None and not market.book.in_sync]

    def unsure_books(self) -> Set[str]:
        """Symbols whose book is not to be relied on.

        It went out of sync after clients may have seen it, until a new one is published; or it is crossed.
        """
        return {market.symbol for market in self._unsure | self._crossed}

    def unpriced(self) -> Set[str]:
        """Symbols that had a mark price and whose index is lost at present."""
        return {market.symbol for market in self.marks.unpriced}

    def _note_unsure(self, tick: Tick) -> None:
        for market in tick.booked:
            book = market.book
            if book is not None and not book.in_sync and book.heard and book.losses:
                self._unsure[market] = None
            if book is not None and book.in_sync and book.crossed and market not in self._crossed:
                self._crossed[market] = None
                self.crossed_books += 1
        # Not as soon as it is right: who hears that it is live again has its snapshot or update by then.
        for market in list(self._unsure):
            if market.book is not None and market.book.published_id is not None:
                del self._unsure[market]
        for market in list(self._crossed):
            book = market.book
            if book is None or not book.in_sync or (not book.crossed and book.published_id == book.id):
                del self._crossed[market]

    def _books(self) -> Iterable[Book]:
        return (market.book for market in self._markets.by_symbol.values() if market.book is not None)

    def _book(self, market: Market) -> Book:
        self._booked[market] = None
        if market.book is None:
            market.book = Book(self.epoch, self._numbering.get(market.symbol, FROM_ZERO))
        return market.book

    def _take_trade(self, trade: Trade) -> None:
        """Take in a trade whose time is in order."""
        market = self._markets.by_symbol.get(trade.symbol) or self._markets.open(trade.symbol)
        taken = market.taken
        if trade.id > taken.mark_id and taken.met == self._recorded.count:  # as nearly all are
            taken.mark_id = trade.id
            if trade.time > taken.mark_time:
                taken.mark_time = trade.time
        elif not self._is_new(market, trade):
            return
        trades = market.trades
        if not trades:
            self._traded[market] = None
            self.latency.take_trade(trade, self._now_ms)
        trades.append(trade)

    def _take(self, event: MarketEvent) -> None:
        """Take in an event whose time is in order."""
        if isinstance(event, Trade):
            self._take_trade(event)
            return
        market = self._markets.by_symbol.get(event.symbol) or self._markets.open(event.symbol)
        if isinstance(event, DepthChange | BookSnapshot):
            if market not in self._booked:
                self.latency.take_book(event, self._now_ms)
            if isinstance(event, DepthChange):
                self._book(market).take_depth(event)
            else:
                self._book(market).take_book(event)
        elif isinstance(event, IndexPrice):
            known = market.sources.get(event.source)
            if known is None or event.time >= known.time:
                market.sources[event.source] = event
        elif market.funding is None or event.time >= market.funding.time:
            market.funding = event

    def _is_new(self, market: Market, trade: Trade) -> bool:
        """Whether a trade is to be taken whose id, or a gap before it, says something."""
        taken, recorded = market.taken, self._recorded
        holes, unmet = taken.holes, recorded.unmet(taken.met)
        verdict = taken.judge(trade, recorded)
        if verdict is Verdict.REPEATED:
            self.duplicate_trades += 1
            return False
        if verdict is Verdict.RESTART:
            self.restarted_ids += 1
            market.cuts.append(len(market.trades))
        elif verdict is Verdict.REPAIR:
            self.repaired_trades += 1
            market.unordered = True
            unmet = [stretch for hole in holes if hole.first <= trade.id <= hole.last for stretch in hole.lost]
        if unmet:
            start, end = unmet[0][0], unmet[-1][1]
            before = self._told.get(market, (start, end))
            self._told[market] = min(start, before[0]), max(end, before[1])
        return True

    # -- what an event's time says

    def _bounds(self, now_ms: int) -> tuple[int, int, int]:
        """The highest time so far, and from which to which time an event needs no weighing."""
        recorded, clock = self._recorded, self._clock
        time = clock.read(now_ms)
        if recorded.begin is None or recorded.losing or self._doubted is not None:
            return clock.heard, _FOR_EVER, _NEVER
        return clock.heard, time - LEAP_MS, time + LATE_MS

    def _weigh(self, event: MarketEvent, now_ms: int) -> None:
        """Take in an event whose time says something, or let it wait for another one to bear it out."""
        clock, doubted = self._clock, self._doubted
        if doubted is not None:
            if event.time >= doubted.time - LATE_MS:
                self._settle(now_ms)
            elif event.time > clock.heard:  # the market goes on where it was
                self._doubted = None
                self.disbelieved += 1
        time = clock.read(now_ms)
        if self._recorded.begin is not None and event.time > time + LATE_MS:
            self._doubted, self._doubted_ms = event, now_ms
            if isinstance(event, BookSnapshot | DepthChange):
                self._take(event)  # a book goes by its ids; without this update it would be broken
            return
        if event.time < time - LEAP_MS and isinstance(event, Trade):
            self._look_back(event, now_ms)
        self._hear(event.time, now_ms)
        self._take(event)

    def _settle(self, now_ms: int) -> None:
        """Believe the doubted event, if there is one."""
        doubted, self._doubted = self._doubted, None
        if doubted is not None:
            self._hear(doubted.time, now_ms)
            if not isinstance(doubted, BookSnapshot | DepthChange):
                self._take(doubted)

    def _hear(self, time: int, now_ms: int) -> None:
        if self._recorded.begin is None:
            self._recorded.begin = time
            self._second = time // 1_000
        gap = self._recorded.resume(time)
        if gap is not None:
            self._gaps.append(gap)
        self._clock.hear(time, now_ms)

    def _look_back(self, trade: Trade, now_ms: int) -> None:
        """Set market time back to a new trade: in a new session at once, else if only such ones came for a while."""
        market = self._markets.by_symbol.get(trade.symbol)
        if market is not None and trade.id <= market.taken.mark_id:
            return
        clock = self._clock
        if clock.heard != self._heard_before:
            if clock.heard_ms >= self._behind_ms:
                self._behind_ms = now_ms
            if now_ms - self._behind_ms < PATIENCE_MS:
                return
        self._start_over(trade.time)

    def _start_over(self, time: int) -> None:
        """Begin market time anew. Books, ids and trades not yet published are not touched by it."""
        self.set_backs += 1
        for market in self._traded:
            self.trades += len(market.trades)
            self._traded_before.setdefault(market, []).extend(market.trades)
            market.trades, market.cuts, market.unordered = [], [], False
            self._touched[market] = None
        if self._markets.changes is not None:
            self._markets.changes.void(time)
        for market in self._markets.by_symbol.values():
            market.bar = market.last_price = market.funding = None
            market.sources = {}
        self._traded, self._open_bars, self._gaps, self._told = {}, {}, [], {}
        self._clock.start_over()
        self._recorded.start_over(time)
        self._second = time // 1_000
        self._heard_before = 0
        self._anew = True

    def _interrupt(self, event: Restart | Gap, now_ms: int) -> None:
        self._settle(now_ms)
        if isinstance(event, Restart):
            self.epoch = event.session
            self._heard_before = self._clock.heard
            for market in self._markets.by_symbol.values():
                if market.book is not None:
                    self._book(market).restart(event.session)
        elif self._recorded.begin is not None:
            self._recorded.lose(self._clock.heard)

    def _tick(self, now_ms: int) -> Tick:
        tick = Tick(
            self._clock.read(now_ms),
            traded=self._traded_before,
            booked=self._booked,
            leaps=self._clock.leaps,
            gaps=self._gaps,
            told=self._told,
            anew=self._anew,
        )
        if self._markets.changes is not None:
            self._markets.changes.leaps += self._clock.leaps
        self._traded_before, self._booked, self._clock.leaps, self._gaps, self._told = {}, {}, [], [], {}
        self._anew = False
        second = tick.time // 1_000
        if second > self._second:
            for market in list(self._open_bars):
                if market not in self._traded:
                    self._close_bars(tick, market, second)
        for market in self._traded:
            before = tick.traded.get(market)
            tick.traded[market] = before + market.trades if before else market.trades
            self._close_bars(tick, market, second)
        self._traded = {}
        self._second = second
        return tick

    def _close_bars(self, tick: Tick, market: Market, second: int) -> None:
        """Fold the market's new trades, and give away the bars of the seconds before `second`."""
        bar, trades = market.bar, market.trades
        if trades:
            self.trades += len(trades)
            self._touched[market] = None
            in_order = not market.cuts and not market.unordered
            if bar is not None and bar.second == second and in_order and fold_running(trades, bar, market.taken.run):
                market.trades = []
                market.last_price = bar.close
                return
        bars = {} if bar is None else {bar.second: bar}
        if trades:
            self._fold(market, bars)
        market.bar = bars.pop(second, None)
        changes = self._markets.changes
        for ended in sorted(bars):
            bar = bars[ended]
            if ended >= self._second:
                tick.closed.append((market, bar))
                market.last_price = bar.close
                if changes is not None:
                    changes.seconds[market.symbol, ended] = bar
            else:
                tick.late.append((market, bar))
                self.late_trades += bar.count
                if changes is not None:
                    changes.late.append(Late(market.symbol, bar, self._second))
                elif ended < self._second - _LATE_S:
                    self.late_trades_dropped += bar.count
        if market.bar is None:
            self._open_bars.pop(market, None)
        else:
            self._open_bars[market] = None
            market.last_price = market.bar.close

    def _fold(self, market: Market, bars: dict[int, Bar]) -> None:
        """Add the market's new trades to the bars of their seconds."""
        trades, taken = market.trades, market.taken
        run, begin = taken.run - len(market.cuts), 0
        for cut in [*market.cuts, len(trades)]:
            some = trades[begin:cut] if market.cuts else trades
            if market.unordered:
                fold_any(some, bars, run)
            else:
                fold(some, bars, run)
            run, begin = run + 1, cut
        market.trades, market.cuts, market.unordered = [], [], False

    # -- what a store keeps

    def changes(self) -> Changes | None:
        """What is new since this was last asked for; None without a store. Call after `flush`, where it is storable."""
        changes = self._markets.changes
        if changes is None:
            return None
        self._markets.changes = Changes()
        for market in self._touched:
            changes.taken[market.symbol] = msgspec.structs.replace(market.taken)
        self._touched = {}
        for market in self._open_bars:
            if market.bar is not None:
                changes.seconds[market.symbol, market.bar.second] = msgspec.structs.replace(market.bar)
        if self._clock.time // _MARKS_MS != self._marked:
            self._marked = self._clock.time // _MARKS_MS
            changes.marks = self.marks.saved()
        heard = self._clock.heard
        stored_ms = None if self._ended else heard
        books = {symbol: numbering.as_of(stored_ms) for symbol, numbering in self._numbering.items()}
        for symbol, market in self._markets.by_symbol.items():
            if market.book is not None:
                books[symbol] = market.book.numbering(stored_ms)
        changes.state = State(heard, self._clock.time, self._recorded.saved(), self._doubted, books)
        return changes

    def amend(self, interval: str, symbol: str, start: int, bar: Bar, rev: int) -> list[Publication]:
        """A store corrected a candle that ended long ago; what is to be published."""
        with localcontext(EXACT):
            amended = (feed.amend(symbol, start, bar, rev) for feed in self._charts(interval))
            found = [publication for publication in amended if publication is not None]
        for publication in found:
            self._stamp(publication)
        return found

    def held(self, symbol: str, interval: str) -> list[KlineData]:
        """The candles that are in memory, oldest first, the running one last."""
        with localcontext(EXACT):
            return [candle for feed in self._charts(interval) for candle in feed.held(symbol)]

    def has_unstored(self, symbol: str, interval: str, before: int) -> bool:
        """Whether candles that start before this time, in ms, have not been asked for by the store."""
        changes = self._markets.changes
        return changes is not None and changes.holds(symbol, interval, before)

    def recent_trades(self, symbol: str) -> list[MergedTrade]:
        """What was published and not asked for by the store; without one, the newest that are held."""
        if self._markets.changes is not None:
            return list(self._markets.changes.trades.get(symbol, ()))
        feeds = (feed for feed in self._feeds.values() if isinstance(feed, TradesFeed))
        return [trade for feed in feeds for trade in feed.newest(symbol)]

    def executions(self, symbol: str, limit: int) -> list[Execution]:
        """The newest trades published since the start, one by one, at most 1,000; oldest first."""
        market = self._markets.by_symbol.get(symbol)
        if market is None:
            return []
        feeds = (feed for feed in self._feeds.values() if isinstance(feed, TradesFeed))
        return [execution(trade) for feed in feeds for trade in feed.recent.newest(market, limit)]

    def last_price(self, symbol: str) -> str | None:
        """Of the newest trade, as of the last tick; None: there was none."""
        market = self._markets.by_symbol.get(symbol)
        return None if market is None else market.last_price

    def chart(self, symbol: str, interval: str, candles: Candles) -> list[KlineData]:
        """What a store has, as clients see it."""
        with localcontext(EXACT):
            return [candle for feed in self._charts(interval) for candle in feed.chart(symbol, candles)]

    def _charts(self, interval: str) -> Iterable[KlineFeed]:
        return (feed for feed in self._feeds.values() if isinstance(feed, KlineFeed) and feed.interval == interval)

    def restore(self, kept: Kept) -> None:
        """Go on where an earlier run stopped. Call before the first event."""
        state = kept.state
        if state.recorded.begin is None:
            return
        self._clock.restore(state.heard, state.time)
        self._recorded.restore(state.recorded)
        self._doubted = state.doubted
        self._numbering = dict(state.books)
        self._second = kept.second
        for symbol in kept.symbols:
            market = self._markets.open(symbol.symbol)
            market.taken = symbol.taken
            newest = symbol.pieces[-1] if symbol.pieces else None
            if newest is not None and newest.start == self._second:
                market.bar = newest.bar
                self._open_bars[market] = None
            last = symbol.before if newest is None else newest.bar
            market.last_price = None if last is None else last.close
        with localcontext(EXACT):
            for part in (*self._markets.all_shared(), *self._feeds.values()):
                if isinstance(part, Lasting):
                    part.restore(kept)
