"""What the market looks like in Binance's answers: spot (`/api/v3`) and futures (`/fapi/v1`).

What is not known is `"0.00000000"` where Binance always has a number: the side of a book that is empty, and the price
before the window where none left it.
"""

from exchange_push.market.bookticker import BookTickerData
from exchange_push.market.depth import DepthData
from exchange_push.market.kline import KlineData
from exchange_push.market.markprice import MarkPriceData
from exchange_push.market.merged import MergedTrade
from exchange_push.market.ticker import TickerData
from exchange_push.wire.dialects.binance.amount import NOTHING, amount, amounts

Answer = dict[str, object]


def depth(data: DepthData, last: int, limit: int) -> Answer:
    """`last`: the number of its last update, as streams have it."""
    return {"lastUpdateId": last, "bids": amounts(data.bids[:limit]), "asks": amounts(data.asks[:limit])}


def futures_depth(data: DepthData, last: int, limit: int, now_ms: int) -> Answer:
    return {"E": now_ms, "T": data.time, **depth(data, last, limit)}


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


def mini_ticker(data: TickerData) -> Answer:
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


def futures_ticker(data: TickerData) -> Answer:
    mini = mini_ticker(data)
    return {
        "symbol": mini.pop("symbol"),
        "priceChange": amount(data.change),
        "priceChangePercent": data.change_percent,
        "weightedAvgPrice": amount(data.weighted_avg),
        "lastPrice": mini.pop("lastPrice"),
        "lastQty": amount(data.last_qty),
        **mini,
    }


def ticker(data: TickerData) -> Answer:
    full = futures_ticker(data)
    return {
        **{name: full.pop(name) for name in ("symbol", "priceChange", "priceChangePercent", "weightedAvgPrice")},
        "prevClosePrice": _or_nothing(data.prev_close),
        **{name: full.pop(name) for name in ("lastPrice", "lastQty")},
        "bidPrice": _or_nothing(data.bid),
        "bidQty": _or_nothing(data.bid_qty),
        "askPrice": _or_nothing(data.ask),
        "askQty": _or_nothing(data.ask_qty),
        **full,
    }


def premium_index(data: MarkPriceData, interest: str) -> Answer:
    """Of a dated future there is no funding: rate "" and time 0, as Binance has it."""
    return {
        "symbol": data.symbol,
        "markPrice": amount(data.mark_price),
        "indexPrice": amount(data.index_price),
        "estimatedSettlePrice": _or_nothing(data.settle_price),
        "lastFundingRate": "" if data.funding_rate is None else amount(data.funding_rate),
        "interestRate": interest,
        "nextFundingTime": data.next_funding_time or 0,
        "time": data.time,
    }
