"""`@ticker`: the figures of the last 24 hours of a symbol, and `*@ticker`: those of all symbols that changed.

The window is `[closeTime - 24 h, closeTime)` with closeTime a whole second of market time.

`open` is of the first trade in the window; `last` of the newest one that was in the window when it came; `prevClose` of
the newest one that left it, null where none did. An empty window has the last price throughout.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from exchange_push.market.bars import Bar
from exchange_push.market.book import NO_QUOTE, Quote
from exchange_push.market.exact import plain, ratio, rounded
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.market.kept import Kept
from exchange_push.market.window import MINUTE, SECOND, Piece, Window
from exchange_push.pubsub.channel import ALL, Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

WINDOW_S: Final = 86_400
_AHEAD_S: Final = 60  # what a window's old end will move into is read so long before
_LOOK_S: Final = 10
_TRIES: Final = 20  # then what a store gives back has other trades for good: the past was loaded, or a row is gone
AVERAGE_STEP = Decimal("0.00000001")
PERCENT_STEP = Decimal("0.001")
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


def _figures(symbol: str, window: Window, quote: Quote, complete: bool) -> TickerData:
    """The figures without their times, of a window that trades have been in."""
    assert window.last is not None
    _, last_id, last, last_qty = window.last
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
        change_percent=ratio(change * _HUNDRED, base, PERCENT_STEP) if base else "0.000",
        weighted_avg=(
            ratio(window.quote_volume, window.volume, AVERAGE_STEP) if window.volume else rounded(price, AVERAGE_STEP)
        ),
        prev_close=None if window.left is None else window.left.price,
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
        complete=complete,
    )


class Tickers:
    """All windows of one length, and the figures as of the last whole second on which a ticker was due. They are worked
    out when somebody asks for them.

    A window is `length_s` long, and begins up to `step_s` earlier, at a whole one of these. Without `quotes` its
    figures leave out the book.
    """

    def __init__(
        self,
        markets: Markets,
        length_s: int = WINDOW_S,
        step_s: int = SECOND,
        *,
        quotes: bool = True,
    ) -> None:
        self._markets = markets
        self._length_s = length_s
        self._step_s = step_s
        self._has_quotes = quotes
        self._quotes: dict[Market, Quote] = {}
        self._booked: dict[Market, None] = {}
        self._start_over()

    def _start_over(self) -> None:
        self._windows: dict[Market, Window] = {}
        self._opened: int | None = None
        self._tick: Tick | None = None
        self._due = False
        self._waiting: list[tuple[Market, Bar]] = []
        self._rolling: int | None = None  # the close time to which all windows are to be moved
        self._rolled: list[tuple[Market, Bar]] = []  # what they are to take in before
        self._refused: dict[tuple[int, int], int] = {}  # how often a store gave back other trades than were in a piece
        self.markets: dict[Market, None] = {}
        """Those that have figures."""
        self._figures: dict[Market, TickerData] = {}
        self._complete: dict[Market, bool] = {}
        self._stale: dict[Market, None] = {}  # whose figures are to be worked out
        self.close_time = 0
        self.new = False
        """Whether this tick brought figures of a later time."""

    def collect(self, tick: Tick, due: bool) -> None:
        """Take in a tick, once for all who ask."""
        if tick is self._tick:
            return
        if tick.anew:
            self._start_over()
        self._tick = tick
        self._waiting += tick.closed
        self._waiting += tick.late
        if self._has_quotes:
            self._booked.update(tick.booked)
        # Due by the wall's second, it may have to wait some ticks for the market's.
        self._due = self._due or due
        close_time = tick.time - tick.time % 1_000
        if self._rolling is None and self._due and close_time != self.close_time:
            self._due = False
            self._rolling, self._rolled, self._waiting = close_time, self._waiting, []
        self.new = self._rolling is not None and self._split(self._opening(self._rolling))
        if self._rolling is not None and self.new:
            self._roll(self._rolling)
            self._rolling = None

    def _opening(self, close_time: int) -> int:
        """The second at which windows begin that end at this time."""
        opened = close_time // 1_000 - self._length_s
        return opened - opened % self._step_s

    def restore(self, kept: Kept) -> None:
        """Have the windows of an earlier run."""
        opened = self._opened = self._opening(kept.second * 1_000)
        for symbol in kept.symbols:
            if symbol.before is None and not symbol.pieces:
                continue
            window = self._window()
            for bar in (symbol.before, *(piece.bar for piece in symbol.pieces if piece.end <= opened)):
                if bar is not None:
                    window.pass_by(bar)
            for piece in symbol.pieces:
                if piece.end > opened and piece.start < kept.second:
                    window.load(piece)
            market = self._markets.by_symbol[symbol.symbol]
            self._windows[market] = window
            self._booked[market] = None  # to be looked at in the first roll

    def _window(self) -> Window:
        return Window(keeps=self._markets.past is None, grain=self._step_s)

    def _split(self, opened: int) -> bool:
        """Split what the windows' old end moves into; whether that is done for windows that begin at `opened`."""
        past = self._markets.past
        if past is None:
            return True
        wanted: dict[tuple[int, int], list[tuple[Market, Window, Piece]]] = {}
        # A look ahead now and then is enough, since it is for longer than until the next.
        until = opened + _AHEAD_S if opened % _LOOK_S == 0 else opened
        for market, window in self._windows.items():
            piece = window.coarse(opened, until)
            if piece is not None and self._refused.get((piece.start, piece.length), 0) < _TRIES:
                wanted.setdefault((piece.start, piece.length), []).append((market, window, piece))
        done = True
        for (start, length), pieces in sorted(wanted.items()):
            interval = "1s" if length == MINUTE else "1m"
            bars = past.bars(interval, start * 1_000, (start + length) * 1_000)
            if bars is None:
                done = done and start >= opened
                continue
            split = [window.split(piece, bars.get(market.symbol, ())) for market, window, piece in pieces]
            if not all(split):
                self._refused[start, length] = self._refused.get((start, length), 0) + 1
            # An hour became minutes, of which the first may have to be split as well.
            done = done and start >= opened
        return done

    def _roll(self, close_time: int) -> None:
        """Move all windows so that they end at `close_time`."""
        changed = self._booked
        self._booked = {}
        if self._has_quotes:
            for market in changed:
                self._quotes[market] = market.quote()
        opened = self._opening(close_time)
        before = self._opened
        if before is None:
            before = min((self._markets.recorded.begin or 0) // 1_000 - self._length_s, opened)
        self._opened = opened
        for market, bar in self._rolled:
            window = self._windows.get(market)
            if window is None:
                window = self._windows[market] = self._window()
            window.add(bar, before)
            changed[market] = None
        self._rolled = []
        recorded = self._markets.recorded
        for market, window in self._windows.items():
            if window.reaches_over(opened):
                window.expire(opened)
                changed[market] = None
            complete = recorded.complete(opened * 1_000, close_time, market.taken) and not window.reaches_over(opened)
            if window.last is not None and (market in changed or self._complete.get(market) is not complete):
                self._complete[market] = complete
                self.markets[market] = self._stale[market] = None
        self.close_time = close_time
        self._refused = {key: tries for key, tries in self._refused.items() if sum(key) > opened}

    def figures(self, market: Market) -> TickerData:
        """Without times; another object only where something changed. Call within EXACT."""
        if market in self._stale:
            del self._stale[market]
            quote = self._quotes.get(market, NO_QUOTE)
            figures = _figures(market.symbol, self._windows[market], quote, self._complete[market])
            if figures != self._figures.get(market):
                self._figures[market] = figures
        return self._figures[market]

    def data(self, market: Market) -> TickerData:
        return msgspec.structs.replace(
            self.figures(market), open_time=self._opening(self.close_time) * 1_000, close_time=self.close_time
        )


def day(markets: Markets) -> Tickers:
    """The windows of 24 hours."""
    return Tickers(markets)


class TickerFeed:
    """Every second, traded or not, since trades leave the window."""

    def __init__(self, kind: ChannelKind, markets: Markets, *, windows: Callable[[Markets], Tickers] = day) -> None:
        self._kind = kind
        self._markets = markets
        self._tickers = markets.shared(windows)
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        self._tickers.collect(tick, due)
        return self._publish() if self._tickers.new else []

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        return None if market is None or market not in self._tickers.markets else self._state(market)

    def _publish(self) -> list[Publication]:
        self._states = {}
        return [self._state(market) for market in self._markets.wanted_of(self._kind, self._tickers.markets)]

    def _state(self, market: Market) -> Publication:
        state = self._states.get(market)
        if state is None:
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), self._data(market))
        return state

    def _data(self, market: Market) -> object:
        return self._tickers.data(market)


