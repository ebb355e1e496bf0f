"""Publications as Binance's clients read them: single letters for keys, prices and quantities by amount.py.

`E` is the market time at which a publication was made. Update ids are those of the engine, shifted where it began them
anew (market/book.py), so that they only grow. `a` of an aggTrade is the id of its first trade: it grows, and can be
found again among the trades.
"""

from collections.abc import Callable
from typing import Any, Final

from exchange_push.market.avgprice import AveragePriceData
from exchange_push.market.bookticker import BookTickerData, SymbolBookTickerData
from exchange_push.market.depth import BestLevelsData, DepthData
from exchange_push.market.executions import ExecutionsData
from exchange_push.market.kline import KlineData
from exchange_push.market.markprice import MarkPriceData
from exchange_push.market.miniticker import MiniTickerData
from exchange_push.market.rolling import RollingTickerData
from exchange_push.market.ticker import TickerData
from exchange_push.market.trades import TradesData
from exchange_push.pubsub.channel import Owner
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.dialects.binance.amount import NOTHING, amount, amounts

Payload = dict[str, Any]

_UNKNOWN_RATE: Final = ""  # as of a contract that pays no funding
_NEVER: Final = 0


def _or_nothing(text: str | None) -> str:
    """An empty side of a book has neither price nor quantity, and no null."""
    return NOTHING if text is None else amount(text)


def _prices(data: TickerData | RollingTickerData | MiniTickerData) -> Payload:
    """What all tickers tell."""
    return {
        "s": data.symbol,
        "c": amount(data.last),
        "o": amount(data.open),
        "h": amount(data.high),
        "l": amount(data.low),
        "v": amount(data.volume),
        "q": amount(data.quote_volume),
    }


def of_a_pair(kline: Payload) -> Payload:
    """A candle as that of a pair and a kind of contract."""
    candle = {key: value for key, value in kline["k"].items() if key != "s"}
    return {"e": "continuous_kline", "E": kline["E"], "ps": kline["s"], "ct": "PERPETUAL", "k": candle}


