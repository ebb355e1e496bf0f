"""Binance's REST endpoints: which parameters each has, what it weighs, and what of the venue answers it."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from exchange_push.edge.binance.venue import Venue
from exchange_push.wire.dialects.binance import params as read
from exchange_push.wire.dialects.binance.params import Params


class Endpoint(NamedTuple):
    answer: Callable[[Venue, Params], Any]
    """Gives the answer, or a coroutine of it."""
    weight: Callable[[Params], int]
    names: tuple[str, ...] = ()
    """Of the parameters it takes."""


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
_INFO: Final = (*_SYMBOLS, "permissions", "showPermissionSets", "symbolStatus")
_KLINES: Final = ("symbol", "interval", "startTime", "endTime", "limit")
_SIGNED: Final = ("timestamp", "recvWindow", "signature")
_AGG_TRADES: Final = ("symbol", "fromId", "startTime", "endTime", "limit")


def _window_weight(params: Params) -> int:
    return min(200, 4 * len(read.symbols(params, lambda symbol: True) or "1"))


_TICKER: Final = Endpoint(Venue.ticker, _by_symbols(2, 80, (20, 2), (100, 40)), (*_SYMBOLS, "type"))

# fmt: off
SPOT: Final = {
    "ping":              Endpoint(Venue.ping, _weighs(1)),
    "time":              Endpoint(Venue.time, _weighs(1)),
    "exchangeInfo":      Endpoint(Venue.exchange_info, _weighs(20), _INFO),
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
    "continuousKlines":  Endpoint(Venue.continuous_klines, _FUTURES_KLINES, ("pair", "contractType", *_KLINES[1:])),
    "premiumIndex":      Endpoint(Venue.premium_index, _by_symbols(1, 10), ("symbol",)),
    "ticker/24hr":       Endpoint(Venue.futures_ticker, _by_symbols(1, 40), ("symbol",)),
    "ticker/price":      Endpoint(Venue.futures_price, _by_symbols(1, 2), ("symbol",)),
    "ticker/bookTicker": Endpoint(Venue.futures_book_ticker, _by_symbols(2, 5), ("symbol",)),
}
# Clients ask for these when they start, whatever they are for: no contracts are margined in coins, nothing is traded on
# margin, nothing can be deposited or withdrawn, and what a user pays for a trade is not known.
COIN_FUTURES: Final = {
    "ping":              Endpoint(Venue.ping, _weighs(1)),
    "time":              Endpoint(Venue.time, _weighs(1)),
    "exchangeInfo":      Endpoint(Venue.coin_futures_info, _weighs(1)),
}
WALLET: Final = {
    "capital/config/getall":    Endpoint(Venue.coins, _weighs(10), _SIGNED),
    "asset/tradeFee":           Endpoint(Venue.none, _weighs(1), ("symbol", *_SIGNED)),
    "margin/allPairs":          Endpoint(Venue.none, _weighs(1), ("symbol", *_SIGNED)),
    "margin/isolated/allPairs": Endpoint(Venue.none, _weighs(1), ("symbol", *_SIGNED)),
}
# fmt: on
FOLDERS: Final = {
    "/api/v3/": SPOT,
    "/fapi/v1/": FUTURES,
    "/fapi/v2/": {"ticker/price": FUTURES["ticker/price"]},
    "/dapi/v1/": COIN_FUTURES,
    "/sapi/v1/": WALLET,
}
