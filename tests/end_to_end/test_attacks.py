"""Attacks on a whole server, from where an attacker stands: a socket. docs/explanation/security.md lists them all."""

import json
import resource
import zlib
from typing import Any

import msgpack
import pytest
import pytest_twisted
from twisted.internet import reactor as imported_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall

from exchange_push.errors import AuthRefused
from exchange_push.pubsub.login import Login
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import Running
from tests.end_to_end.test_auth_faults import FAULTS, TIMEOUT_S, Backend
from tests.wsclient import WsClient, connect, handshake, masked

reactor: Any = imported_reactor

NOBODY = {"E": None, "r": {"s": 0, "f": 0}}


def empty(running: Running) -> bool:
    """Is nothing left of any client?"""
    hub = running.server.hub
    return not (hub._channels or hub._users or hub.sessions or hub.budget.held_bytes)


# -- logins


@pytest_twisted.ensureDeferred
async def test_a_thousand_sockets_of_a_user_are_revoked_within_a_second(start: Start) -> None:
    running = start()
    clients = await running.crowd(1000, "@balance", token="***")
    began_s = reactor.seconds()
    assert await running.push({}, "/v1/users/1001/logout") == {"E": None, "r": {"s": 1000}}
    took_s = reactor.seconds() - began_s
    assert await running.push({"c": "1001@balance", "d": "private"}) == NOBODY
    replies = await gatherResults(
        [Deferred.fromCoroutine(client.ask({"op": "subscribe", "channel": "@balance"})) for client in clients]
    )

    assert took_s < 1
    assert replies == [{"code": 1, "msg": "Not Auth"}] * 1000
    assert len(running.backend.asked) <= 1000


@pytest_twisted.ensureDeferred
async def test_a_user_is_disconnected_and_nobody_else(start: Start) -> None:
    running = start()
    gone, stays = await running.client("@balance", token="***"), await running.client("@balance", token="bob")
    assert await running.push({}, "/v1/users/1001/disconnect") == {"E": None, "r": {"s": 1}}

    assert await gone.close_code() == 4503
    assert await running.push({"c": "1002@balance", "d": "x"}) == {"E": None, "r": {"s": 1, "f": 0}}
    assert await stays.raw() == (1, b"x")


@pytest.mark.parametrize("fault", FAULTS)
@pytest_twisted.ensureDeferred
async def test_a_faulty_auth_service_logs_nobody_in_and_public_data_goes_on(start: Start, fault: str) -> None:
    does, expected = FAULTS[fault]
    backend = Backend(does)
    running = start(auth__url=backend.url, auth__timeout_s=TIMEOUT_S)
    client = await running.client("system")
    began_s = reactor.seconds()
    client.send({"op": "auth", "token": "abc"})
    assert await running.push({"c": "system", "d": "{}"}) == {"E": None, "r": {"s": 1, "f": 0}}
    heard = [await client.next(), await client.next()]
    took_s = reactor.seconds() - began_s
    await backend.stop()
    heard.remove({})
    private = await client.ask({"op": "subscribe", "channel": "@balance"})

    assert took_s < TIMEOUT_S + 0.7
    if expected is Login:
        assert [heard, private] == [[{"result": True}], {"result": True}]
    else:
        assert [heard[0]["code"], private["code"]] == [8 if expected is AuthRefused else 9, 1]


@pytest_twisted.ensureDeferred
async def test_a_storm_of_logins_reaches_the_auth_service_as_a_trickle(start: Start) -> None:
    def after_a_while(protocol: Any) -> None:
        reactor.callLater(0.005, protocol.transport.write, b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"uid":7}')

    backend = Backend(after_a_while)
    running = start(auth__url=backend.url, auth__in_flight=10)
    clients = await running.crowd(300)
    for number, client in enumerate(clients):
        client.send({"op": "auth", "token": f"token {number % 200}".replace(" ", "-")})
    replies = await gatherResults([Deferred.fromCoroutine(client.next()) for client in clients])
    peak, asked = backend.open_peak, backend.asked
    await backend.stop()

    assert replies == [{"result": True}] * 300
    assert peak <= 10
    assert asked <= 300