class EveryTickerFeed(TickerFeed):
    """One array a second of the symbols whose figures changed; the state is the array of all."""

    def __init__(self, kind: ChannelKind, markets: Markets, *, windows: Callable[[Markets], Tickers] = day) -> None:
        super().__init__(kind, markets, windows=windows)
        self._channel = Channel(kind, ALL)
        self._last: dict[Market, TickerData] = {}
        self._all: Publication | None = None

    def state(self, owner: str) -> Publication | None:
        if self._all is None and self._tickers.markets:
            self._last = self._figures()
            self._all = Publication(self._channel, [self._data(market) for market in self._last])
        return self._all

    def _publish(self) -> list[Publication]:
        self._all = None
        if not self._markets.any_wanted(self._kind):
            self._last = {}  # who comes then has all of them as the state
            return []
        last, self._last = self._last, self._figures()
        if not self._markets.wanted(self._channel):
            return []
        changed = [market for market, figures in self._last.items() if self._differ(figures, last.get(market))]
        return [Publication(self._channel, [self._data(market) for market in changed])] if changed else []

    def _figures(self) -> dict[Market, TickerData]:
        return {market: self._tickers.figures(market) for market in self._tickers.markets}

    def _differ(self, figures: TickerData, last: TickerData | None) -> bool:
        return figures is not last
