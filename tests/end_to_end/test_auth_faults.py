"""The auth service in all states of disrepair, over real sockets on the loopback."""

import zlib

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.logger import capturedLogs

from exchange_push.edge.auth import AuthService
from exchange_push.errors import AuthRefused, AuthUnavailable
from exchange_push.pubsub.login import Login

TIMEOUT_S = 0.8  # a shared machine may stand still for a third of a second
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + b'{"uid":1001}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Faulty(Protocol):
    """Reads requests, and answers each by what `factory.fault(self)` does."""

    def connectionMade(self):
        self.heard = b""
        self.dripping = None
        self.factory.open.add(self)
        self.factory.open_peak = max(self.factory.open_peak, len(self.factory.open))

    def dataReceived(self, data):
        self.heard += data
        if self.heard.endswith(b"}"):  # of {"token":…}
            self.heard = b""
            self.factory.asked += 1
            self.factory.fault(self)

    def connectionLost(self, reason):
        if self.dripping is not None:
            self.dripping.stop()
        self.factory.open.discard(self)
        if not self.factory.open and self.factory.all_closed is not None:
            self.factory.all_closed.callback(None)


class Backend(Factory):
    """An auth service on a free port, with one fault."""

    protocol = Faulty
    noisy = False

    def __init__(self, fault):
        self.fault = fault
        self.open = set()
        self.open_peak = 0
        self.asked = 0
        self.all_closed = None
        self.port = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/websocket_auth"

    async def stop(self):
        await self.port.stopListening()
        if self.open:
            self.all_closed = Deferred()
            for protocol in list(self.open):
                protocol.transport.abortConnection()
            await self.all_closed


def says(data):
    return lambda protocol: protocol.transport.write(data)


def says_and_closes(data):
    def fault(protocol):
        protocol.transport.write(data)
        protocol.transport.loseConnection()

    return fault


def drips(data, after=b""):
    """For ever, or until the other end has had enough."""

    def fault(protocol):
        protocol.transport.write(after)
        protocol.dripping = LoopingCall(protocol.transport.write, data)
        protocol.dripping.start(0.02)

    return fault


def status(code, headers=b"", body=b""):
    return says(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (code, len(body), headers, body))


def gzipped(body):
    packer = zlib.compressobj(wbits=31)
    return packer.compress(body) + packer.flush()


GZIP = b"Content-Encoding: gzip\r\n"
FAULTS = {
    "hangs": (lambda protocol: None, AuthUnavailable),
    "closes at once": (lambda protocol: protocol.transport.loseConnection(), AuthUnavailable),
    "resets": (lambda protocol: protocol.transport.abortConnection(), AuthUnavailable),
    "speaks no HTTP": (says_and_closes(b"220 smtp ready\r\n"), AuthUnavailable),
    "half a status line": (says(b"HTTP/1.1 2"), AuthUnavailable),
    "drips its head": (drips(b"X"), AuthUnavailable),
    "endless head": (drips(b"X-Long: " + b"x" * 8000 + b"\r\n"), AuthUnavailable),
    "fails": (status(500, body=b"Traceback (most recent call last):"), AuthUnavailable),
    "overloaded": (status(503), AuthUnavailable),
    "redirects by 302": (status(302, b"Location: /elsewhere\r\n"), AuthUnavailable),
    "redirects by 303": (status(303, b"Location: http://127.0.0.1:1/\r\n"), AuthUnavailable),
    "redirects by 307": (status(307, b"Location: /websocket_auth\r\n"), AuthUnavailable),
    "bad JSON": (status(200, body=b"{uid:1001}"), AuthUnavailable),
    "an array": (status(200, body=b'[{"uid":1001}]'), AuthUnavailable),
    "no uid": (status(200, body=b'{"uid":null}'), AuthUnavailable),
    "huge body": (status(200, body=b'{"uid":1001}' + b" " * (4 << 20)), AuthUnavailable),
    "announces a terabyte": (says(b"HTTP/1.1 200 X\r\nContent-Length: 1099511627776\r\n\r\n{"), AuthUnavailable),
    "gzip": (status(200, GZIP, gzipped(b'{"uid":1001}')), AuthUnavailable),
    "gzip bomb": (status(200, GZIP, gzipped(b" " * (50 << 20))), AuthUnavailable),
    "half a body": (says(OK[:-5]), AuthUnavailable),
    "half a body, then closes": (says_and_closes(OK[:-5]), AuthUnavailable),
    "trickles its body": (drips(b"1\r\n \r\n", after=CHUNKED), AuthUnavailable),
    "bad chunks": (says(CHUNKED + b"zz\r\n"), AuthUnavailable),
    "refuses": (status(401, body=b'{"uid":1001}'), AuthRefused),
    "refuses at length": (status(403, body=b"<p>" * (1 << 20)), AuthRefused),
    "refuses and trickles": (drips(b"1\r\n \r\n", after=CHUNKED.replace(b"200", b"404")), AuthRefused),
    "the old way, without a length": (says_and_closes(b'HTTP/1.0 200 OK\r\n\r\n{"uid":1001}'), Login),
    "in chunks": (says(CHUNKED + b'6\r\n{"uid"\r\n6\r\n:1001}\r\n0\r\n\r\n'), Login),
    "well": (says(OK), Login),
}


