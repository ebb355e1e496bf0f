from decimal import Decimal

import msgspec
import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from exchange_push.demo.crowd import LISTINGS
from exchange_push.demo.engine import USERS, Engine
from exchange_push.demo.sender import Faults
from exchange_push.market.events import BookSnapshot, DepthChange, Funding, IndexPrice, Trade, UserEvent
from exchange_push.wire import packet

START_S = 1_763_000_000
EVENT = Trade | BookSnapshot | DepthChange | IndexPrice | Funding | UserEvent
SYMBOLS = {listing.instrument.symbol for listing in LISTINGS}


class Reactor(Clock):
    """A clock, and a UDP port that keeps what is written to it."""

    def __init__(self):
        super().__init__()
        self.advance(START_S)
        self.datagrams = []
        self.addresses = set()
        self.full = False

    def listenUDP(self, port, protocol, interface, maxPacketSize):
        protocol.makeConnection(self)
        return self

    def getHost(self):
        return IPv4Address("UDP", "127.0.0.1", 4321)

    def write(self, datagram, address):
        if self.full:
            raise BlockingIOError
        self.datagrams.append(datagram)
        self.addresses.add(address)

    def stopListening(self):
        return succeed(None)


def trading(seed=7, steps=0, feeds=(("127.0.0.1", 6791),), **options):
    reactor = Reactor()
    engine = Engine(reactor, feeds, seed, **options)
    engine.startService()
    reactor.pump([0.05] * steps)
    return reactor, engine


def heard(reactor):
    return [packet.decode(datagram) for datagram in reactor.datagrams]


@pytest.fixture(scope="module")
def minute():
    """All events of a minute's trading, which takes a while to do."""
    reactor, _ = trading(steps=1200)
    return [msgspec.convert(event, EVENT) for sent in heard(reactor) for event in sent.events]


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_the_same_seed_and_clock_give_the_same_datagrams():
    assert trading(seed=1, steps=100)[0].datagrams == trading(seed=1, steps=100)[0].datagrams


def test_another_seed_gives_another_market():
    assert trading(seed=1, steps=20)[0].datagrams != trading(seed=2, steps=20)[0].datagrams


def test_packets_are_numbered_one_after_the_other_within_a_session():
    reactor, engine = trading(steps=400)
    number = 1
    for sent in heard(reactor):
        assert sent.session == START_S * 1000
        assert sent.seq == number
        number += len(sent.events)
    assert number == engine.sender.seq > 1000
    assert reactor.addresses == {("127.0.0.1", 6791)}


def test_a_heartbeat_comes_at_least_every_second():
    reactor, _ = trading()
    for _ in range(10):
        reactor.datagrams.clear()
        reactor.pump([0.05] * 20)
        assert [] in [sent.events for sent in heard(reactor)]


def test_the_feed_begins_with_the_whole_book_of_every_symbol():
    reactor, _ = trading(steps=1)
    events = [msgspec.convert(event, EVENT) for sent in heard(reactor) for event in sent.events]
    books = of(events, BookSnapshot)
    assert {book.symbol for book in books} == SYMBOLS
    assert all(len(book.bids) > 20 and len(book.asks) > 20 for book in books)


def test_a_book_made_of_its_depth_events_is_every_snapshot_of_it(minute):
    books, compared = {}, 0
    for event in minute:
        if isinstance(event, DepthChange) and event.symbol in books:
            book = books[event.symbol]
            assert event.first == book["last"] + 1
            assert event.last >= event.first
            book["last"] = event.last
            for side, levels in (("bids", event.bids), ("asks", event.asks)):
                book[side].update(levels)
                book[side] = {price: qty for price, qty in book[side].items() if qty != "0"}
        if isinstance(event, BookSnapshot):
            told = {"last": event.id, "bids": dict(event.bids), "asks": dict(event.asks)}
            compared += event.symbol in books
            assert books.setdefault(event.symbol, told) == told
    assert compared > 40


def test_books_are_sorted_and_never_crossed(minute):
    for book in of(minute, BookSnapshot):
        bids, asks = ([Decimal(price) for price, _ in side] for side in (book.bids, book.asks))
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]


def test_trades_of_a_symbol_are_numbered_one_after_the_other(minute):
    for symbol in SYMBOLS:
        ids = [trade.id for trade in of(minute, Trade) if trade.symbol == symbol]
        assert len(ids) > 50
        assert ids == list(range(START_S * 1000, START_S * 1000 + len(ids)))


def test_time_never_goes_back(minute):
    times = [event.time for event in minute if not isinstance(event, UserEvent)]
    assert times == sorted(times)
    assert START_S * 1000 < times[0] < times[-1] <= START_S * 1000 + 60_000


def test_prices_stay_near_where_they_began(minute):
    began = {listing.instrument.symbol: Decimal(listing.instrument.price(listing.price)) for listing in LISTINGS}
    for trade in of(minute, Trade):
        assert abs(Decimal(trade.price) / began[trade.symbol] - 1) < Decimal("0.02")


