"""What a client can ask for, whatever language it speaks."""

from collections.abc import Callable, Mapping
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
    then: "Request | None" = None
    """Answered in its place where the token is known."""

    def __repr__(self) -> str:
        return f"Auth(id={self.id!r}, token=<{len(self.token)} characters>)"


class Logout(NamedTuple):
    """`then` is answered in its place."""

    id: RequestId
    then: "Request"


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


class Standing(NamedTuple):
    """What a connection is at present. Times are ms."""

    now: int
    since: int
    """When it came."""
    uid: str | None
    login: int | None
    """Since when it is logged in."""
    names: tuple[str, ...]
    """What is subscribed, by the names that it has there."""


class Report(NamedTuple):
    """A question about the connection itself. `report` may raise ClientError."""

    id: RequestId
    report: Callable[[Standing], object]


class Question(NamedTuple):
    """A question that this room cannot answer (`Terms.ask`); requests behind it do not wait."""

    id: RequestId
    name: str
    params: Mapping[str, str]


class Dated(NamedTuple):
    """A request that was made at a time and holds for so long; at another time it is answered by `late`."""

    id: RequestId
    made_ms: int
    holds_ms: int
    late: ClientError
    request: "Request"


class Refused(NamedTuple):
    """A request that could not be read, or may not be made now."""

    id: RequestId
    error: ClientError


Request: TypeAlias = (
    Auth | Logout | Subscribe | Unsubscribe | List | Ping | Ask | Speak | Report | Question | Dated | Refused
)
