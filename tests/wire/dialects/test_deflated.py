import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.pubsub.channel import Channel, ChannelKind, Owner, SlowPolicy
from exchange_push.pubsub.publication import Frame, Publication, View
from exchange_push.wire.dialects.deflated import WINDOW_BITS, Deflated, deflate
from exchange_push.wire.dialects.plain import PLAIN, PLAIN_MSGPACK, Plain
from exchange_push.wire.frame import payload_of
from tests.pubsub.lobby import TICKER, Client, Lobby, unframe

PRICE = Channel(TICKER, "A")
LONG = {"prices": ["50000.00"] * 100}


def inflate(payload: bytes) -> bytes:
    return zlib.decompressobj(-WINDOW_BITS).decompress(payload + b"\x00\x00\xff\xff")


@given(st.binary(max_size=20_000))
def test_what_was_deflated_can_be_inflated_alone_in_the_window_agreed_to(payload: bytes) -> None:
    assert inflate(deflate(payload)) == payload


@pytest.mark.parametrize(("dialect", "opcode"), [(PLAIN, 1), (PLAIN_MSGPACK, 2)])
def test_a_long_publication_is_compressed_and_a_short_one_is_not(dialect: Plain, opcode: int) -> None:
    view = View(Deflated(dialect), "A@ticker")
    plain = View(dialect, "A@ticker")
    long = Publication(PRICE, LONG)
    short = Publication(PRICE, {"price": "50000.00"})

    assert long.frame(view).wire[0] == 0xC0 | opcode
    assert inflate(payload_of(long.frame(view).wire)) == payload_of(long.frame(plain).wire)
    assert short.frame(view) is short.frame(plain)


def test_what_compression_would_make_longer_stays_as_it_is() -> None:
    noise = Publication(PRICE, message=bytes((n * n * 7919 >> 5) % 251 for n in range(20)) * 1)
    noise.channel = Channel(ChannelKind("x", Owner.SYMBOL, SlowPolicy.QUEUE, deflate_bytes=1), "A")

    assert noise.frame(View(Deflated(PLAIN), "A@x")).wire[0] == 0x82


def test_each_kind_has_a_size_from_which_on_it_is_compressed() -> None:
    for size in (99, 100):
        kind = ChannelKind("x", Owner.SYMBOL, SlowPolicy.QUEUE, deflate_bytes=100)
        wire = Publication(Channel(kind, "A"), message="x" * size).frame(View(Deflated(PLAIN), "A@x")).wire
        assert bool(wire[0] & 0x40) is (size == 100)


class Counting(Plain):
    encoded = 0

    def event(self, publication: Publication, view: View) -> Frame:
        self.encoded += 1
        return super().event(publication, view)


def test_a_publication_is_encoded_and_compressed_once_for_all() -> None:
    lobby, plain = Lobby(), Counting()
    deflated = Deflated(plain)
    clients = [Client(lobby, dialect) for dialect in (plain, deflated) for _ in range(50)]
    for client in clients:
        client.ask({"op": "subscribe", "channel": "A@ticker"})
    lobby.publish(PRICE, LONG)
    wires: list[bytes] = []
    lobby.hub.round.send(lambda chains: [wires.extend(chain) for chain in chains.values()] and [])

    assert plain.encoded == 1
    assert len(wires) == 100
    assert len({id(wire) for wire in wires}) == 2
    texts = {inflate(payload) if wire[0] & 0x40 else payload for wire in wires for _, payload in unframe(wire)}
    assert [json.loads(text) for text in texts] == [{"event": "A@ticker", "data": LONG}]
