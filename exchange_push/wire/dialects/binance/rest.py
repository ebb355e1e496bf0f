"""What the market looks like in Binance's answers: spot (`/api/v3`) and futures (`/fapi/v1`).

What is not known is `"0.00000000"` where Binance always has a number: the side of a book that is empty, and the price
before the window where none left it.
"""

from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from exchange_push.market.avgprice import AveragePriceData
from exchange_push.market.bookticker import BookTickerData
from exchange_push.market.depth import DepthData
from exchange_push.market.exact import EXACT, plain
from exchange_push.market.executions import Execution
from exchange_push.market.kline import KlineData
from exchange_push.market.markprice import MarkPriceData
from exchange_push.market.merged import MergedTrade
from exchange_push.market.rolling import RollingTickerData
from exchange_push.market.ticker import TickerData
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.dialects.binance.amount import NOTHING, Amount, Amounts, amount, amounts


class Nothing(Struct, frozen=True):
    pass


class ServerTime(Struct, frozen=True, rename="camel"):
    server_time: int


# -- the book


class Depth(Struct, frozen=True, rename="camel"):
    """`lastUpdateId` is the number that its last update has in streams."""

    last_update_id: int
    bids: Amounts
    asks: Amounts


class FuturesDepth(Struct, frozen=True, rename="camel"):
    """`E` is when it was asked for, `T` when it changed last."""

    last_update_id: int
    E: int
    T: int
    bids: Amounts
    asks: Amounts


def depth(state: Publication, limit: int) -> Depth:
    """Of the state of `@depth`."""
    data = state.data
    assert isinstance(data, DepthData)
    return Depth(data.last + state.shift, amounts(data.bids[:limit]), amounts(data.asks[:limit]))


def futures_depth(state: Publication, limit: int, now_ms: int) -> FuturesDepth:
    data = state.data
    assert isinstance(data, DepthData)
    found = depth(state, limit)
    return FuturesDepth(found.last_update_id, now_ms, data.time, found.bids, found.asks)


class BookTicker(Struct, frozen=True, rename="camel"):
    symbol: str
    bid_price: Amount
    bid_qty: Amount
    ask_price: Amount
    ask_qty: Amount


class FuturesBookTicker(BookTicker, frozen=True, rename="camel"):
    time: int


def book_ticker(symbol: str, data: BookTickerData) -> BookTicker:
    return BookTicker(symbol, **_quote(data))


def futures_book_ticker(symbol: str, data: BookTickerData) -> FuturesBookTicker:
    return FuturesBookTicker(symbol, **_quote(data), time=data.time)


def _quote(data: BookTickerData | TickerData) -> dict[str, Any]:
    return {
        "bid_price": _or_nothing(data.bid),
        "bid_qty": _or_nothing(data.bid_qty),
        "ask_price": _or_nothing(data.ask),
        "ask_qty": _or_nothing(data.ask_qty),
    }


def _or_nothing(text: str | None) -> str:
    return NOTHING if text is None else amount(text)


# -- trades and candles


class FuturesTrade(Struct, frozen=True, rename="camel"):
    id: int
    price: Amount
    qty: Amount
    quote_qty: Amount
    time: int
    is_buyer_maker: bool


class Trade(FuturesTrade, frozen=True, rename="camel"):
    is_best_match: bool


def futures_trade(trade: Execution) -> FuturesTrade:
    return FuturesTrade(**_trade(trade))


def trade(execution: Execution) -> Trade:
    return Trade(**_trade(execution), is_best_match=True)


def _trade(trade: Execution) -> dict[str, Any]:
    return {
        "id": trade.id,
        "price": amount(trade.price),
        "qty": amount(trade.qty),
        "quote_qty": amount(plain(EXACT.multiply(Decimal(trade.price), Decimal(trade.qty)))),
        "time": trade.time,
        "is_buyer_maker": trade.side == "sell",
    }


_LETTERS: Final = {
    "id": "a",
    "price": "p",
    "qty": "q",
    "first": "f",
    "last": "l",
    "time": "T",
    "sold": "m",
    "best": "M",
}


class FuturesAggTrade(Struct, frozen=True, rename=_LETTERS):
    """The trades `f` to `l`. Its id is that of its first trade, as in the stream."""

    id: int
    price: Amount
    qty: Amount
    first: int
    last: int
    time: int
    sold: bool


class AggTrade(FuturesAggTrade, frozen=True, rename=_LETTERS):
    """The trades `f` to `l`. Its id is that of its first trade, as in the stream."""

    best: bool


def futures_agg_trade(trade: MergedTrade) -> FuturesAggTrade:
    return FuturesAggTrade(**_agg_trade(trade))


def agg_trade(trade: MergedTrade) -> AggTrade:
    return AggTrade(**_agg_trade(trade), best=True)