def test_every_symbol_has_an_index_of_three_sources_and_a_funding_rate(minute):
    for symbol in SYMBOLS:
        index = [event for event in of(minute, IndexPrice) if event.symbol == symbol]
        assert len({event.source for event in index}) == 3
        assert len(index) == 3 * 60
        funding = [event for event in of(minute, Funding) if event.symbol == symbol]
        assert all(event.next_time > event.time and event.next_time % 28_800_000 == 0 for event in funding)
        assert all(abs(Decimal(event.rate)) <= Decimal("0.00075") for event in funding)
        assert len(funding) == 6


def test_demo_users_hear_of_their_orders_and_what_these_did_to_them(minute):
    told = of(minute, UserEvent)
    assert {event.uid for event in told} == set(USERS.values())
    assert {event.kind for event in told} == {"order", "balance", "position"}
    statuses = {event.data["status"] for event in told if event.kind == "order"}
    assert {"NEW", "FILLED"} <= statuses


def test_the_last_position_told_is_the_sum_of_what_was_filled(minute):
    filled, told = {}, {}
    last_filled = {}
    for event in of(minute, UserEvent):
        if event.kind == "order":
            order = event.data
            part = Decimal(order["filled"]) - last_filled.get(order["orderId"], 0)
            last_filled[order["orderId"]] = Decimal(order["filled"])
            key = (event.uid, order["symbol"])
            filled[key] = filled.get(key, 0) + part * (1 if order["side"] == "buy" else -1)
        elif event.kind == "position":
            told[event.uid, event.data["symbol"]] = Decimal(event.data["qty"])
    assert told
    assert told == {key: qty for key, qty in filled.items() if key in told}
    assert all(qty == 0 for key, qty in filled.items() if key not in told)


def test_what_is_told_of_an_order_adds_up_fill_by_fill(minute):
    trades = {(event.symbol, event.id): event for event in of(minute, Trade)}
    filled, statuses = {}, {}
    for event in of(minute, UserEvent):
        if event.kind == "order":
            told = event.data
            if "tradeId" in told:
                trade = trades[told["symbol"], told["tradeId"]]
                assert (told["lastQty"], told["lastPrice"]) == (trade.qty, trade.price)
                assert told["maker"] is (told["side"] != trade.side)
                filled[told["orderId"]] = filled.get(told["orderId"], 0) + Decimal(trade.qty)
            assert Decimal(told["filled"]) == filled.get(told["orderId"], 0)
            assert (told["status"] == "FILLED") is (told["filled"] == told["qty"])
            statuses.setdefault(told["orderId"], []).append(told["status"])
    assert any(len(told) > 2 for told in statuses.values())
    assert all(told.count("NEW") <= 1 and "FILLED" not in told[:-1] for told in statuses.values())


def test_every_line_of_the_feed_is_told_and_faults_do_not_touch_the_market():
    lines = [("127.0.0.1", 6791), ("127.0.0.1", 6794)]
    calm, _ = trading(steps=100)
    rough, engine = trading(steps=100, feeds=lines, faults=Faults(loss=0.2))
    assert rough.addresses == set(lines)
    assert set(rough.datagrams) < set(calm.datagrams)
    assert engine.sender.lost > 20


def test_it_tells_where_it_can_be_asked_and_answers():
    told = []
    reactor, engine = trading(steps=100, listening=told.append)
    assert told == [("127.0.0.1", 4321)]
    asked = packet.encode_request(packet.Rerequest(START_S * 1000, 50, 1))
    (wanted,) = [
        datagram
        for datagram, sent in zip(reactor.datagrams, heard(reactor), strict=True)
        if sent.seq <= 50 < sent.seq + len(sent.events)
    ]
    reactor.datagrams.clear()
    engine.sender.datagramReceived(asked, ("127.0.0.1", 5))
    assert reactor.datagrams == [wanted]
    assert ("127.0.0.1", 5) in reactor.addresses


def test_a_stop_ends_the_session_and_the_trading():
    reactor, engine = trading(steps=10)
    engine.stopService()
    last = heard(reactor)[-1]
    assert (last.seq, last.events) == (engine.sender.seq, None)
    assert reactor.getDelayedCalls() == []


def test_a_restart_begins_a_newer_session():
    reactor, engine = trading(steps=10)
    engine.stopService()
    reactor.datagrams.clear()
    engine.startService()
    reactor.pump([0.05] * 2)
    first = heard(reactor)[0]
    assert first.session > START_S * 1000
    assert first.seq == 1


def test_a_socket_that_is_full_loses_packets_and_not_the_engine():
    reactor, engine = trading(steps=5)
    reactor.full = True
    reactor.pump([0.05] * 5)
    reactor.full = False
    reactor.datagrams.clear()
    before = engine.sender.seq
    reactor.pump([0.05] * 5)
    assert engine.sender.unsent >= 5
    assert heard(reactor)[0].seq == before


def test_a_clock_set_back_does_not_turn_the_market_back():
    reactor, _ = trading(steps=5)
    reactor.rightNow -= 3600
    for call in reactor.getDelayedCalls():
        call.reset(0)
    reactor.datagrams.clear()
    reactor.pump([0.05] * 3)
    times = [event[-2] for sent in heard(reactor) for event in sent.events if event[0] == "trade"]
    assert reactor.datagrams
    assert all(time >= START_S * 1000 for time in times)
