"""The data feed of TradingView charts, /udf/…, from the same state as the stream.

The adapter in front of it looks at no status: what is wrong is said in the body, with status 200.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from decimal import Decimal
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from exchange_push.edge.history import History, Span
from exchange_push.edge.pages import Answer, Asked, Reply
from exchange_push.errors import PageError, StoreUnavailable, quoted
from exchange_push.market.product import Product
from exchange_push.wire.dialects import udf

_MOST_QUOTES: Final = 100
_UNSAID: Final = Product()


class Udf:
    """`symbols` gives those that there are, `now_ms` the wall clock; `exchange` is the name shown in charts."""

    def __init__(
        self,
        history: History,
        symbols: Callable[[], Iterable[str]],
        exchange: str,
        products: Mapping[str, Product],
        now_ms: Callable[[], int],
    ) -> None:
        self._history = history
        self._symbols = symbols
        self._exchange = exchange
        self._products = products
        self._now_ms = now_ms

    def pages(self) -> Mapping[bytes, Answer]:
        return {
            b"/udf/time": lambda asked: Reply(str(self._now_ms() // 1000).encode(), "text/plain"),
            b"/udf/config": self._page(lambda asked: udf.config(self._exchange)),
            b"/udf/symbols": self._page(lambda asked: udf.symbol_info(self._listing(self._named(asked)))),
            b"/udf/search": self._page(lambda asked: udf.found(self._symbols(), self._exchange, asked.query)),
            b"/udf/quotes": self._page(self._quotes),
            b"/udf/history": self._page(lambda asked: Deferred.fromCoroutine(self._bars(asked))),
            b"/udf/*": self._page(self._nothing),
        }

    def _page(self, answer: Answer) -> Answer:
        def page(asked: Asked) -> Deferred[Reply]:
            found: Deferred[object] = maybeDeferred(answer, asked)
            return found.addErrback(_refusal).addCallback(lambda answer: Reply(udf.encode(answer)))

        return page

    async def _bars(self, asked: Asked) -> udf.Bars | udf.NoBars:
        symbol, wanted = self._named(asked), udf.asked(asked.query)
        # One more on either side, since `inside` takes or leaves the one that begins at the end.
        newest = await self._history.candles(symbol, wanted.interval, Span(None, wanted.end + 1, wanted.limit + 1))
        found = udf.inside(newest, wanted)
        if found:
            return udf.bars(found)
        if wanted.start is None:
            return udf.no_bars(None)
        before = await self._history.candles(symbol, wanted.interval, Span(None, wanted.start, 1))
        return udf.no_bars(before[-1] if before else None)

    def _quotes(self, asked: Asked) -> udf.Quotes:
        names = [name for name in asked.query.get("symbols", "").split(",") if name]
        if not 1 <= len(names) <= _MOST_QUOTES:
            raise udf.Refused(f"{len(names)} symbols, expected 1 to {_MOST_QUOTES}, separated by commas")
        known = frozenset(self._symbols())
        return udf.Quotes([self._quote(name, known) for name in names])

    def _quote(self, name: str, known: Set[str]) -> udf.Quote | udf.NoQuote:
        symbol = self._symbol(name, known)
        ticker = None if symbol is None else self._history.state(symbol, "ticker")
        if symbol is None or ticker is None:
            return udf.no_quote(name, "unknown symbol" if symbol is None else "not traded yet")
        return udf.quote(name, self._listing(symbol), ticker)

    def _named(self, asked: Asked) -> str:
        name = asked.query.get("symbol")
        if name is None:
            raise udf.Refused("no symbol, expected symbol=…")
        symbol = self._symbol(name, frozenset(self._symbols()))
        if symbol is None:
            raise udf.Refused(f"unknown symbol {quoted(name)}")
        return symbol

    def _symbol(self, name: str, known: Set[str]) -> str | None:
        """The symbol that is meant by `BTCUSDT` or `EXCHANGE:BTCUSDT`."""
        symbol = name.removeprefix(udf.full_name("", self._exchange))
        return symbol if symbol in known else None

    def _listing(self, symbol: str) -> udf.Listing:
        """Where nobody said what prices and quantities are multiples of, the digits tell that they were seen with."""
        product = self._products.get(symbol, _UNSAID)
        price_digits, volume_digits = self._seen(symbol)
        tick, step = product.tick_size, product.step_size
        return udf.Listing(
            symbol,
            self._exchange,
            " / ".join(filter(None, product.assets(symbol))),
            Decimal(1).scaleb(-price_digits) if tick == _UNSAID.tick_size else tick,
            volume_digits if step == _UNSAID.step_size else udf.digits_of(step),
        )

    def _seen(self, symbol: str) -> tuple[int, int]:
        """Digits of prices and of quantities."""
        ticker, best = self._history.state(symbol, "ticker"), self._history.state(symbol, "depth20")
        levels = [] if best is None else [*best.bids, *best.asks]
        prices, quantities = [price for price, _ in levels], [qty for _, qty in levels]
        if ticker is not None:
            prices += [ticker.open, ticker.high, ticker.low, ticker.last]
            quantities.append(ticker.last_qty)
        return _digits(prices), _digits(quantities)

    def _nothing(self, asked: Asked) -> Any:
        raise udf.Refused(f"no such page {quoted(asked.path)}")


def _digits(numbers: Iterable[str]) -> int:
    return max((len(number.partition(".")[2]) for number in numbers), default=0)


def _refusal(failure: Failure) -> udf.NoAnswer:
    failure.trap(udf.Refused, PageError, StoreUnavailable)
    return udf.NoAnswer(failure.getErrorMessage())
