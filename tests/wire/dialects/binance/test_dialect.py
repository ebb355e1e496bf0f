"""Flavours are shared, compression changes no message, and what is not Binance's is let through or left out."""

import json
import zlib
from typing import Any

from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.publication import SILENCE, Publication, View
from exchange_push.wire.dialects.binance.dialect import speaking
from exchange_push.wire.dialects.deflated import WINDOW_BITS, deflated
from exchange_push.wire.frame import payload_of, split
from tests.pubsub.lobby import BALANCE, DEPTH, SYSTEM, TICKER, TRADES, Client, Lobby, unframe
from tests.wire.dialects.binance import test_shapes as shapes

RAW = speaking(combined=False, micro=False, futures=False)
COMBINED = speaking(combined=True, micro=False, futures=False)


def inflated(wire: bytes) -> list[bytes]:
    found = []
    for one in split(wire):
        payload = payload_of(one)
        if one[0] & 0x40:
            payload = zlib.decompressobj(-WINDOW_BITS).decompress(payload + b"\x00\x00\xff\xff")
        found.append(payload)
    return found


def test_compressed_messages_are_the_same_one_by_one() -> None:
    many = shapes.TradesData(shapes.MERGED.trades * 40)
    compressed = 0
    for data in (*shapes.ALL_SHAPES, many, shapes.SNAPSHOT, [shapes.TICKER] * 5):
        for dialect in (RAW, COMBINED, speaking(combined=True, micro=True, futures=True)):
            publication = Publication(Channel(shapes.EVERY if isinstance(data, list) else shapes.KIND, "A"), data)
            plain = publication.frame(View(dialect, "a@x")).wire
            small = publication.frame(View(deflated(dialect), "a@x")).wire
            assert inflated(small) == [payload for _, payload in unframe(plain)]
            assert len(small) <= len(plain)
            compressed += len(small) < len(plain)
    assert compressed > 5


def test_short_messages_in_a_row_stay_as_they_are() -> None:
    publication = Publication(Channel(TRADES, "A"), shapes.TRADES)
    view = View(RAW, "a@trade")
    assert publication.frame(view._replace(dialect=deflated(RAW))) == publication.frame(view)
    assert len(split(publication.frame(view).wire)) == 2


def test_what_a_back_end_pushed_goes_out_as_it_is() -> None:
    message = '{"anything":1}'
    for dialect in (RAW, COMBINED):
        assert payload_of(Publication(Channel(TICKER, "A"), message=message).frame(View(dialect, "a")).wire) == (
            message.encode()
        )
        assert payload_of(Publication(Channel(TICKER, "A"), message=b"\x01").frame(View(dialect, "a")).wire) == b"\x01"
    data = Publication(Channel(BALANCE, "1001"), {"BTC": "1"})
    assert payload_of(data.frame(View(RAW, "@balance")).wire) == b'{"BTC":"1"}'
    assert payload_of(data.frame(View(COMBINED, "@balance")).wire) == b'{"stream":"@balance","data":{"BTC":"1"}}'


def test_events_of_our_own_language_are_not_told() -> None:
    stale = Publication(Channel(SYSTEM, ""), {"type": "stale", "channel": "a@trade"})
    assert stale.frame(View(RAW, "system")) is SILENCE


def test_the_farewell_is_named_in_combined_messages() -> None:
    assert payload_of(RAW.farewell(7).wire) == b'{"e":"serverShutdown","E":7}'
    assert payload_of(COMBINED.farewell(7).wire) == (
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":7}}'
    )


def test_of_what_it_has_nothing_to_say_nothing_is_handed_to_anybody() -> None:
    lobby = Lobby()
    raw, plain = Client(lobby, RAW), lobby.client()
    raw.say({"method": "SUBSCRIBE", "params": ["a@depth@100ms"], "id": 1})
    plain.say({"op": "subscribe", "channel": "A@depth"})
    raw.heard(), plain.heard()
    assert lobby.publish(Channel(DEPTH, "A"), shapes.SNAPSHOT) == (1, 0)
    assert (raw.heard(), len(plain.heard())) == ([], 1)
    raw.stop_reading()
    assert lobby.publish(Channel(DEPTH, "A"), shapes.UPDATE) == (2, 0)
    assert [event["u"] for event in raw.heard()] == [7003]


def test_subscribers_who_speak_alike_share_a_frame() -> None:
    lobby = Lobby()
    clients = [Client(lobby, RAW), Client(lobby, RAW), Client(lobby, COMBINED)]
    for client in clients:
        client.say({"method": "SUBSCRIBE", "params": ["a@ticker"], "id": 1})
    publication = Publication(Channel(TICKER, "A"), shapes.TICKER)
    assert lobby.hub.publish(publication) == (3, 0)
    assert len(publication._frames) == 2
    heard: list[Any] = [client.heard()[-1] for client in clients]
    assert heard[0] == heard[1] == heard[2]["data"]


def test_a_session_goes_over_to_combined_messages_with_all_it_has() -> None:
    lobby = Lobby()
    for dialect in (RAW, deflated(RAW)):
        client = Client(lobby, dialect)
        client.say({"method": "SUBSCRIBE", "params": ["a@ticker"], "id": 1})
        client.say({"method": "SET_PROPERTY", "params": ["combined", True], "id": 2})
        client.say({"method": "GET_PROPERTY", "params": ["combined"], "id": 3})
        client.say({"method": "SUBSCRIBE", "params": ["a@aggTrade"], "id": 4})
        assert client.heard() == [
            {"result": None, "id": 1},
            {"result": None, "id": 2},
            {"result": True, "id": 3},
            {"result": None, "id": 4},
        ]
        lobby.publish(Channel(TRADES, "A"), shapes.MERGED)
        lobby.publish(Channel(TICKER, "A"), shapes.TICKER)
        trade, ticker = [json.loads(payload) for payload in _plain(client)]
        assert (trade["stream"], trade["data"]["e"]) == ("a@aggTrade", "aggTrade")
        assert (ticker["stream"], ticker["data"]["e"]) == ("a@ticker", "24hrTicker")
        client.say({"method": "SET_PROPERTY", "params": ["combined", False], "id": 5})
        lobby.publish(Channel(TICKER, "A"), shapes.TICKER)
        assert json.loads(_plain(client)[-1])["e"] == "24hrTicker"


def _plain(client: Client) -> list[bytes]:
    wire = b""
    client.lobby.hub.round.part(client.session)
    while portion := client.session.outbox.take():
        wire += portion
    client.lobby.hub.round.rejoin(client.session)
    return inflated(wire)


def test_trades_greet_nobody_and_tickers_do() -> None:
    lobby = Lobby()
    for channel, data in ((Channel(TRADES, "A"), shapes.MERGED), (Channel(TICKER, "A"), shapes.TICKER)):
        lobby.states[channel] = Publication(channel, data)
    client = Client(lobby, RAW)
    client.say({"method": "SUBSCRIBE", "params": ["a@aggTrade", "a@ticker"], "id": 1})
    reply, ticker = client.heard()
    assert (reply, ticker["e"]) == ({"result": None, "id": 1}, "24hrTicker")
