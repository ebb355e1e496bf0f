"""What a client is told: events of its channels, and notices of all else."""

from typing import Any, NamedTuple, TypeAlias

from exchange_push.client.book import Book


class Event(NamedTuple):
    """Something came on a channel."""

    channel: str
    data: Any
    """As the server sent it. JSON numbers with a fraction are Decimals."""
    seq: int | None = None
    epoch: int | None = None
    book: Book | None = None
    """Of `@depth`: the book, with this event in it."""


class Connected(NamedTuple):
    """The connection is open; logins and subscriptions follow by themselves."""


class Closed(NamedTuple):
    """The connection is gone, or could not be made."""

    code: int
    """The WebSocket's close code; 1006: it broke."""
    reason: str
    again_s: float | None
    """When it is tried again. None: never, since something must change first, or the client was told to stop."""


class LoggedIn(NamedTuple):
    """The login was accepted; private subscriptions follow."""


class LoginFailed(NamedTuple):
    """The login failed."""

    code: int | None
    """Of the server's answer; None: there was no token to be had."""
    msg: str
    again: bool
    """Is it tried again?"""


class LoggedOut(NamedTuple):
    """The login ended: `expired` (the client logs in again by itself), `revoked` or `replaced`."""

    reason: str


class Subscribed(NamedTuple):
    """The server took the subscription; on a new connection once more."""

    channel: str


class Refused(NamedTuple):
    """The server will not have this subscription. It is not tried again."""

    channel: str
    code: int
    msg: str


class Lost(NamedTuple):
    """Of a numbered channel: what came while the client was away is too long ago for the server to send it again."""

    channel: str


class Skipped(NamedTuple):
    """Of a numbered channel: so many publications were left out, since the client read too slowly."""

    channel: str
    publications: int


class Gap(NamedTuple):
    """A book broke; a snapshot has been asked for."""

    channel: str
    reason: str


class Stale(NamedTuple):
    """The channel may be old."""

    channel: str
    since: int
    """A time of the server's clock, ms."""


class Live(NamedTuple):
    """The channel is up to date again."""

    channel: str


class Shutdown(NamedTuple):
    """The server stops, and closes the connection within this time."""

    in_ms: int


class Unasked(NamedTuple):
    """A message that belongs to no subscription: a back end sent it to this connection."""

    message: Any


Notice: TypeAlias = (
    Connected
    | Closed
    | LoggedIn
    | LoginFailed
    | LoggedOut
    | Subscribed
    | Refused
    | Lost
    | Skipped
    | Gap
    | Stale
    | Live
    | Shutdown
    | Unasked
)
