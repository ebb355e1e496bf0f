"""The public WebSocket over real sockets: Front, ClientFactory and sessions, without the rest of the server."""

import gc
import resource
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import msgpack
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from exchange_push import catalog
from exchange_push.edge.front import Front
from exchange_push.edge.pages import public_site
from exchange_push.edge.websocket import Bucket, ClientFactory, ClientOptions, ClientProtocol, Door, origin_patterns
from exchange_push.errors import CloseCode
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.round import Round
from exchange_push.pubsub.session import Session
from tests.pubsub.lobby import DEPTH, TICKER, TRADES, Lobby
from tests.wsclient import RawClient, WsClient, connect, connect_raw, handshake, masked

SUBSCRIBE = {"op": "subscribe", "channel": "BTCUSDT@trades"}
TRADE_CHANNEL = Channel(TRADES, "BTCUSDT")


class House:
    """A listening public port."""

    def __init__(self, options: dict[str, Any], doors: Sequence[Door] = (), **terms: Any) -> None:
        self.lobby = Lobby(requests_per_s=1e6, requests_burst=10**6, **terms)
        limits = ClientOptions(**options)
        doors = [Door(catalog.own_path("/exchange-stream"), self._converse, limits), *doors]
        self.clients = ClientFactory(reactor, doors, limits, self.lobby.hub.round)
        self.front = Front(
            reactor,
            web=public_site(reactor, {b"/v1/symbols": lambda asked: [{"symbol": "A"}]}, ("*",)),
            websocket=self.clients,
        )
        self.listening = reactor.listenTCP(0, self.front, interface="127.0.0.1")
        self.port: int = self.listening.getHost().port
        self.callers: list[RawClient] = []

    def _converse(self, protocol: ClientProtocol) -> Session:
        return Session(self.lobby.next_id(), protocol.peer, protocol.opening.dialect, protocol, self.lobby.terms)

    async def connect(self, path: str = "/exchange-stream", client: WsClient | None = None, **headers: str) -> WsClient:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.callers.append(await connect(self.port, path, named, client))
        found = self.callers[-1]
        assert isinstance(found, WsClient)
        return found

    async def raw(self) -> RawClient:
        self.callers.append(await connect_raw(self.port))
        return self.callers[-1]

    async def close(self) -> None:
        for caller in self.callers:
            await caller.leave()
        await self.listening.stopListening()
        while self.clients.connected:  # the sockets' ends reach the server in a later turn
            await deferLater(reactor, 0, lambda: None)


Open = Callable[..., House]


@pytest_twisted.async_yield_fixture()
async def open_house() -> AsyncIterator[Open]:
    houses: list[House] = []

    def open_one(options: dict[str, Any] | None = None, **terms: Any) -> House:
        houses.append(House(options or {}, **terms))
        return houses[-1]

    yield open_one
    for house in houses:
        await house.close()


@pytest_twisted.ensureDeferred
async def test_a_client_subscribes_and_hears_what_is_published(open_house: Open) -> None:
    house = open_house()
    client = await house.connect()
    assert client.head is not None
    assert b"Server: exchange-push\r\n" in client.head + b"\r\n"
    assert b"utobahn" not in client.head

    assert await client.ask(SUBSCRIBE) == {"result": True}
    house.lobby.publish(TRADE_CHANNEL, {"n": 1})
    assert await client.next() == {"event": "BTCUSDT@trades", "data": {"n": 1}}


@pytest_twisted.ensureDeferred
async def test_a_message_longer_than_what_may_come_in_goes_out_whole(open_house: Open) -> None:
    house = open_house({"message_bytes": 4096})
    client = await house.connect()
    await client.ask(SUBSCRIBE)
    for size in (125, 126, 65_535, 65_536, 300_000):
        house.lobby.publish(TRADE_CHANNEL, "x" * size)
        assert len((await client.next())["data"]) == size


@pytest_twisted.ensureDeferred
async def test_msgpack_carries_the_same_objects_in_binary_frames(open_house: Open) -> None:
    house = open_house()
    client = await house.connect(Sec_WebSocket_Protocol="other, exchange-push.msgpack")
    assert client.head is not None
    assert b"Sec-WebSocket-Protocol: exchange-push.msgpack" in client.head
    client.transport.write(masked(2, msgpack.packb({"op": "subscribe", "channel": "BTCUSDT@trades", "id": 7})))
    opcode, payload = await client.raw()
    assert (opcode, msgpack.unpackb(payload)) == (2, {"result": True, "id": 7})
    house.lobby.publish(TRADE_CHANNEL, {"price": "1.0"})
    opcode, payload = await client.raw()

    assert (opcode, msgpack.unpackb(payload)) == (2, {"event": "BTCUSDT@trades", "data": {"price": "1.0"}})
    client.transport.write(masked(1, b"{}"))
    assert await client.close_code() == 1003


