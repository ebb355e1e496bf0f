"""What a client can ask for, whatever language it speaks."""

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from exchange_push.errors import ClientError
from exchange_push.pubsub.publication import Number

if TYPE_CHECKING:
    from exchange_push.pubsub.terms import Dialect

RequestId: TypeAlias = int | str | None
"""Echoed in the reply; None: the request had none."""


class Auth(NamedTuple):
    id: RequestId
    token: str

    def __repr__(self) -> str:
        return f"Auth(id={self.id!r}, token=<{len(self.token)} characters>)"


class Subscribe(NamedTuple):
    id: RequestId
    names: tuple[object, ...]
    """As the client sent them: not all need be strings."""
    checksum: bool = False
    numbered: bool = False
    since: Number | None = None
    """Resume after this; only with one name."""


class Unsubscribe(NamedTuple):
    id: RequestId
    names: tuple[object, ...]


class List(NamedTuple):
    id: RequestId


class Ping(NamedTuple):
    id: RequestId


class Ask(NamedTuple):
    """A question about the language itself, to which its dialect knows the answer."""

    id: RequestId
    answer: object


class Speak(NamedTuple):
    """From now on the client is spoken to in another dialect."""

    id: RequestId
    dialect: "Dialect"


class Refused(NamedTuple):
    """A request that could not be read, or may not be made now."""

    id: RequestId
    error: ClientError


Request: TypeAlias = Auth | Subscribe | Unsubscribe | List | Ping | Ask | Speak | Refused
