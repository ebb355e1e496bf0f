import socket
from collections.abc import Iterator

import pytest
from twisted.logger import capturedLogs

from exchange_push.errors import ConfigError
from exchange_push.intake.feed_port import FeedAddress, FeedPort, Gatherer, HostPort
from exchange_push.intake.rerequest import Asker
from tests.intake.test_feed_port import Reactor, stop


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def port(reactor: Reactor) -> Iterator[FeedPort]:
    port = FeedPort(FeedAddress(0), Gatherer(), reactor)
    port.startListening()
    yield port
    stop(port, reactor)


@pytest.fixture
def engine() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
        skt.bind(("127.0.0.1", 0))
        skt.settimeout(5)
        yield skt


def test_a_request_comes_from_the_port_that_the_answer_shall_come_to(port: FeedPort, engine: socket.socket) -> None:
    asker = Asker(HostPort("127.0.0.1", engine.getsockname()[1]))
    asker.use(port)
    asker.ask(b"please")
    assert engine.recvfrom(100) == (b"please", ("127.0.0.1", port.getHost().port))
    assert asker.unsent == 0


def test_a_name_is_looked_up_for_the_family_of_the_port(port: FeedPort, engine: socket.socket) -> None:
    asker = Asker(HostPort("localhost", engine.getsockname()[1]))
    asker.use(port)
    assert asker.peer == engine.getsockname()
    asker.ask(b"please")
    assert engine.recv(100) == b"please"


def test_the_address_may_come_to_be_known_later(port: FeedPort, engine: socket.socket) -> None:
    asker = Asker()
    asker.use(port)
    asker.ask(b"to nobody")
    asker.to(HostPort(*engine.getsockname()))
    asker.ask(b"please")
    assert engine.recv(100) == b"please"
    assert asker.unsent == 1


def test_an_address_that_cannot_be_reached_is_one_line(port: FeedPort) -> None:
    for host in ("::1", "nowhere.invalid"):
        with pytest.raises(ConfigError, match=r"feed.rerequest: .*:1: ") as refused:
            Asker(HostPort(host, 1)).use(port)
        assert "\n" not in str(refused.value)


def test_what_the_socket_does_not_take_is_counted_and_said_once(port: FeedPort) -> None:
    asker = Asker(HostPort("192.0.2.1", 1))  # not by way of a port on the loopback
    asker.use(port)
    with capturedLogs() as events:
        asker.ask(b"please")
        asker.ask(b"please")
    assert asker.unsent == 2
    assert len(events) == 1


def test_after_a_stop_nothing_is_sent(port: FeedPort, engine: socket.socket) -> None:
    asker = Asker(HostPort(*engine.getsockname()))
    asker.use(port)
    asker.stop()
    asker.ask(b"late")
    assert asker.unsent == 1
    asker.use(port)
    asker.ask(b"please")
    assert engine.recv(100) == b"please"
