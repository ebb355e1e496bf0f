"""`@kline_<interval>`: the running candle, and every candle once when it is closed.

A candle covers `[start, end)` of market time. Closed ones are held for corrections: those of the last minute, and the
newest of every interval. A late trade that belongs to a held one corrects it, and the empty ones behind it that repeat
its close. One that came later than that corrects what a store has, which gives the candle back to be published again;
without a store it is left out of this interval's candles. A trade of before the first event makes the candle that it
belongs to, if that would still be held.
"""

from collections.abc import Iterable
from copy import copy

import msgspec

from exchange_push.market.bars import Bar
from exchange_push.market.chart import Candles
from exchange_push.market.clock import LATE_MS, LONGEST_RUN
from exchange_push.market.exact import plain
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kept import Kept
from exchange_push.market.minutes import Minutes
from exchange_push.market.recorded import Stretch
from exchange_push.pubsub.channel import Channel, ChannelKind, SlowPolicy
from exchange_push.pubsub.publication import Publication

_MINUTE_MS = 60_000
_APART_MS = 50


class KlineData(msgspec.Struct, frozen=True, rename="camel"):
    """The taker volumes are of trades whose taker bought. Without trades: ids -1, prices those of the close before."""

    symbol: str
    interval: str
    start: int
    end: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    taker_volume: str
    taker_quote_volume: str
    count: int
    first_id: int
    last_id: int
    closed: bool
    complete: bool
    rev: int


class _Closed:
    """The candles of one start, all symbols. `revs` holds those published more than once, `partial` those that were
    last published as incomplete."""

    __slots__ = ("bars", "end", "partial", "published", "revs", "start")

    def __init__(self, start: int, end: int, bars: dict[Market, Bar], published: bool) -> None:
        self.start = start
        self.end = end
        self.bars = bars
        self.published = published
        """Whether it was when it ended. One that only late trades made was not."""
        self.revs: dict[Market, int] = {}
        self.partial: set[Market] = set()


