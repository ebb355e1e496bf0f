"""The product on one screen: what can be listened to, and in which languages.

A new public channel is a file in market/ and a row here; a new language is a file in wire/dialects/ and a row here, a
new store one in store/.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from exchange_push.market.avgprice import AveragePriceFeed
from exchange_push.market.bookticker import BookTickerFeed, EveryBookTickerFeed
from exchange_push.market.depth import BestLevelsFeed, DepthFeed
from exchange_push.market.executions import ExecutionsFeed
from exchange_push.market.feed import FeedFactory
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kline import KlineFeed
from exchange_push.market.markprice import EveryMarkPriceFeed, MarkPriceFeed
from exchange_push.market.miniticker import EveryMiniTickerFeed, MiniTickerFeed
from exchange_push.market.rolling import EveryRollingTickerFeed, RollingTickerFeed
from exchange_push.market.slowdepth import SlowDepthFeed
from exchange_push.market.ticker import EveryTickerFeed, TickerFeed
from exchange_push.market.trades import TradesFeed
from exchange_push.pubsub.channel import ChannelKind, Owner, SlowPolicy
from exchange_push.pubsub.terms import Dialect, Open, Opening
from exchange_push.store.keeper import Store, StoreFactory
from exchange_push.store.sqlite import SqliteStore
from exchange_push.wire.dialects.binance import api as binance_api
from exchange_push.wire.dialects.binance import paths as binance
from exchange_push.wire.dialects.plain import PLAIN, PLAIN_MSGPACK

_SYMBOL, _EVERY, _USER, _NOBODY = Owner.SYMBOL, Owner.EVERY, Owner.USER, Owner.NOBODY
_CONFLATE, _QUEUE, _RESYNC = SlowPolicy.CONFLATE, SlowPolicy.QUEUE, SlowPolicy.RESYNC


def _klines() -> Iterator[tuple[ChannelKind, FeedFactory]]:
    for interval in INTERVALS:
        yield ChannelKind(f"kline_{interval}", _SYMBOL, _CONFLATE, 250), partial(KlineFeed, interval=interval)


# Computed channels: kind, owner, what a slow client gets, cadence in ms, and the feed that computes it. What shares its
# figures is due together; what is much work each second is put off, so that no tick has all of it.
# fmt: off
COMPUTED: Final[dict[ChannelKind, FeedFactory]] = {
    ChannelKind("depth",      _SYMBOL, _RESYNC,    100, checksum=True, of_book=True, ring_size=600): DepthFeed,
    ChannelKind("depth5",     _SYMBOL, _CONFLATE,  100, of_book=True): partial(BestLevelsFeed, levels=5),
    ChannelKind("depth10",    _SYMBOL, _CONFLATE,  100, of_book=True): partial(BestLevelsFeed, levels=10),
    ChannelKind("depth20",    _SYMBOL, _CONFLATE,  100, of_book=True): partial(BestLevelsFeed, levels=20),
    ChannelKind("trades",     _SYMBOL, _QUEUE,     100, ring_size=600): TradesFeed,
    ChannelKind("ticker",     _SYMBOL, _CONFLATE, 1000, after_ms=100): TickerFeed,
    **dict(_klines()),
    ChannelKind("markprice",  _SYMBOL, _CONFLATE, 1000, after_ms=900, of_index=True): MarkPriceFeed,
    ChannelKind("bookticker", _SYMBOL, _CONFLATE,   50, of_book=True): BookTickerFeed,
    ChannelKind("ticker",     _EVERY,  _RESYNC,   1000, after_ms=100): EveryTickerFeed,
    ChannelKind("markprice",  _EVERY,  _RESYNC,   1000, after_ms=900): EveryMarkPriceFeed,
    # The same in other doses. Slower chains of the book stand behind the one that they are made of.
    ChannelKind("depth_250ms", _SYMBOL, _RESYNC,   250, of_book=True): SlowDepthFeed,
    ChannelKind("depth_500ms", _SYMBOL, _RESYNC,   500, of_book=True): SlowDepthFeed,
    ChannelKind("depth_1s",   _SYMBOL, _RESYNC,   1000, after_ms=600, of_book=True): SlowDepthFeed,
    ChannelKind("depth5_1s",  _SYMBOL, _CONFLATE, 1000, after_ms=600, of_book=True): partial(BestLevelsFeed, levels=5),
    ChannelKind("depth10_1s", _SYMBOL, _CONFLATE, 1000, after_ms=600, of_book=True): partial(BestLevelsFeed, levels=10),
    ChannelKind("depth20_1s", _SYMBOL, _CONFLATE, 1000, after_ms=600, of_book=True): partial(BestLevelsFeed, levels=20),
    ChannelKind("trade",      _SYMBOL, _QUEUE,      50, ring_size=600): ExecutionsFeed,
    ChannelKind("miniticker", _SYMBOL, _CONFLATE, 1000, after_ms=100): MiniTickerFeed,
    ChannelKind("miniticker", _EVERY,  _RESYNC,   1000, after_ms=100): EveryMiniTickerFeed,
    ChannelKind("bookticker", _EVERY,  _RESYNC,   1000, after_ms=800, of_book=True): EveryBookTickerFeed,
    ChannelKind("ticker_1h",  _SYMBOL, _CONFLATE, 1000, after_ms=300): partial(RollingTickerFeed, window="1h"),
    ChannelKind("ticker_4h",  _SYMBOL, _CONFLATE, 1000, after_ms=400): partial(RollingTickerFeed, window="4h"),
    ChannelKind("ticker_1d",  _SYMBOL, _CONFLATE, 1000, after_ms=100): partial(RollingTickerFeed, window="1d"),
    ChannelKind("ticker_1h",  _EVERY,  _RESYNC,   1000, after_ms=300): partial(EveryRollingTickerFeed, window="1h"),
    ChannelKind("ticker_4h",  _EVERY,  _RESYNC,   1000, after_ms=400): partial(EveryRollingTickerFeed, window="4h"),
    ChannelKind("ticker_1d",  _EVERY,  _RESYNC,   1000, after_ms=100): partial(EveryRollingTickerFeed, window="1d"),
    ChannelKind("avgprice",   _SYMBOL, _CONFLATE, 1000, after_ms=700): AveragePriceFeed,
    ChannelKind("markprice_3s", _SYMBOL, _CONFLATE, 3000, after_ms=900, of_index=True): MarkPriceFeed,
    ChannelKind("markprice_3s", _EVERY,  _RESYNC, 3000, after_ms=900): EveryMarkPriceFeed,
}
# Channels that show something of a symbol's book: where books are polled, it is for these.
POLLED: Final = frozenset(
    kind
    for kind in COMPUTED
    if kind.owner is _SYMBOL and (kind.of_book or kind.of_index or kind.name == "ticker")
)
# Channels whose payload is whatever is pushed to them. A user's are kept for long, so that a trader misses nothing, and
# compressed for one or two clients only, which pays later.
PUSHED: Final = (
    ChannelKind("balance",    _USER,   _QUEUE, deflate_bytes=1024, ring_size=1000, ring_ms=300_000),
    ChannelKind("order",      _USER,   _QUEUE, deflate_bytes=1024, ring_size=1000, ring_ms=300_000),
    ChannelKind("position",   _USER,   _QUEUE, deflate_bytes=1024, ring_size=1000, ring_ms=300_000),
    ChannelKind("account",    _USER,   _QUEUE, deflate_bytes=1024, ring_size=1000, ring_ms=300_000),
    ChannelKind("system",     _NOBODY, _QUEUE),
)
ALIASES: Final = {"kline": "kline_1m"}

# By the WebSocket subprotocol that asks for it; None: of who asks for none.
DIALECTS: Final[dict[str | None, Dialect]] = {
    None:                    PLAIN,
    "exchange-push.msgpack": PLAIN_MSGPACK,
}
# Languages that go by the path.
PATHS: Final[dict[str, Open]] = {
    "binance":               binance.open,
    "binance_api":           binance_api.open,
}
# By the name in front of what `--store` says; where none stands there it is the first.
STORES: Final[dict[str, StoreFactory]] = {
    "sqlite": SqliteStore,
}
# fmt: on


def own_path(path: str) -> Open:
    """The path of our own language: which of DIALECTS it is goes by the subprotocols that a client offers."""
    openings = {name: Opening(dialect, (), name) for name, dialect in DIALECTS.items()}

    def open(target: str, query: str, subprotocols: Sequence[str]) -> Opening | None:
        if target != path:
            return None
        return next((openings[name] for name in subprotocols if name in openings), openings[None])

    return open


def open_store(where: str, keep_ms: Mapping[str, int]) -> Store:
    """The store that is meant by `sqlite:FILE` or `FILE`. Raises ConfigError."""
    name, _, rest = where.partition(":")
    if name in STORES:
        return STORES[name](rest, keep_ms)
    return next(iter(STORES.values()))(where, keep_ms)


def configured(public: tuple[str, ...], private: tuple[str, ...]) -> Iterator[ChannelKind]:
    """The kinds that an operator adds: what is pushed to them goes to a symbol's listeners, to all, or to a user."""
    for name in public:
        yield ChannelKind(name, _SYMBOL, _QUEUE)
        yield ChannelKind(name, _EVERY, _QUEUE)
    for name in private:
        yield ChannelKind(name, _USER, _QUEUE, deflate_bytes=1024, ring_size=1000, ring_ms=300_000)
