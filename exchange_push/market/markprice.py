"""`@markprice`: what positions are valued at, and `*@markprice`: that of all symbols that changed.

The formulas (Binance's, published for perpetual contracts since September 2025; ours where it is silent):

    index  weighted mean of the sources' prices, weights normalised
    P1     index * (1 + rate * hours to funding / hours between fundings)
    P2     index + mean of the basis, (bid + ask) / 2 - index, over the last 30 samples, one a second
    mark   median(P1, P2, last trade); of a dated future P2 alone

An input that is missing is replaced by the index. Nothing is rounded before the end: 8 digits, half-even.
"""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal, localcontext

import msgspec

from exchange_push.market.events import IndexPrice
from exchange_push.market.exact import WIDE, ZERO, rounded
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.pubsub.channel import ALL, Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

_STEP = Decimal("0.00000001")
_HOUR_MS = 3_600_000


class MarkPriceData(msgspec.Struct, frozen=True, rename="camel"):
    """What a product has not, and what is not known yet, is null. `time` is market time."""

    symbol: str
    mark_price: str
    index_price: str
    settle_price: str | None
    funding_rate: str | None
    next_funding_time: int | None
    time: int


def index_price(sources: Iterable[IndexPrice]) -> Decimal | None:
    """Weighted mean of the sources; None where they weigh nothing. Call within WIDE."""
    weights = total = ZERO
    for source in sources:
        weight = Decimal(source.weight)
        weights += weight
        total += weight * Decimal(source.price)
    return total / weights if weights else None


def funding_basis(index: Decimal, rate: Decimal, to_funding_ms: int, funding_hours: int) -> Decimal:
    """P1: the index, and what of the next funding is still to be earned. Call within WIDE."""
    return index * (1 + rate * max(to_funding_ms, 0) / (_HOUR_MS * funding_hours))


def moving_basis(index: Decimal, samples: Iterable[Decimal]) -> Decimal:
    """P2: the index and the mean basis. Call within WIDE."""
    basis = list(samples)
    return index + sum(basis, ZERO) / len(basis) if basis else index


def median(first: Decimal, second: Decimal, third: Decimal) -> Decimal:
    return sorted((first, second, third))[1]


class _MarkPrices:
    """The basis of all symbols that have an index, and their figures as of the last second that was due."""

    def __init__(self, markets: Markets) -> None:
        self._markets = markets
        self._samples: dict[Market, deque[Decimal]] = {}
        self._tick: Tick | None = None
        self.figures: dict[Market, MarkPriceData] = {}
        """Without time; another object only where something changed."""
        self.time = 0

    def collect(self, tick: Tick, due: bool) -> None:
        """Where it is due, take one sample of each basis and compute all marks, once for all who ask."""
        if tick is self._tick:
            return
        self._tick = tick
        if tick.anew:  # no index is known any more
            self._samples = {}
            self.figures = {}
        if due:
            self._sample(tick)

    def _sample(self, tick: Tick) -> None:
        self.time = tick.time
        with localcontext(WIDE):
            for market in self._markets.by_symbol.values():
                if market.sources:
                    figures = self._figures(market)
                    if figures is not None and figures != self.figures.get(market):
                        self.figures[market] = figures

    def data(self, market: Market) -> MarkPriceData:
        return msgspec.structs.replace(self.figures[market], time=self.time)

    def _figures(self, market: Market) -> MarkPriceData | None:
        index = index_price(market.sources.values())
        if index is None:
            return None
        product, funding = market.product, market.funding if market.product.perpetual else None
        samples = self._samples.get(market)
        if samples is None:
            samples = self._samples[market] = deque(maxlen=product.basis_samples)
        quote = market.quote()
        if quote.bid is not None and quote.ask is not None:
            samples.append((Decimal(quote.bid) + Decimal(quote.ask)) / 2 - index)
        mark = moving_basis(index, samples)
        if product.perpetual:
            p1 = index
            if funding is not None:
                to_funding_ms = funding.next_time - self.time
                p1 = funding_basis(index, Decimal(funding.rate), to_funding_ms, product.funding_hours)
            last = index if market.last_price is None else Decimal(market.last_price)
            mark = median(p1, mark, last)
        index_text = rounded(index, _STEP)
        return MarkPriceData(
            symbol=market.symbol,
            mark_price=rounded(mark, _STEP),
            index_price=index_text,
            settle_price=None if product.perpetual else index_text,
            funding_rate=None if funding is None else funding.rate,
            next_funding_time=None if funding is None else funding.next_time,
            time=0,
        )


class MarkPriceFeed:
    """Every second, for every symbol that has an index."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._marks = markets.shared(_MarkPrices)
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        self._marks.collect(tick, due)
        return self._publish() if due else []

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        return None if market is None or market not in self._marks.figures else self._state(market)

    def _publish(self) -> list[Publication]:
        self._states = {}
        wanted, kind = self._markets.wanted, self._kind
        return [self._state(market) for market in self._marks.figures if wanted(Channel(kind, market.symbol))]

    def _state(self, market: Market) -> Publication:
        state = self._states.get(market)
        if state is None:
            data = self._marks.data(market)
            state = self._states[market] = Publication(Channel(self._kind, market.symbol), data)
        return state


class EveryMarkPriceFeed(MarkPriceFeed):
    """One array a second of the symbols whose figures changed; the state is the array of all."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        super().__init__(kind, markets)
        self._channel = Channel(kind, ALL)
        self._last: dict[Market, MarkPriceData] = {}
        self._all: Publication | None = None

    def state(self, owner: str) -> Publication | None:
        figures = self._marks.figures
        if self._all is None and figures:
            self._all = Publication(self._channel, [self._marks.data(market) for market in figures])
        return self._all

    def _publish(self) -> list[Publication]:
        self._all = None
        last, self._last = self._last, dict(self._marks.figures)
        changed = [market for market, figures in self._last.items() if figures is not last.get(market)]
        if not changed or not self._markets.wanted(self._channel):
            return []
        return [Publication(self._channel, [self._marks.data(market) for market in changed])]
