"""`@ticker_1h`, `@ticker_4h`, `@ticker_1d`, and `*@…` of each: the ticker's figures of other windows, without the book.

Those of an hour and of four begin at a whole minute, so they are up to 59 s longer. That of a day is the ticker's own.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from exchange_push.market.feed import Market, Markets
from exchange_push.market.ticker import EveryTickerFeed, TickerData, TickerFeed, Tickers, day
from exchange_push.market.window import HOUR, MINUTE
from exchange_push.pubsub.channel import ChannelKind

WINDOWS: Final[dict[str, Callable[[Markets], Tickers]]] = {
    "1h": partial(Tickers, length_s=HOUR, step_s=MINUTE, quotes=False, after_ms=150),
    "4h": partial(Tickers, length_s=4 * HOUR, step_s=MINUTE, quotes=False, after_ms=350),
    "1d": day,
}


class RollingTickerData(msgspec.Struct, frozen=True, rename="camel"):
    """As the ticker's."""

    symbol: str
    window: str
    open: str
    high: str
    low: str
    last: str
    change: str
    change_percent: str
    weighted_avg: str
    volume: str
    quote_volume: str
    count: int
    first_id: int
    last_id: int
    open_time: int
    close_time: int
    complete: bool


def _rolling(window: str, data: TickerData) -> RollingTickerData:
    return RollingTickerData(
        symbol=data.symbol,
        window=window,
        open=data.open,
        high=data.high,
        low=data.low,
        last=data.last,
        change=data.change,
        change_percent=data.change_percent,
        weighted_avg=data.weighted_avg,
        volume=data.volume,
        quote_volume=data.quote_volume,
        count=data.count,
        first_id=data.first_id,
        last_id=data.last_id,
        open_time=data.open_time,
        close_time=data.close_time,
        complete=data.complete,
    )


class RollingTickerFeed(TickerFeed):
    """Every second, as the ticker."""

    def __init__(self, kind: ChannelKind, markets: Markets, *, window: str) -> None:
        super().__init__(kind, markets, windows=WINDOWS[window])
        self._window = window

    def _data(self, market: Market) -> object:
        return _rolling(self._window, self._tickers.data(market))


class EveryRollingTickerFeed(EveryTickerFeed):
    """One array a second of the symbols of which something that it shows changed; the state is the array of all."""

    def __init__(self, kind: ChannelKind, markets: Markets, *, window: str) -> None:
        super().__init__(kind, markets, windows=WINDOWS[window])
        self._window = window

    def _data(self, market: Market) -> object:
        return _rolling(self._window, self._tickers.data(market))

    def _differ(self, figures: TickerData, last: TickerData | None) -> bool:
        return last is None or (figures is not last and _rolling(self._window, figures) != _rolling(self._window, last))