class KlineFeed:
    """The candles of one interval, all symbols."""

    def __init__(self, kind: ChannelKind, markets: Markets, *, interval: str) -> None:
        self._kind = kind
        self._markets = markets
        self.interval = interval
        self._interval = INTERVALS[interval]
        self._held_count = max(1, _MINUTE_MS // self._interval.length_ms)
        self._minutes = markets.shared(Minutes) if self._interval.length_ms > _MINUTE_MS else None
        self._settles_ms = list(INTERVALS).index(interval) * _APART_MS
        self._start_over()

    def _start_over(self) -> None:
        self._start = 0
        self._end = 0
        # Running candles, without the running second (of minutes: without the running one of these), and what is to be
        # added to them.
        self._bars: dict[Market, Bar] = {}
        self._waiting: list[tuple[Market, Bar]] = []
        self._held: dict[int, _Closed] = {}  # by start, rising
        self._gone: int | None = None  # start of the newest one no longer held
        self._closes: dict[Market, str] = {}  # of the newest closed candle
        self._closes_before: dict[Market, tuple[int, str]] = {}  # start and close of the newest one no longer held
        self._since: dict[Market, int] = {}  # start of the first candle
        self._changed: dict[Market, object] = {}  # since last due; the values say nothing
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        publications: list[Publication] = []
        if tick.anew:
            self._start_over()
        ended = tick.closed
        if self._minutes is not None:
            self._minutes.collect(tick)
            ended = self._minutes.ended
        if self._end == 0:
            self._begin(self._interval.start(self._markets.recorded.begin or tick.time))
        # Each of the intervals hears of each market that traded: what it does with it is left to dictionaries.
        if self._markets.any_wanted(self._kind):
            self._changed.update(tick.traded)
        if self._states:
            for market in tick.traded:
                self._states.pop(market, None)
        if tick.late:
            self._settle()
            for market, bar in tick.late:
                self._take_late(market, bar, publications)
        if tick.time >= self._end:
            self._settle()
            self._close_until(self._interval.start(tick.time), ended, tick.leaps, publications)
        else:
            self._waiting += ended
            if tick.time % 1_000 >= self._settles_ms:
                self._settle()
        if not tick.traded.keys() <= self._since.keys():
            self._settle()
            for market in tick.traded:
                if market not in self._since and self._running(market) is not None:
                    self._since[market] = self._start
        for gap in tick.gaps:
            self._judge_again(self._since, gap, publications)
        for market, stretch in tick.told.items():
            self._judge_again((market,), stretch, publications)
        if due and self._changed:
            for market in self._markets.wanted_of(self._kind, self._changed):
                state = self._state(market)
                if state is not None:
                    publications.append(state)
            self._changed = {}
        return publications

    def restore(self, kept: Kept) -> None:
        self._begin(self._interval.start(kept.state.time))
        self._gone = self._start - 1  # none that ended before is held
        for symbol in kept.symbols:
            market = self._markets.by_symbol[symbol.symbol]
            bar, before = kept.running[symbol.symbol][self._interval.name]
            close = "" if before is None else before.close
            if bar is not None:
                self._bars[market] = bar
            if before is not None:
                self._closes[market] = close
                self._closes_before[market] = self._interval.start(before.second * 1_000), close
            if bar is not None or close or market.bar is not None:
                self._since[market] = min(self._interval.start(symbol.since), self._start)

    def held(self, symbol: str) -> list[KlineData]:
        """The candles of a symbol that are in memory, oldest first: closed ones, and the running one as of now."""
        market = self._markets.by_symbol.get(symbol)
        since = None if market is None else self._since.get(market)
        if market is None or since is None:
            return []
        _, close = self._closes_before.get(market, (0, ""))
        found = []
        for closed in self._held.values():
            bar = closed.bars.get(market)
            if since <= closed.start:
                rev = closed.revs.get(market, 0)
                found.append(self._candle(market, closed.start, closed.end, bar, close, rev))
            close = close if bar is None else bar.close
        running = self._state(market)
        assert running is not None
        assert isinstance(running.data, KlineData)
        return [*found, running.data]

    def chart(self, symbol: str, candles: Candles) -> list[KlineData]:
        """What a store has of candles that ended."""
        market = self._markets.by_symbol.get(symbol)
        if market is None:
            return []
        found: list[KlineData] = []
        close = candles.before
        for start, candle in candles.rows:
            end = self._interval.end(start)
            if candle is None:
                if close:
                    found.append(self._candle(market, start, end, None, close, 0))
                continue
            complete = self._markets.recorded.complete(start, end, market.taken)
            found.append(KlineData(symbol, self.interval, start, end, *candle[:-1], True, complete, candle.rev))
            close = candle.close
        return found

    def amend(self, symbol: str, start: int, bar: Bar, rev: int) -> Publication | None:
        """A store corrected a candle: what is to be published of it, None where it was published as it was held."""
        market = self._markets.by_symbol[symbol]
        if start >= self._start or start in self._held:
            return None
        self._since[market] = min(self._since.get(market, start), start)
        at, close = self._closes_before.get(market, (start, ""))
        if start >= at and bar.close != close:
            # Empty candles repeat it from now on; those of the time between are right when they are asked for.
            self._closes_before[market] = start, bar.close
            if not any(market in closed.bars for closed in self._held.values()):
                self._closes[market] = bar.close
                self._touch(market)
        channel = Channel(self._kind, symbol)
        if not self._markets.wanted(channel):
            return None
        data = self._candle(market, start, self._interval.end(start), bar, "", rev)
        return Publication(channel, data, slow=SlowPolicy.QUEUE)

    def state(self, owner: str) -> Publication | None:
        """The running candle as of the last tick."""
        market = self._markets.by_symbol.get(owner)
        return None if market is None else self._state(market)

    def _begin(self, start: int) -> None:
        self._start = start
        self._end = self._interval.end(start)

    def _settle(self) -> None:
        """Add up what waits. A second ends for all symbols at once: each interval does it on another tick."""
        if self._waiting:
            for market, bar in self._waiting:
                _add(self._bars, market, bar)
            self._waiting = []

    def _touch(self, market: Market) -> None:
        self._changed[market] = None
        self._states.pop(market, None)

    def _touch_all(self) -> None:
        self._states.clear()
        self._changed.update(dict.fromkeys(self._since))

    def _state(self, market: Market) -> Publication | None:
        state = self._states.get(market)
        if state is None and market in self._since:
            self._settle()
            closed = self._closes.get(market, "")
            data = self._candle(market, self._start, self._end, self._running(market), closed, None)
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), data)
        return state

    def _running(self, market: Market) -> Bar | None:
        """The running candle, as of the last tick; what waits must be added up."""
        minute = None if self._minutes is None else self._minutes.running.get(market)
        bar = self._bars.get(market)
        for newer in (minute, market.bar):
            if bar is None:
                bar = newer
            elif newer is not None:
                bar = copy(bar)
                bar.add(newer)
        return bar

    def _candle(self, market: Market, start: int, end: int, bar: Bar | None, before: str, rev: int | None) -> KlineData:
        """The candle of `bar`, or the empty one after a close of `before`; closed where it has a `rev`."""
        opened, high, low, close = (bar.open, bar.high, bar.low, bar.close) if bar else (before,) * 4
        return KlineData(
            symbol=market.symbol,
            interval=self._interval.name,
            start=start,
            end=end,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=plain(bar.volume) if bar else "0",
            quote_volume=plain(bar.quote_volume) if bar else "0",
            taker_volume=plain(bar.taker_volume) if bar else "0",
            taker_quote_volume=plain(bar.taker_quote_volume) if bar else "0",
            count=bar.count if bar else 0,
            first_id=bar.first_id if bar else -1,
            last_id=bar.last_id if bar else -1,
            closed=rev is not None,
            complete=self._markets.recorded.complete(start, end, market.taken),
            rev=rev or 0,
        )

    def _close_until(
        self,
        last: int,
        ended: Iterable[tuple[Market, Bar]],
        leaps: Iterable[tuple[int, int]],
        publications: list[Publication],
    ) -> None:
        """Close the running candles and all up to those that start at `last`, which run now."""
        interval = self._interval
        candles: dict[int, dict[Market, Bar]] = {self._start: self._bars}
        for market, bar in ended:
            _add(candles.setdefault(interval.start(bar.second * 1_000), {}), market, bar)
        long = [leap for leap in leaps if leap[1] - leap[0] > LONGEST_RUN * interval.length_ms]
        start = self._start
        while start < last:
            end = interval.end(start)
            self._close(start, end, candles.get(start, {}), publications)
            start = end
            for leap_from, leap_to in long:
                if leap_from < start and interval.end(start) <= leap_to and start < leap_to - LATE_MS:
                    # Nothing is made up for the time between, nor corrected behind it. Near its end late trades may
                    # have made candles, or will.
                    start = min([later for later in candles if later >= start] + [interval.start(leap_to)])
                    self._let_go(0)
        self._begin(last)
        self._bars = candles.get(last, {})
        self._touch_all()

    def _close(self, start: int, end: int, bars: dict[Market, Bar], publications: list[Publication]) -> None:
        recorded, changes = self._markets.recorded, self._markets.changes
        for market in bars:
            self._since.setdefault(market, start)
        closed = self._held[start] = _Closed(start, end, bars, published=True)
        self._let_go(self._held_count)
        if changes is not None and self._interval.length_ms > 1_000:  # the board tells of seconds
            for market, own in bars.items():
                changes.candles.append((self._interval.name, market.symbol, start, copy(own)))
        if not recorded.complete(start, end):
            closed.partial = {market for market in self._since if not recorded.complete(start, end, market.taken)}
        for market in self._since:
            if self._markets.wanted(Channel(self._kind, market.symbol)):
                bar = bars.get(market)
                self._publish_closed(market, start, end, bar, self._closes.get(market, ""), 0, publications)
        for market, bar in bars.items():
            self._closes[market] = bar.close

    def _publish_closed(
        self,
        market: Market,
        start: int,
        end: int,
        bar: Bar | None,
        before: str,
        rev: int,
        publications: list[Publication],
    ) -> None:
        data = self._candle(market, start, end, bar, before, rev)
        publications.append(Publication(Channel(self._kind, market.symbol), data, slow=SlowPolicy.QUEUE))

    def _let_go(self, count: int) -> None:
        while len(self._held) > count:
            oldest = self._held.pop(next(iter(self._held)))
            self._gone = oldest.start
            for market, bar in oldest.bars.items():
                self._closes_before[market] = oldest.start, bar.close

    def _take_late(self, market: Market, bar: Bar, publications: list[Publication]) -> None:
        start = self._interval.start(bar.second * 1_000)
        if start == self._start:
            _add(self._bars, market, bar)
            return
        if start not in self._held:
            self._hold_earlier(start)
        if start in self._held:
            self._correct(market, self._held[start], bar, publications)

    def _hold_earlier(self, start: int) -> None:
        """Hold the candle of a time before the first event (or the first after a leap), and those up to it."""
        if self._gone is not None and start <= self._gone:
            return
        first = next(iter(self._held), self._start)
        earlier: dict[int, _Closed] = {}
        while start < first and len(earlier) + len(self._held) < self._held_count:
            end = self._interval.end(start)
            earlier[start] = _Closed(start, end, {}, published=False)
            start = end
        if start == first:
            self._held = {**earlier, **self._held}

    def _correct(self, market: Market, closed: _Closed, bar: Bar, publications: list[Publication]) -> None:
        candle = closed.bars.get(market)
        before = self._close_before(market, closed.start)
        old_close = before if candle is None else candle.close
        new = market not in self._since or closed.start < self._since[market]
        _add(closed.bars, market, bar)
        close = closed.bars[market].close
        self._publish_again(market, closed, before, publications)
        if close != old_close:
            # The empty candles behind repeat its close, up to the next with trades or, all empty, the running one.
            for later in self._held.values():
                if later.start > closed.start:
                    if market in later.bars:
                        break
                    self._publish_again(market, later, close, publications)
            else:
                self._closes[market] = close
                self._touch(market)
        if new:
            self._since[market] = closed.start

    def _publish_again(self, market: Market, closed: _Closed, before: str, publications: list[Publication]) -> None:
        complete = self._markets.recorded.complete(closed.start, closed.end, market.taken)
        (closed.partial.discard if complete else closed.partial.add)(market)
        never = market not in self._since or closed.start < self._since[market]
        rev = closed.revs[market] = closed.revs.get(market, -1 if never or not closed.published else 0) + 1
        if self._markets.wanted(Channel(self._kind, market.symbol)):
            self._publish_closed(market, closed.start, closed.end, closed.bars.get(market), before, rev, publications)

    def _close_before(self, market: Market, start: int) -> str:
        _, close = self._closes_before.get(market, (0, ""))
        for closed in self._held.values():
            if closed.start < start and market in closed.bars:
                close = closed.bars[market].close
        return close

    def _judge_again(self, markets: Iterable[Market], stretch: Stretch, publications: list[Publication]) -> None:
        """Say of candles of this time whether they are complete, where that was said otherwise."""
        recorded = self._markets.recorded
        for closed in self._held.values():
            if closed.start <= stretch[1] and stretch[0] < closed.end:
                for market in markets:
                    complete = recorded.complete(closed.start, closed.end, market.taken)
                    since = self._since.get(market)
                    if since is not None and since <= closed.start and complete is (market in closed.partial):
                        before = self._close_before(market, closed.start)
                        self._publish_again(market, closed, before, publications)
        for market in markets:
            if market in self._since:
                self._touch(market)


def _add(bars: dict[Market, Bar], market: Market, bar: Bar) -> None:
    known = bars.get(market)
    if known is None:
        bars[market] = copy(bar)  # the tick's own is shared with the other intervals
    else:
        known.add(bar)
