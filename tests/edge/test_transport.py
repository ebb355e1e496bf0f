"""What leaves for clients: over sockets that take any number of bytes at a time, and through transports."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from exchange_push.edge.transport import Turn, Writer
from exchange_push.errors import CloseCode
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.outbox import PORTION_BYTES, Budget, Outbox
from exchange_push.pubsub.publication import Publication
from exchange_push.pubsub.round import RUN_BYTES, Chain, Round
from exchange_push.wire.frame import TEXT, frame
from tests.edge.trickle import Client, Place
from tests.fakes import LoggedFailures
from tests.pubsub.lobby import DEPTH, TICKER, TRADES
from tests.wsclient import masked

BOOK, PRICE, TRADE = Channel(DEPTH, "A"), Channel(TICKER, "A"), Channel(TRADES, "A")
EVERYTHING = ("A@trades", "A@ticker", "A@depth")


class Broken(Exception):
    pass


class Through:
    """A client whose bytes go through a transport that is no plain socket."""

    def __init__(self, turn: Turn, broken: bool = False) -> None:
        self.broken = broken
        self.closed: CloseCode | None = None
        self.transport = StringTransport()
        self.outbox = Outbox(200_000, Budget(200_000), self._state)
        self.chain: Chain = []
        self.writer = Writer(self, self, turn)
        self.got: list[bytes] = []

    def _state(self, channel: Channel) -> bytes:
        if self.broken:
            raise Broken
        return b"state"

    def deliver(self, wire: bytes, publication: Publication) -> bool:
        self.outbox.put(wire, publication.channel, publication.slow)
        self.writer.wake()
        return True

    def send_bytes(self, data: bytes) -> None:
        self.got.append(data)

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed = code


# -- through a transport


def test_what_is_said_in_a_turn_leaves_in_one_write() -> None:
    clock = Clock()
    client = Through(Turn(clock, Round()))
    for wire in (b"a", b"b", b"c"):
        client.writer.say(wire)
    assert client.got == []
    clock.advance(0)
    client.writer.say(b"d")
    clock.advance(0)

    assert client.got == [b"abc", b"d"]


def test_what_is_published_in_a_turn_leaves_in_one_write_too() -> None:
    clock, round = Clock(), Round()
    client = Through(Turn(clock, round))
    for wire in (b"a", b"b"):
        round.add({client: client.chain}, wire, Publication(TRADE))
    clock.advance(0)

    assert client.got == [b"ab"]


@pytest.mark.parametrize("published", [True, False])
def test_a_lot_does_not_wait_for_the_turn_to_end(published: bool) -> None:
    round = Round()
    client = Through(Turn(Clock(), round))
    wire = b"x" * (RUN_BYTES if published else PORTION_BYTES)
    if published:
        round.add({client: client.chain}, wire, Publication(TRADE))
    else:
        client.writer.say(wire)

    assert client.got == [wire]


@pytest.mark.parametrize("published", [True, False])
def test_nothing_is_written_to_who_does_not_read_until_it_does(published: bool) -> None:
    clock, round = Clock(), Round()
    client = Through(Turn(clock, round))
    client.writer.pauseProducing()
    client.writer.pauseProducing()
    if published:
        round.add({client: client.chain}, b"a", Publication(TRADE))
    else:
        client.writer.say(b"a")
    clock.advance(0)
    assert client.got == []
    client.writer.resumeProducing()

    assert client.got == [b"a"]


def test_a_client_whose_state_cannot_be_told_is_closed_and_keeps_no_other_from_its_own(
    logged_failures: LoggedFailures,
) -> None:
    clock = Clock()
    turn = Turn(clock, Round())
    broken, well = Through(turn, broken=True), Through(turn)
    for client in (broken, well):
        turn.round.part(client)
        client.outbox.put_current(BOOK)
        client.outbox.put(b"more")
        client.writer.wake()
    clock.advance(0)

    assert well.got == [b"statemore"]
    assert broken.got == []
    assert broken.closed is CloseCode.INTERNAL_ERROR
    assert not len(broken.outbox)
    assert turn.faults == 1
    assert len(logged_failures.flush(Broken)) == 1


def test_nothing_is_written_after_a_writer_was_stopped() -> None:
    clock, round = Clock(), Round()
    client = Through(Turn(clock, round))
    client.writer.say(b"a")
    round.add({client: client.chain}, b"b", Publication(TRADE))
    client.writer.stop()
    clock.advance(0)
    client.writer.say(b"c")
    client.writer.resumeProducing()

    assert client.got == []


def test_of_a_lot_a_transport_gets_no_more_than_until_it_says_stop() -> None:
    clock, round = Clock(), Round()
    client = Through(Turn(clock, round))
    written = client.send_bytes

    def send_bytes(data: bytes) -> None:
        written(data)
        if sum(map(len, client.got)) > 65_536:
            client.writer.pauseProducing()

    client.send_bytes = send_bytes  # type: ignore[method-assign]
    wires = [bytes([number]) * 20_000 for number in range(8)]
    for wire in wires:
        round.add({client: client.chain}, wire, Publication(TRADE))
    clock.advance(0)

    assert client.got == wires[:4]
    assert client.outbox.held_bytes == 5 * 20_000  # the last that the transport got, and what waits
    while client.outbox.blocked:
        client.writer.resumeProducing()
    assert b"".join(client.got) == b"".join(wires)


# -- straight to a socket


@pytest.fixture
def place() -> Iterator[Place]:
    found = Place()
    yield found
    found.close()


def publish(place: Place, channel: Channel, data: object) -> None:
    place.lobby.publish(channel, data)


def test_a_turn_is_sent_at_once_and_the_transport_has_nothing_to_do_with_it(place: Place) -> None:
    client = place.connect("A@trades")
    for number in range(8):
        publish(place, TRADE, number)
    place.turn()

    assert [message["data"] for message in client.heard()] == list(range(8))
    assert not place.reactor.writers


def test_who_has_its_reply_or_reads_again_is_together_with_all_others(place: Place) -> None:
    clients = [place.connect("A@trades") for _ in range(3)]
    clients[0].say({"op": "ping"})
    clients[1].read(1)
    publish(place, TRADE, 1)
    place.turn()
    assert len(place.lobby.hub.round.apart) == 1
    clients[1].read(1 << 20)

    assert not place.lobby.hub.round.apart
    publish(place, TRADE, 2)
    place.turn()
    assert [client.heard()[-1]["data"] for client in clients] == [2, 2, 2]


def test_nothing_overtakes_the_answer_to_the_handshake(place: Place) -> None:
    client = Client(place, 0)
    place.clients.append(client)
    client.socket.room = 1 << 20
    client.say({"op": "ping"})
    place.turn()
    assert client.socket.got == b""
    client.read(1 << 20)

    assert client.socket.got.startswith(b"HTTP/1.1 101")
    assert client.heard() == [{"op": "pong", "time": 0}]


@pytest.mark.parametrize("room", range(100))
def test_what_the_socket_does_not_take_follows_when_it_does(place: Place, room: int) -> None:
    client = place.connect("A@trades")
    client.read(room)
    for number in range(3):
        publish(place, TRADE, number)
    place.turn()
    assert len(client.socket.got) == 4 + min(room, 3 * len(wire(0)))
    while client.socket.got.count(b"event") < 3 or not client.socket.got.endswith(b"}"):
        client.read(1)

    assert [message["data"] for message in client.heard()] == [0, 1, 2]
    client.read(1 << 20)
    publish(place, TRADE, 3)
    place.turn()
    assert client.heard()[-1]["data"] == 3
    assert not place.reactor.writers


def wire(data: object) -> bytes:
    return frame(b'{"event":"A@trades","data":%d}' % data, TEXT).wire


def test_a_pong_waits_for_the_end_of_the_frame_that_the_socket_took_half_of(place: Place) -> None:
    client = place.connect("A@trades")
    client.read(10)
    publish(place, TRADE, 1)
    place.turn()
    client.protocol.dataReceived(masked(9, b"ping"))
    publish(place, TRADE, 2)
    place.turn()
    client.read(1 << 20)

    assert [(opcode, payload[-2:]) for opcode, payload in client.frames()] == [(1, b"1}"), (10, b"ng"), (1, b"2}")]


def test_a_close_comes_after_what_was_published_before_it_and_ends_the_connection(place: Place) -> None:
    client = place.connect("A@trades")
    client.read(10)
    for number in range(5):
        publish(place, TRADE, number)
    place.turn()
    (session,) = place.lobby.hub.sessions.values()
    session.disconnect(CloseCode.LOGGED_OUT, "operator")
    publish(place, TRADE, 5)
    place.turn()
    client.read(1 << 20)
    assert [message["data"] for message in client.heard()] == list(range(5))
    assert client.frames()[-1] == (8, (4503).to_bytes(2, "big") + b"operator")

    client.protocol.dataReceived(masked(8, (4503).to_bytes(2, "big")))
    client.read(1 << 20)
    assert client.connection.disconnected


def test_a_close_that_the_client_begins_is_answered_after_what_was_published_in_that_turn(place: Place) -> None:
    client = place.connect("A@trades")
    publish(place, TRADE, 1)
    client.protocol.dataReceived(masked(8, (1000).to_bytes(2, "big")))
    publish(place, TRADE, 2)
    place.turn()
    client.read(1 << 20)

    assert [opcode for opcode, _ in client.frames()] == [1, 8]
    assert client.connection.disconnected
    assert not place.lobby.hub.round.apart


def test_a_broken_socket_is_left_to_the_transport_and_stops_nobody(place: Place) -> None:
    broken, well = place.connect("A@trades"), place.connect("A@trades")
    broken.socket.broken = True
    publish(place, TRADE, 1)
    place.turn()
    assert len(well.heard()) == 1
    broken.read(0)

    assert broken.connection.disconnected
    assert len(place.lobby.hub.sessions) == 1
    publish(place, TRADE, 2)
    place.turn()
    assert len(well.heard()) == 2


def test_who_does_not_read_holds_what_is_shared_with_all_and_is_closed_at_its_bound() -> None:
    place = Place(outbox_bytes=100_000)
    slow, fast = place.connect("A@trades"), place.connect("A@trades")
    slow.read(30_000)
    while slow.open:
        publish(place, TRADE, "x" * 10_000)
        place.turn()
        fast.read(1 << 20)
        assert slow.protocol.session is None or slow.protocol.session.outbox.held_bytes <= 100_000
    slow.read(1 << 20)
    heard = slow.heard()

    assert slow.frames()[-1][1].startswith((4008).to_bytes(2, "big"))
    assert 2 <= len(heard) <= 4  # what the socket took, to the end of its frame
    assert fast.open
    assert len(fast.heard()) == 13
    place.close()


def test_a_ping_that_finds_no_room_closes_the_client_that_does_not_read() -> None:
    place = Place(outbox_bytes=10_000)
    client = place.connect("A@trades")
    client.read(0)
    publish(place, TRADE, "x" * 9_960)
    place.turn()
    client.protocol.sendPing(b"are you there?")
    client.read(1 << 20)

    assert client.frames()[-1][1].startswith((4008).to_bytes(2, "big"))
    place.close()


def test_together_all_hold_no_more_than_the_budget_what_transports_hold_included() -> None:
    place = Place(total_bytes=50_000)
    clients = [place.connect("A@trades") for _ in range(10)]
    for client in clients:
        client.read(0)
    for _ in range(5):
        publish(place, TRADE, "x" * 5_000)
        place.turn()
        held = sum(client.protocol.session.outbox.held_bytes for client in clients if client.protocol.session)
        assert held == place.lobby.hub.budget.held_bytes

    assert place.lobby.hub.evicted
    assert place.lobby.hub.budget.held_bytes <= 50_000 + 10 * 5_100
    place.close()
    assert place.lobby.hub.budget.held_bytes == 0


rooms = st.one_of(st.integers(0, 60), st.integers(0, 3000))
actions = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from([BOOK, PRICE, TRADE]), st.integers(0, 400)),
        st.tuples(st.just("publish"), st.sampled_from([BOOK, PRICE, TRADE]), st.integers(0, 3)),
        st.tuples(st.just("read"), st.integers(0, 2), rooms),
        st.tuples(st.just("ping"), st.integers(0, 2)),
        st.tuples(st.just("ask"), st.integers(0, 2)),
        st.just(("turn",)),
    ),
    max_size=80,
)


@given(actions)
def test_whatever_sockets_take_at_a_time_every_client_gets_whole_frames_in_order(steps: list[tuple[Any, ...]]) -> None:
    place = Place(outbox_bytes=4000)
    clients = [place.connect(*EVERYTHING) for _ in range(3)]
    published = {BOOK: 0, PRICE: 0, TRADE: 0}
    for step in steps:
        match step:
            case ("publish", Channel() as channel, int(size)):
                published[channel] += 1
                data = {"n": published[channel], "x": "x" * size}
                place.lobby.states[channel] = Publication(channel, {**data, "whole": True})
                place.lobby.publish(channel, data)
            case ("read", int(index), int(room)):
                clients[index].read(room)
            case ("ping", int(index)) if clients[index].open:
                clients[index].protocol.dataReceived(masked(9, b"?"))
            case ("ask", int(index)) if clients[index].open:
                clients[index].say({"op": "ping"})
            case ("turn",):
                place.turn()
        for client in clients:
            session = client.protocol.session
            assert session is None or session.outbox.held_bytes <= 4000 or not session.outbox.blocked
    place.turn()
    for client in clients:
        client.read(1 << 20)
        client.read(1 << 20)
        _check(client, published)
    place.close()


def _check(client: Client, published: dict[Channel, int]) -> None:
    events: dict[str, list[Any]] = {name: [] for name in EVERYTHING}
    for message in client.heard():
        if "event" in message:
            events[message["event"]].append(message["data"])
    trades = [data["n"] for data in events["A@trades"]]
    assert trades == list(range(1, len(trades) + 1))
    prices = [data["n"] for data in events["A@ticker"]]
    assert prices == sorted(set(prices))
    number = 0
    for data in events["A@depth"]:
        assert data.get("whole") or data["n"] == number + 1, "an update does not follow what the client has"
        assert data["n"] >= number
        number = data["n"]
    if client.open:
        assert len(trades) == published[TRADE]
        assert prices[-1:] == [published[PRICE]][: published[PRICE]]
        assert number == published[BOOK]
    else:
        assert client.frames()[-1][1].startswith((4008).to_bytes(2, "big"))
