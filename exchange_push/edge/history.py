"""The market over plain HTTP: candles, trades, ticker and book, from the same state as the stream.

What a store holds and what is in memory are joined so that none is missing and none comes twice: what has left the
memory is asked of the store once it is written there.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from twisted.internet.defer import Deferred

from exchange_push.edge.pages import Answer, Query
from exchange_push.errors import ClientCode, ClientError, PageError, quoted
from exchange_push.market.board import Board
from exchange_push.market.chart import Candles
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kline import KlineData
from exchange_push.market.merged import MergedTrade
from exchange_push.pubsub.channel import Channel

MOST: Final = 1_500
USUAL: Final = 500
_NUMBER_CHARS: Final = 15
FOR_EVER: Final = 1 << 62


class Stored(Protocol):
    """What is asked of a store; each may fail with StoreUnavailable."""

    def candles(self, symbol: str, interval: str, start: int | None, end: int, limit: int) -> Deferred[Candles]: ...

    def trades(self, symbol: str, start: int | None, end: int, limit: int) -> Deferred[list[MergedTrade]]: ...

    def trades_from(self, symbol: str, first: int, limit: int) -> Deferred[list[MergedTrade]]: ...

    def unwritten_trades(self, symbol: str) -> list[MergedTrade]: ...

    def written(self) -> Deferred[None]: ...


class Span(NamedTuple):
    """What is asked for: `[start, end)` in ms, the oldest of it, or without `start` the newest."""

    start: int | None
    end: int
    limit: int

    def cut(self, found: list[Any]) -> list[Any]:
        return found[-self.limit :] if self.start is None else found[: self.limit]


class History:
    """Answers of the public port. `channel` finds the channel behind a name, or raises ClientError."""

    def __init__(self, board: Board, stored: Stored | None, channel: Callable[[str], Channel]) -> None:
        self._board = board
        self._stored = stored
        self._channel = channel

    @property
    def reaches_back(self) -> bool:
        """Whether there is more than what is in memory."""
        return self._stored is not None

    def pages(self) -> Mapping[bytes, Answer]:
        return {
            b"/v1/klines": lambda asked: Deferred.fromCoroutine(self._klines(asked.query)),
            b"/v1/trades": lambda asked: Deferred.fromCoroutine(self._trades(asked.query)),
            b"/v1/ticker": lambda asked: self._ticker(asked.query),
            b"/v1/depth": lambda asked: self._depth(asked.query),
        }

    async def _klines(self, query: Query) -> list[KlineData]:
        symbol = self._symbol(query, "interval", "from", "to", "limit")
        interval = query.get("interval", "1m")
        if interval not in INTERVALS:
            raise PageError(400, f"interval is {quoted(interval)}, expected one of {', '.join(INTERVALS)}")
        return await self.candles(symbol, interval, _span(query))

    async def candles(self, symbol: str, interval: str, span: Span) -> list[KlineData]:
        """The candles that start in there, oldest first, the running one too. May raise StoreUnavailable."""
        held = self._board.held(symbol, interval)
        candles: dict[int, KlineData] = {}
        if held and self._stored is not None and (span.start is None or span.start < held[0].start):
            if self._board.has_unstored(symbol, interval, held[0].start):
                await self._stored.written()
            end = min(span.end, held[0].start)
            stored = await self._stored.candles(symbol, interval, span.start, end, span.limit)
            candles = {candle.start: candle for candle in self._board.chart(symbol, interval, stored)}
        # Those of before the wait, too: one of them may have left the memory since.
        for candle in (*held, *self._board.held(symbol, interval)):
            if (span.start or 0) <= candle.start < span.end:
                candles[candle.start] = candle
        return span.cut([candles[start] for start in sorted(candles)])

    async def _trades(self, query: Query) -> list[MergedTrade]:
        return await self.trades(self._symbol(query, "from", "to", "limit"), _span(query))

    async def trades(self, symbol: str, span: Span) -> list[MergedTrade]:
        """Trades with a time in there, in order of time and id. May raise StoreUnavailable."""
        recent = self._board.recent_trades(symbol)
        found: list[MergedTrade] = []
        if self._stored is not None:
            recent = self._stored.unwritten_trades(symbol) + recent
            found = await self._stored.trades(symbol, span.start, span.end, span.limit)
        trades = {(trade.time, trade.first): trade for trade in (*found, *recent)}
        inside = [trades[key] for key in sorted(trades) if (span.start or 0) <= key[0] < span.end]
        return span.cut(inside)

    async def trades_from(self, symbol: str, first: int, limit: int) -> list[MergedTrade]:
        """Trades that begin with this id or a later one, in order of ids. May raise StoreUnavailable."""
        recent = self._board.recent_trades(symbol)
        found: list[MergedTrade] = []
        if self._stored is not None:
            recent = self._stored.unwritten_trades(symbol) + recent
            found = await self._stored.trades_from(symbol, first, limit)
        trades = {trade.first: trade for trade in (*found, *recent) if trade.first >= first}
        return [trades[first] for first in sorted(trades)][:limit]

    def _ticker(self, query: Query) -> object:
        return self._state(self._symbol(query), "ticker")

    def _depth(self, query: Query) -> object:
        symbol = self._symbol(query, "limit")
        limit = _number(query, "limit", 1, MOST)
        data = self._state(symbol, "depth")
        return data if limit is None else {**_fields(data), "bids": data.bids[:limit], "asks": data.asks[:limit]}

    def _state(self, symbol: str, kind: str) -> Any:
        data = self.state(symbol, kind)
        if data is None:
            raise PageError(404, f"no {kind} of {symbol} is known")
        return data

    def state(self, symbol: str, kind: str) -> Any:
        """The data of a symbol's channel that came last; None: there is none yet."""
        publication = self._board.state(self._channel(f"{symbol}@{kind}"))
        return None if publication is None else publication.data

    def _symbol(self, query: Query, *others: str) -> str:
        """The symbol asked for; beside it the query has no keys but `others`."""
        for name in query:
            if name != "symbol" and name not in others:
                raise PageError(400, f"found {quoted(name)}, expected {', '.join(('symbol', *others))}")
        symbol = query.get("symbol")
        if symbol is None:
            raise PageError(400, "no symbol, expected symbol=…")
        try:
            return self._channel(f"{symbol}@trades").owner
        except ClientError as error:
            unknown = error.code is ClientCode.UNKNOWN_SYMBOL
            raise PageError(
                404 if unknown else 400,
                error.msg if unknown else f"symbol is {quoted(symbol)}, expected one like BTCUSDT",
            ) from None


def _span(query: Query) -> Span:
    start, end = _number(query, "from", 0, FOR_EVER), _number(query, "to", 0, FOR_EVER)
    if start is not None and end is not None and end < start:
        raise PageError(400, f"to is {end}, expected {start} or more, as from")
    limit = _number(query, "limit", 1, MOST)
    return Span(start, FOR_EVER if end is None else end, USUAL if limit is None else limit)


def _number(query: Query, name: str, least: int, most: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= _NUMBER_CHARS else None
    if number is None or not least <= number <= most:
        expected = "a time in ms" if most == FOR_EVER else f"a number from {least} to {most}"
        raise PageError(400, f"{name} is {quoted(text)}, expected {expected}")
    return number


def _fields(data: Any) -> dict[str, Any]:
    return {name: getattr(data, name) for name in data.__struct_fields__}
