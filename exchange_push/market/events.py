"""Market events: what an engine can tell us, as values. Field order is the order on the wire (engine-feed).

Prices and quantities are the engine's own text, `[0-9]{1,20}(\\.[0-9]{1,18})?`, checked by wire/events.py; times are
ms since the epoch. Levels are pairs (price, qty).
"""

from typing import Literal, NamedTuple, TypeAlias

import msgspec

Level: TypeAlias = tuple[str, str]


class Trade(msgspec.Struct, array_like=True, tag="trade", frozen=True, gc=False):
    """One execution as the engine reported it."""

    symbol: str
    id: int
    price: str
    qty: str
    side: Literal["buy", "sell"]
    """Of the taker."""
    time: int
    order: int | str | None = None
    """The taker's order, where the engine tells."""


class BookSnapshot(msgspec.Struct, array_like=True, tag="book", frozen=True):
    """The whole book of a symbol as of update `id`."""

    symbol: str
    id: int
    time: int
    bids: list[Level]
    asks: list[Level]


class DepthChange(msgspec.Struct, array_like=True, tag="depth", frozen=True):
    """Levels changed by the updates `first` to `last`; quantity "0" removes a level."""

    symbol: str
    first: int
    last: int
    time: int
    bids: list[Level]
    asks: list[Level]


class IndexPrice(msgspec.Struct, array_like=True, tag="index", frozen=True, gc=False):
    """The price of one constituent of a symbol's index."""

    symbol: str
    source: str
    price: str
    weight: str
    time: int


class Funding(msgspec.Struct, array_like=True, tag="funding", frozen=True, gc=False):
    """The funding rate (may be negative) where the engine computes it itself."""

    symbol: str
    rate: str
    next_time: int
    time: int


class UserEvent(msgspec.Struct, array_like=True, tag="user", frozen=True):
    """Something of one user's own, pushed untouched."""

    uid: str | int
    kind: Literal["balance", "order", "position", "account"]
    data: dict[str, object] | msgspec.Raw
    """Raw: the JSON object as it came, by the push line or HTTP."""


class Restart(NamedTuple):
    """The feed began a newer numbering: books start over."""

    session: int


class Gap(NamedTuple):
    """Events of the feed are lost for good between the event before and the event after this."""

    count: int  # type: ignore[assignment]  # tuple.count is of no use here


MarketEvent: TypeAlias = Trade | BookSnapshot | DepthChange | IndexPrice | Funding
FeedEvent: TypeAlias = MarketEvent | UserEvent
