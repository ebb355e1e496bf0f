"""What a client is told: events of its channels, and notices of all else."""

from typing import Any, TypeAlias

import msgspec

from exchange_push.client.book import Book


class Event(msgspec.Struct, frozen=True):
    """Something came on a channel."""

    channel: str
    data: Any
    """As the server sent it. JSON numbers with a fraction are Decimals."""
    seq: int | None = None
    epoch: int | None = None
    book: Book | None = None
    """Of `@depth`: the book, with this event in it."""


class Connected(msgspec.Struct, frozen=True):
    """The connection is open; logins and subscriptions follow by themselves."""


class Closed(msgspec.Struct, frozen=True):
    """The connection is gone, or could not be made."""

    code: int
    """The WebSocket's close code; 1006: it broke."""
    reason: str
    again_s: float | None
    """When it is tried again. None: never, since something must change first, or the client was told to stop."""


class LoggedIn(msgspec.Struct, frozen=True):
    """The login was accepted; private subscriptions follow."""


class LoginFailed(msgspec.Struct, frozen=True):
    """The login failed."""

    code: int | None
    """Of the server's answer; None: there was no token to be had."""
    msg: str
    again: bool
    """Is it tried again?"""


class LoggedOut(msgspec.Struct, frozen=True):
    """The login ended: `expired` (the client logs in again by itself), `revoked` or `replaced`."""

    reason: str


class Subscribed(msgspec.Struct, frozen=True):
    """The server took the subscription; on a new connection once more."""

    channel: str


class Refused(msgspec.Struct, frozen=True):
    """The server will not have this subscription. It is not tried again."""

    channel: str
    code: int
    msg: str


class Lost(msgspec.Struct, frozen=True):
    """Of a numbered channel: what came while the client was away is too long ago for the server to send it again."""

    channel: str


class Skipped(msgspec.Struct, frozen=True):
    """Of a numbered channel: so many publications were left out, since the client read too slowly."""

    channel: str
    publications: int


class Gap(msgspec.Struct, frozen=True):
    """A book broke; a snapshot has been asked for."""

    channel: str
    reason: str


class Stale(msgspec.Struct, frozen=True):
    """The channel may be old."""

    channel: str
    since: int
    """A time of the server's clock, ms."""


class Live(msgspec.Struct, frozen=True):
    """The channel is up to date again."""

    channel: str


class Shutdown(msgspec.Struct, frozen=True):
    """The server stops, and closes the connection within this time."""

    in_ms: int


class Unasked(msgspec.Struct, frozen=True):
    """A message of a back end that names no channel: sent to this connection, or pushed whole to a channel."""

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