@pytest_twisted.ensureDeferred
async def test_one_token_on_a_thousand_sockets_is_one_call_and_its_refusal_is_told_to_all(start: Start) -> None:
    running = start()
    running.backend.hang = True
    clients = await running.crowd(1000)
    for client in clients:
        client.send({"op": "auth", "token": "stolen"})
    await running.until(lambda: running.server.auth.shared == 999)
    await running.until(lambda: running.backend.asked == ["stolen"])
    running.backend.refuse_all()

    replies = await gatherResults([Deferred.fromCoroutine(client.next()) for client in clients])
    assert {reply["code"] for reply in replies} == {8}
    assert running.server.auth.calls == 1


@pytest_twisted.ensureDeferred
async def test_guessing_tokens_ends_with_the_third(start: Start) -> None:
    running = start()
    client = await running.client()
    for number in range(50):
        client.send({"op": "auth", "token": f"guess{number}"})

    assert await client.close_code() == 4501
    assert running.backend.asked == ["guess0", "guess1", "guess2"]


@pytest.mark.parametrize("token", ['"}', '"', "\\", "'; drop table users; --", "{}", "x" * 4096, "a b", "~"])
@pytest_twisted.ensureDeferred
async def test_a_token_reaches_the_auth_service_as_it_is_whatever_it_holds(start: Start, token: str) -> None:
    running = start()
    client = await running.client()

    assert (await client.ask({"op": "auth", "token": token}))["code"] == 8
    assert running.backend.asked == [token]


@pytest.mark.parametrize("token", ["x" * 4097, "a\n", "\x00", "\u202e", "\x1b[31m", "", None, 7, ["a"], {"a": 1}, True])
@pytest_twisted.ensureDeferred
async def test_what_is_no_token_is_malformed_without_a_call(start: Start, token: Any) -> None:
    running = start()
    client = await running.client()

    assert (await client.ask({"op": "auth", "token": token}))["code"] == 2
    assert running.backend.asked == []


@pytest_twisted.ensureDeferred
async def test_a_login_ends_by_itself_after_expires_in_and_who_asked_is_told(start: Start) -> None:
    running = start()
    running.backend.answers["short"] = {"uid": 1001, "expires_in": 0.2}
    client = await running.client("@balance", "system", token="short")

    assert await client.event("system") == {"type": "logout", "reason": "expired"}
    assert await running.push({"c": "1001@balance", "d": "x"}) == NOBODY
    assert await client.ask({"op": "list"}) == {"result": ["system"]}


# -- floods


@pytest_twisted.ensureDeferred
async def test_a_hundred_thousand_subscriptions_and_back_leave_nothing_behind(start: Start) -> None:
    running = start(clients__requests_per_s=1e6, clients__requests_burst=10**6, clients__message_bytes=1 << 20)
    client = await running.client()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start_number in range(0, 50_000, 250):
        names = [f"X{number}@depth" for number in range(start_number, start_number + 250)]
        for op in ("subscribe", "unsubscribe"):
            assert await client.ask({"op": op, "channels": names}) == {"result": True}
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert not running.server.hub._channels
    assert grown_kib < 16 * 1024
    await client.leave()
    await running.until(lambda: empty(running))


@pytest.mark.parametrize("frames", [1000, 400_000])
@pytest_twisted.ensureDeferred
async def test_empty_frames_are_cut_at_a_thousand_and_cost_next_to_nothing(start: Start, frames: int) -> None:
    running = start()
    client = await running.client()
    flood = masked(1, b"", fin=False) + masked(0, b"", fin=False) * frames
    client.transport.write(flood + masked(0, b"", fin=False) * 200)  # the rate gives some more meanwhile
    began = resource.getrusage(resource.RUSAGE_SELF)

    assert await client.close_code() == 4029
    await client.gone()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    assert ended.ru_utime - began.ru_utime < 0.5
    assert running.server.clients.closes == {4029: 1}


