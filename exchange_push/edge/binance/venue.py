"""What clients of Binance ask of the market, answered from the same state as the streams, whatever way it came."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from exchange_push.edge.history import FOR_EVER, History, Span
from exchange_push.market.board import Board
from exchange_push.market.executions import Execution
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kline import KlineData
from exchange_push.market.product import Product
from exchange_push.market.rolling import WINDOWS, RollingTickerData, add_up
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.dialects.binance import params as read
from exchange_push.wire.dialects.binance import rest
from exchange_push.wire.dialects.binance.errors import BinanceError, Code, bad_value, missing, not_known
from exchange_push.wire.dialects.binance.info import (
    PERMISSION,
    STATUSES,
    Coin,
    Empty,
    FuturesInfo,
    SpotInfo,
    coins,
    futures_info,
    rate_limits,
    spot_info,
    status_of,
)
from exchange_push.wire.dialects.binance.params import Params

T = TypeVar("T")

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_WINDOWS_AT_ONCE: Final = 100


class Venue:
    """`symbols` gives all that exist, `knows` tells whether one does; `channel` finds the channel behind a name of one.

    Each method answers an endpoint from its parameters; what it returns is what the OpenAPI document says. They raise
    BinanceError and StoreUnavailable.
    """

    def __init__(
        self,
        board: Board,
        history: History,
        *,
        channel: Callable[[str], Channel],
        symbols: Callable[[], Iterable[str]],
        knows: Callable[[str], bool],
        products: Mapping[str, Product],
        now_ms: Callable[[], int],
        weight_per_minute: int,
    ) -> None:
        self._board = board
        self._history = history
        self._channel = channel
        self._symbols = symbols
        self._known = knows
        self._products = products
        self.now_ms = now_ms
        self._limits = rate_limits(weight_per_minute)

    def ping(self, params: Params) -> rest.Nothing:
        return rest.Nothing()

    def time(self, params: Params) -> rest.ServerTime:
        return rest.ServerTime(self.now_ms())

    # -- symbols

    def _one(self, params: Params) -> str:
        return read.symbol(params, self._known)

    def _asked_for(self, params: Params) -> list[str] | None:
        """Those named by `symbol` or `symbols`; None: neither was sent."""
        several = read.symbols(params, self._known)
        if several is not None:
            return several
        return [self._one(params)] if "symbol" in params else None

    def _each(self, params: Params, build: Callable[[str], T]) -> T | list[T]:
        """One object for `symbol`, else an array: of `symbols`, or of all of which something is known."""
        if "symbols" not in params and "symbol" in params:
            return build(self._one(params))
        named = read.symbols(params, self._known)
        found = []
        for symbol in sorted(self._symbols()) if named is None else named:
            try:
                found.append(build(symbol))
            except BinanceError:
                if named is not None:
                    raise
        return found

    def _infos(self, params: Params) -> dict[str, Product]:
        wanted = self._asked_for(params)
        return {
            symbol: self._products.get(symbol, Product())
            for symbol in (sorted(self._symbols()) if wanted is None else wanted)
        }

    def exchange_info(self, params: Params) -> SpotInfo:
        kinds = read.texts(params, "permissions")
        if kinds is not None and ("symbol" in params or "symbols" in params):
            raise read.combination("permissions", "symbol, symbols")
        status = read.choice(params, "symbolStatus", STATUSES, "")
        infos = {
            symbol: product
            for symbol, product in self._infos(params).items()
            if (kinds is None or PERMISSION in kinds) and status in ("", status_of(product))
        }
        return spot_info(infos, self._limits, self.now_ms(), permissions=read.flag(params, "showPermissionSets"))

    def futures_info(self, params: Params) -> FuturesInfo:
        return futures_info(self._infos(params), self._limits, self.now_ms())

    def coin_futures_info(self, params: Params) -> FuturesInfo:
        return futures_info({}, self._limits, self.now_ms())

    def coins(self, params: Params) -> list[Coin]:
        return coins(self._infos({}))

    def none(self, params: Params) -> Empty:
        """Of that there is nothing here."""
        return []

    # -- book

    def _state(self, symbol: str, kind: str) -> Publication:
        publication = self._board.state(self._channel(f"{symbol}@{kind}"))
        if publication is None:
            raise not_known(f"{kind} of {symbol}")
        return publication

    def _data(self, symbol: str, kind: str) -> Any:
        return self._state(symbol, kind).data

    def depth(self, params: Params) -> rest.Depth:
        state = self._state(self._one(params), "depth")
        return rest.depth(state, read.limit(params, 100, 5000))

    def futures_depth(self, params: Params) -> rest.FuturesDepth:
        state = self._state(self._one(params), "depth")
        return rest.futures_depth(state, read.limit(params, 500, 1000), self.now_ms())

    def book_ticker(self, params: Params) -> rest.BookTicker | list[rest.BookTicker]:
        return self._each(params, lambda symbol: rest.book_ticker(symbol, self._data(symbol, "bookticker")))

    def futures_book_ticker(self, params: Params) -> rest.FuturesBookTicker | list[rest.FuturesBookTicker]:
        return self._each(params, lambda symbol: rest.futures_book_ticker(symbol, self._data(symbol, "bookticker")))

    # -- candles

    async def klines(self, params: Params) -> list[rest.Kline]:
        zone = read.zone_minutes(params)
        return await self._klines(params, 1000, zone)

    async def futures_klines(self, params: Params) -> list[rest.Kline]:
        return await self._klines(params, 1500, 0)

    async def continuous_klines(self, params: Params) -> list[rest.Kline]:
        """Of a pair and a kind of contract: a symbol, if it is perpetual."""
        if read.needed(params, "contractType") != "PERPETUAL":
            raise bad_value("contractType", "PERPETUAL")
        return await self._klines({**params, "symbol": read.needed(params, "pair")}, 1500, 0)

    async def _klines(self, params: Params, most: int, zone: int) -> list[rest.Kline]:
        symbol = self._one(params)
        interval = read.needed(params, "interval")
        if interval not in INTERVALS:
            raise BinanceError(Code.INTERVAL, "Invalid interval.")
        length = INTERVALS[interval].length_ms
        if zone * _MINUTE_MS % length:
            raise bad_value("timeZone", f"one that moves no candle of {interval}: they are made at UTC only")
        span = _span(params, 500, most)
        return [rest.kline(candle) for candle in await self._history.candles(symbol, interval, span)]

    # -- trades

    def trades(self, params: Params) -> list[rest.Trade]:
        return [rest.trade(trade) for trade in self._executions(params)]

    def futures_trades(self, params: Params) -> list[rest.FuturesTrade]:
        return [rest.futures_trade(trade) for trade in self._executions(params)]

    def _executions(self, params: Params) -> Sequence[Execution]:
        return self._board.executions(self._one(params), read.limit(params, 500, 1000))

    async def agg_trades(self, params: Params) -> list[rest.AggTrade]:
        return [rest.agg_trade(trade) for trade in await self._merged(params)]

    async def futures_agg_trades(self, params: Params) -> list[rest.FuturesAggTrade]:
        return [rest.futures_agg_trade(trade) for trade in await self._merged(params)]

    async def _merged(self, params: Params) -> Any:
        symbol = self._one(params)
        first = read.number(params, "fromId")
        if first is None:
            return await self._history.trades(symbol, _span(params, 500, 1000))
        if "startTime" in params or "endTime" in params:
            raise read.combination("fromId", "startTime, endTime")
        return await self._history.trades_from(symbol, first, read.limit(params, 500, 1000))

    # -- figures

    def ticker(self, params: Params) -> rest.Ticker | list[rest.Ticker] | rest.MiniTicker | list[rest.MiniTicker]:
        return self._mini(params) if _is_mini(params) else self._full(params)

    def _mini(self, params: Params) -> rest.MiniTicker | list[rest.MiniTicker]:
        return self._each(params, lambda symbol: rest.mini_ticker(self._data(symbol, "ticker")))

    def _full(self, params: Params) -> rest.Ticker | list[rest.Ticker]:
        return self._each(params, lambda symbol: rest.ticker(self._data(symbol, "ticker")))

    def futures_ticker(self, params: Params) -> rest.FuturesTicker | list[rest.FuturesTicker]:
        return self._each(params, lambda symbol: rest.futures_ticker(self._data(symbol, "ticker")))

    def average_price(self, params: Params) -> rest.AveragePrice:
        return rest.average_price(self._data(self._one(params), "avgprice"))

    async def rolling_ticker(
        self, params: Params
    ) -> rest.RollingTicker | list[rest.RollingTicker] | rest.MiniTicker | list[rest.MiniTicker]:
        name = read.text(params, "windowSize") or "1d"
        length_s = read.window_s(name)
        mini = _is_mini(params)
        symbols = self._asked_for(params)
        if symbols is None:
            raise missing("symbol")
        if len(symbols) > _WINDOWS_AT_ONCE:
            raise bad_value("symbols", f"at most {_WINDOWS_AT_ONCE}")
        if name in WINDOWS:
            found: list[Any] = [self._data(symbol, f"ticker_{name}") for symbol in symbols]
        else:
            found = [await self._window(symbol, name, length_s) for symbol in symbols]
        if "symbol" in params:
            return rest.mini_ticker(found[0]) if mini else rest.rolling_ticker(found[0])
        return [rest.mini_ticker(data) for data in found] if mini else [rest.rolling_ticker(data) for data in found]

    async def _window(self, symbol: str, name: str, length_s: int) -> RollingTickerData:
        """Of a window that no stream has: added up from candles; it begins at a whole minute, as Binance's do."""
        if not self._history.reaches_back:
            raise bad_value("windowSize", f"one of {', '.join(WINDOWS)}: without a store there are no others")
        end = self._board.market_time
        start = (end - length_s * 1_000) // _MINUTE_MS * _MINUTE_MS
        hour = -(-start // _HOUR_MS) * _HOUR_MS  # the hours between are taken whole
        last_hour = max(hour, end // _HOUR_MS * _HOUR_MS)
        parts = [("1m", start, min(hour, end)), ("1h", hour, last_hour), ("1m", last_hour, end)]
        candles: list[KlineData] = []
        for interval, since, until in parts:
            if since < until:
                candles += await self._history.candles(symbol, interval, Span(since, until, (until - since) // 1_000))
        last = self._last_price(symbol)
        return add_up(symbol, name, candles, last, start, end)

    def price(self, params: Params) -> rest.Price | list[rest.Price]:
        return self._each(params, lambda symbol: rest.price(symbol, self._last_price(symbol)))

    def futures_price(self, params: Params) -> rest.FuturesPrice | list[rest.FuturesPrice]:
        time = self._board.market_time
        return self._each(params, lambda symbol: rest.futures_price(symbol, self._last_price(symbol), time))

    def _last_price(self, symbol: str) -> str:
        price = self._board.last_price(symbol)
        if price is None:
            raise not_known(f"price of {symbol}")
        return price

    def premium_index(self, params: Params) -> rest.PremiumIndex | list[rest.PremiumIndex]:
        def build(symbol: str) -> rest.PremiumIndex:
            interest = self._products.get(symbol, Product()).interest
            return rest.premium_index(self._data(symbol, "markprice"), f"{interest:f}")

        return self._each(params, build)


def _is_mini(params: Params) -> bool:
    return read.choice(params, "type", ("FULL", "MINI"), "FULL") == "MINI"


def _span(params: Params, usual: int, most: int) -> Span:
    start, end = read.span(params)
    return Span(start, FOR_EVER if end is None else end + 1, read.limit(params, usual, most))
