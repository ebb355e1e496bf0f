"""A book kept from the messages of `@depth`: every message must join the one before, and its checksum must be right."""

from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

import msgspec

from exchange_push.market.book import Side, checksum
from exchange_push.market.events import Level

_CHECKSUM_LEVELS = 25
_Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}(\.[0-9]{1,18})?$")]


class _Message(msgspec.Struct):
    """The data of an event of `@depth`."""

    type: Literal["snapshot", "update"]
    bids: list[tuple[_Number, _Number]]
    asks: list[tuple[_Number, _Number]]
    first: int
    last: int
    prev: int | None
    epoch: int
    time: int
    checksum: int | None = None


class Quote(NamedTuple):
    """One level as numbers."""

    price: Decimal
    quantity: Decimal


class Broken(Exception):
    """A message does not go with the book: there is a hole in the chain, or one of the two is wrong."""


class Book:
    """The order book of one symbol.

    `in_sync`: its levels are those of the server as of update `last`. Otherwise they are the last that were known:
    a snapshot is on its way, or there is no connection.
    """

    def __init__(self) -> None:
        self._bids = Side(falling=True)
        self._asks = Side(falling=False)
        self.in_sync = False
        self.last = 0
        """Id of the engine's last update in it,"""
        self.epoch = 0
        """of which numbering,"""
        self.time = 0
        """and when it was, ms."""

    def bids(self, limit: int | None = None) -> list[Level]:
        """(price, quantity) as text, with the digits that the engine sent, best first."""
        return self._bids.published(limit)

    def asks(self, limit: int | None = None) -> list[Level]:
        return self._asks.published(limit)

    @property
    def best_bid(self) -> Quote | None:
        """None: nobody buys."""
        return _best(self._bids)

    @property
    def best_ask(self) -> Quote | None:
        return _best(self._asks)

    def apply(self, data: object) -> bool:
        """Take in the data of an event. False: it is passed over, since a snapshot has to come first.

        Raises Broken; the book is out of sync then, until the next snapshot.
        """
        try:
            return self._apply(msgspec.convert(data, _Message))
        except msgspec.ValidationError as error:
            self.lose()
            raise Broken(f"no message of a book: {error}") from None
        except Broken:
            self.lose()
            raise

    def lose(self) -> None:
        """Nothing is known of the book until the next snapshot."""
        self.in_sync = False

    def _apply(self, message: _Message) -> bool:
        if message.type == "snapshot":
            self._bids.load(message.bids)
            self._asks.load(message.asks)
        elif not self.in_sync:
            return False
        elif (message.prev, message.epoch) != (self.last, self.epoch):
            raise Broken(
                f"an update after {message.prev} of epoch {message.epoch}, expected {self.last} of epoch {self.epoch}"
            )
        else:
            for side, levels in ((self._bids, message.bids), (self._asks, message.asks)):
                for level in levels:
                    side.set(level)
                side.publish()
        self.last, self.epoch, self.time = message.last, message.epoch, message.time
        if message.checksum is not None:
            found = checksum(self._bids.best(_CHECKSUM_LEVELS), self._asks.best(_CHECKSUM_LEVELS))
            if found != message.checksum:
                raise Broken(f"the book's checksum is {found}, the server's {message.checksum}")
        self.in_sync = True
        return True


def _best(side: Side) -> Quote | None:
    for price, quantity in side.walk():
        return Quote(price, quantity)
    return None
