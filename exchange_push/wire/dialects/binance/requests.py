"""What clients of Binance ask for: JSON objects with `method`, `params` and `id`."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from exchange_push.errors import ClientCode, ClientError, quoted
from exchange_push.pubsub.request import Ask, List, Refused, Request, RequestId, Speak, Subscribe, Unsubscribe
from exchange_push.pubsub.terms import Dialect

UNKNOWN_PROPERTY: Final = 0
INVALID_VALUE: Final = 1
INVALID_REQUEST: Final = 2
INVALID_JSON: Final = 3

_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_PROPERTY: Final = "combined"
_ID_CHARS: Final = 36

_decode = msgspec.json.Decoder().decode


class Wrong(ClientError):
    """A request that is answered with one of the numbers above."""

    def __init__(self, number: int, msg: str) -> None:
        super().__init__(ClientCode.MALFORMED, msg)
        self.number = number


def read(payload: bytes, flavours: Mapping[bool, Dialect], combined: bool) -> Request:
    """The request of a client that hears `combined` messages or raw ones; `flavours`: what it hears afterwards."""
    request_id: RequestId = None
    try:
        try:
            message = _decode(payload)
        except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
            raise Wrong(INVALID_JSON, f"Invalid JSON: {error}") from None
        if not isinstance(message, dict):
            raise _invalid(f"expected an object, found {quoted(message)}")
        request_id = _request_id(message)
        return _request(request_id, message, flavours, combined)
    except ClientError as error:
        return Refused(request_id, error)


def _request(
    request_id: RequestId, message: dict[str, Any], flavours: Mapping[bool, Dialect], combined: bool
) -> Request:
    if "method" not in message:
        raise _invalid("missing field `method`")
    match message["method"]:
        case "SUBSCRIBE":
            return Subscribe(request_id, _params(message))
        case "UNSUBSCRIBE":
            return Unsubscribe(request_id, _params(message))
        case "LIST_SUBSCRIPTIONS":
            return List(request_id)
        case "SET_PROPERTY":
            value = _property(_params(message), 2)
            if not isinstance(value, bool):
                raise Wrong(INVALID_VALUE, "Invalid value type: expected Boolean")
            return Speak(request_id, flavours[value])
        case "GET_PROPERTY":
            _property(_params(message), 1)
            return Ask(request_id, combined)
        case str() as method:
            known = ", ".join(f"`{name}`" for name in _METHODS)
            raise _invalid(f"unknown variant {quoted(method)}, expected one of {known}")
        case other:
            raise _invalid(f"method is {quoted(other)}, expected a string")


def _invalid(msg: str) -> Wrong:
    return Wrong(INVALID_REQUEST, f"Invalid request: {msg}")


def _request_id(message: Mapping[str, object]) -> RequestId:
    """The id to echo. Raises Wrong where it is none."""
    found = message.get("id")
    if (
        found is None
        or (type(found) is int and -(2**63) <= found < 2**63)
        or (isinstance(found, str) and len(found) <= _ID_CHARS)
    ):
        return found
    raise _invalid(
        f"request ID must be an integer of 64 bits, a string of {_ID_CHARS} characters at most or null, "
        f"found {quoted(found)}"
    )


def _params(message: Mapping[str, object]) -> tuple[object, ...]:
    if "params" not in message:
        raise _invalid("missing field `params`")
    params = message["params"]
    if not isinstance(params, list):
        raise _invalid(f"params is {quoted(params)}, expected an array")
    return tuple(params)


def _property(params: tuple[object, ...], count: int) -> object:
    """The value that stands behind the property's name, if one is expected."""
    if len(params) > count:
        raise _invalid("too many parameters")
    if len(params) < count:
        raise _invalid("too few parameters")
    if not isinstance(params[0], str):
        raise _invalid("property name must be a string")
    if params[0] != _PROPERTY:
        raise Wrong(UNKNOWN_PROPERTY, "Unknown property")
    return params[-1]
