"""A feed that loses, repeats and reorders, over real sockets into a whole server: all of it arrives, once, in order."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import deferLater

from exchange_push.demo.sender import Faults, Sender
from exchange_push.intake.feed_port import HostPort
from exchange_push.wire.packet import decode_request, encode
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK, Running, reactor

NOW_MS = 1_700_000_000_000
PACKETS = 4_000
PER_PACKET = 3
TURN_PACKETS = 40  # what a receive buffer of the kernel's default size holds

SendAll = Callable[..., Awaitable[Sender]]


def trades(first: int, count: int) -> list[list[object]]:
    return [
        ["trade", "BTCUSDT", number, "100", "1", "buy" if number % 2 else "sell", NOW_MS, number]
        for number in range(first, first + count)
    ]


@pytest_twisted.async_yield_fixture()
async def send_all() -> AsyncIterator[SendAll]:
    """Sends PACKETS packets to all lines of a server, which can ask for them again, until it has heard of the last."""
    ports: list[Any] = []

    async def send(running: Running, faults: Faults, *, session: int = NOW_MS, **options: Any) -> Sender:
        lines = [(LOOPBACK, port.getHost().port) for port in running.server.feed.ports]
        sender = Sender(reactor, lines, session, faults=faults, kept_packets=PACKETS, **options)
        ports.append(reactor.listenUDP(0, sender, interface=LOOPBACK))
        if running.server.asker is not None:
            running.server.asker.to(HostPort(LOOPBACK, ports[-1].getHost().port))
        sequencer = running.server.feed.intake.sequencer
        begun = running.server.board.trades
        if not begun:
            running.datagram(encode(session, 1, [], options.get("key")))  # or it would not ask for the first
            await running.until(lambda: sequencer.session is not None)
        for number in range(PACKETS):
            sender.send(trades(begun + 1 + number * PER_PACKET, PER_PACKET))
            if number % TURN_PACKETS == 0:
                await deferLater(reactor, 0.002)
        while (sequencer.session, sequencer.next_seq) != (session, sender.seq):
            sender.send([])
            await deferLater(reactor, 0.02)
        return sender

    yield send
    for port in ports:
        port.protocol.end()
        await maybeDeferred(port.stopListening)


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05])
@pytest_twisted.ensureDeferred
async def test_all_events_of_a_feed_with_loss_repeats_and_reordering_reach_the_client_in_order(
    start: Start, send_all: SendAll, loss: float
) -> None:
    running = start(feed__rerequest=f"{LOOPBACK}:1", feed__listen=[f"udp:0:interface={LOOPBACK}"])
    client = await running.client("BTCUSDT@trades")
    sender = await send_all(running, Faults(loss, repeat=0.01, reorder=0.01), seed=3)
    (line,) = running.server.feed.lines
    following = 1
    while following < sender.seq:
        for merged in (await client.event("BTCUSDT@trades"))["trades"]:
            assert merged["first"] == following
            following = merged["last"] + 1

    await running.until(lambda: running.server.board.trades == PACKETS * PER_PACKET)
    assert running.server.board.duplicate_trades == 0
    assert sender.lost > 0
    assert line.recovered_events > 0
    assert line.duplicates > 0
    assert line.reordered > 0
    assert (line.gaps, line.lost_events, line.requests_held, line.malformed) == (0, 0, 0, 0)


@pytest_twisted.ensureDeferred
async def test_of_two_lines_that_each_lose_the_server_asks_for_what_neither_brought(
    start: Start, send_all: SendAll
) -> None:
    loopback = f"udp:0:interface={LOOPBACK}"
    running = start(feed__rerequest=f"{LOOPBACK}:1", feed__listen=[loopback, loopback])
    sender = await send_all(running, Faults(loss=0.05, repeat=0.01), seed=4)
    a, b = running.server.feed.lines

    await running.until(lambda: running.server.board.trades == PACKETS * PER_PACKET)
    assert sender.lost > 0.08 * PACKETS
    assert 0 < a.recovered_events + b.recovered_events < 0.02 * PACKETS * PER_PACKET
    assert a.lost_events + b.lost_events == 0
    assert min(a.packets, b.packets) > 0.9 * PACKETS


@pytest_twisted.ensureDeferred
async def test_an_engine_that_starts_anew_loses_nothing_not_even_its_first_packet(
    start: Start, send_all: SendAll
) -> None:
    running = start(feed__rerequest=f"{LOOPBACK}:1")
    (line,) = running.server.feed.lines
    await send_all(running, Faults(loss=0.01))
    await running.until(lambda: running.server.board.trades == PACKETS * PER_PACKET)
    seed = 31
    assert Random(seed).random() < 0.05  # the first packet gets lost
    await send_all(running, Faults(loss=0.05), session=NOW_MS + 60_000, seed=seed)

    await running.until(lambda: running.server.board.trades == 2 * PACKETS * PER_PACKET)
    assert (line.restarts, line.gaps, line.lost_events) == (1, 0, 0)


@pytest_twisted.ensureDeferred
async def test_what_the_engine_does_not_have_any_more_is_declared_lost_at_the_deadline(start: Start) -> None:
    running = start(feed__rerequest=f"{LOOPBACK}:1", feed__deadline_ms=100)
    asked: list[bytes] = []
    running._udp.datagramReceived = lambda datagram, addr: asked.append(datagram)  # type: ignore[method-assign]
    assert running.server.asker is not None
    running.server.asker.to(HostPort(LOOPBACK, running._udp_port.getHost().port))
    (line,) = running.server.feed.lines
    running.feed(*trades(1, 1))
    running.seq += 5
    running.feed(*trades(7, 1))
    await running.until(lambda: line.gaps > 0)

    assert line.lost_events == 5
    await running.until(lambda: running.server.board.trades == 2)
    assert 1 <= line.requests <= 4
    await running.until(lambda: len(asked) == line.requests)
    assert {decode_request(datagram)[1:] for datagram in asked} == {(2, 5)}


@pytest_twisted.ensureDeferred
async def test_ten_thousand_forged_datagrams_change_nothing_and_are_counted(
    start: Start, send_all: SendAll, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("a key of the test\n")
    key = b"a key of the test"
    running = start(feed__key_file=str(key_file), feed__rerequest=f"{LOOPBACK}:1")
    (line,) = running.server.feed.lines
    for number in range(10_000):
        unsealed = encode(NOW_MS + number, 1 + number, trades(1 + number, 1))
        running.datagram(unsealed + (b"", bytes(16), unsealed[-16:])[number % 3])
        if number % 100 == 99:
            await running.until(lambda number=number: line.forged == number + 1)

    assert line.forged == 10_000
    assert (line.packets, line.malformed, line.kernel_dropped) == (0, 0, 0)
    assert running.server.feed.intake.sequencer.session is None
    await send_all(running, Faults(loss=0.01), key=key)
    await running.until(lambda: running.server.board.trades == PACKETS * PER_PACKET)
    assert line.forged == 10_000
    assert "exchange_push_feed_forged_total" in await running.get("/metrics")


class Market:
    """A book that changes with each packet, as its engine knows it."""

    def __init__(self) -> None:
        self.random = Random(5)
        self.sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.id = 0
        self.was: dict[int, tuple[dict[str, str], dict[str, str]]] = {}

    def change(self) -> list[object]:
        self.id += 1
        side = self.random.randrange(2)
        price, qty = str(self.random.randrange(20) + 100 * (1 + side)), str(self.random.randrange(3))
        if qty == "0":
            self.sides[side].pop(price, None)
        else:
            self.sides[side][price] = qty
        self.was[self.id] = (dict(self.sides[0]), dict(self.sides[1]))
        levels: list[list[list[str]]] = [[], []]
        levels[side] = [[price, qty]]
        return ["depth", "BTCUSDT", self.id, self.id, NOW_MS + self.id, *levels]

    def whole(self) -> list[object]:
        bids, asks = (list(map(list, side.items())) for side in self.sides)
        return ["book", "BTCUSDT", self.id, NOW_MS + self.id, bids, asks]


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05])
@pytest_twisted.ensureDeferred
async def test_without_re_requests_clients_are_told_of_losses_and_books_are_right_at_the_next_whole_one(
    start: Start, loss: float
) -> None:
    running = start(feed__grace_ms=0)
    client = await running.client("BTCUSDT@depth", "BTCUSDT@ticker", "BTCUSDT@kline_1d", "system")
    market = Market()
    sender = Sender(reactor, [(LOOPBACK, running.feed_port)], NOW_MS, faults=Faults(loss, repeat=0.01), seed=8)
    port = reactor.listenUDP(0, sender, interface=LOOPBACK)
    sender.send([market.change(), market.whole()])
    for number in range(1, 3_000):
        events = [market.change(), *trades(number, 1)]
        sender.send([*events, market.whole()] if number % 250 == 0 else events)
        if number % TURN_PACKETS == 0:
            await deferLater(reactor, 0.01)
    sender._faults = Faults()
    sender.send([market.change(), market.whole()])
    (line,) = running.server.feed.lines
    await running.until(lambda: line.packets > 0 and running.server.feed.intake.sequencer.next_seq == sender.seq)
    board = running.server.board
    await running.until(lambda: (book := board.book("BTCUSDT")) is not None and book.in_sync and book.id == market.id)

    book: tuple[dict[str, str], dict[str, str]] = ({}, {})
    told: list[str] = []
    last = snapshots = 0
    ticker: dict[str, Any] = {}
    candle: dict[str, Any] = {}
    while last != market.id or not ticker or not candle or told.count("live") < told.count("stale"):
        message = await client.next()
        data = message["data"]
        if message["event"] == "system":
            told += [data["type"]] if data["channel"] == "BTCUSDT@depth" else []
        elif message["event"] == "BTCUSDT@ticker":
            ticker = data
        elif message["event"] == "BTCUSDT@kline_1d":
            candle = data
        else:
            if data["type"] == "snapshot":
                book = ({}, {})
                snapshots += 1
            else:
                assert data["prev"] == last
            last = data["last"]
            for side, levels in zip(book, (data["bids"], data["asks"]), strict=True):
                side.update(levels)
                for price, qty in levels:
                    if qty == "0":
                        del side[price]
            assert book == market.was[last]
    assert sender.lost > 0
    assert line.lost_events > 0
    assert snapshots >= 1
    assert told.count("stale") == told.count("live") > 0
    assert not ticker["complete"]
    assert not candle["complete"]
    port.protocol.end()
    await maybeDeferred(port.stopListening)
