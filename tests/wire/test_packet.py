import hashlib
import re
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.errors import MalformedPacket
from exchange_push.wire.packet import (
    LIMIT_BYTES,
    Packet,
    Rerequest,
    decode,
    decode_request,
    encode,
    encode_request,
    unsealed,
)

KEY = b"a key of the test"
TRADE = ["trade", "BTCUSDT", 1, "50000.1", "0.5", "buy", 1_700_000_000_000, None]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def pack(*fields: object) -> bytes:
    return bytes(msgpack.packb(list(fields)))


def test_the_documented_packet_is_read() -> None:
    assert decode(bytes([0x94, 1, 7, 9, 0x91, 0x92, 0xA1, 0x78, 5])) == Packet(7, 9, [["x", 5]])


def test_the_datagrams_of_the_reference_are_what_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/engine-feed.md").read_text(encoding="utf-8")
    heartbeat, request = re.findall(r"```hex\n(.*?)```", page, re.DOTALL)
    (sealed,) = re.findall(r"```sealed\n(.*?)```", page, re.DOTALL)
    (key,) = re.findall(r"under the key `(.*?)`", page)

    assert decode(bytes.fromhex(heartbeat)) == Packet(1_700_000_000_000, 1, [])
    assert decode_request(bytes.fromhex(request)) == Rerequest(1_700_000_000_000, 7, 3)
    assert unsealed(bytes.fromhex(sealed), key.encode()) == bytes.fromhex(heartbeat)


def test_the_reference_seals_as_we_do() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/engine-feed.md").read_text(encoding="utf-8")
    (program,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "blake2b" in block]
    names = {"msgpack": msgpack, "hashlib": hashlib, "session": 7, "seq": 9, "events": [TRADE], "key": KEY}
    exec(program, names)

    assert names["packet"] == encode(7, 9, [TRADE], KEY)


def test_an_empty_array_is_a_heartbeat_and_nil_ends_the_session() -> None:
    assert decode(pack(1, 7, 9, [])).events == []
    assert decode(pack(1, 7, 9, None)).events is None


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**62), st.none() | st.lists(values, max_size=5))
def test_what_is_encoded_comes_back(session: int, seq: int, events: list[object] | None) -> None:
    assert decode(encode(session, seq, events)) == Packet(session, seq, events)


@pytest.mark.parametrize(
    ("datagram", "found"),
    [
        (b"", "not msgpack"),
        (b"\xc1", "not msgpack"),
        (pack(1, 7, 9, [TRADE])[:-1], "not msgpack"),
        (pack(1, 7, 9, []) + b"\0", "1 bytes after the packet"),
        (pack(1, 7, 9, []) + bytes(16), "16 bytes after the packet"),
        (b'{"e":[]}', "bytes after the packet"),
        (b"GET / HTTP/1.1\r\n\r\n", "bytes after the packet"),
        (pack(1, 7, 9), "list of 3"),
        (pack(1, 7, 9, [], 0), "list of 5"),
        (pack(), "list of 0"),
        (msgpack.packb({"v": 1}), "dict of 1"),
        (msgpack.packb("1234"), "str of 4"),
        (msgpack.packb(1), "packet is 1"),
        (pack(2, 7, 9, []), "version is 2"),
        (pack(True, 7, 9, []), "version is True"),
        (pack(1.0, 7, 9, []), "version is 1.0"),
        (pack("1", 7, 9, []), "version is str of 1"),
        (pack(1, 0, 9, []), "session is 0"),
        (pack(1, -1, 9, []), "session is -1"),
        (pack(1, 2**63, 9, []), "session is 9223372036854775808"),
        (pack(1, True, 9, []), "session is True"),
        (pack(1, 7.0, 9, []), "session is 7.0"),
        (pack(1, None, 9, []), "session is None"),
        (pack(1, "7", 9, []), "session is str of 1"),
        (pack(1, [[]] * 60_000, 9, []), "session is list of 60000"),
        (pack(1, 7, 0, []), "seq is 0"),
        (pack(1, 7, True, []), "seq is True"),
        (pack(1, 7, 2**63, []), "seq is 9223372036854775808"),
        (pack(1, 7, 2**63 - 1, [TRADE]), "seq is"),
        (pack(1, 7, 9, {}), "events is dict of 0"),
        (pack(1, 7, 9, "trade"), "events is str of 5"),
        (pack(1, 7, 9, b""), "events is bytes of 0"),
        (pack(1, 7, 9, False), "events is False"),
        (pack(1, 7, 9, 0), "events is 0"),
        (pack(1, msgpack.ExtType(5, b"x"), 9, []), "session is ExtType"),
        (pack(1, 7, 9, msgpack.Timestamp(1)), "events is Timestamp"),
        (pack(1, 7, 9, [["user", 1, "balance", {5: 1}]]), "not msgpack"),
        (b"\x94\x01\x07\x09" + b"\x91" * 5000 + b"\xc0", "not msgpack"),
        (b"\x94\x01\x07\x09" + b"\x81\xa1k" * 5000 + b"\xc0", "not msgpack"),
        (b"\x94\x01\x07\x09\xdd\xff\xff\xff\xff", "not msgpack"),
        (b"\x94\x01\x07\x09\xc6\xff\xff\xff\xff", "not msgpack"),
        (b"\x94\x01\x07\x09\x81\x90\xc0", "not msgpack"),
        (b"\xff" * 65_508, "datagram of 65508 bytes"),
    ],
)
def test_what_is_no_packet_is_refused_with_what_was_found(datagram: bytes, found: str) -> None:
    with pytest.raises(MalformedPacket) as refused:
        decode(datagram)
    assert found in str(refused.value)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(datagram: bytes) -> None:
    try:
        packet = decode(datagram)
    except MalformedPacket:
        return
    assert packet.session >= 1