def asking(service, token):
    answered = Deferred()
    service.look_up(token, answered.callback)
    return answered


def serving(url, **options):
    service = AuthService(reactor, url, timeout_s=TIMEOUT_S, **options)
    service.startService()
    return service


@pytest.mark.parametrize("fault", FAULTS)
@pytest_twisted.ensureDeferred
async def test_every_fault_is_answered_within_the_deadline(fault):
    does, expected = FAULTS[fault]
    backend = Backend(does)
    service = serving(backend.url)
    started_s = reactor.seconds()
    result = await asking(service, "abc")
    took_s = reactor.seconds() - started_s
    await service.stopService()
    await backend.stop()
    assert type(result) is expected
    assert took_s < TIMEOUT_S + 0.5
    assert backend.asked == 1


@pytest_twisted.ensureDeferred
async def test_a_refused_connection_is_no_answer():
    backend = Backend(says(OK))
    await backend.stop()
    service = serving(backend.url)
    result = await asking(service, "abc")
    await service.stopService()
    assert type(result) is AuthUnavailable


class Obliging(Faulty):
    """Logs in whoever asks anything."""

    def dataReceived(self, data):
        self.factory.asked += 1
        self.transport.write(OK)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest_twisted.ensureDeferred
async def test_a_redirect_is_not_followed_not_even_to_who_would_log_in(code):
    elsewhere = Backend(None)
    elsewhere.protocol = Obliging
    backend = Backend(status(code, f"Location: {elsewhere.url}\r\n".encode()))
    service = serving(backend.url)
    result = await asking(service, "abc")
    await service.stopService()
    for each in (backend, elsewhere):
        await each.stop()
    assert type(result) is AuthUnavailable
    assert elsewhere.asked == 0


@pytest.mark.parametrize("fault", ["hangs", "trickles its body", "huge body", "endless head"])
@pytest_twisted.ensureDeferred
async def test_a_call_given_up_leaves_no_connection_open(fault):
    backend = Backend(FAULTS[fault][0])
    service = serving(backend.url)
    await asking(service, "abc")
    backend.all_closed = Deferred()
    backend.all_closed.addTimeout(2, reactor)
    await backend.all_closed
    await service.stopService()
    await backend.stop()
    assert backend.open == set()


@pytest_twisted.ensureDeferred
async def test_a_storm_of_logins_never_opens_more_connections_than_the_limit():
    def after_a_while(protocol):
        reactor.callLater(0.005, protocol.transport.write, OK)

    backend = Backend(after_a_while)
    service = serving(backend.url, in_flight=32)
    results = await gatherResults([asking(service, f"token {number}") for number in range(150)])
    peak, asked = backend.open_peak, backend.asked
    await service.stopService()
    await backend.stop()
    assert results == [Login("1001", None)] * 150
    assert asked == 150
    assert peak == 32


@pytest_twisted.ensureDeferred
async def test_a_service_that_keeps_no_connection_without_saying_so_is_asked_on_a_new_one():
    backend = Backend(says_and_closes(OK))
    service = serving(backend.url, in_flight=4)
    with capturedLogs() as events:
        results = await gatherResults([asking(service, f"token {number}") for number in range(40)])
    await service.stopService()
    await backend.stop()
    assert results == [Login("1001", None)] * 40
    assert events == []
