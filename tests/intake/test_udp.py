import socket
from collections.abc import Iterable
from typing import Any

import pytest
from twisted.internet import task
from twisted.logger import capturedLogs

from exchange_push.errors import ConfigError
from exchange_push.intake.feed_port import FeedAddress, HostPort, Sources
from exchange_push.intake.rerequest import Asker
from exchange_push.intake.udp import FeedIntake, FeedProtocol, FeedService
from exchange_push.market.events import Gap, MarketEvent, Restart, Trade, UserEvent
from exchange_push.wire.packet import Rerequest, decode_request, encode
from exchange_push.wire.sequence import Line
from tests.fakes import LoggedFailures
from tests.intake.test_feed_port import Reactor

PEER = ("127.0.0.1", 5)
KEY = b"a key of the test"


def trade(number: int) -> list[object]:
    return ["trade", "BTCUSDT", number, "1", "1", "buy", 1_700_000_000_000]


def order(number: int) -> list[object]:
    return ["user", 1001, "order", {"n": number}]


class Broken(Exception):
    pass


class House:
    """What stands above the intake: keeps what it was given, and fails where it is told to."""

    def __init__(self) -> None:
        self.applied: list[list[MarketEvent | Restart | Gap]] = []
        self.users: list[UserEvent] = []
        self.fails_at: set[int] = set()
        self.clock = task.Clock()

    def now_ms(self) -> int:
        return round(self.clock.seconds() * 1000)

    def apply(self, events: Iterable[MarketEvent | Restart | Gap], now_ms: int) -> None:
        assert now_ms == self.now_ms()
        self.applied.append([])
        for event in events:
            if isinstance(event, Trade) and event.id in self.fails_at:
                raise Broken
            self.applied[-1].append(event)

    def user(self, event: UserEvent) -> None:
        if event.data["n"] in self.fails_at:  # type: ignore[index]
            raise Broken
        self.users.append(event)

    @property
    def trade_ids(self) -> list[int]:
        return [event.id for call in self.applied for event in call if isinstance(event, Trade)]

    @property
    def orders(self) -> list[object]:
        return [event.data["n"] for event in self.users]  # type: ignore[index]


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def intake(house: House) -> FeedIntake:
    return FeedIntake(house.clock, apply=house.apply, user=house.user, now_ms=house.now_ms)


@pytest.fixture
def line() -> Line:
    return Line("A")


def test_market_events_of_a_datagram_are_applied_in_one_call(house: House, intake: FeedIntake, line: Line) -> None:
    intake.datagram(encode(1, 1, [trade(1), order(1), trade(2), order(2), trade(3)]), line, PEER)
    assert house.applied == [
        [Restart(1), *(Trade("BTCUSDT", n, "1", "1", "buy", 1_700_000_000_000) for n in (1, 2, 3))]
    ]
    assert house.orders == [1, 2]
    assert house.users[0].uid == "1001"


def test_a_gap_is_declared_when_its_time_has_come_and_stands_between_the_events(
    house: House, intake: FeedIntake, line: Line
) -> None:
    intake.datagram(encode(1, 1, [trade(1)]), line, PEER)
    intake.datagram(encode(1, 4, [trade(4), order(4)]), line, PEER)
    assert house.trade_ids == [1]
    house.clock.advance(0.001)
    assert house.orders == []
    house.clock.advance(0.001)
    assert house.applied[-1][0] == Gap(2)
    assert house.trade_ids == [1, 4]
    assert house.orders == [4]
    assert house.clock.getDelayedCalls() == []


def test_a_later_gap_is_waited_for_after_an_earlier_one(house: House, intake: FeedIntake, line: Line) -> None:
    for at_ms, number in enumerate((1, 3, 5)):
        house.clock.advance(at_ms / 1000 - house.clock.seconds())
        intake.datagram(encode(1, number, [trade(number)]), line, PEER)
    house.clock.advance(0.001)
    assert house.trade_ids == [1, 3]
    house.clock.advance(0.001)
    assert house.trade_ids == [1, 3, 5]


def test_a_gap_that_healed_is_not_declared(house: House, intake: FeedIntake, line: Line) -> None:
    for number in (1, 3, 2):
        intake.datagram(encode(1, number, [trade(number)]), line, PEER)
    house.clock.advance(1)
    assert house.trade_ids == [1, 2, 3]
    assert line.gaps == 0


