import json
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.errors import ClientCode, ClientError, Disconnect
from exchange_push.pubsub.channel import Channel, Registry
from exchange_push.pubsub.publication import Publication, View
from exchange_push.pubsub.request import Auth, List, Ping, Refused, Subscribe, Unsubscribe
from exchange_push.wire.dialects.plain import PLAIN, PLAIN_MSGPACK
from exchange_push.wire.frame import BINARY, TEXT, frame
from tests.pubsub.lobby import BALANCE, DEPTH, KINDS, unframe

Json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
Messages = st.dictionaries(st.sampled_from(["op", "id", "channel", "channels", "token", "checksum", "x"]), Json) | Json


def test_each_op_becomes_its_request() -> None:
    assert PLAIN.decode(b'{"op":"auth","token":"t","id":1}', False) == Auth(1, "t")
    assert PLAIN.decode(b'{"op":"subscribe","channel":"A@depth","checksum":true}', False) == Subscribe(
        None, ("A@depth",), True
    )
    assert PLAIN.decode(b'{"op":"unsubscribe","channels":["a","b"],"id":"x"}', False) == Unsubscribe("x", ("a", "b"))
    assert PLAIN.decode(b'{"op":"list"}', False) == List(None)
    assert PLAIN.decode(b'{"op":"ping","more":{}}', False) == Ping(None)


def test_of_a_key_that_stands_twice_the_last_wins() -> None:
    assert PLAIN.decode(b'{"op":"list","op":"ping"}', False) == Ping(None)


@given(Messages)
def test_both_encodings_of_a_message_make_the_same_request(message: Any) -> None:
    by_json = PLAIN.decode(json.dumps(message).encode(), False)
    by_msgpack = PLAIN_MSGPACK.decode(msgpack.packb(message), True)

    assert type(by_json) is type(by_msgpack)
    assert by_json.id == by_msgpack.id
    if isinstance(by_json, Refused) and isinstance(by_msgpack, Refused):
        assert by_json.error.code == by_msgpack.error.code
    else:
        assert by_json == by_msgpack


@given(st.binary(max_size=200))
def test_no_bytes_make_a_dialect_fail(payload: bytes) -> None:
    for dialect, binary in ((PLAIN, False), (PLAIN_MSGPACK, True)):
        request = dialect.decode(payload, binary)
        assert hasattr(request, "id")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x91" * 60_000,
        b"\xde\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xc7\x01\x05a",
        b"\x81\x01\x02",
        b"\x81\xa2op\xc7\x01\x05a",
        b"\x81\xa2op\xa1\xff",
        b"\x81\xa2op\xa4list\xc0",
        b"\x81\xa2op\xc4\x04list",
        b"\x82\xa2op\xa4list\xa2id\xd6\xff\x00\x00\x00\x00",
        b"\x82\xa2op\xa4list\xa2id\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
        b"\xc1",
        b"\xc0",
        b"\xc3",
        b"\x05",
        b"\x90",
        b"\x80",
        b"\xa4list",
        b"\xc4\x04list",
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\xcf" + b"\xff" * 8,
        b"\x81",
        b"\x81\xa2op",
        b"\x81\xa2op\xc0",
        b"\x81\xa2op\xc2",
        b"\x81\xa2op\x00",
        b"\x81\xa2op\xa4lis",
        b"\x81\xa2op\xdb\xff\xff\xff\xff",
        b"\x81\xc4\x02op\xa4list",
        b"\x81\x90\xa4list",
        b"\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xa4list",
        b"\x81\xa2op\xd4\x01\x00",
        b"\x81\xa2op\xa3\xed\xa0\x80",
        b"\x82\xa2op\xa4auth\xa5token\xc4\x03abc",
        b"\x82\xa2op\xa4auth\xa5token\xd6\xff\x00\x00\x00\x00",
        b"\x82\xa2op\xa9subscribe\xa7channel\xc4\x06system",
        b"\x82\xa2op\xa9subscribe\xa8channels\xdd\xff\xff\xff\xff",
        b"\x82\xa2op\xa9subscribe\xa8channels\xdf\x00\x00\x00\x01",
        b"\x82\xa2op\xa4list\xa2id\xc4\x01a",
        b"\x82\xa2op\xa4list\xa2id\xd9\x41" + b"a" * 65,
        b"\x82\xa2op\xa4list\xa2id\xc3",
    ],
)
def test_hostile_msgpack_is_malformed(payload: bytes) -> None:
    request = PLAIN_MSGPACK.decode(payload, True)
    if isinstance(request, Subscribe):  # the names are looked at where channels are found
        with pytest.raises(ClientError) as raised:
            Registry(KINDS).for_client(*request.names, None)
        request = Refused(None, raised.value)

    assert isinstance(request, Refused)
    assert request.error.code is ClientCode.MALFORMED
    assert len(request.error.msg) < 400


