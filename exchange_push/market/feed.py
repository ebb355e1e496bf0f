"""What a feed is, what it is given, and what happened on a tick.

A feed computes all channels of one kind. The board gives it each tick of 50 ms, due or not; it answers with what is to
be published. What several feeds are made of is shared through `Markets.shared`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from exchange_push.market.bars import Bar
from exchange_push.market.book import NO_QUOTE, Book, Quote
from exchange_push.market.changes import Changes
from exchange_push.market.events import Funding, IndexPrice, Trade
from exchange_push.market.kept import Kept
from exchange_push.market.product import Product
from exchange_push.market.recorded import Recorded, Stretch, Taken
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.publication import Publication

T = TypeVar("T")
_DEFAULT: Final = Product()


class Market:
    """What all feeds know of one symbol."""

    __slots__ = (
        "bar",
        "book",
        "cuts",
        "funding",
        "last_price",
        "product",
        "sources",
        "symbol",
        "taken",
        "trades",
        "unordered",
    )

    def __init__(self, symbol: str, product: Product) -> None:
        self.symbol = symbol
        self.product = product
        self.book: Book | None = None
        self.bar: Bar | None = None
        """Trades of the running second of market time, as of the last tick."""
        self.trades: list[Trade] = []
        """Taken since the last tick."""
        self.cuts: list[int] = []
        """Where among these the engine began the ids anew;"""
        self.unordered = False
        """whether some of their ids are out of order, since they fill a hole."""
        self.taken = Taken()
        self.last_price: str | None = None
        self.sources: dict[str, IndexPrice] = {}
        self.funding: Funding | None = None

    def quote(self) -> Quote:
        return NO_QUOTE if self.book is None else self.book.quote()


@dataclass(slots=True)
class Tick:
    """What happened since the tick before. Markets stand in the order in which they were heard of."""

    time: int
    """Market time, ms."""
    traded: dict[Market, list[Trade]] = field(default_factory=dict)
    closed: list[tuple[Market, Bar]] = field(default_factory=list)
    """Bars of the seconds that ended, in order of time for each market. Not to be changed."""
    late: list[tuple[Market, Bar]] = field(default_factory=list)
    """Trades of seconds that had ended by the tick before. Not to be changed."""
    booked: dict[Market, None] = field(default_factory=dict)
    """Markets whose book may have changed."""
    leaps: list[tuple[int, int]] = field(default_factory=list)
    """Jumps of market time (from, to) over more than 1,500 s."""
    gaps: list[Stretch] = field(default_factory=list)
    """In which events were lost."""
    told: dict[Market, Stretch] = field(default_factory=dict)
    """Markets of which it became known whether trades of such a time are missing, and that time."""
    anew: bool = False
    """Market time was set back: what was derived from the one before is void. `traded` may hold trades of before."""


class Past(Protocol):
    """What a store gives back while the board runs."""

    def bars(self, interval: str, start: int, end: int) -> Mapping[str, list[Bar]] | None:
        """By symbol the candles that start in `[start, end)`, in ms; None: not here yet, ask again on the next tick."""
        ...


class Markets:
    """All symbols, and who is listening: what a feed is built with. `past` and `changes` are None without a store."""

    def __init__(
        self,
        wanted: Callable[[Channel], bool],
        any_wanted: Callable[[ChannelKind], bool],
        products: Mapping[str, Product],
        recorded: Recorded,
        past: Past | None = None,
    ) -> None:
        self.wanted = wanted
        self.any_wanted = any_wanted
        self.recorded = recorded
        self.past = past
        self.changes = None if past is None else Changes()
        self.by_symbol: dict[str, Market] = {}
        self._products = products
        self._shared: dict[Callable[..., Any], object] = {}

    def wanted_of(self, kind: ChannelKind, markets: Iterable[Market]) -> list[Market]:
        """Of the markets those whose channel of this kind is wanted."""
        if not self.any_wanted(kind):
            return []
        return [market for market in markets if self.wanted(Channel(kind, market.symbol))]

    def open(self, symbol: str) -> Market:
        """The market of a symbol that an event named, now known."""
        market = self.by_symbol[symbol] = Market(symbol, self.product(symbol))
        return market

    def product(self, symbol: str) -> Product:
        return self._products.get(symbol, _DEFAULT)

    def shared(self, make: "Callable[[Markets], T]") -> T:
        """What `make` makes of these markets, one for all feeds that ask."""
        if make not in self._shared:
            self._shared[make] = make(self)
        return cast(T, self._shared[make])

    def all_shared(self) -> Iterable[object]:
        return self._shared.values()


class Feed(Protocol):
    """Computes the channels of one kind. `flush` and `state` are called within EXACT."""

    def flush(self, tick: Tick, due: bool) -> Iterable[Publication]:
        """Take in a tick; where the kind's cadence is `due`, or something may not wait for it, publish.

        Whoever is wanted or not: only building a payload may be left out for that; and, while no channel of the kind
        is, to look at what it would show.
        """
        ...

    def state(self, owner: str) -> Publication | None:
        """What a new subscriber gets; the same object until it changes."""
        ...


@runtime_checkable
class Lasting(Protocol):
    """A feed, or what feeds share, that goes on where an earlier run stopped."""

    def restore(self, kept: Kept) -> None:
        """Called before the first tick; all markets are open. Call within EXACT."""
        ...


FeedFactory: TypeAlias = Callable[[ChannelKind, Markets], Feed]
