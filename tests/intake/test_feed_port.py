import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import task

from exchange_push.errors import ConfigError
from exchange_push.intake.feed_port import (
    FeedAddress,
    FeedPort,
    Gatherer,
    HostPort,
    Sources,
    ask_for_buffer,
    kernel_drops,
    parse_feed,
    parse_rerequest,
)


class Reactor(task.Clock):
    """A clock that knows its readers: a test reads when it wants to."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        pass


class Heard(Gatherer):
    def __init__(self) -> None:
        self.datagrams: list[bytes] = []

        self.turns = 0

    def gather(self, datagram: bytes, addr: Any) -> None:
        self.datagrams.append(datagram)

    def settle(self) -> None:
        self.turns += 1


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
        skt.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        yield skt


def listening(address: FeedAddress, reactor: Reactor) -> FeedPort:
    port = FeedPort(address, Heard(), reactor)
    port.startListening()
    return port


def stop(port: FeedPort, reactor: Reactor) -> None:
    port.stopListening()
    reactor.advance(0)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp:6791", FeedAddress(6791, "127.0.0.1", "")),
        ("udp:0:interface=0.0.0.0", FeedAddress(0, "0.0.0.0", "")),
        (r"udp:6791:interface=\:\:1", FeedAddress(6791, "::1", "")),
        (
            "udp:6791:interface=10.0.0.5:multicast=239.1.1.1",
            FeedAddress(6791, "10.0.0.5", "239.1.1.1"),
        ),
        ("udp:65535:multicast=239.1.1.1", FeedAddress(65535, "127.0.0.1", "239.1.1.1")),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: FeedAddress) -> None:
    assert parse_feed(text) == address
    assert parse_feed(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "udp", "udp:", "tcp:6791", "6791", "udp:x", "udp:-1", "udp:65536", "udp:６", "udp:6791:"),
        *("udp:6791:127.0.0.1", "udp:6791:interface", "udp:6791:interface=", "udp:6791:interface=localhost"),
        *("udp:6791:iface=127.0.0.1", "udp:6791:interface=127.0.0.1:interface=127.0.0.1", "udp:1:interface=::1"),
        *("udp:6791:multicast=10.0.0.1", "udp:6791:multicast=x", r"udp:6791:multicast=ff02\:\:1"),
        *(r"udp:1:interface=\:\:1:multicast=239.1.1.1", "udp:\n1", "udp:1:interface=\x1b[31m" + "x" * 1000),
    ],
)
def test_a_bad_address_is_one_short_line_that_names_it(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_feed(text)
    line = str(refused.value)
    assert line.isprintable()
    assert len(line) < 400
    assert "feed address" in line


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:6793", HostPort("127.0.0.1", 6793)),
        ("engine.example:1", HostPort("engine.example", 1)),
        ("[::1]:65535", HostPort("::1", 65535)),
    ],
)
def test_a_re_request_address_is_read_and_written_alike(text: str, address: HostPort) -> None:
    assert parse_rerequest(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "engine", "engine:", ":1", "engine:0", "engine:65536", "engine:x", "::1:1", "[::1]", "udp:1:2", "a b:1"],
)
def test_a_bad_re_request_address_is_one_short_line(text: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        parse_rerequest(text)


def test_sources_are_addresses_and_networks() -> None:
    sources = Sources(["10.0.0.7", "10.1.0.0/16", "fd00::/8"])
    assert all(host in sources for host in ("10.0.0.7", "10.1.2.3", "fd00::1", "::ffff:10.0.0.7", "fd00::1%eth0"))
    assert not any(host in sources for host in ("10.0.0.8", "10.2.0.0", "fe80::1", "::ffff:10.0.0.8", "127.0.0.1"))


def test_who_sends_from_many_addresses_fills_no_memory() -> None:
    sources = Sources(["10.0.0.7"])
    for number in range(10_000):
        assert f"10.1.{number // 256}.{number % 256}" not in sources
    assert "10.0.0.7" in sources
    assert len(sources._known) <= 1_024


@pytest.mark.parametrize("text", ["", "engine", "10.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.7:6791"])
def test_a_source_that_is_no_address_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"feed\.sources: .*expected an IP address or network"):
        Sources([text])


def test_only_this_machine_can_send_to_the_loopback() -> None:
    assert parse_feed("udp:1").is_loopback
    assert parse_feed(r"udp:1:interface=\:\:1").is_loopback
    assert not parse_feed("udp:1:interface=0.0.0.0").is_loopback
    assert not parse_feed("udp:1:interface=127.0.0.1:multicast=239.1.1.1").is_loopback


def test_the_largest_datagram_comes_whole(reactor: Reactor, sender: socket.socket) -> None:
    port = listening(FeedAddress(0), reactor)
    sender.sendto(b"x" * 65_507, ("127.0.0.1", port.getHost().port))
    port.doRead()
    assert port.protocol.datagrams == [b"x" * 65_507]
    stop(port, reactor)


@pytest.mark.parametrize(("datagram", "turns"), [(b"", 2), (b"x" * 16_384, 5)])
def test_a_flood_is_read_in_turns(reactor: Reactor, sender: socket.socket, datagram: bytes, turns: int) -> None:
    port = listening(FeedAddress(0), reactor)
    ask_for_buffer(port.getHandle())
    count = 1000 if not datagram else 120
    for _ in range(count):
        sender.sendto(datagram, ("127.0.0.1", port.getHost().port))
    taken = []
    while len(port.protocol.datagrams) < count:
        port.doRead()
        taken.append(len(port.protocol.datagrams))
    assert len(taken) == turns
    port.doRead()  # nothing there
    assert len(port.protocol.datagrams) == count
    stop(port, reactor)


def test_a_multicast_group_is_joined_and_others_are_not_heard(reactor: Reactor, sender: socket.socket) -> None:
    port = listening(FeedAddress(0, "127.0.0.1", "239.255.67.91"), reactor)
    number = port.getHost().port
    sender.sendto(b"ours", ("239.255.67.91", number))
    sender.sendto(b"not to the group", ("127.0.0.1", number))
    port.doRead()
    assert port.protocol.datagrams == [b"ours"]
    stop(port, reactor)


def test_the_buffer_is_asked_for_and_what_was_granted_is_told(reactor: Reactor) -> None:
    port = listening(FeedAddress(0), reactor)
    granted_bytes = ask_for_buffer(port.getHandle())
    assert granted_bytes * 2 == port.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert granted_bytes > 212_992 / 2
    stop(port, reactor)


def test_what_the_kernel_dropped_is_counted(reactor: Reactor, sender: socket.socket) -> None:
    port = listening(FeedAddress(0), reactor)
    port.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert kernel_drops(port.fileno()) == 0
    for _ in range(100):
        sender.sendto(b"x" * 500, ("127.0.0.1", port.getHost().port))
    port.doRead()
    assert len(port.protocol.datagrams) < 100
    assert kernel_drops(port.fileno()) == 100 - len(port.protocol.datagrams)
    stop(port, reactor)