@given(st.data())
def test_a_packet_with_one_byte_changed_is_a_packet_or_refused(data: st.DataObject) -> None:
    datagram = bytearray(encode(7, 9, [TRADE, ["user", 1001, "balance", {"a": [1.5, "x"]}]]))
    datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
    try:
        packet = decode(bytes(datagram))
    except MalformedPacket:
        return
    assert packet.seq >= 1


def test_text_that_is_no_utf8_leaves_the_rest_of_the_packet_readable() -> None:
    packet = decode(pack(1, 7, 9, [TRADE, TRADE]).replace(b"BTC", b"B\xff\xfe", 1))
    assert packet.events is not None
    assert packet.events[1] == TRADE
    assert packet.events[0] != TRADE


def test_a_datagram_may_be_as_large_as_udp_carries_and_no_larger() -> None:
    room = LIMIT_BYTES - len(encode(7, 9, ["x" * 60_000])) + 60_000
    assert decode(encode(7, 9, ["x" * room])).events == ["x" * room]
    with pytest.raises(ValueError, match="65508 bytes"):
        encode(7, 9, ["x" * (room + 1)])


@given(
    st.integers(1, 2**63 - 1), st.integers(1, 2**62), st.lists(values, max_size=5), st.binary(min_size=1, max_size=64)
)
def test_a_sealed_packet_opens_with_its_key_and_no_other(
    session: int, seq: int, events: list[object], key: bytes
) -> None:
    sealed = encode(session, seq, events, key)
    opened = unsealed(sealed, key)

    assert opened is not None
    assert opened == encode(session, seq, events)
    assert len(sealed) == len(opened) + 16
    assert unsealed(sealed, key[:-1] + bytes([key[-1] ^ 1])) is None


@given(st.data())
def test_a_sealed_packet_with_one_bit_changed_does_not_open(data: st.DataObject) -> None:
    datagram = bytearray(encode(7, 9, [TRADE], KEY))
    datagram[data.draw(st.integers(0, len(datagram) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    assert unsealed(bytes(datagram), KEY) is None


@pytest.mark.parametrize("datagram", [b"", bytes(15), bytes(16), bytes(17), encode(7, 9, [TRADE])])
def test_what_bears_no_seal_does_not_open(datagram: bytes) -> None:
    assert unsealed(datagram, KEY) is None


def test_the_seal_has_its_room_in_the_datagram() -> None:
    room = LIMIT_BYTES - len(encode(7, 9, ["x" * 60_000], KEY)) + 60_000
    assert len(encode(7, 9, ["x" * room], KEY)) == LIMIT_BYTES
    with pytest.raises(ValueError, match="65508 bytes"):
        encode(7, 9, ["x" * (room + 1)], KEY)


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_a_request_that_is_encoded_comes_back(session: int, seq: int, count: int) -> None:
    request = Rerequest(session, seq, count)
    assert decode_request(encode_request(request)) == request
    assert msgpack.unpackb(encode_request(request)) == [1, session, seq, count]


@pytest.mark.parametrize(
    "datagram",
    [
        *(b"", b"\xc1", pack(), pack(1, 7, 9), pack(1, 7, 9, 1, 1), pack(2, 7, 9, 1), pack(1, 0, 9, 1)),
        *(pack(1, 7, 0, 1), pack(1, 7, 9, 0), pack(1, 7, 9, -1), pack(1, 7, 9, 2**63), pack(1, 7, 9, True)),
        *(pack(1, 7, 9, 1.0), pack(1, 7, 9, None), pack(1, 7, 9, []), pack(1, 7, 9, 1) + b"\0", msgpack.packb(1)),
    ],
)
def test_what_is_no_request_is_refused(datagram: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_request(datagram)
