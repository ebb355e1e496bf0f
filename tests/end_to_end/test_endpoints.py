"""What clients connect to beside plain TCP: TLS, UNIX sockets, and proxies that tell whom they speak for (S25)."""

import datetime
from ipaddress import ip_address
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any, cast

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import reactor as imported_reactor
from twisted.internet import ssl
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from exchange_push.client import Client, Closed
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK, Running
from tests.wsclient import RawClient, WsClient, handshake, masked

reactor: Any = imported_reactor

# Twisted hands certificates to pyOpenSSL in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and its self-made certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    return file


def trusting(certificate: Path, **options: Any) -> Any:
    return ssl.optionsForClientTLS("127.0.0.1", trustRoot=ssl.Certificate.loadPEM(certificate.read_bytes()), **options)


def endpoint(certificate: Path) -> str:
    return f"ssl:0:interface={LOOPBACK}:privateKey={certificate}:certKey={certificate}"


async def tls_client(running: Running, certificate: Path, client: WsClient | None = None) -> WsClient:
    tcp = HostnameEndpoint(reactor, LOOPBACK, running.port("listen 1"))
    return await over(running, wrapClientTLS(trusting(certificate), tcp), client)


async def over(
    running: Running,
    endpoint: Any,
    client: WsClient | None = None,
    before: bytes = b"",
    path: str = "/exchange-stream",
) -> WsClient:
    """A client that shook hands by way of this endpoint, after the bytes `before`."""
    found = client or WsClient()
    await connectProtocol(endpoint, found)
    found.transport.write(before + handshake(path, {}))
    await found.until(lambda: found.head is not None or found.lost is not None)
    running.callers.append(found)
    assert found.head is not None
    assert found.head.startswith(b"HTTP/1.1 101")
    return found


@pytest_twisted.ensureDeferred
async def test_a_fan_out_reaches_clients_over_tls(start: Start, certificate: Path) -> None:
    running = start(listen=[endpoint(certificate)])
    clients = [await tls_client(running, certificate) for _ in range(5)]
    for client in clients:
        assert await client.ask({"op": "auth", "token": "***"}) == {"result": True}
        assert await client.ask({"op": "subscribe", "channel": "@balance"}) == {"result": True}

    assert await running.push({"c": "1001@balance", "d": "x" * 100_000}) == {"E": None, "r": {"s": 5, "f": 0}}
    for client in clients:
        assert await client.raw() == (1, b"x" * 100_000)


@pytest_twisted.ensureDeferred
async def test_clients_of_binance_that_insist_on_it_come_over_tls(start: Start, certificate: Path) -> None:
    running = start(listen=[endpoint(certificate)])
    tcp = HostnameEndpoint(reactor, LOOPBACK, running.port("listen 1"))
    client = await over(running, wrapClientTLS(trusting(certificate), tcp), path="/ws/btcusdt@trade")
    running.feed(["trade", "BTCUSDT", 7, "50000.1", "1", "buy", 1_700_000_000_000, None])
    found = await client.next()
    assert (found["e"], found["t"]) == ("trade", 7)


@pytest_twisted.ensureDeferred
async def test_closes_over_tls_are_clean_whoever_begins(start: Start, certificate: Path) -> None:
    running = start(listen=[endpoint(certificate)])
    leaving, closed = [await tls_client(running, certificate) for _ in range(2)]
    leaving.transport.write(masked(8, b"\x03\xe8"))
    assert await leaving.close_code() == 1000
    assert await closed.ask({"op": "auth", "token": "***"}) == {"result": True}
    began_s = reactor.seconds()
    await running.push({}, "/v1/users/1001/disconnect")
    assert await closed.close_code() == 4503
    for client in (leaving, closed):
        await client.gone()
        assert client.lost is not None
        assert client.lost.check(ConnectionDone)

    assert reactor.seconds() - began_s < 2, "aborted rather than closed"


