import base64
import json
import math
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from exchange_push.errors import MalformedPush, PushCode
from exchange_push.wire.push import (
    Answer,
    Auth,
    Call,
    Events,
    Push,
    Refused,
    Send,
    decode_events,
    decode_line,
    decode_message,
    decode_publish,
    decode_send,
    encode,
    refusal,
)
from tests.intake.office import CURL_BODY, CURL_MESSAGE

DECODERS = [decode_line, decode_publish, decode_send, decode_events, decode_message]


def refused(found: object) -> MalformedPush:
    assert isinstance(found, Refused), found
    return found.error


def line(**fields: object) -> Any:
    return decode_line(json.dumps(fields).encode())


# -- what is asked


@pytest.mark.parametrize("decode", [decode_line, decode_publish])
def test_the_curl_body_of_the_original_is_a_push_of_its_text(decode: Any) -> None:
    assert decode(CURL_BODY) == Push("ex:1001@balance", CURL_MESSAGE.decode())


def test_an_object_and_an_array_are_kept_as_the_bytes_that_came() -> None:
    for payload in (b'{ "b":1.50, "a":[1e2,"\\u00e9"],"b":2 }', b"[ ]", b'[[1],{"x":null}]'):
        found = decode_line(b'{"c":"a@b","d":\n ' + payload + b" }")
        assert isinstance(found, Push)
        assert isinstance(found.payload, Raw)
        assert bytes(found.payload) == payload


def test_a_text_payload_is_its_text_whatever_it_holds() -> None:
    for text in ("", "plain", '{"not":json', "é\n\0\U0001f600", '"'):
        assert line(c="a@b", d=text).payload == text


def test_binary_is_base64_to_the_letter() -> None:
    assert line(c="a@b", d="AP/+", t="binary").payload == b"\x00\xff\xfe"
    assert line(c="a@b", d="", t="binary").payload == b""
    for wrong in ("AP/", "AP_-", "A P/+", "AP/+\n", "AP/+AP/+=", "é", "YQ==YQ=="):
        assert refused(line(c="a@b", d=wrong, t="binary")).code is PushCode.INVALID_ARGUMENT
    assert "base64" in refused(line(c="a@b", d={}, t="binary")).msg


def test_ids_come_back_in_their_type_and_only_where_given() -> None:
    assert line(c="a@b", d="").id is UNSET
    for given_id in (0, -5, 2**63 - 1, "x", "", "é", None):
        assert line(c="a@b", d="", i=given_id).id == given_id
        assert line(c="a@b", d=5, i=given_id).id == given_id, "of a refused request, too"


def test_what_is_null_is_as_if_it_were_not_there() -> None:
    assert line(c="a@b", d="x", t=None, k=None) == Push("a@b", "x")


def test_keys_are_bounded_since_many_are_kept() -> None:
    assert line(c="a@b", d="", k="k" * 256).key == "k" * 256
    for wrong in ("", "k" * 257):
        assert "1 to 256" in refused(line(c="a@b", d="", k=wrong)).msg


def test_unknown_keys_are_passed_over_even_where_other_requests_have_them() -> None:
    body = b'{"c":"a@b","d":"x","m":1,"p":[],"f":{},"a":7,"auth":null,"e":"?","zz":{"y":[]}}'
    assert decode_publish(body) == Push("a@b", "x")


def test_of_a_key_said_twice_the_last_counts() -> None:
    assert decode_line(b'{"c":"a@b","d":"x","c":"e@f","d":"y"}') == Push("e@f", "y")


def test_an_array_is_many_requests_each_with_its_own_error_and_id() -> None:
    found = decode_line(b'[{"c":"a@b","d":"x","i":1},{"c":5,"d":"x","i":2},7,[],{"auth":"s"},{"e":[]}]')
    assert isinstance(found, list)
    assert [type(request) for request in found] == [Push, Refused, Refused, Refused, Auth, Events]
    assert [request.id for request in found[:3]] == [1, 2, UNSET]
    assert decode_line(b" [] ") == []


def test_an_array_of_more_requests_than_the_limit_is_one_refusal() -> None:
    assert len(decode_line(b"[" + b",".join([b"0"] * 10_000) + b"]")) == 10_000  # type: ignore[arg-type]
    assert refused(decode_line(b"[" + b",".join([b"0"] * 10_001) + b"]")).code is PushCode.TOO_LARGE