@pytest_twisted.ensureDeferred
async def test_requests_have_the_rate_and_burst_of_the_configuration(start: Start) -> None:
    running = start()
    client = await running.client()
    for number in range(100 + 101):
        client.send({"op": "list", "id": number})
    replies = [await client.next() for _ in range(200)]
    codes = [reply.get("code") for reply in replies]

    assert await client.close_code() == 4029
    assert [reply["id"] for reply in replies] == list(range(200))
    assert codes[:100] == [None] * 100
    assert 95 <= codes.count(7) <= 100
    assert running.server.config.clients.requests_per_s == 20


@pytest.mark.parametrize("hostile", [b"{", b'{"op":"x"}', b'{"op":"list","id":[]}'])
@pytest_twisted.ensureDeferred
async def test_errors_flood_nobody_who_does_not_read_them(start: Start, hostile: bytes) -> None:
    running = start()
    client = await running.client()
    (protocol,) = running.server.clients.connected
    client.transport.pauseProducing()
    client.transport.write(masked(1, hostile) * 5000)
    await running.until(lambda: protocol.session is None or not running.server.hub.sessions)

    assert protocol._writer is not None
    assert running.server.hub.budget.held_bytes == 0
    assert set(running.server.clients.closes) <= {4500, 4029}
    client.transport.resumeProducing()
    await client.gone()


@pytest_twisted.ensureDeferred
async def test_a_thousand_hear_a_publication_though_ten_close_in_the_middle(start: Start) -> None:
    running = start()
    clients = await running.crowd(1000, "system")
    protocols = list(running.server.clients.connected)
    for protocol in protocols[::100]:
        protocol.sendClose(1000)  # Autobahn's own: the session does not know yet
    handed = await running.push({"c": "system", "d": "x"})
    await running.until(lambda: sum(client.closed is not None for client in clients) == 10)
    hearing = [client for client in clients if client.closed is None]
    frames = await gatherResults([Deferred.fromCoroutine(client.raw()) for client in hearing])

    assert handed == {"E": None, "r": {"s": 990, "f": 0}}
    assert len(hearing) == 990
    assert frames == [(1, b"x")] * 990
    for client in clients:
        if client not in hearing:
            assert client.frames == [], "data after the close frame"


# -- drips


@pytest_twisted.ensureDeferred
async def test_a_head_that_drips_is_cut_on_every_port_within_five_seconds(start: Start) -> None:
    running = start()
    drips = {
        "upgrade": ("listen 1", handshake("/exchange-stream", {"X": "x" * 1000})),
        "page": ("listen 1", b"GET /v1/symbols HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1000),
        "api": ("api", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1000),
        "api websocket": ("api", handshake("/ws/v1", {"X": "x" * 1000})),
    }
    callers = [(await running.raw(port), iter(data)) for port, data in drips.values()]

    def drip() -> None:
        for caller, data in callers:
            if caller.lost is None:
                caller.transport.write(bytes([next(data)]))

    dripping = LoopingCall(drip)
    ended = dripping.start(0.1)
    began_s = reactor.seconds()
    for caller, _ in callers:
        await caller.gone()
    took_s = reactor.seconds() - began_s
    dripping.stop()
    await ended

    assert 4 < took_s < 5.6
    assert [caller.data for caller, _ in callers] == [b""] * 4


@pytest_twisted.ensureDeferred
async def test_a_head_without_end_is_refused_in_the_language_of_its_port(start: Start) -> None:
    running = start()
    for port, expected in (
        ("listen 1", {"code": 431, "msg": "Request Header Fields Too Large"}),
        ("api", {"E": {"c": 101, "m": "Request Header Fields Too Large"}, "r": None}),
    ):
        caller = await running.raw(port)
        caller.transport.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000)
        await caller.gone()
        head, _, body = caller.data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 ")
        assert json.loads(body) == expected


# -- limits by address


@pytest_twisted.ensureDeferred
async def test_limits_by_address_count_those_behind_a_proxy(start: Start) -> None:
    running = start(clients__max_per_address=2, clients__proxies=["127.0.0.1"])

    async def from_(address: str) -> WsClient:
        client = await connect(running.port("listen 1"), headers={"X-Forwarded-For": address})
        running.callers.append(client)
        return client

    kept = [await from_("203.0.113.7") for _ in range(2)]
    refused, other = await from_("203.0.113.7"), await from_("203.0.113.8")
    assert await refused.close_code() == 4505
    await kept[0].leave()
    await refused.gone()
    await running.until(lambda: len(running.server.clients.connected) == 2)
    again = await from_("203.0.113.7")

    for client in (kept[1], other, again):
        assert (await client.ask({"op": "ping"}))["op"] == "pong"
    of_network = [await from_(f"2001:db8::{number}") for number in range(3)]
    assert await of_network[2].close_code() == 4505, "IPv6 counts by /64"