DEFLATE = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", DEFLATE),
        ("permessage-deflate; client_max_window_bits", DEFLATE),
        ("permessage-deflate; client_no_context_takeover; server_no_context_takeover", DEFLATE),
        ("permessage-deflate; server_max_window_bits=12", DEFLATE),
        ("permessage-deflate; server_max_window_bits=9, permessage-deflate", DEFLATE),
        ("permessage-deflate; server_max_window_bits=11", DEFLATE.replace(b"=12", b"=11")),
        ("permessage-bzip2, permessage-brotli", None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_compression_is_agreed_to_where_one_window_and_no_context_will_do(
    open_house: Open, offer: str, answer: bytes | None
) -> None:
    house = open_house({"compression": True})
    client = await house.connect(Sec_WebSocket_Extensions=offer)
    assert client.head is not None
    found = [line[26:] for line in client.head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Extensions")]
    (protocol,) = house.clients.connected

    assert found == ([] if answer is None else [answer])
    assert protocol.deflates is (answer == DEFLATE)
    assert (await client.ask({"op": "ping"}))["op"] == "pong"


@pytest.mark.parametrize("offer", ["other", "graphql-ws, x"])
@pytest_twisted.ensureDeferred
async def test_an_unknown_subprotocol_is_not_taken_and_the_client_speaks_json(open_house: Open, offer: str) -> None:
    client = await open_house().connect(Sec_WebSocket_Protocol=offer)
    assert client.head is not None
    assert b"sec-websocket-protocol" not in client.head.lower()

    assert (await client.ask({"op": "ping"}))["op"] == "pong"


@pytest.mark.parametrize(
    ("path", "status"), [("/", b"404"), ("/exchange-stream/", b"404"), ("/Exchange-stream", b"404"), ("/x", b"404")]
)
@pytest_twisted.ensureDeferred
async def test_another_path_is_not_found(open_house: Open, path: str, status: bytes) -> None:
    client = await open_house().connect(path)

    assert client.head is not None
    assert client.head.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://ex.example", True),
        ("https://ex.example:443", True),
        ("https://ex.example:8443", True),
        ("HTTPS://EX.EXAMPLE", True),
        (None, True),
        ("http://ex.example", False),
        ("https://evil.example", False),
        ("https://sub.ex.example", False),
        ("https://ex.example.evil.example", False),
        ("null", False),
        ("file://", False),
        ("chrome-extension://abc", False),
    ],
)
@pytest_twisted.ensureDeferred
async def test_only_listed_origins_may_connect(open_house: Open, origin: str | None, allowed: bool) -> None:
    house = open_house({"origins": ("https://ex.example:*",)})
    client = await (house.connect() if origin is None else house.connect(Origin=origin))

    assert client.head is not None
    assert client.head.startswith(b"HTTP/1.1 101" if allowed else b"HTTP/1.1 400")


@pytest.mark.parametrize("origin", ["https://anything.example", "null"])
@pytest_twisted.ensureDeferred
async def test_by_default_any_origin_may_connect(open_house: Open, origin: str) -> None:
    client = await open_house().connect(Origin=origin)

    assert client.head is not None
    assert client.head.startswith(b"HTTP/1.1 101")


def test_an_origin_without_port_gets_that_of_its_scheme() -> None:
    assert origin_patterns(
        ("*", "https://A.example", "http://b", "https://c:*", "https://[::1]", "http://[::1]:8")
    ) == [
        "*",
        "https://a.example:443",
        "http://b:80",
        "https://c:*",
        "https://[::1]:443",
        "http://[::1]:8",
    ]


