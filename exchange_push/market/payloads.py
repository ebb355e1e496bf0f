"""What each feed publishes: the types by which its channels are described."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec import UNSET, UnsetType

from exchange_push.market.avgprice import AveragePriceData, AveragePriceFeed
from exchange_push.market.bookticker import (
    BookTickerData,
    BookTickerFeed,
    EveryBookTickerFeed,
    SymbolBookTickerData,
)
from exchange_push.market.depth import BestLevelsData, BestLevelsFeed, DepthData, DepthFeed
from exchange_push.market.executions import ExecutionsData, ExecutionsFeed
from exchange_push.market.feed import FeedFactory
from exchange_push.market.kline import KlineData, KlineFeed
from exchange_push.market.markprice import EveryMarkPriceFeed, MarkPriceData, MarkPriceFeed
from exchange_push.market.miniticker import EveryMiniTickerFeed, MiniTickerData, MiniTickerFeed
from exchange_push.market.rolling import EveryRollingTickerFeed, RollingTickerData, RollingTickerFeed
from exchange_push.market.slowdepth import SlowDepthFeed
from exchange_push.market.ticker import EveryTickerFeed, TickerData, TickerFeed
from exchange_push.market.trades import TradesData, TradesFeed


class CheckedDepthData(DepthData, frozen=True):
    """A whole book as of update `last`, or the levels that the updates `first` to `last` changed.

    `checksum` is there where the client asked for it.
    """

    checksum: int | UnsetType = UNSET


PAYLOADS: Final[dict[Callable[..., object], Any]] = {
    DepthFeed: CheckedDepthData,
    SlowDepthFeed: DepthData,
    BestLevelsFeed: BestLevelsData,
    TradesFeed: TradesData,
    ExecutionsFeed: ExecutionsData,
    TickerFeed: TickerData,
    EveryTickerFeed: list[TickerData],
    MiniTickerFeed: MiniTickerData,
    EveryMiniTickerFeed: list[MiniTickerData],
    RollingTickerFeed: RollingTickerData,
    EveryRollingTickerFeed: list[RollingTickerData],
    AveragePriceFeed: AveragePriceData,
    KlineFeed: KlineData,
    MarkPriceFeed: MarkPriceData,
    EveryMarkPriceFeed: list[MarkPriceData],
    BookTickerFeed: BookTickerData,
    EveryBookTickerFeed: list[SymbolBookTickerData],
}


def payload_type(feed: FeedFactory) -> Any:
    """The type of what the feed of a row of the catalogue publishes."""
    return PAYLOADS[feed.func if isinstance(feed, partial) else feed]
