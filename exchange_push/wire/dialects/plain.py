"""The user's own language (docs/reference/client-protocol.md): one JSON object a message, or the same as msgpack."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

import msgpack
import msgspec

from exchange_push.errors import ClientCode, ClientError, CloseCode, Disconnect, quoted
from exchange_push.pubsub.channel import Channel, ChannelKind, client_name
from exchange_push.pubsub.publication import SILENCE, Frame, Number, Publication, View
from exchange_push.pubsub.request import (
    Auth,
    List,
    Ping,
    Refused,
    Request,
    RequestId,
    Subscribe,
    Unsubscribe,
)
from exchange_push.wire.frame import BINARY, TEXT, frame

_ID_CHARS: Final = 64
_TOKEN: Final = re.compile(r"[\x20-\x7e]{1,4096}")
_OPS: Final = ("auth", "subscribe", "unsubscribe", "list", "ping")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def _malformed(msg: str) -> ClientError:
    return ClientError(ClientCode.MALFORMED, msg)


def _request_id(message: Mapping[str, object]) -> RequestId:
    """The id to echo. Raises ClientError when it is none that we could echo."""
    found = message.get("id")
    if found is None and "id" not in message:
        return None
    if type(found) is int and -(2**63) <= found < 2**64:  # what both encodings carry
        return found
    if isinstance(found, str) and len(found) <= _ID_CHARS:
        return found
    raise _malformed(
        f"id is {quoted(found)}, expected an integer of 64 bits or a string of {_ID_CHARS} characters at most"
    )


def _names(message: Mapping[str, object]) -> tuple[object, ...]:
    if "channel" in message and "channels" in message:
        raise _malformed("both channel and channels, expected one of them")
    if "channels" in message:
        names = message["channels"]
        if not isinstance(names, list) or not names:
            raise _malformed(f"channels is {quoted(names)}, expected an array of at least one channel")
        return tuple(names)
    if "channel" not in message:
        raise _malformed("no channel, expected channel or channels")
    return (message["channel"],)


def _numbering(message: Mapping[str, object], names: tuple[object, ...]) -> tuple[bool, Number | None]:
    """Whether the subscription is numbered, and after which number it resumes."""
    numbered = message.get("seq", False)
    if not isinstance(numbered, bool):
        raise _invalid_option(f"seq is {quoted(numbered)}, expected true or false")
    if "since" not in message:
        return numbered, None
    match message["since"]:
        case {"epoch": int(epoch), "seq": int(seq)} if type(epoch) is type(seq) is int and epoch >= 0 and seq >= 0:
            if len(names) != 1:
                raise _invalid_option("since with several channels, expected one")
            return True, Number(epoch, seq)
        case since:
            raise _invalid_option(f'since is {quoted(since)}, expected {{"epoch":…,"seq":…}}')


def _invalid_option(msg: str) -> ClientError:
    return ClientError(ClientCode.INVALID_CHANNEL, msg)


def read_request(message: object) -> Request:
    """The request that a decoded message makes."""
    request_id: RequestId = None
    try:
        if not isinstance(message, dict):
            raise _malformed(f"message is {quoted(message)}, expected an object")
        request_id = _request_id(message)
        match message.get("op"):
            case "auth":
                token = message.get("token")
                if not isinstance(token, str) or not _TOKEN.fullmatch(token):
                    raise _malformed("token missing or not 1 to 4096 printable ASCII characters")
                return Auth(request_id, token)
            case "subscribe":
                checksum = message.get("checksum", False)
                if not isinstance(checksum, bool):
                    raise _invalid_option(f"checksum is {quoted(checksum)}, expected true or false")
                names = _names(message)
                numbered, since = _numbering(message, names)
                return Subscribe(request_id, names, checksum, numbered, since)
            case "unsubscribe":
                return Unsubscribe(request_id, _names(message))
            case "list":
                return List(request_id)
            case "ping":
                return Ping(request_id)
            case str() as op:
                raise ClientError(ClientCode.UNKNOWN_OP, f"unknown op {quoted(op)}, expected one of {', '.join(_OPS)}")
            case None if "op" not in message:
                raise _malformed("no op, expected an object with op")
            case other:
                raise _malformed(f"op is {quoted(other)}, expected a string")
    except ClientError as error:
        return Refused(request_id, error)


def _answer(request_id: RequestId, fields: dict[str, object]) -> dict[str, object]:
    return fields if request_id is None else {**fields, "id": request_id}


def _subscribed(numbers: Mapping[str, Number], recovered: bool | None) -> dict[str, object]:
    fields: dict[str, object] = {"result": True}
    if len(numbers) == 1:
        fields |= next(iter(numbers.values()))._asdict()
    elif numbers:
        fields["channels"] = {name: number._asdict() for name, number in numbers.items()}
    if recovered is not None:
        fields["recovered"] = recovered
    return fields


class _Native(ABC):
    """What is the same in both encodings: channels have their own names."""

    def channel_name(self, name: object) -> object:
        return name

    def name_of(self, channel: Channel) -> str:
        return client_name(channel)

    def greets(self, kind: ChannelKind) -> bool:
        return True

    def done(self, request_id: RequestId) -> Frame:
        return self.result(request_id, True)

    def farewell(self, time_ms: int) -> Frame:
        return SILENCE  # it is told on `system`

    @abstractmethod
    def result(self, request_id: RequestId, result: object) -> Frame: ...


class Plain(_Native):
    """JSON in text frames."""

    def decode(self, payload: bytes, binary: bool) -> Request:
        if binary:
            raise Disconnect(CloseCode.UNSUPPORTED_DATA, "binary frame, expected JSON in text frames")
        try:
            message = _decode(payload)
        except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
            return Refused(None, _malformed(f"not JSON: {error}"))
        return read_request(message)

    def result(self, request_id: RequestId, result: object) -> Frame:
        return _text(_answer(request_id, {"result": result}))

    def subscribed(self, request_id: RequestId, numbers: Mapping[str, Number], recovered: bool | None) -> Frame:
        return _text(_answer(request_id, _subscribed(numbers, recovered)))

    def error(self, request_id: RequestId, error: ClientError) -> Frame:
        return _text(_answer(request_id, {"code": error.code.value, "msg": error.msg}))

    def pong(self, request_id: RequestId, time_ms: int) -> Frame:
        return _text(_answer(request_id, {"op": "pong", "time": time_ms}))

    def message(self, message: str | bytes) -> Frame:
        if isinstance(message, str):
            return frame(message.encode(), TEXT)
        return frame(message, BINARY)

    def event(self, publication: Publication, view: View) -> Frame:
        number = b""
        if view.numbered and publication.number is not None:
            number = b',"seq":%d,"epoch":%d' % (publication.number.seq, publication.number.epoch)
        if publication.message is None:
            data = _encode(publication.data)
            if view.checksum and publication.checksum is not None:
                data = b'%b,"checksum":%d}' % (data[:-1], publication.checksum())
        elif not number:
            return self.message(publication.message)
        elif (members := _members(publication.message)) is not None:
            return frame(b"%b%b}" % (members, number if members.strip() != b"{" else number[1:]), TEXT)
        else:
            data = _encode(publication.message)
        return frame(b'{"event":"%b","data":%b%b}' % (view.name.encode(), data, number), TEXT)


def _members(message: str | bytes) -> bytes | None:
    """A pushed JSON object up to its last brace; None: it is none."""
    if isinstance(message, bytes):
        return None
    try:
        is_object = isinstance(_decode(message), dict)
    except (ValueError, RecursionError):
        return None
    return message.rstrip()[:-1].encode() if is_object else None


class PlainMsgpack(_Native):
    """The same objects as msgpack in binary frames."""

    def decode(self, payload: bytes, binary: bool) -> Request:
        if not binary:
            raise Disconnect(CloseCode.UNSUPPORTED_DATA, "text frame, expected msgpack in binary frames")
        try:
            message = msgpack.unpackb(payload, ext_hook=_refuse_ext)
        except (ValueError, RecursionError) as error:  # msgpack's own errors are ValueErrors
            return Refused(None, _malformed(f"not msgpack: {error or type(error).__name__}"))
        return read_request(message)

    def result(self, request_id: RequestId, result: object) -> Frame:
        return _binary(_answer(request_id, {"result": result}))

    def subscribed(self, request_id: RequestId, numbers: Mapping[str, Number], recovered: bool | None) -> Frame:
        return _binary(_answer(request_id, _subscribed(numbers, recovered)))

    def error(self, request_id: RequestId, error: ClientError) -> Frame:
        return _binary(_answer(request_id, {"code": error.code.value, "msg": error.msg}))

    def pong(self, request_id: RequestId, time_ms: int) -> Frame:
        return _binary(_answer(request_id, {"op": "pong", "time": time_ms}))

    def message(self, message: str | bytes) -> Frame:
        """A pushed string that is JSON becomes msgpack; any other is sent as it is."""
        if isinstance(message, bytes):
            return frame(message, BINARY)
        try:
            return _binary(_decode(message))
        except (ValueError, RecursionError, OverflowError):
            return frame(message.encode(), TEXT)

    def event(self, publication: Publication, view: View) -> Frame:
        number = publication.number if view.numbered else None
        message = publication.message
        if message is not None and number is None:
            return self.message(message)
        fields: dict[str, object]
        if message is None:
            data = publication.data
            if isinstance(data, msgspec.Raw):
                data = _decode(data)
            if view.checksum and publication.checksum is not None:
                data = {**msgspec.to_builtins(data), "checksum": publication.checksum()}
            fields = {"event": view.name, "data": data}
        elif _members(message) is not None:
            fields = _decode(message)
        else:
            fields = {"event": view.name, "data": message}
        if number is not None:
            fields |= {"seq": number.seq, "epoch": number.epoch}
        try:
            return _binary(fields)
        except OverflowError:  # an integer beyond 64 bits: JSON has such, msgpack has not
            return PLAIN.event(publication, view)


def _refuse_ext(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}, expected plain msgpack")


def _text(message: object) -> Frame:
    return frame(_encode(message), TEXT)


def _binary(message: object) -> Frame:
    return frame(msgspec.msgpack.encode(message), BINARY)


PLAIN: Final = Plain()
PLAIN_MSGPACK: Final = PlainMsgpack()
