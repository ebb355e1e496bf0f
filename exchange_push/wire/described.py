"""What clients and back ends say, and what they are answered, as types: for documents, not for decoding.

What comes in is read by hand (dialects/plain.py, push.py), so that whoever errs is told what was found and expected.
The tests hold that both agree.
"""

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from exchange_push.errors import ClientCode
from exchange_push.wire.push import Fault

# -- clients

# As JSON Schema: msgspec takes no bound beyond 63 bits, and no literal true.
_BITS_64: Final = {"minimum": -(2**63), "maximum": 2**64 - 1}
Yes: TypeAlias = Annotated[bool, Meta(extra_json_schema={"const": True})]
Id: TypeAlias = Annotated[int, Meta(extra_json_schema=_BITS_64)] | Annotated[str, Meta(max_length=64)] | UnsetType
Natural: TypeAlias = Annotated[int, Meta(ge=0)]
Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[ -~]*$")]


class Place(Struct):
    """Of a numbered channel: a publication's number."""

    epoch: Natural
    seq: Natural


class Auth(Struct, tag="auth", tag_field="op"):
    """Log in."""

    token: Token
    id: Id = UNSET


class Subscribe(Struct, tag="subscribe", tag_field="op"):
    """Listen to a channel; the current state follows the answer."""

    channel: str
    checksum: bool = False
    seq: bool = False
    since: Place | UnsetType = UNSET
    id: Id = UNSET


class SubscribeAll(Struct, tag="subscribe", tag_field="op"):
    """Listen to several channels: to all of them, or none. `since` goes with one only."""

    channels: Annotated[list[str], Meta(min_length=1)]
    checksum: bool = False
    seq: bool = False
    since: Place | UnsetType = UNSET
    id: Id = UNSET


class Unsubscribe(Struct, tag="unsubscribe", tag_field="op"):
    """Listen to a channel no longer."""

    channel: str
    id: Id = UNSET


class UnsubscribeAll(Struct, tag="unsubscribe", tag_field="op"):
    """Listen to several channels no longer."""

    channels: Annotated[list[str], Meta(min_length=1)]
    id: Id = UNSET


class List(Struct, tag="list", tag_field="op"):
    """What do I listen to?"""

    id: Id = UNSET


class Ping(Struct, tag="ping", tag_field="op"):
    """Is anybody there?"""

    id: Id = UNSET


class Done(Struct):
    """It is done."""

    result: Yes
    id: Id = UNSET


class Subscribed(Struct):
    """It is subscribed. Where the subscription is numbered: where the channel stands, or each of the channels.

    `recovered` answers `since`: what was missed follows; false: it is too long ago, the current state follows.
    """

    result: Yes
    epoch: Natural | UnsetType = UNSET
    seq: Natural | UnsetType = UNSET
    channels: dict[str, Place] | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET
    id: Id = UNSET


class Listed(Struct):
    """The channels, as they were subscribed."""

    result: list[str]
    id: Id = UNSET


class Pong(Struct, tag="pong", tag_field="op"):
    """`time` is the server's, in ms since the epoch."""

    time: int
    id: Id = UNSET


class Error(Struct):
    """It was refused. `code` is for programs, `msg` is for people and may change."""

    code: Literal[tuple(code.value for code in ClientCode)]  # type: ignore[valid-type]
    msg: str
    id: Id = UNSET


class Stale(Struct, tag="stale", tag_field="type"):
    """The channel may be old."""

    channel: str
    since: int


class Live(Struct, tag="live", tag_field="type"):
    """The channel is up to date again."""

    channel: str


class Logout(Struct, tag="logout", tag_field="type"):
    """The login ended, and the private subscriptions with it."""

    reason: Literal["expired", "revoked", "replaced"]


class Shutdown(Struct, tag="shutdown", tag_field="type", rename="camel"):
    """The server stops, and closes the connection within this time."""

    in_ms: int


SystemData: TypeAlias = Stale | Live | Logout | Shutdown

REQUESTS: Final[dict[str, tuple[tuple[type[Struct], ...], type[Struct]]]] = {
    "auth": ((Auth,), Done),
    "subscribe": ((Subscribe, SubscribeAll), Subscribed),
    "unsubscribe": ((Unsubscribe, UnsubscribeAll), Done),
    "list": ((List,), Listed),
    "ping": ((Ping,), Pong),
}
"""By op: the shapes of a request, and its answer. Any may be answered by an Error instead."""

NOT_BESIDE: Final[dict[type[Struct], str]] = {
    Subscribe: "channels",
    SubscribeAll: "channel",
    Unsubscribe: "channels",
    UnsubscribeAll: "channel",
}
"""A key that a request may not have, whatever stands there."""

# -- back ends

PushId: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | str | UnsetType | None
Said: TypeAlias = str | dict[str, Any] | list[Any]
Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)] | None


class Push(Struct):
    """To all who listen to channel `c`. A string is sent untouched, an object or array as the data of an event."""

    c: str
    d: Said
    t: Literal["text", "binary"] | None = None
    k: Key = None
    i: PushId = UNSET


class Send(Struct):
    """To the connection `c`, a client_id."""

    c: str | Natural
    d: Said
    t: Literal["text", "binary"] | None = None
    k: Key = None
    i: PushId = UNSET


class Handed(Struct):
    """It went to `s` connections, or so many events were applied; `f` failed, or were malformed."""

    s: int
    f: int


class Sent(Struct):
    s: Yes


class Ended(Struct):
    """So many connections it was."""

    s: int


class PushAnswer(Struct):
    """One of the two is null."""

    E: Fault | None
    r: Handed | None
    i: PushId = UNSET


class SendAnswer(Struct):
    """One of the two is null."""

    E: Fault | None
    r: Sent | None
    i: PushId = UNSET


class EndAnswer(Struct):
    """One of the two is null."""

    E: Fault | None
    r: Ended | None


class Refusal(Struct):
    """What was found, and what was expected. `c` of E is one of 101, 301, 401, 403, 413."""

    E: Fault
    r: None
    i: PushId = UNSET


class Connection(Struct):
    """A client's. `since` is when it came, ms; `waiting` bytes were not taken yet."""

    client_id: str
    uid: str | None
    peer: str
    since: int
    channels: list[str]
    waiting: int


class Health(Struct):
    """`ok`, or what is missing."""

    status: str


# -- pages


class Listing(Struct):
    symbol: str


class PageFault(Struct):
    """`code` is the status."""

    code: int
    msg: str


class BinanceFault(Struct):
    """`code` is one of Binance's numbers, which are below 0."""

    code: Annotated[int, Meta(lt=0)]
    msg: str
