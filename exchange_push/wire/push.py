"""Internal pushes, bytes <-> values: what a line, an HTTP body or a WebSocket message asks, and the answers.

One decoder for all three ways, so that they take the same requests and give the same answers. What cannot be read
becomes a `Refused` that still knows the id to answer by; nothing a peer sends raises. What a request means is not
decided here but by intake/desk.py.
"""

import binascii
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from exchange_push.errors import MalformedPush, PushCode, quoted

_KEY_CHARS: Final = 256  # a hundred thousand keys are remembered
_REQUESTS: Final = 10_000  # in one array; one of 1 MiB could hold 350,000, each with its error answer
_DEPTH: Final = 64  # far more than any payload, far less than what a client's parser bears

RequestId: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | str | UnsetType | None
"""What the answer echoes as `i`; UNSET: nothing."""

Payload: TypeAlias = Raw | str | bytes
"""Raw: JSON of an object or array; str: a text message, bytes: a binary one, both sent untouched."""


class Push(Struct, frozen=True):
    """`{"c":channel,"d":payload}`: to all who listen to a channel."""

    channel: str
    payload: Payload
    key: str | None = None
    """Idempotency key: a repeat is answered alike and not sent again."""
    id: RequestId = UNSET


class Send(Struct, frozen=True):
    """`{"c":client_id,"d":payload}`: to one connection."""

    client_id: str
    payload: Payload
    key: str | None = None
    id: RequestId = UNSET


class Call(Struct, frozen=True):
    """`{"c":client_id,"f":function,"a":args}`: do something to one connection."""

    client_id: str
    function: str
    args: list[Any]
    id: RequestId = UNSET


class Events(Struct, frozen=True):
    """`{"e":[event,…]}`: events of an engine that are acknowledged, so not numbered."""

    events: list[Raw]
    id: RequestId = UNSET


class Auth(Struct, frozen=True):
    """`{"auth":secret}`: what a connection by lines begins with where a secret is set."""

    secret: str
    id: RequestId = UNSET

    def __repr__(self) -> str:
        return "Auth(…)"  # a secret gets into no log


class Refused(Struct, frozen=True):
    """A request that cannot be read."""

    error: MalformedPush
    id: RequestId = UNSET


Request: TypeAlias = Push | Send | Call | Events | Auth | Refused


class Fault(Struct, frozen=True):
    code: int = msgspec.field(name="c")
    msg: str = msgspec.field(name="m")


class Answer(Struct, frozen=True):
    """`{"E":null,"r":result}` or `{"E":{"c":code,"m":msg},"r":null}`, and `i` where the request had one."""

    error: Fault | None = msgspec.field(name="E", default=None)
    result: object = msgspec.field(name="r", default=None)
    id: RequestId = msgspec.field(name="i", default=UNSET)


def refusal(error: MalformedPush, request_id: RequestId = UNSET) -> Answer:
    return Answer(Fault(error.code.value, error.msg), None, request_id)


def encode(answer: Answer | list[Answer]) -> bytes:
    """An answer as its JSON, on one line without a line end."""
    return _encode(answer)


# -- decoding


def decode_line(line: bytes) -> Request | list[Request]:
    """A line: a push, `{"auth":…}`, `{"e":[…]}`, or an array of them."""
    return _decode(line, _of_line)


def decode_publish(body: bytes) -> Request | list[Request]:
    """The body of a publish call: a Push or an array of them; what is none of these is Refused."""
    return _decode(body, _push)


def decode_send(body: bytes) -> Request:
    """The body of a send call: Send or Refused."""
    return _decode_one(body, _send)


def decode_events(body: bytes) -> Request:
    """The body of an events call, `[event,…]`: Events or Refused."""
    try:
        _check_text(body)
        return Events(_parsed(_decode_array, body))
    except MalformedPush as error:
        return Refused(error)


def decode_message(message: bytes) -> Request:
    """A message of the WebSocket API: `{"m":method,"p":{…},"i":id}` or `{"e":[…]}`."""
    return _decode_one(message, _of_message)


class _Fields(Struct):
    """All that a request can hold; Raw what only some requests have, since elsewhere it is just an unknown key."""

    c: str | int | UnsetType = UNSET
    d: Raw = Raw()
    t: str | None = None
    k: str | None = None
    i: RequestId = UNSET
    auth: Raw = Raw()
    e: Raw = Raw()
    m: Raw = Raw()
    p: Raw = Raw()
    f: Raw = Raw()
    a: Raw = Raw()


class _Id(Struct):
    i: RequestId = UNSET