@pytest_twisted.ensureDeferred
async def test_a_slow_client_over_tls_holds_no_more_than_its_bound_and_is_let_go(
    start: Start, certificate: Path
) -> None:
    running = start(listen=[endpoint(certificate)], clients__outbox_bytes=100_000)
    slow, fast = [await tls_client(running, certificate) for _ in range(2)]
    for client in (slow, fast):
        assert await client.ask({"op": "subscribe", "channel": "system"}) == {"result": True}
    stuck = next(iter(running.server.clients.connected))
    wire: Any = stuck.transport
    while hasattr(wire, "transport"):
        wire = wire.transport
    assert wire.getHandle().getsockopt(SOL_SOCKET, SO_SNDBUF) <= 65536, "the kernel would hide megabytes"
    slow.transport.pauseProducing()
    pushed = 0
    while len(running.server.clients.closes) == 0:
        assert pushed < 1000
        await running.push({"c": "system", "d": "x" * 50_000})
        pushed += 1
        assert await fast.raw() == (1, b"x" * 50_000)

    assert running.server.clients.closes == {4008: 1}
    assert running.server.hub.budget.held_bytes == 0
    await running.until(lambda: len(running.server.clients.connected) == 1)  # aborted: it reads no close
    slow.transport.resumeProducing()
    await slow.gone()


@pytest_twisted.ensureDeferred
async def test_back_ends_come_over_tls(start: Start, certificate: Path) -> None:
    tls = endpoint(certificate)
    running = start(api__listen=tls, lines__listen=tls)
    client = await running.client("system")
    line, api = RawClient(), WsClient()
    for port, caller in (("lines", line), ("api", api)):
        tcp = HostnameEndpoint(reactor, LOOPBACK, running.port(port))
        await connectProtocol(wrapClientTLS(trusting(certificate), tcp), caller)
        running.callers.append(caller)
    line.transport.write(b'{"c":"system","d":"by line"}\n')
    await line.until(lambda: b"\n" in line.data)
    assert await client.raw() == (1, b"by line")
    api.transport.write(handshake("/ws/v1", {}))
    assert (await api.ask({"m": "mesh.publish", "p": {"c": "system", "d": "by api"}}))["r"] == {"s": 1, "f": 0}
    assert await client.raw() == (1, b"by api")
    began_s = reactor.seconds()
    await running.stop_server()

    assert await api.close_code() == 1001
    await line.gone()
    assert reactor.seconds() - began_s < 2


@pytest_twisted.ensureDeferred
async def test_a_weak_version_of_tls_is_refused(start: Start, certificate: Path) -> None:
    running = start(listen=[endpoint(certificate)])
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")  # or the client itself would refuse to say it
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    weak = RawClient()
    tcp = HostnameEndpoint(reactor, LOOPBACK, running.port("listen 1"))
    await connectProtocol(wrapClientTLS(cast(Any, ClientContext(context)), tcp), weak)
    weak.transport.write(handshake("/exchange-stream", {}))
    await weak.gone()

    assert weak.data == b""
    assert weak.lost is not None
    assert "alert protocol version" in str(weak.lost.value)
    assert not running.server.clients.handshakes


@implementer(IOpenSSLClientConnectionCreator)
class ClientContext:
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


@pytest_twisted.ensureDeferred
async def test_noise_instead_of_tls_ends_the_connection_and_nothing_else(start: Start, certificate: Path) -> None:
    running = start(listen=[endpoint(certificate)])
    noise = await running.raw("listen 1")
    noise.transport.write(handshake("/exchange-stream", {}))
    await noise.gone()
    client = await tls_client(running, certificate)

    assert (await client.ask({"op": "ping"}))["op"] == "pong"


