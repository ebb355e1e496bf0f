"""The auth service's client on a reactor in memory: real Agent and pool, a clock of ours. Faults: end_to_end."""

import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, eventAsText
from twisted.python.failure import Failure

from exchange_push.edge.auth import AuthService
from exchange_push.errors import AuthError, AuthRefused, AuthUnavailable
from exchange_push.pubsub.login import Login

URL = "http://127.0.0.1:8000/websocket_auth"


class Exchange:
    """An AuthService on a reactor in memory, and the auth service's end of its connections."""

    def __init__(self, **options):
        self.reactor = MemoryReactorClock()
        self.service = AuthService(self.reactor, URL, **options)
        self.service.startService()
        self.results = []

    def look_up(self, token):
        self.service.look_up(token, self.results.append)

    def accept(self, index=-1):
        """Let a connection be made; gives the Agent's protocol on it."""
        connection = self.reactor.tcpClients[index][2].buildProtocol(None)
        connection.makeConnection(StringTransport())
        return connection

    @property
    def connections(self):
        return len(self.reactor.tcpClients)


def sent(connection):
    """The request on a connection since last asked: its head in lower case, and its body."""
    head, _, body = connection.transport.value().partition(b"\r\n\r\n")
    connection.transport.clear()
    return head.decode().lower(), body


