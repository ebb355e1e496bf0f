"""`@markprice`: what positions are valued at, and `*@markprice`: that of all symbols that changed.

The formulas stand in index.py, mark.py and funding.py, and which of them a symbol goes by in its product. Here is what
they are fed with, each second. Nothing is rounded before the end: 8 digits, half-even.
"""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

import msgspec

from exchange_push.market.average import AVERAGES, Average, mean
from exchange_push.market.book import Book
from exchange_push.market.exact import WIDE, rounded
from exchange_push.market.feed import Market, Markets, Tick
from exchange_push.market.funding import PREMIUMS, funding_rate
from exchange_push.market.index import OUTLIERS, index
from exchange_push.market.kept import Kept
from exchange_push.market.mark import MARKS, Inputs, funding_basis, moving_basis
from exchange_push.market.product import Product
from exchange_push.pubsub.channel import ALL, Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

_STEP: Final = Decimal("0.00000001")
_SECOND_MS: Final = 1_000
_HOUR_MS: Final = 3_600_000
_ALWAYS: Final = 0


class MarkPriceData(msgspec.Struct, frozen=True, rename="camel"):
    """What a product has not, and what is not known yet, is null. `time` is market time."""

    symbol: str
    mark_price: str
    index_price: str
    settle_price: str | None
    funding_rate: str | None
    next_funding_time: int | None
    time: int


class Saved(msgspec.Struct, array_like=True, frozen=True):
    """What of a symbol's mark price outlives the process."""

    average: Average | None
    """Of the premium until funding, or of the index until delivery."""
    figures: MarkPriceData | None


