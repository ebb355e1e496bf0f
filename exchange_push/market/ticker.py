"""`@ticker`: the figures of the last 24 hours of a symbol, and `*@ticker`: those of all symbols that changed.

The window is `[closeTime - 24 h, closeTime)` with closeTime a whole second of market time.

`open` is of the first trade in the window; `last` of the newest one that was in the window when it came; `prevClose` of
the newest one that left it, null where none did. An empty window has the last price throughout.
"""

from decimal import Decimal
from typing import Final

import msgspec

from exchange_push.market.bars import Bar
from exchange_push.market.book import NO_QUOTE, Quote
from exchange_push.market.exact import plain, ratio, rounded
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.market.window import Window
from exchange_push.pubsub.channel import ALL, Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

WINDOW_S: Final = 86_400
_AVERAGE_STEP = Decimal("0.00000001")
_PERCENT_STEP = Decimal("0.001")
_HUNDRED = Decimal(100)


class TickerData(msgspec.Struct, frozen=True, rename="camel"):
    """`complete` is false while the window holds time that was not recorded. Without trades the ids are -1."""

    symbol: str
    open: str
    high: str
    low: str
    last: str
    last_qty: str
    change: str
    change_percent: str
    weighted_avg: str
    prev_close: str | None
    volume: str
    quote_volume: str
    count: int
    first_id: int
    last_id: int
    open_time: int
    close_time: int
    bid: str | None
    bid_qty: str | None
    ask: str | None
    ask_qty: str | None
    complete: bool


def _figures(symbol: str, window: Window, quote: Quote) -> TickerData | None:
    """The figures without their times; nothing where no trade was ever in the window."""
    if window.last is None:
        return None
    _, last, last_qty, last_id = window.last
    first = window.first()
    opened = last if first is None else first.open
    price, base = Decimal(last), Decimal(opened)
    change = price - base
    return TickerData(
        symbol=symbol,
        open=opened,
        high=window.high if first else last,
        low=window.low if first else last,
        last=last,
        last_qty=last_qty,
        change=plain(change),
        change_percent=ratio(change * _HUNDRED, base, _PERCENT_STEP) if base else "0.000",
        weighted_avg=(
            ratio(window.quote_volume, window.volume, _AVERAGE_STEP) if window.volume else rounded(price, _AVERAGE_STEP)
        ),
        prev_close=None if window.left is None else window.left[1],
        volume=plain(window.volume),
        quote_volume=plain(window.quote_volume),
        count=window.count,
        first_id=first.first_id if first else -1,
        last_id=last_id if first else -1,
        open_time=0,
        close_time=0,
        bid=quote.bid,
        bid_qty=quote.bid_qty,
        ask=quote.ask,
        ask_qty=quote.ask_qty,
        complete=False,
    )


class _Tickers:
    """All windows, and the figures as of the last whole second on which a ticker was due."""

    def __init__(self, markets: Markets) -> None:
        self._markets = markets
        self._quotes: dict[Market, Quote] = {}
        self._booked: dict[Market, None] = {}
        self._start_over()

    def _start_over(self) -> None:
        self._windows: dict[Market, Window] = {}
        self._leaving: dict[int, list[Market]] = {}  # by second, who has a bar of it
        self._opened: int | None = None
        self._tick: Tick | None = None
        self._waiting: list[tuple[Market, Bar]] = []
        self.figures: dict[Market, TickerData] = {}
        """Without times; another object only where something changed."""
        self.close_time = 0
        self.complete = False

    def collect(self, tick: Tick) -> None:
        """Take in a tick, once for all who ask."""
        if tick is not self._tick:
            if tick.anew:
                self._start_over()
            self._tick = tick
            self._waiting += tick.closed
            self._waiting += tick.late
            self._booked.update(tick.booked)

    def roll(self, close_time: int) -> None:
        """Move all windows so that they end at `close_time`."""
        changed = self._booked
        self._booked = {}
        for market in changed:
            self._quotes[market] = market.quote()
        opened = close_time // 1_000 - WINDOW_S
        before = self._opened
        if before is None:
            before = min((self._markets.recorded.begin or 0) // 1_000 - WINDOW_S, opened)
        self._opened = opened
        for market, bar in self._waiting:
            window = self._windows.get(market)
            if window is None:
                window = self._windows[market] = Window()
            if window.add(bar, before):
                self._leaving.setdefault(bar.second, []).append(market)
            changed[market] = None
        self._waiting = []
        seconds = range(before, opened)
        if len(seconds) > len(self._leaving):
            for second in sorted(second for second in self._leaving if second < opened):
                self._expire(second, opened, changed)
        else:
            for second in seconds:
                self._expire(second, opened, changed)
        for market in changed:
            window = self._windows.get(market)
            figures = window and _figures(market.symbol, window, self._quotes.get(market, NO_QUOTE))
            if figures and figures != self.figures.get(market):
                self.figures[market] = figures
        self.close_time = close_time
        self.complete = self._markets.recorded.complete(close_time - WINDOW_S * 1_000, close_time)

    def data(self, market: Market) -> TickerData:
        return msgspec.structs.replace(
            self.figures[market],
            open_time=self.close_time - WINDOW_S * 1_000,
            close_time=self.close_time,
            complete=self.complete,
        )

    def _expire(self, second: int, opened: int, changed: dict[Market, None]) -> None:
        for market in self._leaving.pop(second, ()):
            self._windows[market].expire(opened)
            changed[market] = None


class TickerFeed:
    """Every second, traded or not, since trades leave the window."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._tickers = markets.shared(_Tickers)
        self._due = False
        self._close_time = 0
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        self._tickers.collect(tick)
        # Due by the wall's second, it may have to wait some ticks for the market's.
        self._due = self._due or due
        close_time = tick.time - tick.time % 1_000
        if not self._due or close_time == self._close_time:
            return []
        self._due = False
        self._close_time = close_time
        if close_time != self._tickers.close_time:
            self._tickers.roll(close_time)
        return self._publish()

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        return None if market is None or market not in self._tickers.figures else self._state(market)

    def _publish(self) -> list[Publication]:
        self._states = {}
        wanted, kind = self._markets.wanted, self._kind
        return [self._state(market) for market in self._tickers.figures if wanted(Channel(kind, market.symbol))]

    def _state(self, market: Market) -> Publication:
        state = self._states.get(market)
        if state is None:
            data = self._tickers.data(market)
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), data)
        return state


class EveryTickerFeed(TickerFeed):
    """One array a second of the symbols whose figures changed; the state is the array of all."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        super().__init__(kind, markets)
        self._channel = Channel(kind, ALL)
        self._last: dict[Market, TickerData] = {}
        self._complete = False
        self._all: Publication | None = None

    def state(self, owner: str) -> Publication | None:
        figures = self._tickers.figures
        if self._all is None and figures:
            self._all = Publication(self._channel, [self._tickers.data(market) for market in figures])
        return self._all

    def _publish(self) -> list[Publication]:
        self._all = None
        tickers = self._tickers
        last, self._last = self._last, dict(tickers.figures)
        changed = [market for market, figures in self._last.items() if figures is not last.get(market)]
        if tickers.complete != self._complete:
            self._complete = tickers.complete
            changed = list(self._last)
        if not changed or not self._markets.wanted(self._channel):
            return []
        return [Publication(self._channel, [tickers.data(market) for market in changed])]