def test_a_frame_of_the_wrong_kind_ends_the_connection() -> None:
    with pytest.raises(Disconnect):
        PLAIN.decode(b"{}", True)
    with pytest.raises(Disconnect):
        PLAIN_MSGPACK.decode(b"\x80", False)


def test_a_message_of_an_error_quotes_no_token_and_no_control_character() -> None:
    for message in (
        {"op": "auth", "token": "canary\x1b[31m\r\n"},
        {"op": "auth", "token": ["canary"]},
        {"op": "auth", "token": "canary" * 1000},
    ):
        request = PLAIN.decode(json.dumps(message).encode(), False)
        assert isinstance(request, Refused)
        assert "canary" not in request.error.msg
    for op in ("\x1b[31m", "a\r\nb", "\x00", "\u202e", "x" * 60_000):
        request = PLAIN.decode(json.dumps({"op": op}).encode(), False)
        assert isinstance(request, Refused)
        assert request.error.msg.isprintable()
        assert request.error.msg.isascii() or "…" in request.error.msg
        assert len(request.error.msg) < 300
    assert "secret" not in repr(Auth(1, "secret"))


PUSHED = Publication(Channel(BALANCE, "1"), message='{"event":"@balance", "data":{"BTC": 1.10}}')


def test_a_pushed_string_goes_out_untouched_and_for_msgpack_re_encoded_when_it_is_json() -> None:
    plain, packed = View(PLAIN, "@balance"), View(PLAIN_MSGPACK, "@balance")

    assert unframe(PUSHED.frame(plain).wire) == [(TEXT, b'{"event":"@balance", "data":{"BTC": 1.10}}')]
    ((opcode, payload),) = unframe(PUSHED.frame(packed).wire)
    assert opcode == BINARY
    assert msgpack.unpackb(payload) == {"event": "@balance", "data": {"BTC": 1.10}}


@pytest.mark.parametrize("text", ["hello", "", "{", "9" * 400, '{"n":18446744073709551616}'])
def test_a_pushed_string_that_msgpack_cannot_carry_goes_out_as_text(text: str) -> None:
    pushed = Publication(Channel(BALANCE, "1"), message=text)

    assert unframe(pushed.frame(View(PLAIN_MSGPACK, "@balance")).wire) == [(TEXT, text.encode())]


@pytest.mark.parametrize("data", [{"n": 2**64}, [-(2**63) - 1], msgspec.Raw(b'{"n":99999999999999999999}')])
def test_an_integer_that_msgpack_cannot_carry_goes_out_as_json_and_fails_nobody(data: object) -> None:
    event = Publication(Channel(BALANCE, "1"), data)
    ((opcode, text),) = unframe(event.frame(View(PLAIN_MSGPACK, "@balance")).wire)

    assert opcode == TEXT
    assert json.loads(text) == {"event": "@balance", "data": json.loads(msgspec.json.encode(data))}


def test_pushed_bytes_go_out_as_a_binary_frame_to_all() -> None:
    pushed = Publication(Channel(BALANCE, "1"), message=b"\x00\xff")
    for dialect in (PLAIN, PLAIN_MSGPACK):
        assert unframe(pushed.frame(View(dialect, "@balance")).wire) == [(BINARY, b"\x00\xff")]


def test_pushed_data_keeps_its_own_text() -> None:
    data = Publication(Channel(BALANCE, "1"), msgspec.Raw(b'{"BTC": 1.10, "n":12345678901234567890}'))

    assert unframe(data.frame(View(PLAIN, "@balance")).wire) == [
        (TEXT, b'{"event":"@balance","data":{"BTC": 1.10, "n":12345678901234567890}}')
    ]


def test_a_checksum_stands_last_in_both_encodings() -> None:
    class Data(msgspec.Struct):
        bids: list[str]

    publication = Publication(Channel(DEPTH, "A"), Data(["1"]), checksum=lambda: -5)
    ((_, text),) = unframe(publication.frame(View(PLAIN, "A@depth", True)).wire)
    ((_, packed),) = unframe(publication.frame(View(PLAIN_MSGPACK, "A@depth", True)).wire)

    assert text == b'{"event":"A@depth","data":{"bids":["1"],"checksum":-5}}'
    assert msgpack.unpackb(packed) == json.loads(text)


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_frame_says_its_length(size: int) -> None:
    assert unframe(frame(bytes(size), TEXT).wire) == [(TEXT, bytes(size))]


def test_an_error_is_code_and_msg() -> None:
    error = ClientError(ClientCode.UNKNOWN_OP, "what?")

    assert unframe(PLAIN.error("a", error).wire) == [(TEXT, b'{"code":3,"msg":"what?","id":"a"}')]
