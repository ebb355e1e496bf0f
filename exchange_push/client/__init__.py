"""A client of the server for Python programs: `from exchange_push.client import Client`."""

from exchange_push.client.book import Book, Quote
from exchange_push.client.connecting import Client
from exchange_push.client.subscription import Position, Subscription
from exchange_push.client.updates import (
    Closed,
    Connected,
    Event,
    Gap,
    Live,
    LoggedIn,
    LoggedOut,
    LoginFailed,
    Lost,
    Notice,
    Refused,
    Shutdown,
    Skipped,
    Stale,
    Subscribed,
    Unasked,
)

__all__ = [
    "Book",
    "Client",
    "Closed",
    "Connected",
    "Event",
    "Gap",
    "Live",
    "LoggedIn",
    "LoggedOut",
    "LoginFailed",
    "Lost",
    "Notice",
    "Position",
    "Quote",
    "Refused",
    "Shutdown",
    "Skipped",
    "Stale",
    "Subscribed",
    "Subscription",
    "Unasked",
]
