import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import capturedLogs

from exchange_push.intake.gate import Gate
from exchange_push.intake.line import LINE_BYTES, PushLine, PushLines
from tests.fakes import LoggedFailures
from tests.intake.office import CURL_MESSAGE, NOBODY, SENT, Broken, Office
from tests.wsclient import RawClient, connect_raw

CANARY = "canary-2f1c8e"
PUSH = b'{"c":"1001@balance","d":"x"}'


class Peer:
    """A back end on a transport of strings."""

    def __init__(self, secret: str | None = None, **options: Any) -> None:
        self.office = Office()
        self.clock = Clock()
        self.gate = Gate(secret)
        self.lines = PushLines(self.clock, self.office.desk, self.gate, **options)
        self.line: PushLine = self.lines.buildProtocol(None)
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self.line
        self.line.makeConnection(self.transport)

    def says(self, data: bytes) -> list[Any]:
        """The answers to it."""
        self.line.dataReceived(data)
        return self.answers()

    def answers(self) -> list[Any]:
        sent = self.transport.value()
        self.transport.clear()
        assert sent == b"" or sent.endswith(b"\n")
        return [json.loads(answer) for answer in sent.split(b"\n")[:-1]]

    def codes(self, data: bytes) -> list[int | None]:
        return [answer["E"] and answer["E"]["c"] for answer in self.says(data)]


def sized(size: int) -> bytes:
    """A push of exactly so many bytes, without its line end."""
    head = b'{"c":"1001@balance","d":"'
    return head + b"x" * (size - len(head) - 2) + b'"}'


# -- lines and answers


def test_a_line_is_a_push_and_its_answer_a_line() -> None:
    peer = Peer()
    user = peer.office.listener("@balance", "1001")
    line = json.dumps({"c": "ex:1001@balance", "d": CURL_MESSAGE.decode()}).encode()
    assert peer.says(line + b"\n") == [SENT]
    assert user.raw() == [(1, CURL_MESSAGE)]


def test_lines_end_with_lf_or_crlf_and_empty_ones_are_ignored() -> None:
    peer = Peer()
    assert peer.says(PUSH + b"\n" + PUSH + b"\r\n\r\n\n \n" + PUSH + b"\n") == [NOBODY] * 3
    assert peer.lines.lines == 3


def test_answers_come_in_the_order_of_the_lines() -> None:
    peer = Peer()
    lines = b"".join(b'{"c":"1001@balance","d":"x","i":%d}\n' % number for number in range(5000))
    assert [answer["i"] for answer in peer.says(lines)] == list(range(5000))


def test_an_array_is_answered_by_an_array_on_one_line() -> None:
    assert Peer().says(b"[" + PUSH + b"," + PUSH + b"]\n") == [[NOBODY, NOBODY]]


def test_events_are_taken_on_a_line() -> None:
    peer = Peer()
    events = b'{"e":[["trade","BTCUSDT",1,"7.60","2","buy",1700000000000],["trade"]]}\n'
    assert peer.says(events) == [{"E": None, "r": {"s": 1, "f": 1}}]


@given(st.binary(max_size=60), st.lists(st.integers(1, 9), max_size=30), st.randoms(use_true_random=False))
def test_how_bytes_are_cut_on_their_way_changes_nothing(noise: bytes, sizes: list[int], order: random.Random) -> None:
    pieces = [noise, PUSH, b"\n", PUSH + b"\r\n", b"[]\n", b"?" * 50 + b"\n", b"x" * 3 + b"\n"]
    order.shuffle(pieces)
    data = b"".join([PUSH, b"\n", *pieces, b"\n"])
    whole, cut = Peer(limit_bytes=40), Peer(limit_bytes=40)
    answers = []
    rest = data
    for size in sizes:
        answers += cut.says(rest[:size])
        rest = rest[size:]
    answers += cut.says(rest)
    assert answers == whole.says(data)


@given(st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b"")), max_size=20))
def test_every_line_that_holds_something_has_one_answer(lines: list[bytes]) -> None:
    peer = Peer(limit_bytes=40)
    first = peer.says(PUSH + b"\n")
    answers = first + peer.says(b"".join(line + b"\n" for line in lines))
    assert len(answers) == 1 + sum(1 for line in lines if line.strip() or len(line.removesuffix(b"\r")) > 40)


# -- what is too long, and what is no JSON (S19)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("size", "expected"),
    [(63, None), (64, None), (65, 413), (66, 413), (127, 413), (128, 413), (129, 413), (65_536, 413), (262_144, 413)],
)
def test_the_limit_of_a_line_is_exact(size: int, expected: int | None, end: bytes) -> None:
    for step in (1 << 20, 61, 1):
        if step == 1 and size > 200:
            continue
        peer = Peer(limit_bytes=64)
        data = sized(size) + end
        codes: list[int | None] = []
        for at in range(0, len(data), step):
            codes += peer.codes(data[at : at + step])
        assert codes == [expected]
        assert peer.codes(PUSH + end) == [None]