_T = TypeVar("_T")
_encode: Final = msgspec.json.Encoder().encode
_decode_fields: Final = msgspec.json.Decoder(_Fields).decode
_decode_id: Final = msgspec.json.Decoder(_Id).decode
_decode_array: Final = msgspec.json.Decoder(list[Raw]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_args: Final = msgspec.json.Decoder(list[Any]).decode
_decode_any: Final = msgspec.json.Decoder().decode
_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*+={0,2}")
_NO_BRACKETS: Final = re.compile(rb'"(?:[^"\\]+|\\.)*+"|[^"\[\]{}]+')


def _decode(body: bytes, read: Callable[[_Fields], Request]) -> Request | list[Request]:
    if not _ARRAY.match(body):
        return _decode_one(body, read)
    try:
        _check_text(body)
        elements = _parsed(_decode_array, body)
        if len(elements) > _REQUESTS:
            raise MalformedPush(f"array of {len(elements)} requests, expected at most {_REQUESTS}", PushCode.TOO_LARGE)
    except MalformedPush as error:
        return Refused(error)
    return [_read(element, read) for element in elements]


def _decode_one(body: bytes, read: Callable[[_Fields], Request]) -> Request:
    try:
        _check_text(body)
    except MalformedPush as error:
        return Refused(error)
    return _read(body, read)


def _read(json: bytes | Raw, read: Callable[[_Fields], Request]) -> Request:
    try:
        return read(_parsed(_decode_fields, json))
    except MalformedPush as error:
        return Refused(error, _id_of(json))


def _check_text(body: bytes) -> None:
    # msgspec passes over what it keeps as Raw without looking whether it is UTF-8
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedPush(f"not UTF-8: {error.reason} at byte {error.start}") from None


def _parsed(decode: Callable[[bytes | Raw], _T], json: bytes | Raw, name: str = "") -> _T:
    """What `decode` makes of it. Raises MalformedPush for all that is no JSON of this type."""
    try:
        return decode(json)
    except msgspec.ValidationError as error:
        found, _, path = str(error).partition(" - at ")
        where = name or path.strip("`").removeprefix("$.") or "request"
        raise MalformedPush(f"{where}: {found[:1].lower()}{found[1:]}") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise MalformedPush(f"not JSON: {error}") from None
    except RecursionError:
        raise MalformedPush("nested too deep") from None


def _id_of(json: bytes | Raw) -> RequestId:
    try:
        return _decode_id(json).i
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return UNSET


# -- what the fields of a request mean


def _of_line(fields: _Fields) -> Request:
    if fields.auth:
        return Auth(_parsed(_decode_text, fields.auth, "auth"), fields.i)
    if fields.e:
        return Events(_parsed(_decode_array, fields.e, "e"), fields.i)
    return _push(fields)


def _of_message(fields: _Fields) -> Request:
    if fields.e:
        return Events(_parsed(_decode_array, fields.e, "e"), fields.i)
    if not fields.m:
        raise MalformedPush(f"no m, expected one of {', '.join(_METHODS)}")
    method = _parsed(_decode_text, fields.m, "m")
    read = _METHODS.get(method)
    if read is None:
        raise MalformedPush(f"m is {quoted(method)}, expected one of {', '.join(_METHODS)}")
    if not fields.p:
        raise MalformedPush("no p, expected an object")
    params = _parsed(_decode_fields, fields.p, "p")
    params.i = fields.i
    return read(params)


def _push(fields: _Fields) -> Request:
    if not isinstance(fields.c, str):
        raise MalformedPush(_wrong_c(fields.c, "a channel as a string"))
    return Push(fields.c, _payload(fields), _key(fields), fields.i)


def _send(fields: _Fields) -> Request:
    return Send(_client_id(fields), _payload(fields), _key(fields), fields.i)


def _call(fields: _Fields) -> Request:
    client_id = _client_id(fields)
    if not fields.f:
        raise MalformedPush("no f, expected the function to call")
    function = _parsed(_decode_text, fields.f, "f")
    args = _parsed(_decode_args, fields.a, "a") if fields.a else []
    return Call(client_id, function, args, fields.i)


_METHODS: Final[dict[str, Callable[[_Fields], Request]]] = {
    "mesh.publish": _push,
    "mesh.send": _send,
    "conn.call": _call,
}


def _client_id(fields: _Fields) -> str:
    found = str(fields.c) if isinstance(fields.c, int) and 0 <= fields.c < 2**64 else fields.c
    if not isinstance(found, str):
        raise MalformedPush(_wrong_c(fields.c, "a client_id"))
    return found


def _wrong_c(found: str | int | UnsetType, expected: str) -> str:
    return f"no c, expected {expected}" if found is UNSET else f"c is {quoted(found)}, expected {expected}"


def _key(fields: _Fields) -> str | None:
    if fields.k is not None and not 1 <= len(fields.k) <= _KEY_CHARS:
        raise MalformedPush(f"k has {len(fields.k)} characters, expected 1 to {_KEY_CHARS}")
    return fields.k


def _payload(fields: _Fields) -> Payload:
    raw = fields.d
    if not raw:
        raise MalformedPush("no d, expected a string, an object or an array")
    if fields.t not in (None, "text", "binary"):
        raise MalformedPush(f"t is {quoted(fields.t)}, expected text or binary")
    json = bytes(raw)
    if json.startswith(b'"'):
        text = _parsed(_decode_text, json, "d")
        return _from_base64(text) if fields.t == "binary" else text
    if not json.startswith((b"{", b"[")):
        raise MalformedPush(f"d is {quoted(json.decode())}, expected a string, an object or an array")
    if fields.t == "binary":
        raise MalformedPush("d is no string, expected base64 with t binary")
    _check_sayable(json)
    return Raw(json)  # of a copy: it outlives the body that it came in


def _from_base64(text: str) -> bytes:
    # not binascii's strict mode: it lets a = too many pass
    if len(text) % 4 or not _BASE64.fullmatch(text):
        raise MalformedPush("d is no base64, expected A-Z a-z 0-9 + / in fours, padded with =")
    return binascii.a2b_base64(text)


def _check_sayable(json: bytes) -> None:
    """Raises MalformedPush for what a dialect cannot say to its clients: it must fail here, not in the fan-out."""
    if json.count(b"[") + json.count(b"{") > _DEPTH:
        brackets = _NO_BRACKETS.sub(b"", json)
        if max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets)) > _DEPTH:
            raise MalformedPush(f"d is nested too deep, expected at most {_DEPTH} levels")
    value = _parsed(_decode_any, json, "d")
    try:
        msgspec.msgpack.encode(value)
    except OverflowError:
        raise MalformedPush("d holds an integer of more than 64 bits") from None
