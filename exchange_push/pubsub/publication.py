"""Publications, and the frames they become.

A publication is encoded once for all who see it alike: the frame is kept on it, by `View`.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from exchange_push.pubsub.channel import Channel, SlowPolicy


class Frame(NamedTuple):
    """A message as it goes to clients: whole WebSocket frames, headers included, shared by all who get them.

    One frame; of a dialect that says a publication in several messages, several; none where it has nothing to say.
    """

    wire: bytes


SILENCE: Final = Frame(b"")


class Encoder(Protocol):
    """What a publication needs of a dialect."""

    def event(self, publication: "Publication", view: "View") -> Frame: ...


class Number(NamedTuple):
    """The place of a publication in its channel's history."""

    epoch: int
    """Another one: counting began anew."""
    seq: int


class View(NamedTuple):
    """How a subscription sees its channel. Subscribers with equal views get the same frame."""

    dialect: Encoder
    name: str
    """The channel as the client subscribed it."""
    checksum: bool = False
    numbered: bool = False


class Publication:
    """One payload for one channel.

    Either `data` (any value that msgspec encodes; it becomes `{"event":name,"data":data}`) or `message`: a whole
    message as a back end pushed it, sent untouched (str: text frame, bytes: binary frame).
    `checksum`, where the kind has one, is computed when a view asks for it: at once, or never.
    """

    __slots__ = (
        "_frames",
        "_numbered",
        "channel",
        "checksum",
        "data",
        "message",
        "number",
        "shift",
        "shifts",
        "slow",
        "time",
    )

    def __init__(
        self,
        channel: Channel,
        data: object = None,
        *,
        message: str | bytes | None = None,
        slow: SlowPolicy | None = None,
        checksum: Callable[[], int] | None = None,
    ) -> None:
        self.channel = channel
        self.data = data
        self.message = message
        self.slow = channel.kind.slow if slow is None else slow
        self.checksum = checksum
        self.number: Number | None = None
        """Given by pubsub/history.py, where the channel is numbered."""
        self.time = 0
        """When it was made, ms of the time that rules its numbers; of what was pushed, when the hub was given it."""
        self.shift = 0
        """Added to update ids in `data`, it makes them numbers that only grow;"""
        self.shifts: Sequence[int] = ()
        """of each item, where they are of several symbols."""
        self._frames: dict[View, Frame] = {}
        self._numbered: Publication | None = None

    def numbered(self, number: Number) -> "Publication":
        """The same under a number of its own: a state that is sent as of the newest publication.

        The same object for the same number, so that a burst of subscriptions encodes it once.
        """
        if self._numbered is not None and self._numbered.number == number:
            return self._numbered
        self._numbered = copy = Publication(
            self.channel, self.data, message=self.message, slow=self.slow, checksum=self.checksum
        )
        copy.number, copy.time, copy.shift, copy.shifts = number, self.time, self.shift, self.shifts
        return copy

    def frame(self, view: View) -> Frame:
        """This publication as `view` shows it. Computed kinds with a checksum: call while the state is current."""
        frame = self._frames.get(view)
        if frame is None:
            frame = self._frames[view] = view.dialect.event(self, view)
        return frame

    def __repr__(self) -> str:
        return f"<Publication {self.channel} {self.data if self.message is None else self.message!r}>"