def test_lines_carry_secrets_and_events_beside_pushes() -> None:
    assert line(auth="s", i=1) == Auth("s", 1)
    found = line(e=[["trade", 1], 5])
    assert isinstance(found, Events)
    assert [bytes(event) for event in found.events] == [b'["trade", 1]', b"5"]
    assert "auth" in refused(line(auth=5)).msg
    assert refused(line(e={})).msg.startswith("e: expected `array`")


def test_a_secret_does_not_show_in_what_python_prints_of_it() -> None:
    assert "canary" not in repr(line(auth="canary"))


def test_an_events_body_is_an_array_and_nothing_else() -> None:
    found = decode_events(b'[["trade"], {} ]')
    assert isinstance(found, Events)
    assert [bytes(event) for event in found.events] == [b'["trade"]', b"{}"]
    for wrong in (b"{}", b"5", b"", b"[", b'{"e":[]}', b"[\xff]"):
        assert refused(decode_events(wrong)).code is PushCode.INVALID_ARGUMENT


def test_a_client_id_is_a_64_bit_number_as_text_or_as_it_is() -> None:
    assert decode_send(b'{"c":"123","d":"x"}') == Send("123", "x")
    assert decode_send(b'{"c":18446744073709551615,"d":"x","k":"k"}') == Send("18446744073709551615", "x", "k")
    for wrong in (b'{"c":-1,"d":""}', b'{"c":18446744073709551616,"d":""}', b'{"d":""}', b'{"c":1.0,"d":""}'):
        assert refused(decode_send(wrong)).code is PushCode.INVALID_ARGUMENT


def test_messages_of_the_original_websocket_api_are_understood() -> None:
    assert decode_message(b'{"m":"mesh.publish","p":{"c":"a@b","d":"x","t":"text"},"i":12345}') == Push(
        "a@b", "x", None, 12345
    )
    assert decode_message(b'{"m":"mesh.send","p":{"c":"7","d":"x"},"i":"a"}') == Send("7", "x", None, "a")
    assert decode_message(b'{"m":"conn.call","p":{"c":7,"f":"set_context_value","a":["user_id",10000]},"i":1}') == Call(
        "7", "set_context_value", ["user_id", 10000], 1
    )
    assert decode_message(b'{"m":"conn.call","p":{"c":"7","f":"x"}}') == Call("7", "x", [])
    assert isinstance(decode_message(b'{"e":[],"i":1}'), Events)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (b'{"p":{},"i":3}', "no m"),
        (b'{"m":"mesh.steal","p":{},"i":3}', "m is 'mesh.steal', expected one of mesh.publish"),
        (b'{"m":5,"p":{},"i":3}', "m: expected `str`"),
        (b'{"m":"mesh.publish","i":3}', "no p"),
        (b'{"m":"mesh.publish","p":[],"i":3}', "p: expected `object`"),
        (b'{"m":"mesh.publish","p":{"c":"a@b"},"i":3}', "no d"),
        (b'{"m":"conn.call","p":{"c":"1"},"i":3}', "no f"),
        (b'{"m":"conn.call","p":{"c":"1","f":"x","a":{}},"i":3}', "a: expected `array`"),
    ],
)
def test_a_message_that_asks_nothing_is_told_what_was_expected_with_its_id(message: bytes, says: str) -> None:
    found = decode_message(message)
    assert says in refused(found).msg
    assert found.id == 3


# -- answers


def test_answers_are_the_originals_bytes() -> None:
    assert encode(Answer(None, {"s": 9, "f": 0})) == b'{"E":null,"r":{"s":9,"f":0}}'
    assert encode(Answer(None, {"s": 9, "f": 0}, 12345)) == b'{"E":null,"r":{"s":9,"f":0},"i":12345}'
    assert encode(refusal(MalformedPush("m"), "x")) == b'{"E":{"c":101,"m":"m"},"r":null,"i":"x"}'
    assert encode([Answer(), Answer(id=None)]) == b'[{"E":null,"r":null},{"E":null,"r":null,"i":null}]'


