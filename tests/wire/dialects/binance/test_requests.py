"""What clients ask for and what they are answered, byte by byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.errors import ClientCode, ClientError
from exchange_push.pubsub.request import Ask, List, Refused, Speak, Subscribe, Unsubscribe
from exchange_push.wire.dialects.binance.dialect import speaking
from exchange_push.wire.frame import payload_of

RAW = speaking(combined=False, micro=False, futures=False)
COMBINED = speaking(combined=True, micro=False, futures=False)


def read(message: Any) -> Any:
    return RAW.decode(message if isinstance(message, bytes) else json.dumps(message).encode(), False)


def refused(message: Any) -> Any:
    request = read(message)
    assert isinstance(request, Refused)
    return json.loads(payload_of(RAW.error(request.id, request.error).wire))


def test_the_requests() -> None:
    assert read({"method": "SUBSCRIBE", "params": ["a@trade", "a@depth"], "id": 1}) == Subscribe(
        1, ("a@trade", "a@depth")
    )
    assert read({"method": "UNSUBSCRIBE", "params": ["a@trade"], "id": None}) == Unsubscribe(None, ("a@trade",))
    assert read({"method": "LIST_SUBSCRIPTIONS"}) == List(None)
    assert read({"method": "SET_PROPERTY", "params": ["combined", True], "id": 5}) == Speak(5, COMBINED)
    assert read({"method": "SET_PROPERTY", "params": ["combined", False], "id": 5}) == Speak(5, RAW)
    assert read({"method": "GET_PROPERTY", "params": ["combined"], "id": 6}) == Ask(6, False)
    assert COMBINED.decode(b'{"method":"GET_PROPERTY","params":["combined"],"id":6}', True) == Ask(6, True)
    assert read({"method": "SUBSCRIBE", "params": [], "id": 1, "unknown": {}}) == Subscribe(1, ())


@pytest.mark.parametrize(
    ("message", "number", "msg"),
    [
        (b"{", 3, "Invalid JSON: "),
        (b"", 3, "Invalid JSON: "),
        (b"\xff", 3, "Invalid JSON: "),
        (b"[" * 100_000, 3, "Invalid JSON: "),
        ([], 2, "Invalid request: expected an object, found []"),
        ({"id": 1}, 2, "Invalid request: missing field `method`"),
        ({"method": "SUBSCRIBE", "id": 1}, 2, "Invalid request: missing field `params`"),
        ({"method": "SUBSCRIBE", "params": "a@trade"}, 2, "Invalid request: params is 'a@trade', expected an array"),
        ({"method": 7}, 2, "Invalid request: method is 7, expected a string"),
        ({"method": "subscribe"}, 2, "Invalid request: unknown variant 'subscribe', expected one of `SUBSCRIBE`, "),
        ({"method": "SET_PROPERTY", "params": ["combined"]}, 2, "Invalid request: too few parameters"),
        ({"method": "SET_PROPERTY", "params": ["combined", True, 1]}, 2, "Invalid request: too many parameters"),
        ({"method": "GET_PROPERTY", "params": ["combined", 1]}, 2, "Invalid request: too many parameters"),
        ({"method": "GET_PROPERTY", "params": [7]}, 2, "Invalid request: property name must be a string"),
        ({"method": "GET_PROPERTY", "params": ["colour"]}, 0, "Unknown property"),
        ({"method": "SET_PROPERTY", "params": ["colour", True]}, 0, "Unknown property"),
        ({"method": "SET_PROPERTY", "params": ["combined", 1]}, 1, "Invalid value type: expected Boolean"),
        ({"method": "SET_PROPERTY", "params": ["combined", "true"]}, 1, "Invalid value type: expected Boolean"),
    ],
)
def test_a_wrong_request_is_answered_with_its_number_inside_an_error(message: Any, number: int, msg: str) -> None:
    answer = refused(message)
    assert set(answer) == {"error", "id"}
    assert answer["error"]["code"] == number
    assert answer["error"]["msg"].startswith(msg)


@pytest.mark.parametrize("request_id", [1, 0, -1, 2**63 - 1, -(2**63), "1", "x" * 36, "", None])
def test_an_id_comes_back_as_it_was(request_id: Any) -> None:
    request = read({"method": "LIST_SUBSCRIPTIONS", "id": request_id})
    assert request == List(request_id)
    for frame in (RAW.done(request.id), COMBINED.done(request.id)):
        answer = json.loads(payload_of(frame.wire))
        assert answer == {"result": None, "id": request_id}
        assert type(answer["id"]) is type(request_id)


@pytest.mark.parametrize("request_id", [2**63, 1.5, True, "x" * 37, [], {}])
def test_what_cannot_be_an_id_is_refused(request_id: Any) -> None:
    answer = refused({"method": "LIST_SUBSCRIPTIONS", "id": request_id})
    assert answer["error"]["code"] == 2
    assert answer["error"]["msg"].startswith("Invalid request: request ID must be")
    assert answer["id"] is None


def test_replies_are_compact_and_never_wrapped() -> None:
    for dialect in (RAW, COMBINED):
        assert payload_of(dialect.done(7).wire) == b'{"result":null,"id":7}'
        assert payload_of(dialect.result("x", ["a@trade"]).wire) == b'{"result":["a@trade"],"id":"x"}'
        error = ClientError(ClientCode.INVALID_CHANNEL, "invalid stream 'x'")
        assert payload_of(dialect.error(7, error).wire) == (
            b'{"error":{"code":2,"msg":"Invalid request: invalid stream \'x\'"},"id":7}'
        )


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_make_it_fail(payload: bytes, binary: bool) -> None:
    request = RAW.decode(payload, binary)
    if isinstance(request, Refused):
        assert json.loads(payload_of(RAW.error(request.id, request.error).wire))["error"]["code"] in (0, 1, 2, 3)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["method", "params", "id", "x"]), _json))
def test_no_object_makes_it_fail(message: dict[str, Any]) -> None:
    request = read(message)
    assert isinstance(request, Refused)
    assert refused(message)["error"]["code"] in (2, 3)  # an integer of many digits is no JSON to us