@pytest_twisted.ensureDeferred
async def test_requests_sent_along_with_the_handshake_are_answered_once(open_house: Open) -> None:
    house = open_house()
    raw = await house.raw()
    raw.transport.write(handshake("/exchange-stream", {}) + masked(1, b'{"op":"ping"}') + handshake("/", {}))
    await raw.until(lambda: raw.lost is not None or b"\x88" in raw.data)

    assert raw.data.count(b"HTTP/1.1 101") == 1
    assert raw.data.count(b'"pong"') == 1
    assert house.clients.handshakes == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (masked(1, b"x" * 65_537), 1009),
        (b"\x81\xff" + (2**40).to_bytes(8, "big") + bytes(4), 1009),
        (masked(1, b"x" * 40_000, fin=False) + masked(0, b"x" * 40_000), 1009),
        (masked(2, b"{}"), 1003),
        (masked(1, b"\xff"), 1007),
        (masked(3, b""), 1002),
        (b"\x81\x02{}", 1002),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_bad_frame_closes_with_its_code(open_house: Open, frame: bytes, code: int) -> None:
    house = open_house()
    client = await house.connect()
    client.transport.write(frame)

    assert await client.close_code() == code
    assert house.clients.closes == {code: 1}


@pytest_twisted.ensureDeferred
async def test_a_clients_close_is_answered_and_leaves_nothing(open_house: Open) -> None:
    house = open_house()
    client = await house.connect()
    await client.ask(SUBSCRIBE)
    client.transport.write(masked(8, (1000).to_bytes(2, "big")))
    await client.gone()

    assert client.closed == (1000, "")
    assert not house.lobby.hub.sessions
    assert not dict(house.lobby.hub.channels())


