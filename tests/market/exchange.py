"""A board with all channels, a wall clock to move by hand, and events in few words."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

from exchange_push.market.avgprice import AveragePriceFeed
from exchange_push.market.board import TICK_MS, Board
from exchange_push.market.bookticker import BookTickerFeed, EveryBookTickerFeed
from exchange_push.market.depth import BestLevelsFeed, DepthFeed
from exchange_push.market.events import (
    BookSnapshot,
    DepthChange,
    Gap,
    Level,
    MarketEvent,
    Restart,
    Trade,
)
from exchange_push.market.executions import ExecutionsFeed
from exchange_push.market.feed import FeedFactory, Past
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kline import KlineFeed
from exchange_push.market.markprice import EveryMarkPriceFeed, MarkPriceFeed
from exchange_push.market.miniticker import EveryMiniTickerFeed, MiniTickerFeed
from exchange_push.market.product import Product
from exchange_push.market.rolling import EveryRollingTickerFeed, RollingTickerFeed
from exchange_push.market.slowdepth import SlowDepthFeed
from exchange_push.market.ticker import EveryTickerFeed, TickerFeed
from exchange_push.market.trades import TradesFeed
from exchange_push.pubsub.channel import ALL, Channel, ChannelKind, Owner, SlowPolicy
from exchange_push.pubsub.publication import Publication

KINDS: dict[ChannelKind, FeedFactory] = {
    ChannelKind("depth", Owner.SYMBOL, SlowPolicy.RESYNC, 100, of_book=True): DepthFeed,
    **{
        ChannelKind(f"depth{levels}", Owner.SYMBOL, SlowPolicy.CONFLATE, 100, of_book=True): partial(
            BestLevelsFeed, levels=levels
        )
        for levels in (5, 10, 20)
    },
    ChannelKind("trades", Owner.SYMBOL, SlowPolicy.QUEUE, 100): TradesFeed,
    ChannelKind("bookticker", Owner.SYMBOL, SlowPolicy.CONFLATE, 50, of_book=True): BookTickerFeed,
    ChannelKind("ticker", Owner.SYMBOL, SlowPolicy.CONFLATE, 1_000): TickerFeed,
    **{
        ChannelKind(f"kline_{name}", Owner.SYMBOL, SlowPolicy.CONFLATE, 250): partial(KlineFeed, interval=name)
        for name in INTERVALS
    },
    ChannelKind("markprice", Owner.SYMBOL, SlowPolicy.CONFLATE, 1_000): MarkPriceFeed,
    ChannelKind("ticker", Owner.EVERY, SlowPolicy.RESYNC, 1_000): EveryTickerFeed,
    ChannelKind("markprice", Owner.EVERY, SlowPolicy.RESYNC, 1_000): EveryMarkPriceFeed,
    **{
        ChannelKind(f"depth_{name}", Owner.SYMBOL, SlowPolicy.RESYNC, every_ms, of_book=True): SlowDepthFeed
        for name, every_ms in (("250ms", 250), ("500ms", 500), ("1s", 1_000))
    },
    ChannelKind("trade", Owner.SYMBOL, SlowPolicy.QUEUE, 50): ExecutionsFeed,
    ChannelKind("miniticker", Owner.SYMBOL, SlowPolicy.CONFLATE, 1_000): MiniTickerFeed,
    ChannelKind("miniticker", Owner.EVERY, SlowPolicy.RESYNC, 1_000): EveryMiniTickerFeed,
    **{
        ChannelKind(f"ticker_{window}", owner, slow, 1_000): partial(make, window=window)
        for window in ("1h", "4h", "1d")
        for owner, slow, make in (
            (Owner.SYMBOL, SlowPolicy.CONFLATE, RollingTickerFeed),
            (Owner.EVERY, SlowPolicy.RESYNC, EveryRollingTickerFeed),
        )
    },
    ChannelKind("bookticker", Owner.EVERY, SlowPolicy.RESYNC, 1_000, of_book=True): EveryBookTickerFeed,
    ChannelKind("avgprice", Owner.SYMBOL, SlowPolicy.CONFLATE, 1_000): AveragePriceFeed,
    ChannelKind("markprice_3s", Owner.SYMBOL, SlowPolicy.CONFLATE, 3_000): MarkPriceFeed,
    ChannelKind("markprice_3s", Owner.EVERY, SlowPolicy.RESYNC, 3_000): EveryMarkPriceFeed,
}

_BY_NAME = {(kind.owner, kind.name): kind for kind in KINDS}


def channel(name: str) -> Channel:
    owner, _, kind = name.partition("@")
    return Channel(_BY_NAME[Owner.EVERY if owner == ALL else Owner.SYMBOL, kind], owner)


def kinds(*names: str) -> dict[ChannelKind, FeedFactory]:
    """The rows of these kinds; `*@ticker` for the one of every symbol."""
    rows = [channel(name if "@" in name else f"S@{name}").kind for name in names]
    return {kind: KINDS[kind] for kind in rows}


class Exchange:
    """Feeds a board and keeps what it publishes, as (wall ms, publication)."""

    def __init__(
        self,
        *names: str,
        wanted: Callable[[Channel], bool] = lambda channel: True,
        any_wanted: Callable[[ChannelKind], bool] = lambda kind: True,
        products: Mapping[str, Product] | None = None,
        now_ms: int = 0,
        past: Past | None = None,
    ) -> None:
        self.board = Board(
            kinds(*names) if names else KINDS,
            wanted=wanted,
            any_wanted=any_wanted,
            products=products or {},
            past=past,
        )
        self.now_ms = now_ms
        self.published: list[tuple[int, Publication]] = []

    def apply(self, *events: MarketEvent | Restart | Gap) -> None:
        self.board.apply(events, self.now_ms)

    def restart(self, session: int) -> None:
        """The engine's feed begins a newer session."""
        self.apply(Restart(session))

    def jump(self, event: Trade) -> None:
        """Apply a trade whose time is far ahead, and what bears it out: another symbol's book of that time."""
        self.apply(event, BookSnapshot("JUMP", event.time, event.time, [], []))

    def tick(self) -> list[Publication]:
        """Let the wall reach its next 50 ms."""
        self.now_ms += TICK_MS - self.now_ms % TICK_MS
        publications = self.board.flush(self.now_ms)
        self.published += [(self.now_ms, publication) for publication in publications]
        return publications

    def run(self, ms: int) -> list[Publication]:
        """Let the wall go on by this much, a multiple of 50."""
        end = self.now_ms + ms
        publications: list[Publication] = []
        while self.now_ms < end:
            publications += self.tick()
        return publications

    def state(self, name: str) -> Any:
        """The state of a channel as a client gets it."""
        publication = self.board.state(channel(name))
        return None if publication is None else wire(publication)

    def sent(self, name: str) -> list[Any]:
        """All that was published on a channel, as a client gets it."""
        return of(name, (publication for _, publication in self.published))


def wire(publication: Publication) -> Any:
    return msgspec.json.decode(msgspec.json.encode(publication.data))


def of(name: str, publications: Iterable[Publication]) -> list[Any]:
    wished = channel(name)
    return [wire(publication) for publication in publications if publication.channel == wished]


def trade(
    id: int, price: str, qty: str, time: int, side: str = "buy", order: int | str | None = None, symbol: str = "S"
) -> Trade:
    return Trade(symbol, id, price, qty, "buy" if side == "buy" else "sell", time, order)


def book(id: int, time: int, bids: list[Level], asks: list[Level], symbol: str = "S") -> BookSnapshot:
    return BookSnapshot(symbol, id, time, bids, asks)


def depth(first: int, last: int, time: int, bids: list[Level], asks: list[Level], symbol: str = "S") -> DepthChange:
    return DepthChange(symbol, first, last, time, bids, asks)