def test_bad_and_unknown_events_are_counted_on_the_line(house: House, intake: FeedIntake, line: Line) -> None:
    intake.datagram(encode(1, 1, [["trade"], ["new"], [*trade(3), None, 1], 5, trade(5)]), line, PEER)
    intake.datagram(encode(1, 6, [trade(6)]), line, PEER)
    assert house.trade_ids == [3, 5, 6]
    assert (line.malformed_events, line.unknown_events, line.extended_events) == (2, 1, 1)
    assert (line.malformed, line.gaps) == (0, 0)


def test_a_flood_of_malformed_datagrams_is_counted_and_logged_once_a_second(
    house: House, intake: FeedIntake, line: Line
) -> None:
    with capturedLogs() as events:
        for n in range(3000):
            intake.datagram(b"" if n % 2 else b"\x92\x01\xa5\x1b[31m", line, PEER)
            house.clock.advance(0.001)
    assert line.malformed == 3000
    assert len(events) == 3
    intake.datagram(encode(1, 1, [trade(1)]), line, PEER)
    assert house.trade_ids == [1]


def test_sessions_that_change_with_every_datagram_do_not_fill_the_log(
    house: House, intake: FeedIntake, line: Line
) -> None:
    with capturedLogs() as events:
        for session in range(1, 3000):
            intake.datagram(encode(session, 1, [trade(session)]), line, PEER)
            intake.datagram(encode(session, 2, None), line, PEER)
            house.clock.advance(0.001)
    assert len(events) <= 6
    assert len(house.trade_ids) == 2999


def test_an_event_that_the_board_chokes_on_does_not_take_the_rest_with_it(
    house: House, intake: FeedIntake, line: Line, logged_failures: LoggedFailures
) -> None:
    house.fails_at = {2, 4}
    intake.datagram(encode(1, 1, [trade(n) for n in range(1, 6)] + [order(3)]), line, PEER)
    assert house.trade_ids == [1, 3, 5]
    assert house.orders == [3]
    assert line.errors == 2
    assert len(logged_failures.flush(Broken)) == 1


def test_a_board_that_always_fails_is_not_asked_for_ever(
    intake: FeedIntake, house: House, line: Line, logged_failures: LoggedFailures
) -> None:
    def apply(events: Iterable[Any], now_ms: int) -> None:
        raise Broken

    broken = FeedIntake(house.clock, apply=apply, user=house.user, now_ms=house.now_ms)
    broken.datagram(encode(1, 1, [trade(1), order(1)]), line, PEER)
    assert line.errors == 1
    assert house.orders == [1]
    logged_failures.flush(Broken)


def test_a_user_event_that_fails_does_not_take_the_others_with_it(
    house: House, intake: FeedIntake, line: Line, logged_failures: LoggedFailures
) -> None:
    house.fails_at = {2}
    intake.datagram(encode(1, 1, [order(1), order(2), order(3)]), line, PEER)
    assert house.orders == [1, 3]
    assert line.errors == 1
    logged_failures.flush(Broken)


def test_failures_are_logged_once_a_second(
    house: House, intake: FeedIntake, line: Line, logged_failures: LoggedFailures
) -> None:
    house.fails_at = set(range(3000))
    for n in range(1, 3000):
        intake.datagram(encode(1, n, [order(n)]), line, PEER)
        house.clock.advance(0.001)
    assert line.errors == 2999
    assert len(logged_failures.flush(Broken)) == 3


def test_a_cut_datagram_is_counted_and_not_read(house: House, intake: FeedIntake, line: Line) -> None:
    FeedProtocol(line, intake).datagramReceived(bytes(65_536), PEER)
    assert (line.truncated, line.malformed) == (1, 0)


def test_not_even_a_defect_of_the_intake_reaches_the_reactor(
    house: House, line: Line, logged_failures: LoggedFailures
) -> None:
    class Defect(FeedIntake):
        def gather(self, data: bytes, line: Line, peer: object) -> None:
            raise Broken

    broken = Defect(house.clock, apply=house.apply, user=house.user, now_ms=house.now_ms)
    FeedProtocol(line, broken).datagramReceived(b"", PEER)
    assert line.errors == 1
    logged_failures.flush(Broken)