@pytest.mark.parametrize("by_close", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_connection_that_is_gone_is_out_of_memory_without_the_garbage_collector(
    open_house: Open, by_close: bool
) -> None:
    house = open_house()
    client = await house.connect()
    await client.ask(SUBSCRIBE)
    (protocol,) = house.clients.connected
    kept = [weakref.ref(protocol), weakref.ref(protocol.session)]
    gc.collect()
    gc.disable()
    try:
        if by_close:
            protocol.session.disconnect(CloseCode.GOING_AWAY, "")
            del protocol
            await client.gone()
        else:
            del protocol
            await client.leave()
        while house.clients.connected:
            await deferLater(reactor, 0, lambda: None)
        await deferLater(reactor, 0, lambda: None)
        assert [reference() for reference in kept] == [None, None]
    finally:
        gc.enable()


@pytest_twisted.ensureDeferred
async def test_a_close_of_ours_says_code_and_reason_after_what_was_sent_before(open_house: Open) -> None:
    house = open_house()
    client = await house.connect()
    await client.ask(SUBSCRIBE)
    house.lobby.publish(TRADE_CHANNEL, "last")
    (session,) = house.lobby.hub.sessions.values()
    session.disconnect(CloseCode.GOING_AWAY, "server stopping " + "x" * 200)
    await client.gone()

    assert (await client.next())["data"] == "last"
    assert client.closed is not None
    assert client.closed[0] == 1001
    assert client.closed[1].startswith("server stopping")


@pytest_twisted.ensureDeferred
async def test_a_client_that_answers_no_close_is_aborted(open_house: Open) -> None:
    house = open_house()
    deaf = WsClient()
    deaf.answers_close = False
    client = await house.connect(client=deaf)
    await client.ask(SUBSCRIBE)
    started = reactor.seconds()
    (session,) = house.lobby.hub.sessions.values()
    session.disconnect(CloseCode.LOGGED_OUT, "operator")
    await client.gone()

    assert 2.5 < reactor.seconds() - started < 6


@pytest_twisted.ensureDeferred
async def test_a_client_that_sends_but_answers_no_ping_is_dropped(open_house: Open) -> None:
    house = open_house({"ping_s": 1, "pong_s": 1})
    deaf = WsClient()
    deaf.answers_ping = False
    client = await house.connect(client=deaf)
    while client.lost is None:
        client.send({"op": "ping"})
        await client.until(lambda: bool(client.frames) or client.lost is not None)
        client.frames.clear()
        await deferLater(reactor, 0.1, lambda: None)
        assert len(house.lobby.hub.sessions) <= 1

    assert not house.lobby.hub.sessions


@pytest_twisted.ensureDeferred
async def test_a_client_that_answers_pings_stays(open_house: Open) -> None:
    house = open_house({"ping_s": 1, "pong_s": 1})
    client = await house.connect()
    await deferLater(reactor, 3.5, lambda: None)

    assert (await client.ask({"op": "ping"}))["op"] == "pong"


# -- floods


@pytest_twisted.ensureDeferred
async def test_a_flood_of_empty_fragments_is_cut(open_house: Open) -> None:
    house = open_house()
    client = await house.connect()
    client.transport.write(masked(1, b"", fin=False) + masked(0, b"", fin=False) * 400_000)

    assert await client.close_code() == 4029
    await client.gone()


@pytest_twisted.ensureDeferred
async def test_a_flood_of_bytes_is_cut(open_house: Open) -> None:
    house = open_house({"bytes_per_s": 1000, "bytes_burst": 100_000})
    client = await house.connect()
    for _ in range(10):
        client.transport.write(masked(1, b'"' + b"x" * 20_000 + b'"'))

    assert await client.close_code() == 4029


@pytest_twisted.ensureDeferred
async def test_pings_are_answered_up_to_a_rate(open_house: Open) -> None:
    house = open_house({"frames_burst": 10_000})
    raw = await house.raw()
    raw.transport.write(handshake("/exchange-stream", {}))
    await raw.until(lambda: b"\r\n\r\n" in raw.data)
    raw.data = b""
    raw.transport.write(masked(9, b"ping!") * 500 + masked(1, b'{"op":"ping"}'))
    await raw.until(lambda: b'"pong"' in raw.data)

    assert 16 <= raw.data.count(b"\x8a\x05ping!") <= 20


@pytest_twisted.ensureDeferred
async def test_a_flood_of_pings_by_a_client_that_does_not_read_leaves_no_pongs_in_memory(open_house: Open) -> None:
    house = open_house({"frames_burst": 10**9, "bytes_burst": 10**9, "pongs_burst": 10**9})
    client = await house.connect()
    client.transport.pauseProducing()
    (protocol,) = house.clients.connected
    for _ in range(40):
        client.transport.write(masked(9, b"x" * 125) * 2000)
        await deferLater(reactor, 0.01, lambda: None)

    assert len(protocol.transport.dataBuffer) + protocol.transport._tempDataLen < 200_000


@pytest_twisted.ensureDeferred
async def test_a_client_that_never_reads_holds_no_more_than_its_bound_and_is_closed_4008(open_house: Open) -> None:
    house = open_house(outbox_bytes=200_000)
    slow, fast = await house.connect(), await house.connect()
    for client in (slow, fast):
        await client.ask(SUBSCRIBE)
    slow.transport.pauseProducing()
    (stuck, *_) = house.clients.connected
    most = published = 0
    while len(house.lobby.hub.sessions) == 2:
        house.lobby.publish(TRADE_CHANNEL, "x" * 10_000)
        published += 1
        await fast.next()
        most = max(most, stuck.session.outbox.held_bytes if stuck.session else 0)
        assert published < 200
    slow.transport.resumeProducing()

    assert 0 < most <= 200_000
    await slow.gone()


@pytest_twisted.ensureDeferred
async def test_a_slow_client_gets_the_newest_ticker_and_a_fresh_book_when_it_reads_again(open_house: Open) -> None:
    house = open_house(outbox_bytes=100_000)
    book, ticker = Channel(DEPTH, "A"), Channel(TICKER, "A")
    from exchange_push.pubsub.publication import Publication

    client = await house.connect()
    await client.ask({"op": "subscribe", "channels": ["A@depth", "A@ticker", "BTCUSDT@trades"]})
    (protocol,) = house.clients.connected
    assert protocol.session is not None
    client.transport.pauseProducing()
    while not protocol.session.outbox.blocked:
        house.lobby.publish(TRADE_CHANNEL, "x" * 20_000)
        await deferLater(reactor, 0, lambda: None)
    for number in range(1000):
        house.lobby.publish(book, {"update": number, "more": "y" * 1000})
        house.lobby.publish(ticker, number)
        house.lobby.states[book] = Publication(book, {"snapshot": number})
    assert protocol.session.outbox.held_bytes < 100_000
    client.transport.resumeProducing()
    heard: list[Any] = []
    while not heard or heard[-1].get("data") != {"snapshot": 999}:
        heard.append(await client.next())

    tickers = [message["data"] for message in heard if message["event"] == "A@ticker"]
    assert tickers in ([999], [])
    if not tickers:
        assert await client.event("A@ticker") == 999
    house.lobby.publish(book, {"update": 1000})
    assert await client.event("A@depth") == {"update": 1000}


# -- limits


@pytest_twisted.ensureDeferred
async def test_a_full_server_says_come_back(open_house: Open) -> None:
    house = open_house({"max_connections": 1})
    first = await house.connect()
    second = await house.connect()

    assert await second.close_code() == 4013
    assert (await first.ask({"op": "ping"}))["op"] == "pong"
    await second.gone()
    await first.leave()
    while house.clients.connected:
        await deferLater(reactor, 0, lambda: None)
    assert (await (await house.connect()).ask({"op": "ping"}))["op"] == "pong"


@pytest_twisted.ensureDeferred
async def test_an_address_behind_a_listed_proxy_has_its_limit(open_house: Open) -> None:
    house = open_house({"max_per_address": 1, "proxies": frozenset({"127.0.0.1"})})
    forwarded = "6.6.6.6, 192.0.2.1, 127.0.0.1"
    one = await house.connect(X_Forwarded_For=forwarded)
    assert (await one.ask({"op": "ping"}))["op"] == "pong"
    two = await house.connect(X_Forwarded_For=forwarded)
    other = await house.connect(X_Forwarded_For="192.0.2.2")

    assert await two.close_code() == 4505
    assert (await other.ask({"op": "ping"}))["op"] == "pong"
    peers = {session.peer for session in house.lobby.hub.sessions.values()}
    assert peers == {"192.0.2.1", "192.0.2.2"}


@pytest.mark.parametrize("forged", ["evil'\x1b[31m<script>", "6.6.6.6", "6.6.6.6, nonsense", ""])
@pytest_twisted.ensureDeferred
async def test_a_forwarded_address_is_believed_of_nobody_else(open_house: Open, forged: str) -> None:
    house = open_house()
    client = await house.connect(X_Forwarded_For=forged)
    if client.head is not None and client.head.startswith(b"HTTP/1.1 101"):
        await client.ask({"op": "ping"})

    assert all(session.peer.startswith("127.0.0.1:") for session in house.lobby.hub.sessions.values())


@pytest_twisted.ensureDeferred
async def test_a_fault_of_ours_closes_with_1011_and_logs_no_message(open_house: Open, logged_failures: Any) -> None:
    house = open_house()
    house.lobby.terms.hub.state = lambda channel: {}[channel]  # type: ignore[index]
    client = await house.connect()
    client.send({"op": "subscribe", "channel": "BTCUSDT@ticker", "token": "canary-token"})

    assert await client.close_code() == 1011
    (failure,) = logged_failures.flush(KeyError)
    assert "canary-token" not in failure.getTraceback()
    assert house.clients.faults == 1


@pytest_twisted.ensureDeferred
async def test_plain_http_on_the_public_port_is_answered_and_closed(open_house: Open) -> None:
    house = open_house()
    for request, status, body in (
        (b"GET /v1/symbols", b"200", b'[{"symbol":"A"}]'),
        (b"GET /", b"404", b'"code":404'),
        (b"DELETE /v1/symbols", b"405", b'"code":405'),
        (b"GET /exchange-stream?redirect=https://evil.example&after=abc", b"404", b'"code":404'),
    ):
        raw = await house.raw()
        raw.transport.write(request + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        await raw.gone()
        assert raw.data.startswith(b"HTTP/1.1 " + status)
        assert body in raw.data
        assert b"evil" not in raw.data


@pytest_twisted.ensureDeferred
async def test_two_hundred_idle_sockets_keep_nobody_out(open_house: Open) -> None:
    house = open_house()
    for _ in range(200):
        await house.raw()
    client = await house.connect()

    assert (await client.ask({"op": "ping"}))["op"] == "pong"


def test_a_bucket_gives_its_burst_at_once_and_its_rate_for_long() -> None:
    bucket = Bucket(per_s=2, burst=3, now_s=0)

    assert [bucket.take(1, 0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(1, 10) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(1, 5) is False


@pytest.fixture(autouse=True)
def _memory_does_not_run_away() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_attempts_to_connect_are_counted_by_door_and_address_for_5_minutes() -> None:
    clock = Clock()
    nobody: Any = None
    one, other = (Door(catalog.own_path(path), nobody, ClientOptions(attempts=2)) for path in ("/one", "/other"))
    factory = ClientFactory(clock, [one, other], ClientOptions(), Round())

    assert [factory.may_try(one, "192.0.2.1") for _ in range(3)] == [True, True, False]
    assert factory.may_try(one, "192.0.2.2")
    assert [factory.may_try(one, None) for _ in range(3)] == [True] * 3
    assert factory.may_try(other, "192.0.2.1")
    clock.advance(299)
    assert not factory.may_try(one, "192.0.2.1")
    clock.advance(1)
    assert factory.may_try(one, "192.0.2.1")
