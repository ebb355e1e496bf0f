"""Noise on every port of a whole server: valid conversations, damaged at random. Seeded, so that it can be repeated."""

import random
from collections.abc import Callable

import msgpack
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from tests.end_to_end.conftest import Start
from tests.end_to_end.running import Running
from tests.wsclient import handshake, masked

CALLERS = 300
SHAKEN = handshake("/exchange-stream", {})
PACKED = handshake("/exchange-stream", {"Sec-WebSocket-Protocol": "exchange-push.msgpack"})
REQUESTS = [
    b'{"op":"auth","token":"***","id":1}',
    b'{"op":"subscribe","channels":["@balance","BTCUSDT@depth","*@ticker"],"checksum":true}',
    b'{"op":"unsubscribe","channel":"BTCUSDT@kline"}',
    b'{"op":"list","id":"x"}',
    b'{"op":"ping"}',
]
PUSHES = [
    b'{"c":"ex:1001@balance","d":"{}","k":"key","i":1}',
    b'[{"c":"BTCUSDT@ticker","d":{"a":[1.5,null]}},{"c":"1001@order","d":"aGk=","t":"binary"}]',
    b'{"e":[["trade","BTCUSDT",1,"100","2","buy",1700000000000,null],["user",1001,"balance",{"BTC":"1"}]]}',
]


def websocket(chance: random.Random) -> bytes:
    frames = [masked(chance.choice((1, 1, 1, 2, 8, 9, 10, 3)), chance.choice(REQUESTS)) for _ in range(5)]
    return SHAKEN + b"".join(frames)


def packed(chance: random.Random) -> bytes:
    message = {"op": chance.choice(("auth", "list", "subscribe")), "token": "***", "channels": ["@balance"], "id": -1}
    return PACKED + masked(2, msgpack.packb(message)) * 3


def post(chance: random.Random) -> bytes:
    path = chance.choice((b"/v1/mesh/publish", b"/v1/mesh/send", b"/v1/events", b"/v1/users/1001/logout"))
    body = chance.choice(PUSHES)
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


def internal_websocket(chance: random.Random) -> bytes:
    message = b'{"m":"mesh.publish","p":%b,"i":1}' % PUSHES[0]
    return handshake("/ws/v1", {}) + masked(1, message) * 3 + masked(1, b"ping")


def lines(chance: random.Random) -> bytes:
    return b"\n".join(chance.choices(PUSHES, k=4)) + b"\n"


def page(chance: random.Random) -> bytes:
    return b"GET /v1/symbols?a=b HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\n\r\n"


def damaged(data: bytes, chance: random.Random) -> bytes:
    """With bytes changed, left out, doubled or added; or as it was."""
    found = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 5, 50))):
        at, size = chance.randrange(len(found)), chance.choice((1, 1, 4, 50))
        match chance.randrange(4):
            case 0:
                found[at : at + size] = chance.randbytes(size)
            case 1 if len(found) > size + 1:
                del found[at : at + size]
            case 2:
                found[at:at] = found[at : at + size]
            case 3:
                found[at:at] = chance.choice(
                    (b"\0", b"\xff", b'"', b"[" * 1200, b"{", b"9" * 400, b"\r\n", b"\xed\xa0\x80")
                )
    return bytes(found)


async def say(running: Running, port: str, data: bytes, chance: random.Random) -> None:
    caller = await running.raw(port)
    cut = chance.randrange(len(data))
    caller.transport.write(data[:cut])
    await running.until(lambda: caller.lost is not None or bool(caller.data) or chance.random() < 0.3)
    caller.transport.write(data[cut:])
    await running.until(lambda: caller.lost is not None or chance.random() < 0.2)
    if caller.lost is None:
        await caller.leave()


@pytest.mark.parametrize(
    ("port", "make"),
    [
        ("listen 1", websocket),
        ("listen 1", packed),
        ("listen 1", page),
        ("api", post),
        ("api", internal_websocket),
        ("lines", lines),
    ],
)
@pytest_twisted.ensureDeferred
async def test_noise_is_no_fault_of_ours_and_leaves_nothing_behind(
    start: Start, port: str, make: Callable[[random.Random], bytes]
) -> None:
    chance = random.Random(port + make.__name__)
    running = start()
    user = await running.client("@balance", token="bob")
    noise = [damaged(make(chance), chance) for _ in range(CALLERS)]
    for begin in range(0, CALLERS, 50):
        some = noise[begin : begin + 50]
        await gatherResults([Deferred.fromCoroutine(say(running, port, data, chance)) for data in some])
    server = running.server

    await running.until(lambda: len(server.clients.connected) == 1)
    await running.until(lambda: not server.pushes.connected and not server.lines.connected)
    faults = (server.clients.faults, server.clients.turn.faults, server.desk.faults, server.api.faults)
    assert (*faults, server.pushes.faults, server.ticks.faults) == (0, 0, 0, 0, 0, 0)
    assert list(server.hub.sessions.values()) == [next(iter(server.clients.connected)).session]
    assert [str(channel) for channel, _ in server.hub.channels()] == ["1002@balance"]
    assert await running.push({"c": "1002@balance", "d": "still here"}) == {"E": None, "r": {"s": 1, "f": 0}}
    assert await user.raw() == (1, b"still here")