class _Rate(NamedTuple):
    """What is known of the next funding."""

    text: str | None
    """As it is published."""
    next_time: int
    held: Decimal | None
    """The rate that P1 counts with."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Saved).decode


class MarkPrices:
    """The figures of all symbols that have an index, as of the last second that was due; one for all feeds.

    A symbol whose index is lost, because its sources are old or disagree, is `unpriced`: its figures stay those of the
    last second that had one, and are not published until there is one again.
    """

    def __init__(self, markets: Markets) -> None:
        self._markets = markets
        self._basis: dict[Market, deque[Decimal | None]] = {}
        self._averages: dict[str, Average] = {}
        self._tick: Tick | None = None
        self.figures: dict[Market, MarkPriceData] = {}
        """Without time; another object only where something changed."""
        self.time = 0
        self.new = False
        """Whether this tick brought a sample."""
        self.unpriced: dict[Market, int] = {}
        """With the market time of their figures."""
        self.stale_sources = 0
        self.outlying_sources = 0

    def collect(self, tick: Tick, due: bool) -> None:
        """Where it is due, take one sample of everything and compute all marks, once for all who ask."""
        if tick is self._tick:
            return
        self._tick, self.new = tick, due
        if tick.anew:  # no index is known any more
            self._basis, self._averages, self.unpriced = {}, {}, {}
            self.figures = {market: figures for market, figures in self.figures.items() if market.product.halted}
        if due:
            self._sample(tick.time)

    def data(self, market: Market) -> MarkPriceData:
        return msgspec.structs.replace(self.figures[market], time=self.unpriced.get(market, self.time))

    def saved(self) -> dict[str, bytes]:
        """By symbol, what `load` of a later process needs."""
        figures = {market.symbol: self.data(market) for market in self.figures}
        return {
            symbol: _encode(Saved(self._averages.get(symbol), figures.get(symbol)))
            for symbol in figures.keys() | self._averages.keys()
        }

    def restore(self, kept: Kept) -> None:
        self.load({symbol.symbol: symbol.mark for symbol in kept.symbols if symbol.mark is not None})

    def load(self, saved: Mapping[str, bytes]) -> None:
        """Go on from what was saved. Raises msgspec.MsgspecError for what `saved` did not give.

        Averages go on. Figures are kept only of symbols that are halted: all others need a new index.
        """
        for symbol, found in {symbol: _decode(data) for symbol, data in saved.items()}.items():
            if found.average is not None:
                self._averages[symbol] = found.average
            if found.figures is not None and self._markets.product(symbol).halted:
                market = self._markets.by_symbol.get(symbol) or self._markets.open(symbol)
                self.figures[market] = msgspec.structs.replace(found.figures, time=0)
                self.time = max(self.time, found.figures.time)

    def _sample(self, time: int) -> None:
        before, self.time = self.time, time
        self.stale_sources = self.outlying_sources = 0
        with localcontext(WIDE):
            for market in self._markets.by_symbol.values():
                if not market.sources or market.product.halted:
                    continue
                figures = self._figures(market)
                if figures is None:
                    if market in self.figures:
                        self.unpriced.setdefault(market, before)
                    continue
                if self.unpriced:
                    self.unpriced.pop(market, None)
                if figures != self.figures.get(market):
                    self.figures[market] = figures

    def _figures(self, market: Market) -> MarkPriceData | None:
        product = market.product
        found = index(
            market.sources.values(),
            since=self.time - product.index_stale_ms if product.index_stale_ms else _ALWAYS,
            weights=product.index_weights,
            treat=OUTLIERS[product.index_outliers],
            band=product.index_band,
        )
        self.stale_sources += found.stale
        self.outlying_sources += found.outlying
        price = found.price
        if price is None:
            return None
        book = market.book
        if book is not None and (not book.in_sync or book.crossed):
            book = None  # it says nothing, or nothing that could be true
        rate = self._rate(market, price, book) if product.perpetual else None
        p1 = price
        if rate is not None and rate.held is not None:
            p1 = funding_basis(price, rate.held, rate.next_time - self.time, product.funding_hours)
        p2 = moving_basis(price, self._basis_samples(market, price, book))
        last = price if market.last_price is None else Decimal(market.last_price)
        settlement = None if product.perpetual else self._settlement(market.symbol, product, price)
        return MarkPriceData(
            symbol=market.symbol,
            mark_price=rounded(MARKS[product.mark_formula](Inputs(p1, p2, last)), _STEP),
            index_price=rounded(price, _STEP),
            settle_price=None if settlement is None else rounded(settlement, _STEP),
            funding_rate=None if rate is None else rate.text,
            next_funding_time=None if rate is None or rate.text is None else rate.next_time,
            time=0,
        )

    def _basis_samples(self, market: Market, price: Decimal, book: Book | None) -> list[Decimal]:
        samples = self._basis.get(market)
        if samples is None:
            samples = self._basis[market] = deque(maxlen=market.product.basis_samples)
        bid, ask = (None, None) if book is None else (book.bids.top, book.asks.top)
        # One that is missing takes its place too: a basis of long ago is not that of now.
        samples.append(None if bid is None or ask is None else (bid + ask) / 2 - price)
        return [sample for sample in samples if sample is not None]

    def _rate(self, market: Market, price: Decimal, book: Book | None) -> _Rate:
        """What the engine says of the funding, or, where it says nothing, what the premium comes to."""
        funding = market.funding
        if funding is not None:
            return _Rate(funding.rate, funding.next_time, Decimal(funding.rate))
        product = market.product
        length = product.funding_hours * _HOUR_MS
        start = self.time - self.time % length
        average = self._averages.get(market.symbol)
        if average is None or average.start != start:
            average = Average(start, settled=_settled(average, start - length, product))
        place = (self.time - start) // (product.premium_sample_s * _SECOND_MS) + 1
        if book is not None and place > average.place:
            premium = PREMIUMS[product.premium](price, book.bids.walk(), book.asks.walk(), product.impact_notional)
            if premium is not None:
                average = average.add(place, premium, AVERAGES[product.premium_average])
        self._averages[market.symbol] = average
        return _Rate(_predicted(average, product), start + length, average.settled)

    def _settlement(self, symbol: str, product: Product, price: Decimal) -> Decimal | None:
        """The index until the average begins, then that of each second so far; after the delivery it stands."""
        delivery = product.delivery_ms
        if delivery is None:
            return price
        start = delivery - product.settlement_s * _SECOND_MS
        if self.time < start:
            return price
        average = self._averages.get(symbol)
        if average is None or average.start != start:
            average = Average(start)
        place = (self.time - start) // _SECOND_MS + 1
        if self.time < delivery and place > average.place:
            average = average.add(place, price, mean)
        self._averages[symbol] = average
        return average.value


def _predicted(average: Average, product: Product) -> str | None:
    """The rate that the average comes to, as it is published."""
    premium = average.value
    if premium is None:
        return None
    rate = funding_rate(
        premium,
        interest=product.interest,
        clamp=product.funding_clamp,
        hours=product.funding_hours,
        base_hours=product.funding_base_hours,
        cap=product.funding_cap,
        floor=product.funding_floor,
    )
    return rounded(rate, _STEP)


def _settled(average: Average | None, start: int, product: Product) -> Decimal | None:
    """The rate of the stretch that began at `start`, if the average is of that."""
    if average is None or average.start != start:
        return None
    text = _predicted(average, product)
    return None if text is None else Decimal(text)


class MarkPriceFeed:
    """For every symbol that has an index, whenever it is due; the state is of the last second that was sampled."""

    def __init__(self, kind: ChannelKind, markets: Markets) -> None:
        self._kind = kind
        self._markets = markets
        self._marks = markets.shared(MarkPrices)
        self._states: dict[Market, Publication] = {}

    def flush(self, tick: Tick, due: bool) -> list[Publication]:
        self._marks.collect(tick, due)
        if self._marks.new:
            self._forget()
        return self._publish() if due else []

    def state(self, owner: str) -> Publication | None:
        market = self._markets.by_symbol.get(owner)
        return None if market is None or market not in self._marks.figures else self._state(market)

    def _forget(self) -> None:
        """There are newer figures."""
        self._states = {}

    def _publish(self) -> list[Publication]:
        wanted, unpriced = self._markets.wanted_of(self._kind, self._marks.figures), self._marks.unpriced
        return [self._state(market) for market in wanted if market not in unpriced]

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

    def _forget(self) -> None:
        self._all = None

    def _publish(self) -> list[Publication]:
        last, self._last = self._last, dict(self._marks.figures)
        changed = [market for market, figures in self._last.items() if figures is not last.get(market)]
        if not changed or not self._markets.wanted(self._channel):
            return []
        return [Publication(self._channel, [self._marks.data(market) for market in changed])]