def test_an_answer_is_one_line_whatever_was_asked() -> None:
    hostile = "a\r\nSet: b\x1b[31m\x85\u2028" * 9
    for found in (line(c=hostile, d=5), line(c="a@b", d="", t=hostile), line(c="a@b", d="", i=hostile, k="")):
        answer = encode(refusal(refused(found), found.id))
        assert b"\n" not in answer
        assert b"\r" not in answer
        assert b"\x1b" not in answer


# -- what is hostile (S2, S11)

DEEP = sys.getrecursionlimit() + 100
HOSTILE = [
    b"",
    b" ",
    b"\0",
    b"{",
    b"}",
    b"nul",
    b"null",
    b"true",
    b"5",
    b'"text"',
    b"{}",
    b"[",
    b'{"c":"a@b"}',
    b'{"d":"x"}',
    b'{"c":"a@b","d":NaN}',
    b'{"c":"a@b","d":[NaN]}',
    b'{"c":"a@b","d":[Infinity]}',
    b'{"c":"a@b","d":[-Infinity]}',
    b'{"c":"a@b","d":[1e999]}',
    b'{"c":"a@b","d":{"x":-1E400}}',
    b'{"c":"a@b","d":[1' + b"0" * 400 + b".5]}",
    b'{"c":"a@b","d":[' + b"9" * 5000 + b"]}",
    b'{"c":"a@b","d":[' + b"9" * 21 + b"]}",
    b'{"c":"a@b","d":[-9223372036854775809]}',
    b'{"c":"a@b","d":[01]}',
    b'{"c":"a@b","d":[+1]}',
    b'{"c":"a@b","d":[.5]}',
    b'{"c":"a@b","d":[1.]}',
    b'{"c":"a@b","d":[0x10]}',
    b'{"c":"a@b","d":[1,]}',
    b'{"c":"a@b","d":{"x":1,}}',
    b'{"c":"a@b","d":{x:1}}',
    b"{'c':'a@b','d':'x'}",
    b'{"c":"a@b","d":"x",}',
    b'{"c":"a@b","d":"x"}}',
    b'{"c":"a@b","d":"x"}{"c":"a@b","d":"x"}',
    b'{"c":"a@b","d":"x"} // x',
    b'\xef\xbb\xbf{"c":"a@b","d":"x"}',
    '{"c":"a@b","d":"x"}'.encode("utf-16"),
    '{"c":"a@b","d":"x"}'.encode("utf-16-le"),
    '{"c":"a@b","d":"x"}'.encode("utf-32"),
    b'{"c":"a@b","d":"\xff"}',
    b'{"c":"a@b","d":"\xc0\x80"}',
    b'{"c":"a@b","d":"\xed\xa0\x80"}',
    b'{"c":"a@b","d":["\xf5\x80\x80\x80"]}',
    b'{"c":"a@b","d":"x","unknown":"\xff"}',
    b'{"c":"a@b","d":"\\ud800"}',
    b'{"c":"a@b","d":{"\\udc00":1}}',
    b'{"c":"a@b","d":["\\ud800\\u0041"]}',
    b'{"c":"\\ud800@b","d":"x"}',
    b'{"c":"a@b","d":"\\x41"}',
    b'{"c":"a@b","d":"\x01"}',
    b'{"c":"a@b","d":"a\nb"}',
    b'{"c":"a@b","d":"unended}',
    b'{"c":"a@b","d":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'{"c":"a@b","d":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    b'{"c":"a@b","d":' + b"[" * 65 + b"]" * 65 + b"}",
    b'{"c":"a@b","d":"x","z":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"c":"a@b","d":' + b"[" * 500_000,
    b'{"c":"a@b","d":"x","i":1.0}',
    b'{"c":"a@b","d":"x","i":1e3}',
    b'{"c":"a@b","d":"x","i":true}',
    b'{"c":"a@b","d":"x","i":[]}',
    b'{"c":"a@b","d":"x","i":9223372036854775808}',
    b'{"c":"a@b","d":"x","k":7}',
    b'{"c":"a@b","d":"x","t":"TEXT"}',
    b'{"c":"a@b","d":"x","t":1}',
    b'{"c":"a@b","d":5}',
    b'{"c":"a@b","d":true}',
    b'{"c":"a@b","d":null}',
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:40]))
def test_hostile_json_is_refused_with_101_and_nothing_worse(body: bytes) -> None:
    assert len(HOSTILE) >= 60
    for decode in DECODERS:
        error = refused(decode(body))
        assert error.code is PushCode.INVALID_ARGUMENT
        assert error.msg.isprintable()
        assert len(error.msg) < 400


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b"[" * DEEP, b'{"a":' * DEEP])
def test_deep_nesting_is_refused_wherever_it_stands(body: bytes) -> None:
    for decode in (decode_line, decode_publish, decode_send, decode_message):
        found = decode(body)
        for request in found if isinstance(found, list) else [found]:
            assert refused(request).code is PushCode.INVALID_ARGUMENT


