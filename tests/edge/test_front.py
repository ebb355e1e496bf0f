from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure

from exchange_push.edge.front import Front, FrontProtocol, address_key

UPGRADE = b"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"
PLAIN = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


class Kept(Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True


class Keeping(Factory):
    noisy = False

    def __init__(self) -> None:
        self.made: list[Kept] = []

    def buildProtocol(self, addr: object) -> Any:
        self.made.append(Kept())
        return self.made[-1]


class House:
    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.web, self.websocket = Keeping(), Keeping()
        self.front = Front(self.clock, web=self.web, websocket=self.websocket, **options)

    def turn(self) -> None:
        """One turn of the reactor; Clock.advance goes on as long as something is due."""
        for call in [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]:
            self.clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)

    def caller(self, host: str = "192.0.2.1") -> FrontProtocol | None:
        protocol = self.front.buildProtocol(IPv4Address("TCP", host, 1000))
        if protocol is not None:
            transport = StringTransportWithDisconnection()
            transport.protocol = protocol
            protocol.makeConnection(transport)
        return protocol


def say(caller: FrontProtocol | None, data: bytes) -> StringTransportWithDisconnection:
    assert caller is not None
    caller.dataReceived(data)
    transport = caller.transport
    assert isinstance(transport, StringTransportWithDisconnection)
    return transport


def test_an_upgrade_goes_to_the_websocket_and_all_else_to_the_site() -> None:
    house = House()
    say(house.caller(), UPGRADE + b"first frame")
    say(house.caller(), PLAIN)

    assert [kept.data for kept in house.websocket.made] == [UPGRADE + b"first frame"]
    assert [kept.data for kept in house.web.made] == [PLAIN]
    house.clock.advance(0)
    assert not house.clock.getDelayedCalls()


def test_a_storm_of_handshakes_leaves_each_turn_time_for_those_who_are_connected() -> None:
    house = House()

    def slow(addr: object) -> Any:
        house.clock.rightNow += 0.02
        return Keeping.buildProtocol(house.websocket, addr)

    house.websocket.buildProtocol = slow  # type: ignore[method-assign]
    callers = [house.caller() for _ in range(5)]
    transports = [say(caller, UPGRADE + b"%d" % number) for number, caller in enumerate(callers)]
    assert [kept.data[-1:] for kept in house.websocket.made] == [b"0"]
    assert [transport.producerState for transport in transports] == ["producing", *["paused"] * 4]
    transports[2].loseConnection()
    for opened in ([b"0", b"1"], [b"0", b"1", b"3"], [b"0", b"1", b"3", b"4"]):
        house.turn()
        assert [kept.data[-1:] for kept in house.websocket.made] == opened

    assert transports[4].producerState == "producing"
    house.clock.advance(0)
    assert not house.clock.getDelayedCalls()


def test_after_the_head_bytes_go_straight_on_and_the_end_is_passed_on() -> None:
    house = House()
    caller = house.caller()
    for index in range(len(UPGRADE)):
        say(caller, UPGRADE[index : index + 1])
    say(caller, b"more")
    (kept,) = house.websocket.made
    assert kept.data == UPGRADE + b"more"
    assert caller is not None
    caller.connectionLost(Failure(ConnectionDone()))

    assert kept.lost


def test_a_head_that_drips_is_cut_after_five_seconds_whatever_its_pace() -> None:
    house = House()
    caller = house.caller()
    assert caller is not None
    caller.transport.abortConnection = caller.transport.loseConnection
    for _ in range(49):
        say(caller, b"x")
        house.clock.advance(0.1)
    assert caller.transport.connected
    house.clock.advance(0.2)

    assert not caller.transport.connected
    assert house.front.timed_out == 1


def test_an_endless_head_is_refused_after_eight_kilobytes() -> None:
    house = House()
    transport = say(house.caller(), b"GET / HTTP/1.1\r\n" + b"x" * 9000)

    assert transport.value().startswith(b"HTTP/1.1 431 ")
    assert transport.value().endswith(b'{"code":431,"msg":"Request Header Fields Too Large"}')
    assert not house.web.made
    assert not house.websocket.made
    house.clock.advance(0)


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\r", "\n"])
def test_a_byte_that_would_split_a_header_in_two_is_refused(separator: str) -> None:
    house = House()
    smuggled = f"GET / HTTP/1.1\r\nUser-Agent: a{separator}X-Forwarded-For: 6.6.6.6\r\nUpgrade: websocket\r\n\r\n"
    transport = say(house.caller(), smuggled.encode("latin-1"))

    assert transport.value().startswith(b"HTTP/1.1 400 ")
    assert not house.websocket.made


@pytest.mark.parametrize("header", [b"Content-Length: 1", b"content-length:  0009", b"Transfer-Encoding: chunked"])
def test_a_body_is_refused_where_none_is_expected(header: bytes) -> None:
    request = b"POST / HTTP/1.1\r\n" + header + b"\r\n\r\n"
    without, with_bodies = House(), House(bodies=True)

    assert say(without.caller(), request).value().startswith(b"HTTP/1.1 413 ")
    say(with_bodies.caller(), request)
    assert [kept.data for kept in with_bodies.web.made] == [request]


def test_an_address_holds_no_more_sockets_than_it_may_and_gets_its_places_back() -> None:
    house = House(max_per_address=2)
    callers = [house.caller() for _ in range(30)]
    assert [caller is not None for caller in callers] == [True] * 18 + [False] * 12
    assert house.caller("192.0.2.2") is not None
    for caller in callers[:18]:
        assert caller is not None
        caller.transport.loseConnection()

    assert house.caller() is not None
    assert house.front.over_limit == 12


def test_loopback_and_listed_proxies_are_not_limited() -> None:
    house = House(max_per_address=1, proxies=frozenset({"192.0.2.9"}))

    assert all(house.caller("127.0.0.1") for _ in range(200))
    assert all(house.caller("192.0.2.9") for _ in range(200))
    assert all(house.caller("::ffff:192.0.2.9") for _ in range(200))
    assert house.front.buildProtocol(UNIXAddress(None)) is not None


def test_an_address_counts_by_itself_and_of_ipv6_by_its_network() -> None:
    assert address_key("192.0.2.1") == "192.0.2.1"
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff") == "2001:db8::/64"
    assert address_key("2001:db8:0:1::1") != address_key("2001:db8::1")
    assert address_key("::ffff:192.0.2.1") == "192.0.2.1"
    for unlimited in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "not an address"):
        assert address_key(unlimited) is None
    assert IPv6Address("TCP", "::1", 1).host == "::1"