def _agg_trade(trade: MergedTrade) -> dict[str, Any]:
    return {
        "id": trade.first,
        "price": amount(trade.price),
        "qty": amount(trade.qty),
        "first": trade.first,
        "last": trade.last,
        "time": trade.time,
        "sold": trade.side == "sell",
    }


class Kline(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Start, open, high, low, close, volume, last ms, value, trades, volume and value of takers who bought, nothing."""

    start: int
    open: Amount
    high: Amount
    low: Amount
    close: Amount
    volume: Amount
    close_time: int
    quote_volume: Amount
    count: int
    taker_volume: Amount
    taker_quote_volume: Amount
    unused: str


def kline(data: KlineData) -> Kline:
    return Kline(
        data.start,
        amount(data.open),
        amount(data.high),
        amount(data.low),
        amount(data.close),
        amount(data.volume),
        data.end - 1,
        amount(data.quote_volume),
        data.count,
        amount(data.taker_volume),
        amount(data.taker_quote_volume),
        "0",
    )


# -- figures


class Price(Struct, frozen=True):
    symbol: str
    price: Amount


class FuturesPrice(Price, frozen=True):
    time: int


def price(symbol: str, last: str) -> Price:
    return Price(symbol, amount(last))


def futures_price(symbol: str, last: str, time: int) -> FuturesPrice:
    return FuturesPrice(symbol, amount(last), time)


class AveragePrice(Struct, frozen=True, rename="camel"):
    mins: int
    price: Amount
    close_time: int


def average_price(data: AveragePriceData) -> AveragePrice:
    return AveragePrice(data.minutes, amount(data.price), data.last_time)


class MiniTicker(Struct, frozen=True, rename="camel"):
    symbol: str
    open_price: Amount
    high_price: Amount
    low_price: Amount
    last_price: Amount
    volume: Amount
    quote_volume: Amount
    open_time: int
    close_time: int
    first_id: int
    last_id: int
    count: int


class RollingTicker(Struct, frozen=True, rename="camel"):
    symbol: str
    price_change: Amount
    price_change_percent: str
    weighted_avg_price: Amount
    open_price: Amount
    high_price: Amount
    low_price: Amount
    last_price: Amount
    volume: Amount
    quote_volume: Amount
    open_time: int
    close_time: int
    first_id: int
    last_id: int
    count: int


class FuturesTicker(RollingTicker, frozen=True, rename="camel"):
    last_qty: Amount


class Ticker(FuturesTicker, frozen=True, rename="camel"):
    prev_close_price: Amount
    bid_price: Amount
    bid_qty: Amount
    ask_price: Amount
    ask_qty: Amount


def mini_ticker(data: TickerData | RollingTickerData) -> MiniTicker:
    return MiniTicker(**_prices(data))


def rolling_ticker(data: TickerData | RollingTickerData) -> RollingTicker:
    return RollingTicker(**_prices(data), **_changes(data))


def futures_ticker(data: TickerData) -> FuturesTicker:
    return FuturesTicker(**_prices(data), **_changes(data), last_qty=amount(data.last_qty))


def ticker(data: TickerData) -> Ticker:
    return Ticker(
        **_prices(data),
        **_changes(data),
        **_quote(data),
        last_qty=amount(data.last_qty),
        prev_close_price=_or_nothing(data.prev_close),
    )


def _prices(data: TickerData | RollingTickerData) -> dict[str, Any]:
    return {
        "symbol": data.symbol,
        "open_price": amount(data.open),
        "high_price": amount(data.high),
        "low_price": amount(data.low),
        "last_price": amount(data.last),
        "volume": amount(data.volume),
        "quote_volume": amount(data.quote_volume),
        "open_time": data.open_time,
        "close_time": data.close_time,
        "first_id": data.first_id,
        "last_id": data.last_id,
        "count": data.count,
    }


def _changes(data: TickerData | RollingTickerData) -> dict[str, Any]:
    return {
        "price_change": amount(data.change),
        "price_change_percent": data.change_percent,
        "weighted_avg_price": amount(data.weighted_avg),
    }


class PremiumIndex(Struct, frozen=True, rename="camel"):
    """As in the stream: a rate that a product has not is "" and time 0, what is never settled would be at the index."""

    symbol: str
    mark_price: Amount
    index_price: Amount
    estimated_settle_price: Amount
    last_funding_rate: str
    interest_rate: str
    next_funding_time: int
    time: int


def premium_index(data: MarkPriceData, interest: str) -> PremiumIndex:
    return PremiumIndex(
        data.symbol,
        amount(data.mark_price),
        amount(data.index_price),
        amount(data.index_price if data.settle_price is None else data.settle_price),
        "" if data.funding_rate is None else amount(data.funding_rate),
        interest,
        data.next_funding_time or 0,
        data.time,
    )