def test_brackets_within_strings_are_no_nesting() -> None:
    payload = json.dumps(["[" * 100 + '\\"' + "{" * 100] * 3 + [[]] * 100)
    found = decode_line(b'{"c":"a@b","d":' + payload.encode() + b"}")
    assert isinstance(found, Push)


def test_sixty_four_levels_are_taken() -> None:
    assert isinstance(decode_line(b'{"c":"a@b","d":' + b"[" * 64 + b"]" * 64 + b"}"), Push)


@pytest.mark.parametrize(
    "channel", [b"1001", b"1e3", b"true", b"null", b"1.5", b"-1", b"9223372036854775808", b"[]", b"{}", b'["a@b"]']
)
def test_a_channel_is_text_and_nothing_that_could_be_taken_for_it(channel: bytes) -> None:
    for decode in (decode_line, decode_publish):
        assert "c" in refused(decode(b'{"c":' + channel + b',"d":"x"}')).msg


def test_the_longest_integer_that_is_one_is_quoted_short() -> None:
    assert len(refused(decode_line(b'{"c":' + b"9" * 4300 + b',"d":"x"}')).msg) < 400


@given(st.binary() | st.binary().map(lambda tail: b'{"c":"a@b","d":' + tail) | st.text().map(str.encode))
@example(b'{"c":"a@b","d":{"a":"\xff"}}')
def test_no_bytes_make_a_decoder_fail(body: bytes) -> None:
    for decode in DECODERS:
        found = decode(body)
        for request in found if isinstance(found, list) else [found]:
            assert isinstance(request, Push | Send | Call | Events | Auth | Refused)


def naive(fields: dict[str, Any]) -> object:
    """What a push means, by json alone: (channel, payload, key), or None where it must be refused."""
    if not isinstance(fields.get("c"), str):
        return None
    for name, kinds in (("k", str), ("t", str)):
        if fields.get(name) is not None and not isinstance(fields[name], kinds):
            return None
    identity = fields.get("i")
    if identity is not None and (isinstance(identity, bool) or not isinstance(identity, int | str)):
        return None
    if fields.get("k") is not None and not 1 <= len(fields["k"]) <= 256:
        return None
    if fields.get("t") not in (None, "text", "binary"):
        return None
    payload = fields.get("d")
    if fields.get("t") == "binary":
        try:
            payload = base64.b64decode(payload, validate=True) if isinstance(payload, str) else None
        except ValueError:
            payload = None
    return None if not isinstance(payload, str | bytes | list | dict) else (fields["c"], payload, fields.get("k"))


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
TEXTS = st.sampled_from(["a@b", "YWJj", "text", "binary", ""])
FIELDS = st.fixed_dictionaries(
    {"c": TEXTS | VALUES, "d": TEXTS | VALUES},
    optional={"t": TEXTS | VALUES, "k": TEXTS | VALUES, "i": TEXTS | VALUES, "x": VALUES},
)


@given(FIELDS)
def test_pushes_mean_what_a_plain_reading_of_their_json_says(fields: dict[str, Any]) -> None:
    found = decode_line(json.dumps(fields).encode())
    expected = naive(fields)
    if expected is None:
        refused(found)
        return
    assert isinstance(found, Push)
    payload = msgspec.json.decode(found.payload) if isinstance(found.payload, Raw) else found.payload
    assert (found.channel, payload, found.key) == expected
    assert found.id == fields.get("i", UNSET)
    assert not isinstance(payload, float) or math.isfinite(payload)
