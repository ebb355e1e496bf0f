"""`@avgprice`: the mean price of the last 5 minutes, weighted by quantity; without trades in them, the last price."""

from functools import partial
from typing import Final

import msgspec

from exchange_push.market.feed import Market, Markets
from exchange_push.market.ticker import TickerFeed, Tickers
from exchange_push.market.window import MINUTE
from exchange_push.pubsub.channel import ChannelKind
from exchange_push.pubsub.publication import Publication

MINUTES: Final = 5

_WINDOWS: Final = partial(Tickers, length_s=MINUTES * MINUTE, quotes=False)


class AveragePriceData(msgspec.Struct, frozen=True, rename="camel"):
    """`last_time` is of the newest trade; `complete` is false while the window holds time that was not recorded."""

    symbol: str
    minutes: int
    price: str
    last_time: int
    close_time: int
    complete: bool


class AveragePriceFeed(TickerFeed):
    """Every second, as the ticker."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        super().__init__(kind, markets, windows=_WINDOWS)
        self._last_times: dict[Market, int] = {}

    def _publish(self) -> list[Publication]:
        self._last_times = {market: market.taken.mark_time for market in self._tickers.markets}
        return super()._publish()

    def _data(self, market: Market) -> object:
        data = self._tickers.data(market)
        return AveragePriceData(
            data.symbol, MINUTES, data.weighted_avg, self._last_times[market], data.close_time, data.complete
        )
