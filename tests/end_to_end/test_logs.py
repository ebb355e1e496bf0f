"""What gets into the logs of a whole server: no secret of anybody's, and no line that a peer wrote."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor as imported_reactor
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from exchange_push.errors import quoted
from exchange_push.wire.packet import encode
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import Running
from tests.end_to_end.test_auth_faults import FAULTS, TIMEOUT_S, Backend
from tests.fakes import LoggedFailures
from tests.wsclient import connect, handshake, masked

reactor: Any = imported_reactor

# A client's token, the internal secret, a wrong one, a payload, and what the auth service says of it all.
TOKEN, SECRET, WRONG, PAYLOAD, ANSWER = (f"canary-{number}-7d1f" for number in range(5))
CANARIES = (TOKEN, SECRET, WRONG, PAYLOAD, ANSWER)
BEARER = {"Authorization": f"Bearer {SECRET}"}


class Boom(Exception):
    pass


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The text of each event of a log, traceback and all."""
    texts: list[str] = []

    def observe(event: LogEvent) -> None:
        texts.append(eventAsText(event, includeTimestamp=False, includeSystem=False))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


async def every_way(running: Running, text: str) -> None:
    """Say something in all places where a peer can: token, channel, op, id, path, header, push, event."""
    escaped = json.dumps(text)
    client = await running.client()
    for message in (
        {"op": "auth", "token": text},
        {"op": "auth", "token": text + "\n"},
        {"op": "auth", "token": [text]},
        {"op": text, "token": text},
        {"op": "subscribe", "channel": text},
        {"op": "subscribe", "channel": text + "@depth", "checksum": text},
        {"op": "list", "id": [text]},
    ):
        reply = await client.ask(message)
        assert message["op"] != "auth" or len(text) < 3 or text not in reply["msg"], "an answer echoes no token"
    client.send(escaped.encode()[:-1])
    await client.next()
    client.transport.write(masked(2, text.encode()))
    await client.close_code()
    raw = text.encode("utf-8", "replace")
    for port, head in (
        ("listen 1", b"GET /exchange-stream?token=%b HTTP/1.1\r\nX: %b\r\n\r\n" % (raw, raw)),
        ("listen 1", b"GET /%b HTTP/1.1\r\nOrigin: %b\r\n\r\n" % (raw, raw)),
        ("listen 1", b"%b /v1/symbols HTTP/1.1\r\n\r\n" % raw),
        ("listen 1", raw + b"\r\n\r\n"),
        ("api", b"GET /metrics?x=%b HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\n\r\n" % (raw, raw, raw)),
        ("api", b"POST /v1/users/%b/logout HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{" % raw),
        ("api", handshake("/ws/v1", {"Origin": text.encode("ascii", "replace").decode(), "X": "y"})),
        ("lines", escaped.encode() + b"\n" + raw + b'\n{"auth":' + escaped.encode() + b"}\n"),
    ):
        caller = await running.raw(port)
        caller.transport.write(head)
        await caller.until(lambda caller=caller: bool(caller.data) or caller.lost is not None)  # type: ignore[misc]
        await caller.leave()
    for header in ("X-Forwarded-For", "User-Agent", "Sec-WebSocket-Protocol", "Origin"):
        shaken = await connect(running.port("listen 1"), headers={header: text.encode("ascii", "replace").decode()})
        await shaken.leave()
    for path, body in (
        ("/v1/mesh/publish", {"c": text, "d": text}),
        ("/v1/mesh/publish", {"c": "1001@balance", "d": text, "t": text, "k": text, "i": text}),
        ("/v1/mesh/send", {"c": text, "d": text}),
        ("/v1/events", [["trade", text], [text], text]),
    ):
        await running.push(body, path, **BEARER)


@pytest_twisted.ensureDeferred
async def test_no_secret_of_anybody_gets_into_a_log_of_a_server_that_fails_wherever_it_can(
    start: Start, log: list[str], logged_failures: LoggedFailures
) -> None:
    running = start(internal__secret=SECRET, auth__timeout_s=TIMEOUT_S)
    for text in (TOKEN, WRONG, PAYLOAD):
        await every_way(running, text)
    running.backend.answers[TOKEN] = {"uid": ANSWER + " " + TOKEN}
    client = await running.client()
    assert (await client.ask({"op": "auth", "token": TOKEN}))["code"] == 9

    def boom(*args: object) -> None:
        raise Boom  # of what our own code says, only its class is its own

    hub, desk = running.server.hub, running.server.desk
    bind, hub.bind = hub.bind, boom  # type: ignore[method-assign]
    running.backend.answers[TOKEN] = {"uid": 1001}
    client.send({"op": "auth", "token": TOKEN})
    assert await client.close_code() == 1011
    hub.bind = bind  # type: ignore[method-assign]
    hub.state = boom  # type: ignore[assignment]
    client = await running.client()
    client.send({"op": "subscribe", "channel": "BTCUSDT@ticker", "token": TOKEN, "x": PAYLOAD})
    assert await client.close_code() == 1011
    desk._publish = boom  # type: ignore[assignment]
    assert (await running.push({"c": "system", "d": PAYLOAD}, **BEARER))["E"]["c"] == 401

    assert len(logged_failures.flush(Boom)) == 3
    assert sum("Traceback" in text for text in log) == 3
    assert len(log) > 5
    for canary in CANARIES:
        assert not [text for text in log if canary in text]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "well"])
@pytest_twisted.ensureDeferred
async def test_no_fault_of_the_auth_service_gets_a_token_into_a_log(start: Start, log: list[str], fault: str) -> None:
    backend = Backend(FAULTS[fault][0])
    running = start(auth__url=backend.url.replace("http://", f"http://user:{SECRET}@"), auth__timeout_s=TIMEOUT_S)
    client = await running.client()
    reply = await client.ask({"op": "auth", "token": TOKEN})
    await backend.stop()

    assert TOKEN not in str(reply)
    assert log, "a start says where it listens"
    assert not [text for text in log if TOKEN in text or SECRET in text]


HOSTILE = [
    "a\nb", "a\r\nb", "a\rb", "\x1b[31mred", "\x1b]0;title\x07", "\x00", "\x07", "\x08\x08\x08", "\x7f", "\x85next",
    "\u2028line", "\u2029paragraph", "\u202eevil", "\u200b", "\ufeff", "%s%n{log_level}", "{0}{log_failure}", "{",
    "}", "{a.__class__}", "\\n", "\\x1b", "<script>", "'\"`$(id)", "../../etc/passwd", "\t\t", "\x0b\x0c",
    "\x1c\x1d\x1e", "2026-01-01T00:00:00+0000 [-] forged", "x" * 5000,
]  # fmt: skip


@pytest_twisted.ensureDeferred
async def test_whatever_a_peer_says_is_one_printable_line_of_a_log_at_most(start: Start, log: list[str]) -> None:
    assert len(HOSTILE) == 30
    running = start(auth__timeout_s=TIMEOUT_S, clients__proxies=["127.0.0.1"])
    for text in HOSTILE:
        await every_way(running, text)
        running.datagram(text.encode())
        running.datagram(encode(1, 1, [["trade", text, text], [text]]))
        running.datagram(msgspec.msgpack.encode([1, 1, 1, [[text]]]))
        assert quoted(text).isprintable()
    await running.until(lambda: running.server.feed.lines[0].malformed >= 30)

    assert log
    for event in log:
        assert event.isprintable(), event
        assert len(event) < 500
    ours = [event for event in log if "factory" not in event and "/websocket_auth" not in event]  # not the test's own
    assert len(ours) < 40, "malformed input is logged at most once a period"