def answer(connection, body, status=200, headers=""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    connection.dataReceived(head.encode() + body)


def close(connection):
    connection.connectionLost(Failure(ConnectionDone()))


def kinds(results):
    return [type(result) for result in results]


@pytest.mark.parametrize("token", ["abc", '"}', '","uid":1,"', "line\nbreak", "tökén", "", "x" * 4096])
def test_the_token_is_sent_as_json_whatever_it_holds(token):
    exchange = Exchange()
    exchange.look_up(token)
    head, body = sent(exchange.accept())
    assert head.startswith("post /websocket_auth http/1.1\r\n")
    assert "content-type: application/json" in head
    assert json.loads(body) == {"token": token}


@pytest.mark.parametrize("token", ["abc", "a&uid=1", "ä=%26"])
def test_the_token_is_sent_as_a_form_where_configured(token):
    exchange = Exchange(format="form")
    exchange.look_up(token)
    head, body = sent(exchange.accept())
    assert "content-type: application/x-www-form-urlencoded" in head
    assert parse_qs(body.decode()) == {"token": [token]}


def test_no_compressed_answer_is_asked_for():
    exchange = Exchange()
    exchange.look_up("abc")
    head, _ = sent(exchange.accept())
    assert "encoding" not in head


@pytest.mark.parametrize("token", ["x" * 4097, "é" * 2049, "\ud800"])
def test_a_token_that_no_service_gave_out_is_refused_without_a_call(token):
    exchange = Exchange()
    exchange.look_up(token)
    assert kinds(exchange.results) == [AuthRefused]
    assert exchange.connections == 0


@pytest.mark.parametrize(
    ("body", "login"),
    [
        ({"uid": 1001}, Login("1001", None)),
        ({"uid": 2**53 - 1}, Login(str(2**53 - 1), None)),
        ({"uid": "01001"}, Login("01001", None)),
        ({"uid": "a_b-C" * 12 + "1234"}, Login("a_b-C" * 12 + "1234", None)),
        ({"uid": 1, "expires_in": 3600}, Login("1", 3600)),
        ({"uid": 1, "expires_in": 0.5}, Login("1", 0.5)),
        ({"uid": 1, "expires_in": None}, Login("1", None)),
        ({"name": {"x": [1]}, "uid": 1}, Login("1", None)),
        (b' {"uid" : 7}\r\n', Login("7", None)),
    ],
)
def test_a_valid_uid_logs_in(body, login):
    exchange = Exchange()
    exchange.look_up("abc")
    answer(exchange.accept(), body)
    assert exchange.results == [login]


NONSENSE = [
    *({"uid": uid} for uid in (None, True, False, 0, -1, 2**53, 2**64, 10**30, 1.0, 1.5, [], {}, [1001], {"id": 1})),
    *({"uid": uid} for uid in ("", "a" * 65, "a b", "a@b", "1001\n", "é", "１", "*", "a.b", "\x00")),
    *({"uid": 1, "expires_in": seconds} for seconds in (0, -1, "60", True, [])),
    *(b'{"uid":%s}' % uid for uid in (b"1e3", b"01", b"+1", b"NaN", b'"\\ud800"', b'"\xff"', b"")),
    *([1001], 1001, "1001", None, {}, {"UID": 1001}, b"", b"{}{}", b'{"uid":1', b'\xef\xbb\xbf{"uid":1}'),
    *(b'{"uid":1,"x":' + b"[" * 2000 + b"]" * 2000 + b"}", b'{"uid":1}'.decode().encode("utf-16")),
    b'{"uid":1}' + b" " * 4088,
]


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_never_logs_in(body):
    exchange = Exchange()
    exchange.look_up("abc")
    answer(exchange.accept(), body)
    assert kinds(exchange.results) == [AuthUnavailable]
    assert exchange.service.unavailable == 1


@given(st.integers() | st.text(max_size=70) | st.booleans() | st.floats(allow_nan=False))
def test_only_what_the_spec_calls_a_uid_is_one(uid):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    if type(uid) is int:
        valid = 0 < uid < 2**53
    else:
        valid = isinstance(uid, str) and 0 < len(uid) <= 64 and all(letter in letters for letter in uid)
    exchange = Exchange()
    exchange.look_up("abc")
    answer(exchange.accept(), {"uid": uid})
    if valid:
        assert exchange.results == [Login(str(uid), None)]
    else:
        assert kinds(exchange.results) == [AuthUnavailable]


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("body", [b"", b"<html>", {"uid": 1001}, b"x" * 100_000], ids=range(4))
def test_the_status_alone_refuses(status, body):
    exchange = Exchange()
    exchange.look_up("abc")
    answer(exchange.accept(), body, status)
    assert kinds(exchange.results) == [AuthRefused]
    assert exchange.service.refused == 1


@pytest.mark.parametrize("status", [201, 202, 204, 206, 301, 302, 303, 307, 308, 400, 402, 429, 500, 503])
def test_any_other_status_is_no_answer(status):
    exchange = Exchange()
    exchange.look_up("abc")
    body = b"" if status == 204 else b'{"uid":1001}'
    answer(exchange.accept(), body, status, "Location: http://127.0.0.1:8000/elsewhere\r\n")
    assert kinds(exchange.results) == [AuthUnavailable]
    assert exchange.connections == 1


def test_equal_tokens_at_the_same_moment_share_one_call():
    exchange = Exchange()
    for _ in range(1000):
        exchange.look_up("abc")
    exchange.look_up("other")
    assert exchange.connections == 2
    answer(exchange.accept(0), {"uid": 1001})
    assert exchange.results == [Login("1001", None)] * 1000
    assert (exchange.service.calls, exchange.service.shared) == (2, 999)


def test_an_answer_is_not_remembered_for_the_next_moment():
    exchange = Exchange()
    exchange.look_up("abc")
    connection = exchange.accept()
    answer(connection, {"uid": 1001})
    exchange.look_up("abc")
    answer(connection, b"", 401)
    assert kinds(exchange.results) == [Login, AuthRefused]


def test_connections_are_kept_and_cookies_are_not():
    exchange = Exchange()
    exchange.look_up("alice")
    connection = exchange.accept()
    sent(connection)
    answer(connection, {"uid": 1}, headers="Set-Cookie: sid=alice; Path=/\r\n")
    exchange.look_up("bob")
    head, body = sent(connection)
    assert exchange.connections == 1
    assert json.loads(body) == {"token": "bob"}
    assert "cookie" not in head


def test_what_is_over_the_limit_waits_and_goes_out_in_order():
    exchange = Exchange(in_flight=2)
    for token in "abcde":
        exchange.look_up(token)
    assert (exchange.connections, exchange.service.waiting) == (2, 3)
    connection = exchange.accept(0)
    for uid, token in enumerate("acd"):  # b is on the other connection, and gets no answer
        assert json.loads(sent(connection)[1]) == {"token": token}
        answer(connection, {"uid": uid + 1})
    assert json.loads(sent(connection)[1]) == {"token": "e"}
    assert exchange.connections == 2
    assert exchange.results == [Login("1", None), Login("2", None), Login("3", None)]
    assert (exchange.service.in_flight_peak, exchange.service.in_flight, exchange.service.waiting) == (2, 2, 0)


def test_the_queue_is_bounded():
    exchange = Exchange(in_flight=1, queue=3)
    for token in "abcde":
        exchange.look_up(token)
    assert kinds(exchange.results) == [AuthUnavailable]
    assert exchange.service.waiting == 3


def test_the_deadline_of_a_waiting_call_starts_when_it_is_sent():
    exchange = Exchange(in_flight=1, timeout_s=2)
    exchange.look_up("slow")
    exchange.accept()
    exchange.reactor.advance(1)
    exchange.look_up("next")
    exchange.reactor.advance(1)
    assert len(exchange.results) == 1
    connection = exchange.accept()
    exchange.reactor.advance(1.9)
    answer(connection, {"uid": 2})
    assert kinds(exchange.results) == [AuthUnavailable, Login]


def test_nobody_waits_in_the_queue_for_ever():
    exchange = Exchange(in_flight=1, timeout_s=60, wait_s=10)
    exchange.look_up("slow")
    exchange.look_up("waits")
    exchange.reactor.advance(9.9)
    assert exchange.results == []
    exchange.look_up("waits")
    exchange.reactor.advance(0.2)
    assert kinds(exchange.results) == [AuthUnavailable] * 2
    assert exchange.service.waiting == 0


@pytest.mark.parametrize("heard", [b"", b"HTTP/1.1 200", b'HTTP/1.1 200 X\r\nContent-Length: 50\r\n\r\n{"uid":1001}'])
def test_one_deadline_spans_the_whole_answer(heard):
    exchange = Exchange(timeout_s=2)
    exchange.look_up("abc")
    connection = exchange.accept()
    connection.dataReceived(heard)
    exchange.reactor.advance(1.99)
    assert exchange.results == []
    exchange.reactor.advance(0.02)
    assert kinds(exchange.results) == [AuthUnavailable]
    transport = connection.transport
    assert transport.disconnecting or transport.aborting


def test_a_connection_closed_for_too_long_an_answer_is_not_used_again():
    exchange = Exchange()
    exchange.look_up("a")
    answer(exchange.accept(), b"<p>" * 5000, 404)
    exchange.look_up("b")
    answer(exchange.accept(), {"uid": 2})
    assert kinds(exchange.results) == [AuthRefused, Login]
    assert (exchange.connections, exchange.service.retried) == (2, 0)


def test_a_call_goes_out_again_when_its_kept_connection_had_died():
    exchange = Exchange()
    exchange.look_up("a")
    kept = exchange.accept()
    answer(kept, {"uid": 1})
    exchange.look_up("b")
    close(kept)
    answer(exchange.accept(), {"uid": 2})
    assert exchange.results == [Login("1", None), Login("2", None)]
    assert (exchange.connections, exchange.service.calls, exchange.service.retried) == (2, 2, 1)


def test_it_goes_out_again_only_once():
    exchange = Exchange()
    exchange.look_up("a")
    kept = exchange.accept()
    answer(kept, {"uid": 1})
    exchange.look_up("b")
    close(kept)
    close(exchange.accept())
    assert kinds(exchange.results) == [Login, AuthUnavailable]
    assert exchange.connections == 2


def test_a_new_connection_that_dies_is_not_tried_again():
    exchange = Exchange()
    exchange.look_up("a")
    close(exchange.accept())
    assert kinds(exchange.results) == [AuthUnavailable]
    assert exchange.connections == 1


def test_a_kept_connection_that_stays_silent_is_not_asked_twice():
    exchange = Exchange(timeout_s=2)
    exchange.look_up("a")
    kept = exchange.accept()
    answer(kept, {"uid": 1})
    exchange.look_up("b")
    exchange.reactor.advance(2)
    assert kinds(exchange.results) == [Login, AuthUnavailable]
    assert exchange.connections == 1


def test_a_stop_answers_all_and_leaves_nothing_behind():
    exchange = Exchange(in_flight=2)
    exchange.look_up("done")
    answer(exchange.accept(), {"uid": 1})
    for token in "abcd":
        exchange.look_up(token)
    exchange.look_up("d")
    stopped = exchange.service.stopService()
    assert isinstance(stopped, Deferred)
    exchange.look_up("late")
    assert kinds(exchange.results) == [Login] + [AuthUnavailable] * 6
    assert exchange.service.in_flight == 0
    assert exchange.reactor.getDelayedCalls() == []


def test_one_session_that_fails_keeps_no_other_from_its_answer(logged_failures):
    exchange = Exchange()

    def fails(result):
        raise ZeroDivisionError

    exchange.service.look_up("abc", fails)
    exchange.look_up("abc")
    answer(exchange.accept(), {"uid": 1001})
    assert exchange.results == [Login("1001", None)]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_failures_are_logged_once_a_second_by_their_class_and_never_with_the_token():
    exchange = Exchange()
    with capturedLogs() as events:
        for number in range(50):
            exchange.look_up(f"canary-{number}")
            error = ConnectionRefusedError(f"canary-{number}")
            exchange.reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(error))
            exchange.reactor.advance(0.4)  # time enough to see that there is no other address
    assert kinds(exchange.results) == [AuthUnavailable] * 50
    lines = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]
    assert len(lines) == 17
    assert "ConnectionRefusedError" in lines[0]
    assert "2 more before" in lines[1]
    everything = repr(events) + repr(exchange.results) + "".join(lines)
    assert "canary" not in everything


def test_what_a_session_is_told_holds_no_token():
    exchange = Exchange()
    exchange.look_up("canary-x")
    answer(exchange.accept(), b'{"uid":"canary-x y"}')
    error = exchange.results[0]
    assert isinstance(error, AuthError)
    assert "canary" not in repr(error)
    assert error.__cause__ is None
