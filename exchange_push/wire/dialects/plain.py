"""The user's own language (docs/reference/client-protocol.md): one JSON object a message, or the same as msgpack."""

import re
from collections.abc import Mapping
from typing import Final

import msgpack
import msgspec

from exchange_push.errors import ClientCode, ClientError, CloseCode, Disconnect, quoted
from exchange_push.pubsub.publication import Frame, Publication, View
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
_ID_MAX: Final = 2**63 - 1
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
    if type(found) is int and -_ID_MAX <= found <= _ID_MAX:
        return found
    if isinstance(found, str) and len(found) <= _ID_CHARS:
        return found
    raise _malformed(f"id is {quoted(found)}, expected an integer or a string of at most {_ID_CHARS} characters")


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
                    raise ClientError(
                        ClientCode.INVALID_CHANNEL, f"checksum is {quoted(checksum)}, expected true or false"
                    )
                return Subscribe(request_id, _names(message), checksum)
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


class Plain:
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

    def error(self, request_id: RequestId, error: ClientError) -> Frame:
        return _text(_answer(request_id, {"code": error.code.value, "msg": error.msg}))

    def pong(self, request_id: RequestId, time_ms: int) -> Frame:
        return _text(_answer(request_id, {"op": "pong", "time": time_ms}))

    def message(self, message: str | bytes) -> Frame:
        if isinstance(message, str):
            return frame(message.encode(), TEXT)
        return frame(message, BINARY)

    def event(self, publication: Publication, view: View) -> Frame:
        if publication.message is not None:
            return self.message(publication.message)
        data = _encode(publication.data)
        if view.checksum and publication.checksum is not None:
            data = b'%b,"checksum":%d}' % (data[:-1], publication.checksum())
        return frame(b'{"event":"%b","data":%b}' % (view.name.encode(), data), TEXT)


class PlainMsgpack:
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
        if publication.message is not None:
            return self.message(publication.message)
        data = publication.data
        if isinstance(data, msgspec.Raw):
            data = _decode(data)
        if view.checksum and publication.checksum is not None:
            data = {**msgspec.to_builtins(data), "checksum": publication.checksum()}
        try:
            return _binary({"event": view.name, "data": data})
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
