"""What a session needs of the world: a language, a socket, and the terms that all sessions share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from exchange_push.errors import AuthError, ClientError, CloseCode
from exchange_push.pubsub.channel import Channel, ChannelKind, Registry
from exchange_push.pubsub.hub import Hub
from exchange_push.pubsub.login import Login
from exchange_push.pubsub.publication import Encoder, Frame, Number, Publication
from exchange_push.pubsub.request import Request, RequestId


class Dialect(Encoder, Protocol):
    """A language that clients speak: their bytes to requests, our answers to frames. One for all who speak it."""

    def __hash__(self) -> int: ...

    def decode(self, payload: bytes, binary: bool) -> Request:
        """Never fails for what a client sent, but by Disconnect: what cannot be read is Refused."""
        ...

    def channel_name(self, name: object) -> object:
        """The channel, by its own name, that a client of this language means. Raises ClientError."""
        ...

    def name_of(self, channel: Channel) -> str:
        """The name by which a client of this language knows a channel."""
        ...

    def greets(self, kind: ChannelKind) -> bool:
        """Whether a new listener is sent the channel's current state at once."""
        ...

    def done(self, request_id: RequestId) -> Frame:
        """The reply to a request that has no other answer."""
        ...

    def result(self, request_id: RequestId, result: object) -> Frame: ...

    def subscribed(self, request_id: RequestId, numbers: Mapping[str, Number], recovered: bool | None) -> Frame:
        """The reply to a subscription: where each numbered channel stands, by name.

        `recovered`: whether a resume worked; None where none was asked for.
        """
        ...

    def error(self, request_id: RequestId, error: ClientError) -> Frame: ...

    def pong(self, request_id: RequestId, time_ms: int) -> Frame: ...

    def message(self, message: str | bytes) -> Frame: ...

    def farewell(self, time_ms: int) -> Frame:
        """What is said to every client before the server stops."""
        ...


class Opening(NamedTuple):
    """What a path and the subprotocols that a client offered mean."""

    dialect: Dialect
    names: tuple[str, ...] = ()
    """Subscribed at once, without an answer."""
    subprotocol: str | None = None


Open: TypeAlias = Callable[[str, str, Sequence[str]], Opening | None]
"""By path and query, both as they were sent, and the subprotocols offered; None: it is no path of this family."""


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class ClientTransport(Protocol):
    """What a session needs of the client's socket."""

    def wake(self) -> None:
        """Something waits in the outbox; write it when this turn ends."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """Write what waits, then close; abort a client that does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What all sessions share."""

    registry: Registry
    hub: Hub
    look_up: Callable[[str, Callable[[Login | AuthError], None]], None]
    """Ask who the bearer of a token is; the function given is called once, at once or later."""
    now_ms: Callable[[], int]
    call_later: Callable[[float, Callable[[], None]], Cancellable]
    stale: Callable[[Channel, str], Publication | None] = lambda channel, name: None
    """What a new listener must hear of a channel, by the name it knows, that is stale (Liveness.notice)."""
    ask: Callable[[str, Mapping[str, str], Callable[[object | ClientError], None]], None] | None = None
    """Answers a Question, by name and parameters; the function given is called once, at once or later. None: there are
    no such questions here."""
    max_subscriptions: int = 256
    requests_per_s: float = 20
    requests_burst: int = 100
    outbox_bytes: int = 1 << 20
