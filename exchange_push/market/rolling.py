"""`@ticker_1h`, `@ticker_4h`, `@ticker_1d`, and `*@…` of each: the ticker's figures of other windows, without the book.

Those of an hour and of four begin at a whole minute, so they are up to 59 s longer. That of a day is the ticker's own.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from functools import partial
from typing import Final

import msgspec

from exchange_push.market.exact import EXACT, ZERO, plain, ratio, rounded
from exchange_push.market.feed import Market, Markets
from exchange_push.market.kline import KlineData
from exchange_push.market.ticker import (
    AVERAGE_STEP,
    PERCENT_STEP,
    EveryTickerFeed,
    TickerData,
    TickerFeed,
    Tickers,
    day,
)
from exchange_push.market.window import HOUR, MINUTE
from exchange_push.pubsub.channel import ChannelKind

WINDOWS: Final[dict[str, Callable[[Markets], Tickers]]] = {
    "1h": partial(Tickers, length_s=HOUR, step_s=MINUTE, quotes=False),
    "4h": partial(Tickers, length_s=4 * HOUR, step_s=MINUTE, quotes=False),
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


def add_up(
    symbol: str, window: str, candles: Sequence[KlineData], last: str, open_time: int, close_time: int
) -> RollingTickerData:
    """The figures of a window that candles cover, oldest first; without trades in them, those of the `last` price."""
    traded = [candle for candle in candles if candle.count]
    with localcontext(EXACT):
        volume = sum((Decimal(candle.volume) for candle in traded), ZERO)
        quote_volume = sum((Decimal(candle.quote_volume) for candle in traded), ZERO)
        opened = traded[0].open if traded else last
        closed = traded[-1].close if traded else last
        base = Decimal(opened)
        change = Decimal(closed) - base
        return RollingTickerData(
            symbol=symbol,
            window=window,
            open=opened,
            high=max((candle.high for candle in traded), key=Decimal, default=last),
            low=min((candle.low for candle in traded), key=Decimal, default=last),
            last=closed,
            change=plain(change),
            change_percent=ratio(change * 100, base, PERCENT_STEP) if base else "0.000",
            weighted_avg=ratio(quote_volume, volume, AVERAGE_STEP)
            if volume
            else rounded(Decimal(closed), AVERAGE_STEP),
            volume=plain(volume),
            quote_volume=plain(quote_volume),
            count=sum(candle.count for candle in traded),
            first_id=traded[0].first_id if traded else -1,
            last_id=traded[-1].last_id if traded else -1,
            open_time=open_time,
            close_time=close_time,
            complete=all(candle.complete for candle in candles),
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