def test_a_line_of_two_mebibytes_is_answered_with_its_size_and_the_next_one_is_taken() -> None:
    peer = Peer()
    line = sized(2 << 20)
    assert peer.codes(sized(LINE_BYTES) + b"\n") == [None]
    held = 0
    for at in range(0, len(line), 65_536):
        assert peer.says(line[at : at + 65_536]) == []
        held = max(held, len(peer.line._line))
    (answer,) = peer.says(b"\n")
    assert answer["E"]["c"] == 413
    assert str(2 << 20) in answer["E"]["m"]
    assert str(LINE_BYTES) in answer["E"]["m"]
    assert held <= LINE_BYTES + 1
    assert peer.says(PUSH + b"\n") == [NOBODY]
    assert peer.lines.too_long == 1


def test_without_any_line_end_it_is_answered_once_after_a_second_of_silence() -> None:
    peer = Peer()
    for _ in range(3):
        assert peer.says(b"x" * (1 << 20)) == []
    peer.clock.advance(0.9)
    assert peer.answers() == []
    peer.clock.advance(0.1)
    (answer,) = peer.answers()
    assert answer["E"]["c"] == 413
    assert str(3 << 20) in answer["E"]["m"]
    assert peer.says(b"x" * (1 << 20)) == []
    assert peer.says(b"x\n" + PUSH + b"\n") == [NOBODY], "the end of that line has no second answer"
    assert peer.lines.too_long == 1


@pytest.mark.parametrize(
    "line", [b"HELLO", b"HELLO WORLD", b"{", b"\0", b"\xff\xfe", b"\x16\x03\x01", b"5", b"null", b"{}" * 9, b"'"]
)
def test_what_is_no_request_is_answered_and_the_connection_lives_on(line: bytes) -> None:
    peer = Peer()
    assert peer.codes(line + b"\n" + PUSH + b"\n") == [101, None]
    assert peer.transport.connected


@pytest.mark.parametrize("piece", [b" ", b"x" * 10_000], ids=["short", "too long"])
def test_a_line_that_drips_must_end_in_time_whatever_its_pace(piece: bytes) -> None:
    peer = Peer(line_s=30, limit_bytes=100_000)
    for _ in range(59):
        assert peer.says(piece) == []
        peer.clock.advance(0.5)
    assert peer.transport.connected
    peer.clock.advance(0.5)
    peer.clock.advance(0)
    assert [answer["E"]["c"] for answer in peer.answers()] == [101 if piece == b" " else 413]
    assert not peer.transport.connected
    assert peer.lines.unended == 1


def test_each_line_has_its_own_time() -> None:
    peer = Peer(line_s=30)
    peer.says(PUSH[:5])
    for _ in range(9):
        peer.clock.advance(29)
        assert peer.says(PUSH[5:] + b"\n" + PUSH[:5]) == [NOBODY]
    assert peer.transport.connected


def test_who_does_not_tell_the_secret_in_time_is_sent_away() -> None:
    silent, known = Peer("secret", line_s=30), Peer("secret", line_s=30)
    known.says(b'{"auth":"secret"}\n')
    silent.says(PUSH + b"\n")
    for peer in (silent, known):
        peer.clock.advance(30)
    assert [answer["E"]["c"] for answer in silent.answers()] == [403]
    assert not silent.transport.connected
    assert known.transport.connected
    assert known.says(PUSH + b"\n") == [NOBODY]


def test_a_stop_ends_a_connection_after_its_answers() -> None:
    peer = Peer()
    peer.line.dataReceived(PUSH + b"\n" + PUSH)
    peer.line.leave()
    peer.line.leave()
    assert peer.answers() == [NOBODY]
    assert not peer.transport.connected


def test_between_lines_a_connection_may_be_silent_for_ever() -> None:
    peer = Peer(line_s=30)
    peer.says(PUSH + b"\n")
    peer.clock.advance(1e6)
    assert peer.says(PUSH + b"\n") == [NOBODY]
    assert peer.clock.getDelayedCalls() == []


def test_a_fault_of_ours_is_answered_and_the_connection_lives_on(logged_failures: LoggedFailures) -> None:
    peer = Peer()
    peer.office.broken = True
    assert peer.codes(PUSH + b"\n") == [401]
    peer.office.broken = False
    assert peer.says(PUSH + b"\n") == [NOBODY]
    assert len(logged_failures.flush(Broken)) == 1


# -- who may push


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /x HTTP/1.0\r\n",
        b"POST / HTTP/1.1\n",
        b"\r\nOPTIONS * HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"BREW /pot HTTP/1.1\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n",
        b"GET /" + b"x" * (2 << 20) + b" HTTP/1.1\r\n",
    ],
    ids=lambda head: repr(head[:20]),
)
def test_a_browser_is_sent_away_before_its_body_is_looked_at(head: bytes) -> None:
    for step in (1 << 30, 65_536):
        peer = Peer()
        user = peer.office.listener("@balance", "1001")
        data = head + b"Host: 127.0.0.1:6792\r\n\r\n" + PUSH + b"\n"
        for at in range(0, len(data), step):
            if peer.transport.connected:
                peer.line.dataReceived(data[at : at + step])
        assert not peer.transport.connected
        assert user.raw() == []
        assert peer.transport.value() == b""
        assert peer.lines.browsers == 1


