"""Binance's REST endpoints on the public port, from the same state as the streams.

Which parameters an endpoint has, and what it weighs, stands in SPOT and FUTURES; what answers look like in
wire/dialects/binance/. The WebSocket API asks the same questions by other names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from exchange_push.edge.history import FOR_EVER, History, Span
from exchange_push.edge.pages import AnyRequest, Asked, Reply, as_json
from exchange_push.edge.weights import Used, Weights
from exchange_push.errors import StoreUnavailable
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
from exchange_push.wire.dialects.binance.errors import (
    BinanceError,
    Code,
    bad_value,
    missing,
    not_known,
    unsupported,
)
from exchange_push.wire.dialects.binance.info import futures_info, rate_limits, spot_info
from exchange_push.wire.dialects.binance.params import Params

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000


class Endpoint(NamedTuple):
    answer: "Callable[[Venue, Params], Any]"
    """Gives the answer, or a coroutine of it. Raises BinanceError, StoreUnavailable."""
    weight: Callable[[Params], int]
    names: tuple[str, ...] = ()
    """Of the parameters it takes."""


class Venue:
    """What is asked of the market, whatever way it came. `symbols` gives all that exist, `channel` the channel behind a
    name of theirs."""

    def __init__(
        self,
        board: Board,
        history: History,
        *,
        channel: Callable[[str], Channel],
        symbols: Callable[[], Collection[str]],
        products: Mapping[str, Product],
        now_ms: Callable[[], int],
        weight_per_minute: int,
    ) -> None:
        self._board = board
        self._history = history
        self._channel = channel
        self._symbols = symbols
        self._products = products
        self.now_ms = now_ms
        self._limits = rate_limits(weight_per_minute)

    def ping(self, params: Params) -> object:
        return {}

    def time(self, params: Params) -> object:
        return {"serverTime": self.now_ms()}

    # -- symbols

    def _known(self, symbol: str) -> bool:
        return symbol in self._symbols()

    def _one(self, params: Params) -> str:
        return read.symbol(params, self._known)

    def _asked_for(self, params: Params) -> list[str] | None:
        """Those named by `symbol` or `symbols`; None: neither was sent."""
        several = read.symbols(params, self._known)
        if several is not None:
            return several
        return [self._one(params)] if "symbol" in params else None

    def _each(self, params: Params, build: Callable[[str], object]) -> object:
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

    def exchange_info(self, params: Params) -> object:
        return spot_info(self._infos(params), self._limits, self.now_ms())

    def futures_info(self, params: Params) -> object:
        return futures_info(self._infos(params), self._limits, self.now_ms())

    # -- book

    def _state(self, symbol: str, kind: str) -> Publication:
        publication = self._board.state(self._channel(f"{symbol}@{kind}"))
        if publication is None:
            raise not_known(f"{kind} of {symbol}")
        return publication

    def depth(self, params: Params) -> object:
        state = self._state(self._one(params), "depth")
        return rest.depth(state, read.limit(params, 100, 5000))

    def futures_depth(self, params: Params) -> object:
        state = self._state(self._one(params), "depth")
        return rest.futures_depth(state, read.limit(params, 500, 1000), self.now_ms())

    def book_ticker(self, params: Params) -> object:
        def build(symbol: str) -> object:
            state: Any = self._state(symbol, "bookticker").data
            return rest.book_ticker(symbol, state)

        return self._each(params, build)

    def futures_book_ticker(self, params: Params) -> object:
        def build(symbol: str) -> object:
            state: Any = self._state(symbol, "bookticker").data
            return {**rest.book_ticker(symbol, state), "time": state.time}

        return self._each(params, build)

    # -- candles

    async def klines(self, params: Params) -> object:
        zone = read.zone_minutes(params)
        return await self._klines(params, 1000, zone)

    async def futures_klines(self, params: Params) -> object:
        return await self._klines(params, 1500, 0)

    async def _klines(self, params: Params, most: int, zone: int) -> object:
        symbol = self._one(params)
        interval = read.needed(params, "interval")
        if interval not in INTERVALS:
            raise BinanceError(Code.INTERVAL, "Invalid interval.")
        length = INTERVALS[interval].length_ms
        if zone * _MINUTE_MS % length and not (zone == 0):
            raise bad_value("timeZone", f"one that moves no candle of {interval}: they are made at UTC only")
        span = _span(params, 500, most)
        return [rest.kline(candle) for candle in await self._history.candles(symbol, interval, span)]

    # -- trades

    def trades(self, params: Params) -> object:
        return [rest.trade(trade) for trade in self._executions(params)]

    def futures_trades(self, params: Params) -> object:
        return [rest.futures_trade(trade) for trade in self._executions(params)]

    def _executions(self, params: Params) -> Sequence[Execution]:
        return self._board.executions(self._one(params), read.limit(params, 500, 1000))

    async def agg_trades(self, params: Params) -> object:
        return [rest.agg_trade(trade) for trade in await self._merged(params)]

    async def futures_agg_trades(self, params: Params) -> object:
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

    def ticker(self, params: Params) -> object:
        mini = read.choice(params, "type", ("FULL", "MINI"), "FULL") == "MINI"

        def build(symbol: str) -> object:
            state: Any = self._state(symbol, "ticker").data
            return rest.mini_ticker(state) if mini else rest.ticker(state)

        return self._each(params, build)

    def futures_ticker(self, params: Params) -> object:
        def build(symbol: str) -> object:
            state: Any = self._state(symbol, "ticker").data
            return rest.futures_ticker(state)

        return self._each(params, build)

    def average_price(self, params: Params) -> object:
        state: Any = self._state(self._one(params), "avgprice").data
        return rest.average_price(state)

    async def rolling_ticker(self, params: Params) -> object:
        name = read.text(params, "windowSize") or "1d"
        length_s = read.window_s(name)
        mini = read.choice(params, "type", ("FULL", "MINI"), "FULL") == "MINI"
        symbols = self._asked_for(params)
        if symbols is None:
            raise missing("symbol")
        if name in WINDOWS:
            found: list[Any] = [self._state(symbol, f"ticker_{name}").data for symbol in symbols]
        else:
            found = [await self._window(symbol, name, length_s) for symbol in symbols]
        shape = rest.mini_ticker if mini else rest.rolling_ticker
        return shape(found[0]) if "symbol" in params else [shape(data) for data in found]

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

    def price(self, params: Params) -> object:
        return self._each(params, lambda symbol: rest.price(symbol, self._last_price(symbol)))

    def futures_price(self, params: Params) -> object:
        return self._each(
            params,
            lambda symbol: {**rest.price(symbol, self._last_price(symbol)), "time": self._board.market_time},
        )

    def _last_price(self, symbol: str) -> str:
        price = self._board.last_price(symbol)
        if price is None:
            raise not_known(f"price of {symbol}")
        return price

    def premium_index(self, params: Params) -> object:
        def build(symbol: str) -> object:
            state: Any = self._state(symbol, "markprice").data
            return rest.premium_index(state, f"{self._products.get(symbol, Product()).interest:f}")

        return self._each(params, build)


def _span(params: Params, usual: int, most: int) -> Span:
    start, end = read.span(params)
    return Span(start, FOR_EVER if end is None else end + 1, read.limit(params, usual, most))


# -- what an endpoint weighs


def _weighs(weight: int) -> Callable[[Params], int]:
    return lambda params: weight


def _by_limit(usual: int, most: int, *steps: tuple[int, int]) -> Callable[[Params], int]:
    """`steps`: up to which limit, which weight."""

    def weight(params: Params) -> int:
        limit = read.limit(params, usual, most)
        return next((weight for highest, weight in steps if limit <= highest), steps[-1][1])

    return weight


def _by_symbols(one: int, every: int, *steps: tuple[int, int]) -> Callable[[Params], int]:
    """`steps`: up to how many symbols, which weight; beyond them, and where none is named, `every`."""

    def weight(params: Params) -> int:
        symbols = read.symbols(params, lambda symbol: True)
        if symbols is None:
            return one if "symbol" in params else every
        return next((weight for most, weight in steps if len(symbols) <= most), every)

    return weight


_DEPTH: Final = _by_limit(100, 5000, (100, 5), (500, 25), (1000, 50), (5000, 250))
_FUTURES_DEPTH: Final = _by_limit(500, 1000, (50, 2), (100, 5), (500, 10), (1000, 20))
_FUTURES_KLINES: Final = _by_limit(500, 1500, (99, 1), (499, 2), (1000, 5), (1500, 10))
_SYMBOLS: Final = ("symbol", "symbols")
_KLINES: Final = ("symbol", "interval", "startTime", "endTime", "limit")
_AGG_TRADES: Final = ("symbol", "fromId", "startTime", "endTime", "limit")


def _window_weight(params: Params) -> int:
    return min(200, 4 * len(read.symbols(params, lambda symbol: True) or "1"))


_TICKER: Final = Endpoint(Venue.ticker, _by_symbols(2, 80, (20, 2), (100, 40)), (*_SYMBOLS, "type"))

# fmt: off
SPOT: Final = {
    "ping":              Endpoint(Venue.ping, _weighs(1)),
    "time":              Endpoint(Venue.time, _weighs(1)),
    "exchangeInfo":      Endpoint(Venue.exchange_info, _weighs(20), _SYMBOLS),
    "depth":             Endpoint(Venue.depth, _DEPTH, ("symbol", "limit")),
    "trades":            Endpoint(Venue.trades, _weighs(25), ("symbol", "limit")),
    "aggTrades":         Endpoint(Venue.agg_trades, _weighs(4), _AGG_TRADES),
    "klines":            Endpoint(Venue.klines, _weighs(2), (*_KLINES, "timeZone")),
    "uiKlines":          Endpoint(Venue.klines, _weighs(2), (*_KLINES, "timeZone")),
    "avgPrice":          Endpoint(Venue.average_price, _weighs(2), ("symbol",)),
    "ticker":            Endpoint(Venue.rolling_ticker, _window_weight, (*_SYMBOLS, "windowSize", "type")),
    "ticker/24hr":       _TICKER,
    "ticker/price":      Endpoint(Venue.price, _by_symbols(2, 4), _SYMBOLS),
    "ticker/bookTicker": Endpoint(Venue.book_ticker, _by_symbols(2, 4), _SYMBOLS),
}
FUTURES: Final = {
    "ping":              Endpoint(Venue.ping, _weighs(1)),
    "time":              Endpoint(Venue.time, _weighs(1)),
    "exchangeInfo":      Endpoint(Venue.futures_info, _weighs(1)),
    "depth":             Endpoint(Venue.futures_depth, _FUTURES_DEPTH, ("symbol", "limit")),
    "trades":            Endpoint(Venue.futures_trades, _weighs(5), ("symbol", "limit")),
    "aggTrades":         Endpoint(Venue.futures_agg_trades, _weighs(20), _AGG_TRADES),
    "klines":            Endpoint(Venue.futures_klines, _FUTURES_KLINES, _KLINES),
    "premiumIndex":      Endpoint(Venue.premium_index, _by_symbols(1, 10), ("symbol",)),
    "ticker/24hr":       Endpoint(Venue.futures_ticker, _by_symbols(1, 40), ("symbol",)),
    "ticker/price":      Endpoint(Venue.futures_price, _by_symbols(1, 2), ("symbol",)),
    "ticker/bookTicker": Endpoint(Venue.futures_book_ticker, _by_symbols(2, 5), ("symbol",)),
}
# fmt: on
_FOLDERS: Final = {"/api/v3/": SPOT, "/fapi/v1/": FUTURES, "/fapi/v2/": {"ticker/price": FUTURES["ticker/price"]}}
Ready: TypeAlias = tuple[Endpoint, Params]


class Rest:
    """Answers of these folders. Each answer, an error too, tells the weight that its address has used."""

    log = Logger()

    def __init__(self, venue: Venue, weights: Weights) -> None:
        self._venue = venue
        self._weights = weights
        self.faults = 0

    def pages(self) -> Mapping[bytes, AnyRequest]:
        return {f"{folder}*".encode(): AnyRequest(self._answer) for folder in _FOLDERS}

    def _answer(self, asked: Asked) -> Deferred[Reply]:
        found: Ready | BinanceError
        try:
            found = endpoint, params = _find(asked)
            weight = endpoint.weight(params)
        except BinanceError as error:
            found, weight = error, 1
        used = self._weights.use(asked.address, weight, self._venue.now_ms())
        headers = {"X-MBX-USED-WEIGHT": str(used.weight), "X-MBX-USED-WEIGHT-1M": str(used.weight)}
        if used.retry_s:
            found = _too_many(used, self._weights.per_minute)
            headers["Retry-After"] = str(used.retry_s)
        answer = maybeDeferred(self._ask, found)
        answer.addCallbacks(lambda body: (200, body), self._refusal)
        return answer.addCallback(lambda pair: as_json(pair[1], pair[0], headers))

    def _ask(self, found: Ready | BinanceError) -> Any:
        if isinstance(found, BinanceError):
            raise found
        endpoint, params = found
        answer = endpoint.answer(self._venue, params)
        return ensureDeferred(answer) if hasattr(answer, "send") else answer

    def _refusal(self, failure: Failure) -> tuple[int, object]:
        error = failure.value
        if isinstance(error, StoreUnavailable):
            error = BinanceError(Code.BUSY, f"The server is busy: {error}. Try again later.", 503)
        elif not isinstance(error, BinanceError):
            self.faults += 1
            self.log.failure("an endpoint failed", failure)
            error = BinanceError(Code.UNKNOWN, "An unknown error occurred while processing the request.", 500)
        return error.status, error.body


def _find(asked: Asked) -> Ready:
    """Raises BinanceError."""
    for folder, endpoints in _FOLDERS.items():
        if asked.path.startswith(folder):
            endpoint = endpoints.get(asked.path.removeprefix(folder))
            break
    else:
        endpoint = None
    if endpoint is None:
        raise unsupported(asked.path)
    if asked.method not in ("GET", "HEAD"):
        raise unsupported(f"{asked.method} {asked.path}")
    params = read.from_query(asked.args)
    read.expect_only(params, endpoint.names)
    return endpoint, params


def _too_many(used: Used, per_minute: int) -> BinanceError:
    if used.banned:
        return BinanceError(
            Code.TOO_MANY_REQUESTS, f"Way too much request weight used; banned for {used.retry_s} s.", 418
        )
    return BinanceError(
        Code.TOO_MANY_REQUESTS,
        f"Too much request weight used; current limit is {per_minute} request weight per 1 MINUTE.",
        429,
    )
