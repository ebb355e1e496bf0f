"""What the market looks like in Binance's answers: spot (`/api/v3`) and futures (`/fapi/v1`).

What is not known is `"0.00000000"` where Binance always has a number: the side of a book that is empty, and the price
before the window where none left it.
"""

from decimal import Decimal

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
from exchange_push.wire.dialects.binance.amount import NOTHING, amount, amounts

Answer = dict[str, object]


def depth(state: Publication, limit: int) -> Answer:
    """Of the state of `@depth`. Its last update has the number that it has in streams."""
    data = state.data
    assert isinstance(data, DepthData)
    last = data.last + state.shift
    return {"lastUpdateId": last, "bids": amounts(data.bids[:limit]), "asks": amounts(data.asks[:limit])}


def futures_depth(state: Publication, limit: int, now_ms: int) -> Answer:
    data = state.data
    assert isinstance(data, DepthData)
    found = depth(state, limit)
    return {"lastUpdateId": found.pop("lastUpdateId"), "E": now_ms, "T": data.time, **found}


def futures_trade(trade: Execution) -> Answer:
    return {
        "id": trade.id,
        "price": amount(trade.price),
        "qty": amount(trade.qty),
        "quoteQty": amount(plain(EXACT.multiply(Decimal(trade.price), Decimal(trade.qty)))),
        "time": trade.time,
        "isBuyerMaker": trade.side == "sell",
    }


def trade(execution: Execution) -> Answer:
    return {**futures_trade(execution), "isBestMatch": True}


def kline(data: KlineData) -> list[object]:
    return [
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
    ]


def futures_agg_trade(trade: MergedTrade) -> Answer:
    """Its id is that of its first trade, as in the stream."""
    return {
        "a": trade.first,
        "p": amount(trade.price),
        "q": amount(trade.qty),
        "f": trade.first,
        "l": trade.last,
        "T": trade.time,
        "m": trade.side == "sell",
    }


def agg_trade(trade: MergedTrade) -> Answer:
    return {**futures_agg_trade(trade), "M": True}


def _or_nothing(text: str | None) -> str:
    return NOTHING if text is None else amount(text)


def price(symbol: str, last: str) -> Answer:
    return {"symbol": symbol, "price": amount(last)}


def book_ticker(symbol: str, data: BookTickerData) -> Answer:
    return {
        "symbol": symbol,
        "bidPrice": _or_nothing(data.bid),
        "bidQty": _or_nothing(data.bid_qty),
        "askPrice": _or_nothing(data.ask),
        "askQty": _or_nothing(data.ask_qty),
    }


def average_price(data: AveragePriceData) -> Answer:
    return {"mins": data.minutes, "price": amount(data.price), "closeTime": data.last_time}


def mini_ticker(data: TickerData | RollingTickerData) -> Answer:
    return {
        "symbol": data.symbol,
        "openPrice": amount(data.open),
        "highPrice": amount(data.high),
        "lowPrice": amount(data.low),
        "lastPrice": amount(data.last),
        "volume": amount(data.volume),
        "quoteVolume": amount(data.quote_volume),
        "openTime": data.open_time,
        "closeTime": data.close_time,
        "firstId": data.first_id,
        "lastId": data.last_id,
        "count": data.count,
    }


def rolling_ticker(data: TickerData | RollingTickerData) -> Answer:
    mini = mini_ticker(data)
    return {
        "symbol": mini.pop("symbol"),
        "priceChange": amount(data.change),
        "priceChangePercent": data.change_percent,
        "weightedAvgPrice": amount(data.weighted_avg),
        **mini,
    }


def futures_ticker(data: TickerData) -> Answer:
    return {**rolling_ticker(data), "lastQty": amount(data.last_qty)}


def ticker(data: TickerData) -> Answer:
    return {
        **futures_ticker(data),
        "prevClosePrice": _or_nothing(data.prev_close),
        "bidPrice": _or_nothing(data.bid),
        "bidQty": _or_nothing(data.bid_qty),
        "askPrice": _or_nothing(data.ask),
        "askQty": _or_nothing(data.ask_qty),
    }


def premium_index(data: MarkPriceData, interest: str) -> Answer:
    """As in the stream: a rate that a product has not is "" and time 0, what is never settled would be at the index."""
    return {
        "symbol": data.symbol,
        "markPrice": amount(data.mark_price),
        "indexPrice": amount(data.index_price),
        "estimatedSettlePrice": amount(data.index_price if data.settle_price is None else data.settle_price),
        "lastFundingRate": "" if data.funding_rate is None else amount(data.funding_rate),
        "interestRate": interest,
        "nextFundingTime": data.next_funding_time or 0,
        "time": data.time,
    }