# -- messages


@pytest_twisted.ensureDeferred
async def test_a_message_may_have_64_kib_and_not_a_byte_more(start: Start) -> None:
    running = start()
    client = await running.client()
    head = b'{"op":"ping","x":"'
    client.send(head + b"x" * (65536 - len(head) - 2) + b'"}')
    assert (await client.next())["op"] == "pong"
    client.send(head + b"x" * (65537 - len(head) - 2) + b'"}')

    assert await client.close_code() == 1009


@pytest.mark.parametrize("packed", [False, True], ids=["JSON", "msgpack"])
@pytest_twisted.ensureDeferred
async def test_a_huge_array_of_channels_is_all_or_none(start: Start, packed: bool) -> None:
    running = start()
    headers = {"Sec-WebSocket-Protocol": "exchange-push.msgpack"} if packed else {}
    client = await connect(running.port("listen 1"), headers=headers)
    running.callers.append(client)

    async def ask(message: object) -> Any:
        client.transport.write(masked(2, msgpack.packb(message)) if packed else masked(1, json.dumps(message).encode()))
        opcode, payload = await client.raw()
        return msgpack.unpackb(payload) if opcode == 2 else json.loads(payload)

    names = [f"X{number}@depth" for number in range(4000)]
    assert (await ask({"op": "subscribe", "channels": names, "id": "é"})) == {
        "code": 6,
        "msg": "too many subscriptions: 4000, expected at most 256",
        "id": "é",
    }
    assert (await ask({"op": "subscribe", "channels": [*names[:9], "nonsense"]}))["code"] == 4
    assert (await ask({"op": "subscribe", "channels": [*names[:9], "@order"]})) == {"code": 1, "msg": "Not Auth"}
    assert (await ask({"op": "unsubscribe", "channels": [*names[:9], "nonsense"]}))["code"] == 4
    assert await ask({"op": "list", "id": -1}) == {"result": [], "id": -1}
    assert await ask({"op": "subscribe", "channels": names[:256] * 2}) == {"result": True}
    assert (await ask({"op": "subscribe", "channel": "system"}))["code"] == 6
    assert len((await ask({"op": "list"}))["result"]) == 256


def compressed(message: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    wire = bytearray(masked(1, (deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]))
    wire[0] |= 0x40
    return bytes(wire)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (compressed(b'{"op":"ping","x":"' + b"x" * 65_516 + b'"}'), None),  # 65,536 bytes
        (compressed(b'{"op":"ping","x":"' + b"x" * 65_517 + b'"}'), 1009),
        (compressed(b"0" * (50 << 20)), 1009),
        (bytes([0xC1]) + masked(1, b"no deflate")[1:], 1007),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_compressed_message_is_inflated_to_what_may_come_in_and_no_further(
    start: Start, message: bytes, code: int | None
) -> None:
    running = start()
    client = await connect(running.port("listen 1"), headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
    running.callers.append(client)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    client.transport.write(message)
    if code is None:
        assert (await client.next())["op"] == "pong"
    else:
        assert await client.close_code() == code
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000  # KiB


@pytest_twisted.ensureDeferred
async def test_compression_that_is_off_is_neither_agreed_to_nor_taken(start: Start) -> None:
    running = start(clients__compression=False)
    offer = "permessage-deflate; client_max_window_bits, permessage-bzip2, permessage-brotli, permessage-snappy"
    client = await connect(running.port("listen 1"), headers={"Sec-WebSocket-Extensions": offer})
    running.callers.append(client)
    assert client.head is not None
    assert b"extensions" not in client.head.lower()
    bomb = bytearray(masked(1, bytes(1000)))
    bomb[0] |= 0x40  # RSV1: compressed
    client.transport.write(bytes(bomb))

    assert await client.close_code() == 1002