@pytest_twisted.ensureDeferred
async def test_clients_come_by_a_unix_socket(start: Start, tmp_path: Path) -> None:
    running = start(listen=[f"unix:{tmp_path}/clients"], clients__max_per_address=1)
    for _ in range(3):  # a file has no address to count by
        client = await over(running, UNIXClientEndpoint(reactor, f"{tmp_path}/clients"))
        assert await client.ask({"op": "subscribe", "channel": "system"}) == {"result": True}

    assert await running.push({"c": "system", "d": "x"}) == {"E": None, "r": {"s": 3, "f": 0}}
    assert {client["peer"] for client in await running.get("/v1/clients")} == {"unix"}


@pytest_twisted.ensureDeferred
async def test_back_ends_come_by_unix_sockets(start: Start, tmp_path: Path) -> None:
    running = start(api__listen=f"unix:{tmp_path}/api", lines__listen=f"unix:{tmp_path}/lines")
    client = await running.client("system")
    line = RawClient()
    await connectProtocol(UNIXClientEndpoint(reactor, f"{tmp_path}/lines"), line)
    line.transport.write(b'{"c":"system","d":"by line"}\n')
    await line.until(lambda: b"\n" in line.data)
    http = RawClient()
    await connectProtocol(UNIXClientEndpoint(reactor, f"{tmp_path}/api"), http)
    body = b'{"c":"system","d":"by http"}'
    head = b"POST /v1/mesh/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    http.transport.write(head + body)

    assert [await client.raw() for _ in range(2)] == [(1, b"by line"), (1, b"by http")]
    for caller in (line, http):
        await caller.leave()


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.7 127.0.0.1 56324 6790\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([203, 0, 113, 7, 127, 0, 0, 1]) + b"\xdc\x04\x1a\x86",
    ],
    ids=["version 1", "version 2"],
)
@pytest_twisted.ensureDeferred
async def test_a_proxy_header_tells_whose_connection_it_is(start: Start, header: bytes) -> None:
    running = start(listen=[f"haproxy:tcp:0:interface={LOOPBACK}"], clients__max_per_address=1)
    tcp = HostnameEndpoint(reactor, LOOPBACK, running.port("listen 1"))
    first = await over(running, tcp, before=header)
    assert (await first.ask({"op": "ping"}))["op"] == "pong"
    assert [client["peer"] for client in await running.get("/v1/clients")] == ["203.0.113.7:56324"]

    second = await over(running, tcp, before=header)
    assert await second.close_code() == 4505


@pytest_twisted.ensureDeferred
async def test_without_its_proxy_header_a_connection_is_nobodys(start: Start) -> None:
    running = start(listen=[f"haproxy:tcp:0:interface={LOOPBACK}"])
    bare = await running.raw("listen 1")
    bare.transport.write(handshake("/exchange-stream", {}))
    await bare.gone()

    assert bare.data == b""


@pytest_twisted.ensureDeferred
async def test_the_client_library_checks_the_certificate_of_a_server(start: Start, certificate: Path) -> None:
    running = start(listen=[endpoint(certificate)])
    running.feed(["book", "BTCUSDT", 7, 1_700_000_000_000, [["50000.00", "1.5"]], []])
    url = f"wss://{LOOPBACK}:{running.port('listen 1')}/exchange-stream"
    notices: list[Any] = []
    wary = Client(url, reactor=reactor, on_notice=notices.append)
    wary.startService()
    await running.until(lambda: bool(notices))
    assert isinstance(notices[0], Closed)
    assert "certificate verify failed" in notices[0].reason
    await wary.stopService()

    tcp = HostnameEndpoint(reactor, LOOPBACK, running.port("listen 1"))
    trusts = Client(url, reactor=reactor, endpoint=wrapClientTLS(trusting(certificate), tcp))
    book = trusts.subscribe("BTCUSDT@depth", lambda event: None).book
    assert book is not None
    trusts.startService()
    await running.until(lambda: book.in_sync)
    assert book.bids() == [("50000.00", "1.5")]
    await trusts.stopService()