def test_adopting_an_older_session_is_logged_as_a_warning(house: House, intake: FeedIntake, line: Line) -> None:
    intake.datagram(encode(7, 1, [trade(1)]), line, PEER)
    with capturedLogs() as events:
        for n in range(1, 12):
            house.clock.advance(1)
            intake.datagram(encode(3, n, [trade(n)]), line, PEER)
    assert [(event["log_level"].name, event["n"]) for event in events] == [("warn", 3), ("warn", 10)]
    assert house.applied[-1][:2] == [Restart(3), Gap(10)]


class Engine(Asker):
    """Is asked, and keeps what for."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house = house
        self.asked: list[tuple[int, Rerequest]] = []

    def ask(self, datagram: bytes) -> None:
        self.asked.append((self.house.now_ms(), decode_request(datagram)))


@pytest.fixture
def engine(house: House) -> Engine:
    return Engine(house)


@pytest.fixture
def asking(house: House, engine: Engine) -> FeedIntake:
    return FeedIntake(house.clock, apply=house.apply, user=house.user, now_ms=house.now_ms, asker=engine)


def test_the_engine_is_asked_until_it_answers(house: House, engine: Engine, asking: FeedIntake, line: Line) -> None:
    for number in (1, 4):
        asking.datagram(encode(9, number, [trade(number)]), line, PEER)
    house.clock.pump([0.001] * 29)
    assert engine.asked == [(2, Rerequest(9, 2, 2)), (10, Rerequest(9, 2, 2))]
    asking.datagram(encode(9, 2, [trade(2), trade(3)]), line, PEER)
    house.clock.pump([0.1] * 20)
    assert house.trade_ids == [1, 2, 3, 4]
    assert len(engine.asked) == line.requests == 2
    assert (line.recovered_events, line.gaps) == (2, 0)
    assert house.clock.getDelayedCalls() == []


def test_a_gap_for_which_no_answer_comes_is_declared_at_its_deadline(
    house: House, engine: Engine, asking: FeedIntake, line: Line
) -> None:
    for number in (1, 4):
        asking.datagram(encode(9, number, [trade(number)]), line, PEER)
    house.clock.pump([0.001] * 999)
    assert house.trade_ids == [1]
    house.clock.advance(0.001)
    assert house.applied[-1][0] == Gap(2)
    assert house.trade_ids == [1, 4]
    assert [at_ms for at_ms, _ in engine.asked] == [2, 10, 30, 70, 150, 310, 630]
    assert house.clock.getDelayedCalls() == []


def test_a_later_gap_is_asked_for_in_its_time_while_an_earlier_one_waits_long(
    house: House, engine: Engine, asking: FeedIntake, line: Line
) -> None:
    for number in (1, 3):
        asking.datagram(encode(9, number, [trade(number)]), line, PEER)
    house.clock.pump([0.001] * 320)
    engine.asked.clear()
    asking.datagram(encode(9, 5, [trade(5)]), line, PEER)
    house.clock.pump([0.001] * 20)
    assert engine.asked == [(322, Rerequest(9, 4, 1)), (330, Rerequest(9, 4, 1))]


def guarded(
    house: House, key: bytes | None = None, sources: Sources | None = None, asker: Asker | None = None
) -> FeedIntake:
    return FeedIntake(
        house.clock, apply=house.apply, user=house.user, now_ms=house.now_ms, key=key, sources=sources, asker=asker
    )


def test_of_ten_thousand_forged_packets_none_is_taken_and_each_is_counted(house: House, line: Line) -> None:
    intake = guarded(house, KEY)
    intake.datagram(encode(7, 1, [trade(1)], KEY), line, PEER)
    true = encode(7, 2, [trade(2)], KEY)
    forged = 0
    with capturedLogs() as events:
        for n in range(2_000):
            changed = bytearray(true)
            changed[n % len(true)] ^= 1 << (n // len(true)) % 8
            for datagram in (
                encode(7, 2 + n, [trade(n)]),  # no seal
                encode(8 + n, 1, [trade(n)], b"another key"),
                encode(7, 2 + n, [trade(n)]) + bytes(16),
                bytes(changed),
                true[: n % len(true)],
            ):
                intake.datagram(datagram, line, PEER)
                forged += 1
    assert line.forged == forged == 10_000
    assert (line.packets, line.malformed, line.restarts, line.jumps) == (1, 0, 0, 0)
    assert len(events) == 1
    intake.datagram(true, line, PEER)
    assert house.trade_ids == [1, 2]


def test_a_sealed_packet_that_comes_again_is_a_duplicate(house: House, line: Line) -> None:
    intake = guarded(house, KEY)
    for _ in range(3):
        intake.datagram(encode(7, 1, [trade(1)], KEY), line, PEER)
    assert house.trade_ids == [1]
    assert (line.duplicates, line.forged) == (2, 0)


def test_what_is_sealed_and_yet_no_packet_is_malformed(house: House, line: Line) -> None:
    sealed = encode(7, 1, [trade(1)], KEY)
    guarded(house, KEY).datagram(sealed, line, PEER)
    guarded(house).datagram(sealed, line, PEER)
    assert (line.packets, line.forged, line.malformed) == (1, 0, 1)


def test_strangers_are_counted_and_not_heard(house: House, line: Line) -> None:
    intake = guarded(house, sources=Sources(["10.0.0.0/24"]))
    with capturedLogs() as events:
        for number in range(1, 101):
            intake.datagram(encode(7, number, [trade(number)]), line, ("10.0.1.1", 5))
    assert (line.strangers, line.packets) == (100, 0)
    assert len(events) == 1
    intake.datagram(encode(7, 1, [trade(1)]), line, ("10.0.0.9", 5))
    assert house.trade_ids == [1]


def test_answers_from_where_was_asked_are_heard_whatever_the_sources(house: House, line: Line) -> None:
    asker = Asker()
    asker.peer = ("10.0.1.1", 6793)
    intake = guarded(house, sources=Sources(["10.0.0.0/24"]), asker=asker)
    intake.datagram(encode(7, 1, [trade(1)]), line, ("10.0.1.1", 6793))
    intake.datagram(encode(7, 2, [trade(2)]), line, ("10.0.1.1", 5))
    assert house.trade_ids == [1]
    assert line.strangers == 1


def started(
    house: House, *addresses: FeedAddress, asker: Asker | None = None, key: bytes | None = None
) -> tuple[FeedService, Reactor]:
    reactor = Reactor()
    house.clock = reactor
    service = FeedService(
        reactor, addresses, apply=house.apply, user=house.user, now_ms=house.now_ms, asker=asker, key=key
    )
    service.privilegedStartService()
    service.startService()
    return service, reactor


def stopped(service: FeedService, reactor: Reactor) -> bool:
    done: list[object] = []
    service.stopService().addCallback(done.append)
    reactor.advance(0)
    return len(done) == 1


def test_two_lines_of_a_service_are_one_feed(house: House) -> None:
    service, reactor = started(house, FeedAddress(0), FeedAddress(0))
    a, b = (port.getHost().port for port in service.ports)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
        skt.sendto(encode(1, 1, [trade(1)]), ("127.0.0.1", a))
        skt.sendto(encode(1, 3, [trade(3)]), ("127.0.0.1", a))
        for n in (1, 2, 3):
            skt.sendto(encode(1, n, [trade(n)]), ("127.0.0.1", b))
    for reader in list(reactor.readers):
        reader.doRead()
    assert house.trade_ids == [1, 2, 3]
    assert [line.packets for line in service.lines] == [2, 3]
    assert [line.duplicates for line in service.lines] == [0, 2]
    assert stopped(service, reactor)
    assert reactor.readers == []
    assert reactor.getDelayedCalls() == []


def test_stopping_forgets_the_timer_of_a_gap(house: House) -> None:
    service, reactor = started(house, FeedAddress(0))
    for n in (1, 3):
        service.intake.datagram(encode(1, n, [trade(n)]), service.lines[0], PEER)
    assert stopped(service, reactor)
    assert reactor.getDelayedCalls() == []


def test_a_feed_is_stale_until_it_is_heard_and_when_it_falls_silent(house: House) -> None:
    service, reactor = started(house, FeedAddress(0))
    assert service.is_stale(3000)
    assert service.silent_ms() is None
    service.intake.datagram(encode(1, 1, []), service.lines[0], PEER)
    reactor.advance(3)
    assert service.silent_ms() == 3000
    assert not service.is_stale(3000)
    reactor.advance(0.001)
    assert service.is_stale(3000)
    assert stopped(service, reactor)


def test_what_the_kernel_dropped_is_read_when_asked_for(house: House) -> None:
    service, reactor = started(house, FeedAddress(0))
    (port,) = service.ports
    port.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
        for n in range(100):
            skt.sendto(encode(1, n + 1, [trade(n)] * 10), ("127.0.0.1", port.getHost().port))
    port.doRead()
    service.read_kernel_drops()
    (line,) = service.lines
    assert line.kernel_dropped > 0
    assert line.packets + line.kernel_dropped == 100
    assert stopped(service, reactor)
    service.read_kernel_drops()  # keeps what it knew
    assert line.packets + line.kernel_dropped == 100


def test_the_granted_buffer_is_logged(house: House) -> None:
    with capturedLogs() as events:
        service, reactor = started(house, FeedAddress(0))
    assert [event for event in events if event.get("granted", 0) > 0 and event["asked"] == 8 << 20]
    assert stopped(service, reactor)


def test_an_address_in_use_is_one_line_that_names_it(house: House) -> None:
    service, reactor = started(house, FeedAddress(0))
    taken = FeedAddress(service.ports[0].getHost().port)
    with pytest.raises(
        ConfigError, match=f"cannot listen on udp:{taken.port}:interface=127.0.0.1: .*in use"
    ) as refused:
        started(house, taken)
    assert "\n" not in str(refused.value)
    assert stopped(service, reactor)


def test_an_interface_that_is_not_ours_is_refused_in_one_line(house: House) -> None:
    for address in (FeedAddress(0, "192.0.2.1"), FeedAddress(0, "192.0.2.1", "239.255.67.91")):
        with pytest.raises(ConfigError, match="cannot listen on udp:0:interface=192"):
            started(house, address)


@pytest.mark.parametrize("group", ["", "239.255.67.92"])
def test_the_engine_is_asked_by_a_socket_to_which_it_can_answer(house: House, group: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as engine:
        engine.bind(("127.0.0.1", 0))
        engine.settimeout(5)
        asker = Asker(HostPort(*engine.getsockname()))
        service, reactor = started(house, FeedAddress(0, multicast=group), asker=asker)
        for number in (1, 3):
            service.intake.datagram(encode(7, number, [trade(number)]), service.lines[0], PEER)
        reactor.advance(0.002)
        request, peer = engine.recvfrom(100)
        assert decode_request(request) == Rerequest(7, 2, 1)
        engine.sendto(encode(7, 2, [trade(2)]), peer)
        for reader in list(reactor.readers):
            reader.doRead()
    assert house.trade_ids == [1, 2, 3]
    assert service.lines[0].recovered_events == 1
    service.read_kernel_drops()
    assert service.lines[0].kernel_dropped == 0
    assert service.unsent == 0
    assert stopped(service, reactor)
    assert reactor.readers == []
    assert reactor.getDelayedCalls() == []


def test_a_line_that_others_can_reach_without_a_key_is_warned_of(house: House) -> None:
    warned = []
    for address, key in ((FeedAddress(0), None), (FeedAddress(0, "0.0.0.0"), None), (FeedAddress(0, "0.0.0.0"), KEY)):
        with capturedLogs() as events:
            service, reactor = started(house, address, key=key)
        warned.append(sum("whoever reaches this address" in event["log_format"] for event in events))
        assert stopped(service, reactor)
    assert warned == [0, 1, 0]


def test_what_several_datagrams_of_a_turn_bring_is_applied_in_one_call_and_in_order(
    house: House, intake: FeedIntake, line: Line
) -> None:
    for number in (1, 2, 4, 3):
        intake.gather(encode(1, number, [trade(number)]), line, PEER)
    assert house.applied == []
    intake.settle(line)
    intake.settle(line)

    assert [[getattr(event, "id", event) for event in events] for events in house.applied] == [[Restart(1), 1, 2, 3, 4]]
