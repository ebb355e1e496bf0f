"""What a client wants to hear of one channel, and how far it got."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from exchange_push.client.book import Book


class Position(NamedTuple):
    """How far a numbered channel was heard."""

    epoch: int
    seq: int


class State(Enum):
    WAITING = auto()
    ASKED = auto()
    THERE = auto()
    REFUSED = auto()


@dataclass(slots=True, eq=False)
class Subscription:
    """One channel. `book` is there where the channel tells of a book, level by level."""

    channel: str
    numbered: bool = False
    book: Book | None = None
    stale: bool = False
    """May it be old? The server said so."""
    position: Position | None = None
    state: State = State.WAITING
    heard: bool = field(default=False, repr=False)
    """Did the server take it on this connection? Perhaps it is asked for again."""
    alone: bool = field(default=False, repr=False)
    """A request for it and others was refused: now each for itself."""
    fresh: bool = field(default=False, repr=False)
    """The current state may come, under the number that is known."""
    at_ms: float = field(default=0, repr=False)
    """Not to be asked for before that."""
    repairs: int = field(default=0, repr=False)
    """How often in a row the book broke."""

    @property
    def private(self) -> bool:
        return self.channel.startswith("@")

    @property
    def there(self) -> bool:
        """Is it subscribed now?"""
        return self.state is State.THERE

    def like(self, other: "Subscription") -> bool:
        """Whether one request can ask for both, when the first of them is no numbered one that goes on."""
        return (
            not other.alone
            and (self.book is None) == (other.book is None)
            and self.numbered == other.numbered
            and (not other.numbered or other.position is None)
        )


def new_subscription(channel: str, numbered: bool | None) -> Subscription:
    """`numbered` None: as the channel is best heard."""
    kind = channel.partition("@")[2]
    if kind == "depth" or kind.startswith("depth_"):
        return Subscription(channel, book=Book())  # not numbered: it begins with a snapshot each time
    return Subscription(channel, channel.startswith("@") if numbered is None else numbered)
