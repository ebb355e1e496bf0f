"""A matching engine for one symbol: price-time priority, without a clock, a socket or a float.

Prices and quantities are integers: so many units of the last digit that the symbol's decimals have. Text is made of
them only on the way out (`Instrument.price`, `Instrument.qty`).
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

Side: TypeAlias = Literal["buy", "sell"]


def decimal(units: int, digits: int) -> str:
    """`units` of the last of `digits` decimals, as text: decimal(-1205, 2) is "-12.05"."""
    sign, text = "-" if units < 0 else "", str(abs(units)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else sign + text


class Instrument(NamedTuple):
    """What is traded under a symbol, and how many decimals its prices and quantities have."""

    symbol: str
    price_digits: int
    qty_digits: int

    def price(self, units: int) -> str:
        return decimal(units, self.price_digits)

    def qty(self, units: int) -> str:
        return decimal(units, self.qty_digits)


@dataclass(slots=True, eq=False)
class Order:
    """One order, from its placing to its end."""

    id: int
    owner: int | None
    """The uid of a demo user; None: the crowd."""
    side: Side
    price: int | None
    """None: a market order, whose rest never waits in the book."""
    qty: int
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.qty

    @property
    def filled(self) -> int:
        return self.qty - self.left


class Fill(NamedTuple):
    """A trade between two orders, at the maker's price."""

    id: int
    price: int
    qty: int
    taker: Order
    maker: Order


class Changes(NamedTuple):
    """Levels that changed by the updates `first` to `last`, as (price, qty), best first; qty 0: gone."""

    first: int
    last: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Matching:
    """The orders of one symbol. Ids of trades and of book updates go on from `first_id`."""

    def __init__(self, first_id: int = 1) -> None:
        self.orders: dict[int, Order] = {}
        """Those that wait in the book, oldest first."""
        # side -> price -> orders by id, oldest first
        self._levels: dict[Side, dict[int, dict[int, Order]]] = {"buy": {}, "sell": {}}
        self._changed: dict[Side, set[int]] = {"buy": set(), "sell": set()}
        self._next_trade = first_id
        self.update_id = first_id - 1
        """Of the last change to the book."""
        self._published = self.update_id

    def place(self, order: Order) -> list[Fill]:
        """Match a new order; what is left of a limit order waits in the book, of a market order it is dropped."""
        fills: list[Fill] = []
        other: Side = "sell" if order.side == "buy" else "buy"
        while order.left:
            best = self.best(other)
            if best is None or not _crosses(order, best):
                break
            maker = next(iter(self._levels[other][best].values()))
            qty = min(order.left, maker.left)
            order.left -= qty
            maker.left -= qty
            fills.append(Fill(self._next_trade, best, qty, order, maker))
            self._next_trade += 1
            if not maker.left:
                self._remove(maker)
            self._touch(other, best)
        if order.left and order.price is not None:
            self._levels[order.side].setdefault(order.price, {})[order.id] = order
            self.orders[order.id] = order
            self._touch(order.side, order.price)
        return fills

    def cancel(self, order_id: int) -> Order | None:
        """Take an order out of the book; None: it does not wait there."""
        order = self.orders.get(order_id)
        if order is not None and order.price is not None:
            self._remove(order)
            self._touch(order.side, order.price)
        return order

    def best(self, side: Side) -> int | None:
        """The best price of a side; None: nobody waits there."""
        prices = self._levels[side]
        if not prices:
            return None
        return max(prices) if side == "buy" else min(prices)

    def levels(self, side: Side) -> list[tuple[int, int]]:
        """All of a side as (price, qty), best first."""
        return [(price, self._qty(side, price)) for price in sorted(self._levels[side], reverse=side == "buy")]

    def take_changes(self) -> Changes | None:
        """What changed since this was last asked; None: nothing."""
        if self.update_id == self._published:
            return None
        changes = Changes(self._published + 1, self.update_id, self._take("buy"), self._take("sell"))
        self._published = self.update_id
        return changes

    def _take(self, side: Side) -> list[tuple[int, int]]:
        changed = self._changed[side]
        self._changed[side] = set()
        return [(price, self._qty(side, price)) for price in sorted(changed, reverse=side == "buy")]

    def _qty(self, side: Side, price: int) -> int:
        return sum(order.left for order in self._levels[side].get(price, {}).values())

    def _remove(self, order: Order) -> None:
        assert order.price is not None
        level = self._levels[order.side][order.price]
        del level[order.id], self.orders[order.id]
        if not level:
            del self._levels[order.side][order.price]

    def _touch(self, side: Side, price: int) -> None:
        self._changed[side].add(price)
        self.update_id += 1


def _crosses(order: Order, price: int) -> bool:
    if order.price is None:
        return True
    return order.price >= price if order.side == "buy" else order.price <= price
