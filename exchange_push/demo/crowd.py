"""The crowd that trades one symbol of the pretend exchange: random orders round a price that wanders.

All that is random comes from the generator it is given. It trades through the same book as the demo users
(demo/matching.py); when and to whom events are sent is not known here (demo/engine.py).
"""

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Final, NamedTuple

from exchange_push.demo.matching import Fill, Instrument, Matching, Order, Side, decimal
from exchange_push.market.events import BookSnapshot, DepthChange, Funding, IndexPrice, Level, Trade

_SOURCES: Final = (("venue-a", "0.5"), ("venue-b", "0.3"), ("venue-c", "0.2"))
_SPREAD: Final = 1e-3  # how far from the price the mean order stands
_WANDER: Final = 2e-5  # by how much the price moves in a step, about half a percent an hour
_RETURN: Final = 1e-5  # how strongly it is drawn back to where it began, so that a demo can run for weeks
_ORDERS: Final = range(150, 300)  # that wait in the book: fewer get company, of more some are cancelled
_FUNDING_DIGITS: Final = 8
_FUNDING_MS: Final = 8 * 3_600_000


class Listing(NamedTuple):
    """A symbol and how it trades; `price` and `qty` in units of the last digit, `orders` a step."""

    instrument: Instrument
    price: int
    qty: int
    orders: int


LISTINGS: Final = (
    Listing(Instrument("BTCUSDT", 1, 3), price=640_000, qty=50, orders=3),
    Listing(Instrument("ETHUSDT", 2, 3), price=340_000, qty=800, orders=2),
    Listing(Instrument("SOLUSDT", 2, 2), price=15_000, qty=1_500, orders=2),
    Listing(Instrument("DOGEUSDT", 5, 0), price=16_000, qty=4_000, orders=1),
)


class Crowd:
    """One symbol, and all who trade it but the demo users."""

    def __init__(self, listing: Listing, random: Random, order_ids: Iterator[int], first_id: int) -> None:
        self.listing = listing
        self.instrument = listing.instrument
        self.matching = Matching(first_id)
        self._random = random
        self._order_ids = order_ids
        self._price = float(listing.price)
        for _ in _ORDERS:
            self.matching.place(self._limit(in_a_hurry=0))
        self.matching.take_changes()  # the first snapshot says it all

    def order(self, side: Side, price: int | None, owner: int | None = None) -> Order:
        """A new order of a random size, not placed yet."""
        qty = max(1, round(self._random.expovariate(1 / self.listing.qty)))
        return Order(next(self._order_ids), owner, side, price, qty)

    def step(self) -> Iterator[tuple[Order, list[Fill]]]:
        """What the crowd does in a step: orders placed, each with its fills; cancels show in the book only."""
        self._price += self._price * self._random.gauss(0, _WANDER) + (self.listing.price - self._price) * _RETURN
        for _ in range(self._random.randrange(2 * self.listing.orders + 1)):
            waiting = len(self.matching.orders)
            dice = self._random.random()
            if waiting in _ORDERS and dice < 0.12:
                order = self.order(self._random.choice(("buy", "sell")), None)
                yield order, self.matching.place(order)
            elif waiting < _ORDERS.start or (waiting in _ORDERS and dice < 0.6):
                order = self._limit()
                yield order, self.matching.place(order)
            else:
                self._cancel()

    def trade(self, fill: Fill, now_ms: int) -> Trade:
        price, qty = self.instrument.price(fill.price), self.instrument.qty(fill.qty)
        return Trade(self.instrument.symbol, fill.id, price, qty, fill.taker.side, now_ms, fill.taker.id)

    def depth(self, now_ms: int) -> DepthChange | None:
        """The book's changes since this was last asked."""
        changes = self.matching.take_changes()
        if changes is None:
            return None
        bids, asks = self._texts(changes.bids), self._texts(changes.asks)
        return DepthChange(self.instrument.symbol, changes.first, changes.last, now_ms, bids, asks)

    def snapshot(self, now_ms: int) -> BookSnapshot:
        """The book as of now; call `depth` before, so that it is the book as of what was sent."""
        bids, asks = (self._texts(self.matching.levels(side)) for side in ("buy", "sell"))
        return BookSnapshot(self.instrument.symbol, self.matching.update_id, now_ms, bids, asks)

    def index(self, now_ms: int) -> list[IndexPrice]:
        """What the symbol costs elsewhere."""
        return [
            IndexPrice(
                self.instrument.symbol,
                source,
                self.instrument.price(round(self._price * (1 + self._random.gauss(0, _WANDER)))),
                weight,
                now_ms,
            )
            for source, weight in _SOURCES
        ]

    def funding(self, now_ms: int) -> Funding:
        """0.01 % and what the book stands above the price elsewhere, at most 0.075 % either way."""
        bid, ask = self.matching.best("buy"), self.matching.best("sell")
        premium = 0.0 if bid is None or ask is None else (bid + ask) / 2 / self._price - 1
        rate = max(-75_000, min(75_000, 10_000 + round(premium * 10**_FUNDING_DIGITS)))
        next_ms = now_ms - now_ms % _FUNDING_MS + _FUNDING_MS
        return Funding(self.instrument.symbol, decimal(rate, _FUNDING_DIGITS), next_ms, now_ms)

    def _limit(self, in_a_hurry: float = 0.1) -> Order:
        """An order for the book; who is in a hurry stands on the other side of the price, and trades."""
        side: Side = self._random.choice(("buy", "sell"))
        away = 1 + self._price * self._random.expovariate(1 / _SPREAD)
        if self._random.random() < in_a_hurry:
            away *= -0.3
        price = round(self._price - away if side == "buy" else self._price + away)
        return self.order(side, max(1, price))

    def _cancel(self) -> None:
        orders = self.matching.orders
        index = self._random.randrange(len(orders))
        order = next(islice(orders.values(), index, None))
        if order.owner is None:
            self.matching.cancel(order.id)

    def _texts(self, levels: list[tuple[int, int]]) -> list[Level]:
        # A level that is gone is "0", whatever the digits.
        return [(self.instrument.price(price), self.instrument.qty(qty) if qty else "0") for price, qty in levels]