def test_a_long_first_line_under_a_small_limit_is_still_known_as_a_browsers() -> None:
    peer = Peer(limit_bytes=16)
    peer.line.dataReceived(b"GET /" + b"x" * 1000)
    assert not peer.transport.connected


def test_a_secret_is_asked_for_first() -> None:
    peer = Peer(secret=CANARY)
    user = peer.office.listener("@balance", "1001")
    assert peer.codes(PUSH + b"\n") == [403]
    assert user.raw() == []
    assert peer.says(b'{"auth":"%b","i":1}\n' % CANARY.encode()) == [{"E": None, "r": {"s": True}, "i": 1}]
    assert peer.says(PUSH + b"\n") == [SENT]


def test_without_a_secret_the_greeting_is_welcome_but_not_needed() -> None:
    assert Peer().says(b'{"auth":"anything"}\n' + PUSH + b"\n") == [{"E": None, "r": {"s": True}}, NOBODY]


@pytest.mark.parametrize(
    "line",
    [
        b'{"auth":"wrong"}',
        b'{"auth":""}',
        b'{"auth":"' + CANARY.encode() + b' "}',
        b'{"auth":"\\u00e9"}',
        b'{"auth":null}',
        b'{"auth":5}',
        b'[{"auth":"' + CANARY.encode() + b'"},' + PUSH + b"]",
        PUSH,
        b"?",
    ],
)
def test_who_does_not_know_the_secret_is_sent_away_after_three_lines(line: bytes) -> None:
    peer = Peer(secret=CANARY)
    user = peer.office.listener("@balance", "1001")
    assert peer.codes((line + b"\n") * 5) == [403] * 3
    assert not peer.transport.connected
    assert user.raw() == []
    assert peer.lines.strange == 3


def test_neither_secret_nor_payload_nor_control_characters_get_into_a_log() -> None:
    with capturedLogs() as events:
        for secret in (None, CANARY):
            peer = Peer(secret=secret)
            for text in ("\r\nInjected: 1", "\x1b[31m", "\0", "\u2028", CANARY):
                peer.line.dataReceived(json.dumps({"auth": text}).encode() + b"\n")
                peer.line.dataReceived(json.dumps({"c": text, "d": CANARY}).encode() + b"\n")
    assert [event for event in events if CANARY in str(event) or "Injected" in str(event)] == []


# -- over a socket


class Server:
    """A listening port for push lines."""

    def __init__(self, **options: Any) -> None:
        self.office = Office()
        self.lines = PushLines(reactor, self.office.desk, Gate(), **options)
        self.listening = reactor.listenTCP(0, self.lines, interface="127.0.0.1")
        self.port: int = self.listening.getHost().port
        self.clients: list[RawClient] = []

    async def connect(self) -> RawClient:
        self.clients.append(await connect_raw(self.port))
        return self.clients[-1]


@pytest_twisted.async_yield_fixture()
async def server() -> AsyncIterator[Server]:
    found = Server()
    yield found
    for client in found.clients:
        await client.leave()
    await found.listening.stopListening()
    while found.lines.connected:
        next(iter(found.lines.connected)).transport.abortConnection()
        await pause()


async def pause() -> None:
    from twisted.internet.task import deferLater

    await deferLater(reactor, 0.005, lambda: None)


@pytest_twisted.ensureDeferred
async def test_who_stops_sending_still_gets_all_answers(server: Server) -> None:
    client = await server.connect()
    client.transport.write((PUSH + b"\n") * 1000 + PUSH)
    client.transport.loseWriteConnection()
    await client.gone()
    assert client.data.count(b"\n") == 1001, "the last line needs no end"


@pytest_twisted.ensureDeferred
async def test_many_lines_at_once_are_answered_over_a_socket(server: Server) -> None:
    client = await server.connect()
    client.transport.write(sized(2 << 20) + b"\n" + (PUSH + b"\n") * 20_000)
    await client.until(lambda: client.data.count(b"\n") == 20_001)
    assert json.loads(client.data.partition(b"\n")[0])["E"]["c"] == 413
    assert server.lines.lines == 20_000


@pytest_twisted.ensureDeferred
async def test_who_does_not_read_its_answers_is_read_no_more(server: Server) -> None:
    client = await server.connect()
    client.transport.pauseProducing()
    lines = (b"?\n") * 32_000
    for _ in range(400):
        client.transport.write(lines)
        await pause()
        (line,) = server.lines.connected
        if line._paused:
            break
    assert line._paused
    taken = server.lines.lines
    client.transport.write(lines)
    for _ in range(20):
        await pause()
    assert server.lines.lines == taken
    waiting = len(line.transport.dataBuffer) + line.transport._tempDataLen
    assert waiting < 8 << 20
    client.transport.resumeProducing()
    await client.until(lambda: server.lines.lines > taken)
