"""`@miniticker`, `*@miniticker`: of the ticker's figures the few that a list of symbols shows."""

import msgspec

from exchange_push.market.feed import Market
from exchange_push.market.ticker import EveryTickerFeed, TickerData, TickerFeed


class MiniTickerData(msgspec.Struct, frozen=True, rename="camel"):
    symbol: str
    open: str
    high: str
    low: str
    last: str
    volume: str
    quote_volume: str
    close_time: int


def _mini(data: TickerData) -> MiniTickerData:
    return MiniTickerData(
        data.symbol, data.open, data.high, data.low, data.last, data.volume, data.quote_volume, data.close_time
    )


class MiniTickerFeed(TickerFeed):
    """Every second, as the ticker."""

    def _data(self, market: Market) -> object:
        return _mini(self._tickers.data(market))


class EveryMiniTickerFeed(EveryTickerFeed):
    """One array a second of the symbols of which something that it shows changed; the state is the array of all."""

    def _data(self, market: Market) -> object:
        return _mini(self._tickers.data(market))

    def _differ(self, figures: TickerData, last: TickerData | None) -> bool:
        return last is None or (figures is not last and _mini(figures) != _mini(last))