class Shapes:
    """The shapes of spot or futures, times multiplied by `unit`."""

    def __init__(self, unit: int, *, futures: bool) -> None:
        self._unit = unit
        self._futures = futures
        self._by_type: dict[type, Callable[[Any, Publication], list[Payload]]] = {
            ExecutionsData: self._trades,
            TradesData: self._aggregate_trades,
            KlineData: self._kline,
            TickerData: self._one(self._ticker),
            MiniTickerData: self._one(self._mini_ticker),
            RollingTickerData: self._one(self._rolling_ticker),
            MarkPriceData: self._one(self._mark_price),
            AveragePriceData: self._one(self._average_price),
            BookTickerData: self._book_ticker,
            DepthData: self._depth,
            BestLevelsData: self._best_levels,
        }
        self._in_arrays: dict[type, Callable[[Any, int], Payload]] = {
            TickerData: self._ticker,
            MiniTickerData: self._mini_ticker,
            RollingTickerData: self._rolling_ticker,
            MarkPriceData: self._mark_price,
        }

    def time(self, time_ms: int) -> int:
        return time_ms * self._unit

    def of(self, publication: Publication) -> list[Any]:
        """The payloads of the messages that say it, none where there is nothing to say."""
        data = publication.data
        if type(data) is list and data:
            time = self.time(publication.time)
            if publication.shifts:  # best bids and asks, of which Binance makes no array
                return [
                    self._quote(item.symbol, item, item.id + shift, time)
                    for item, shift in zip(data, publication.shifts, strict=True)
                ]
            in_array = self._in_arrays.get(type(data[0]))
            if in_array is not None:
                return [[in_array(item, time) for item in data]]
        shape = self._by_type.get(type(data))
        if shape is not None:
            return shape(data, publication)
        # What is told of the connection is told in another way here; what a back end pushes is its own.
        return [] if publication.channel.kind.owner is Owner.NOBODY else [data]

    def _one(self, shape: Callable[[Any, int], Payload]) -> Callable[[Any, Publication], list[Payload]]:
        return lambda data, publication: [shape(data, self.time(publication.time))]

    # -- trades and candles

    def _trades(self, data: ExecutionsData, publication: Publication) -> list[Payload]:
        symbol, made = publication.channel.owner, self.time(publication.time)
        return [
            {
                "e": "trade",
                "E": made,
                "s": symbol,
                "t": trade.id,
                "p": amount(trade.price),
                "q": amount(trade.qty),
                "T": self.time(trade.time),
                "m": trade.side == "sell",
                "M": True,
            }
            for trade in data.trades
        ]

    def _aggregate_trades(self, data: TradesData, publication: Publication) -> list[Payload]:
        symbol, made = publication.channel.owner, self.time(publication.time)
        return [
            {
                "e": "aggTrade",
                "E": made,
                "s": symbol,
                "a": trade.first,
                "p": amount(trade.price),
                "q": amount(trade.qty),
                "f": trade.first,
                "l": trade.last,
                "T": self.time(trade.time),
                "m": trade.side == "sell",
                "M": True,
            }
            for trade in data.trades
        ]

    def _kline(self, data: KlineData, publication: Publication) -> list[Payload]:
        if data.rev:
            return []  # a closed candle comes once here: who trades on its close must not do so twice
        candle = {
            "t": self.time(data.start),
            "T": self.time(data.end) - 1,
            "s": data.symbol,
            "i": data.interval,
            "f": data.first_id,
            "L": data.last_id,
            "o": amount(data.open),
            "c": amount(data.close),
            "h": amount(data.high),
            "l": amount(data.low),
            "v": amount(data.volume),
            "n": data.count,
            "x": data.closed,
            "q": amount(data.quote_volume),
            "V": amount(data.taker_volume),
            "Q": amount(data.taker_quote_volume),
            "B": "0",
        }
        return [{"e": "kline", "E": self.time(publication.time), "s": data.symbol, "k": candle}]

    # -- tickers

    def _ticker(self, data: TickerData, made: int) -> Payload:
        return {
            "e": "24hrTicker",
            "E": made,
            **self._window(data),
            "x": _or_nothing(data.prev_close),
            "Q": amount(data.last_qty),
            "b": _or_nothing(data.bid),
            "B": _or_nothing(data.bid_qty),
            "a": _or_nothing(data.ask),
            "A": _or_nothing(data.ask_qty),
        }

    def _rolling_ticker(self, data: RollingTickerData, made: int) -> Payload:
        return {"e": f"{data.window}Ticker", "E": made, **self._window(data)}

    def _mini_ticker(self, data: MiniTickerData, made: int) -> Payload:
        return {"e": "24hrMiniTicker", "E": made, **_prices(data)}

    def _window(self, data: TickerData | RollingTickerData) -> Payload:
        """What tickers of all windows tell."""
        return {
            **_prices(data),
            "p": amount(data.change),
            "P": data.change_percent,
            "w": data.weighted_avg,
            "O": self.time(data.open_time),
            "C": self.time(data.close_time),
            "F": data.first_id,
            "L": data.last_id,
            "n": data.count,
        }

    def _average_price(self, data: AveragePriceData, made: int) -> Payload:
        return {
            "e": "avgPrice",
            "E": made,
            "s": data.symbol,
            "i": "5m",
            "w": data.price,
            "T": self.time(data.last_time),
        }

    def _mark_price(self, data: MarkPriceData, made: int) -> Payload:
        return {
            "e": "markPriceUpdate",
            "E": self.time(data.time),
            "s": data.symbol,
            "p": data.mark_price,
            "i": data.index_price,
            # Of what is never settled it is the index: clients take it for a number.
            "P": data.index_price if data.settle_price is None else data.settle_price,
            "r": _UNKNOWN_RATE if data.funding_rate is None else amount(data.funding_rate),
            "T": _NEVER if data.next_funding_time is None else self.time(data.next_funding_time),
        }

    # -- books

    def _book_ticker(self, data: BookTickerData, publication: Publication) -> list[Payload]:
        symbol, made = publication.channel.owner, self.time(publication.time)
        return [self._quote(symbol, data, data.id + publication.shift, made)]

    def _quote(self, symbol: str, data: BookTickerData | SymbolBookTickerData, number: int, made: int) -> Payload:
        quote = {
            "u": number,
            "s": symbol,
            "b": _or_nothing(data.bid),
            "B": _or_nothing(data.bid_qty),
            "a": _or_nothing(data.ask),
            "A": _or_nothing(data.ask_qty),
        }
        if self._futures:
            return {"e": "bookTicker", **quote, "T": self.time(data.time), "E": made}
        return {**quote, "E": made}  # no `e`: some clients find these messages by its absence

    def _depth(self, data: DepthData, publication: Publication) -> list[Payload]:
        if data.type == "snapshot":
            return []  # the next update does not join what came before: the client asks for the book over HTTP
        shift = publication.shift
        assert data.prev is not None  # it is of an update
        return [
            {
                "e": "depthUpdate",
                "E": self.time(publication.time),
                **({"T": self.time(data.time)} if self._futures else {}),
                "s": publication.channel.owner,
                "U": data.first + shift,
                "u": data.last + shift,
                **({"pu": data.prev + shift} if self._futures else {}),
                "b": amounts(data.bids),
                "a": amounts(data.asks),
            }
        ]

    def _best_levels(self, data: BestLevelsData, publication: Publication) -> list[Payload]:
        last, bids, asks = data.last + publication.shift, amounts(data.bids), amounts(data.asks)
        if not self._futures:
            return [{"lastUpdateId": last, "bids": bids, "asks": asks}]
        return [
            {
                "e": "depthUpdate",
                "E": self.time(publication.time),
                "T": self.time(data.time),
                "s": publication.channel.owner,
                "u": last,
                "b": bids,
                "a": asks,
            }
        ]
