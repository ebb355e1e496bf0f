"""A recorded feed again and again, as a market that goes on: each time with higher ids and later times.

A symbol's ids move on by as many as its recording has, and all times by as long as it lasts. Orders keep their numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exchange_push.errors import ConfigError

if TYPE_CHECKING:
    from exchange_push.demo.replay import Recorded


class _Fields(NamedTuple):
    """Where in an event there are ids, and where times."""

    ids: tuple[int, ...]
    times: tuple[int, ...]


_FIELDS: Final = {
    "trade": _Fields((2,), (6,)),
    "book": _Fields((2,), (3,)),
    "depth": _Fields((2, 3), (4,)),
    "index": _Fields((), (5,)),
    "funding": _Fields((), (3, 4)),
}


@dataclass(slots=True)
class _Span:
    """From the first to the last of something."""

    first: int
    last: int

    def reach(self, number: int) -> None:
        self.first, self.last = min(self.first, number), max(self.last, number)

    @property
    def length(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True)
class _Spans:
    at: _Span | None = None
    ids: dict[tuple[bool, str], _Span] = field(default_factory=dict)
    """Of trades, and of a book's updates, by symbol."""

    def reach(self, recorded: "Recorded") -> None:
        if self.at is None:
            self.at = _Span(recorded.at_ms, recorded.at_ms)
        self.at.reach(recorded.at_ms)
        event: list[Any] = recorded.event
        for place in _fields(event).ids:
            span = self.ids.setdefault(_numbering(event), _Span(event[place], event[place]))
            span.reach(event[place])

    def moved(self, recorded: "Recorded", rounds: int) -> "Recorded":
        """The event as it is `rounds` later."""
        assert self.at is not None
        later_ms = self.at.length * rounds
        event: list[Any] = list(recorded.event)
        fields = _fields(event)
        for place in fields.ids:
            span = self.ids.get(_numbering(event))
            if span is None:
                raise ConfigError(f"line {recorded.line}: not there before, so the file changed while it was played")
            event[place] += span.length * rounds
        for place in fields.times:
            event[place] += later_ms
        return recorded._replace(at_ms=recorded.at_ms + later_ms, event=event)


def _fields(event: list[Any]) -> _Fields:
    return _FIELDS.get(event[0], _Fields((), ()))


def _numbering(event: list[Any]) -> tuple[bool, str]:
    return event[0] == "trade", event[1]


def looped(read: "Callable[[], Iterator[Recorded]]") -> "Iterator[Recorded]":
    """What `read` gives, without end; nothing where it gives nothing. It is read anew each time."""
    spans = _Spans()
    for recorded in read():
        spans.reach(recorded)
        yield recorded
    rounds = 0
    while spans.at is not None:
        rounds += 1
        for recorded in read():
            yield spans.moved(recorded, rounds)
