"""The WebSocket API: a session that speaks it, and an auth service that the test answers for."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.errors import AuthRefused, AuthUnavailable, CloseCode
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.login import Login
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.dialects.binance.api import API, FUTURES_API, QUESTIONS, Api, Weighed, open
from exchange_push.wire.dialects.binance.errors import unknown_symbol
from tests.pubsub.lobby import BALANCE, ORDER, Client, Lobby

SIGNATURE = "a1" * 32
Done = Callable[[object], None]


class Visitor:
    """A client of the API. Questions are kept in `asked` until the test answers them."""

    def __init__(self, api: Api = API) -> None:
        self.lobby = Lobby()
        self.lobby.clock.advance(1_700_000_000)
        self.asked: list[tuple[str, Mapping[str, str], Done]] = []
        self.lobby.terms = replace(
            self.lobby.terms, ask=lambda name, params, done: self.asked.append((name, params, done))
        )
        self.client = Client(self.lobby, api)

    def ask(self, method: str, request_id: object = 1, **params: object) -> Any:
        message: dict[str, object] = {"id": request_id, "method": method}
        self.client.say({**message, "params": params} if params else message)
        found = self.client.heard()
        return found[0] if found else None

    def signed(self, method: str, **params: object) -> Any:
        now_ms = self.lobby.terms.now_ms()
        return self.ask(method, **{"apiKey": "key", "timestamp": now_ms, "signature": SIGNATURE, **params})

    def subscribe(self, uid: str = "1001") -> None:
        assert self.signed("userDataStream.subscribe.signature") is None
        self.lobby.answer(Login(uid, None))
        assert self.client.heard() == [{"id": 1, "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []}]

    def push(self, kind: Any, data: object, uid: str = "1001") -> list[Any]:
        self.lobby.hub.publish(Publication(Channel(kind, uid), data))
        return self.client.heard()


def error(answer: Any) -> tuple[int, int]:
    assert answer["rateLimits"] == []
    return answer["status"], answer["error"]["code"]


def test_it_is_spoken_on_its_own_path() -> None:
    assert open("/ws-api/v3", "returnRateLimits=true", ()) is not None
    assert open("/ws-api/v3/", "", ()) is not None
    for path in ("/ws-api", "/ws-api/v2", "/ws", "/ws-api/v3/x"):
        assert open(path, "", ()) is None


def test_a_users_events_come_to_who_bears_the_key() -> None:
    visitor = Visitor()
    visitor.subscribe()

    [event] = visitor.push(BALANCE, {"asset": "USDT", "balance": "5", "time": 7})
    assert event["subscriptionId"] == 0
    assert event["event"]["B"] == [{"a": "USDT", "f": "5.00000000", "l": "0.00000000"}]
    [event] = visitor.push(ORDER, {"orderId": 1, "symbol": "BTCUSDT", "status": "NEW"})
    assert (event["event"]["e"], event["event"]["X"]) == ("executionReport", "NEW")
    assert visitor.push(BALANCE, {"asset": "USDT", "balance": "5"}, uid="1002") == []
    assert visitor.push(BALANCE, {"nothing": "known"}) == []


@pytest.mark.parametrize(
    ("found", "status", "code"),
    [(AuthRefused("who?"), 401, -2015), (AuthUnavailable("down"), 503, -1008)],
)
def test_a_key_that_is_not_known_gets_no_events(found: Any, status: int, code: int) -> None:
    visitor = Visitor()
    visitor.signed("userDataStream.subscribe.signature")
    visitor.lobby.answer(found)

    assert error(visitor.client.heard()[0]) == (status, code)
    assert visitor.push(BALANCE, {"asset": "USDT", "balance": "5"}) == []
    assert error(visitor.ask("userDataStream.subscribe")) == (401, -1002)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"apiKey": None}, -1102),
        ({"apiKey": "a key"}, -2014),
        ({"timestamp": None}, -1102),
        ({"timestamp": "now"}, -1100),
        ({"signature": None}, -1102),
        ({"signature": "short"}, -1022),
        ({"signature": "ß" * 64}, -1022),
        ({"recvWindow": 60_001}, -1131),
        ({"apiKey": {}}, -1130),
    ],
)
def test_what_is_signed_has_a_key_a_time_and_the_form_of_a_signature(params: dict[str, object], code: int) -> None:
    visitor = Visitor()

    assert error(visitor.signed("session.logon", **params)) == (400, code)
    assert visitor.lobby.logins == []


@pytest.mark.parametrize(
    ("off_ms", "window", "holds"),
    [(0, None, True), (5000, None, True), (5001, None, False), (-999, None, True), (-1000, None, False), (9, 8, False)],
)
def test_a_signed_request_holds_for_its_window_and_not_before_its_time(
    off_ms: int, window: object, holds: bool
) -> None:
    visitor = Visitor()
    made_ms = visitor.lobby.terms.now_ms() - off_ms
    answer = visitor.signed("session.logon", timestamp=made_ms, recvWindow=window)

    assert len(visitor.lobby.logins) == holds
    if not holds:
        assert error(answer) == (400, -1021)


def test_microseconds_are_a_time_too() -> None:
    visitor = Visitor()
    visitor.signed("session.logon", timestamp=visitor.lobby.terms.now_ms() * 1_000)

    assert len(visitor.lobby.logins) == 1


def test_who_logged_on_subscribes_without_a_signature() -> None:
    visitor = Visitor()
    assert visitor.ask("session.status")["result"]["apiKey"] is None
    visitor.signed("session.logon")
    visitor.lobby.answer(Login("1001", None))
    [answer] = visitor.client.heard()
    status = answer["result"]
    assert (status["apiKey"], status["userDataStream"]) == ("***", False)  # keys are not held, nor told
    assert type(status["authorizedSince"]) is type(status["connectedSince"]) is int

    assert visitor.ask("userDataStream.subscribe")["result"] == {"subscriptionId": 0}
    assert visitor.ask("session.subscriptions")["result"] == [{"subscriptionId": 0}]
    assert visitor.ask("session.status")["result"]["userDataStream"] is True
    assert len(visitor.push(BALANCE, {"asset": "USDT", "balance": "5"})) == 1


def test_subscribing_again_delivers_once() -> None:
    visitor = Visitor()
    visitor.subscribe()
    visitor.subscribe()

    assert len(visitor.push(BALANCE, {"asset": "USDT", "balance": "5"})) == 1


def test_who_unsubscribes_gets_nothing_more() -> None:
    visitor = Visitor()
    visitor.subscribe()
    assert error(visitor.ask("userDataStream.unsubscribe", subscriptionId=3)) == (400, -2036)
    assert visitor.ask("userDataStream.unsubscribe", subscriptionId=0)["result"] == {}

    assert visitor.push(BALANCE, {"asset": "USDT", "balance": "5"}) == []
    assert visitor.ask("session.subscriptions")["result"] == []
    assert visitor.ask("session.status")["result"]["apiKey"] == "***"


def test_a_logout_ends_the_events_and_says_so() -> None:
    visitor = Visitor()
    visitor.subscribe()
    visitor.client.say({"id": 5, "method": "session.logout"})
    ended, answer = visitor.client.heard()

    assert (ended["subscriptionId"], ended["event"]["e"]) == (0, "eventStreamTerminated")
    assert (answer["id"], answer["result"]["apiKey"]) == (5, None)
    assert visitor.push(BALANCE, {"asset": "USDT", "balance": "5"}) == []


def test_a_login_that_expires_ends_the_events_and_says_when() -> None:
    visitor = Visitor()
    visitor.signed("userDataStream.subscribe.signature")
    visitor.lobby.answer(Login("1001", 60))
    visitor.client.heard()
    visitor.lobby.clock.advance(60)

    [ended] = visitor.client.heard()
    assert ended["event"] == {"e": "eventStreamTerminated", "E": visitor.lobby.terms.now_ms()}
    assert visitor.ask("session.subscriptions")["result"] == []


def test_another_users_key_takes_over_the_subscription() -> None:
    visitor = Visitor()
    visitor.subscribe()
    visitor.subscribe("1002")

    assert visitor.push(BALANCE, {"asset": "USDT", "balance": "5"}) == []
    assert len(visitor.push(BALANCE, {"asset": "USDT", "balance": "5"}, uid="1002")) == 1


@pytest.mark.parametrize("request_id", [1, -(2**63), "1", "x" * 36, None])
def test_trap_7_an_id_is_echoed_as_it_came(request_id: object) -> None:
    assert Visitor().ask("session.status", request_id)["id"] == request_id


@pytest.mark.parametrize("request_id", ["x" * 37, 2**63, 1.5, True, [], {}])
def test_an_id_of_another_kind_is_refused(request_id: object) -> None:
    answer = Visitor().ask("session.status", request_id)

    assert (answer["id"], answer["status"]) == (None, 400)


def test_trap_13_errors_are_nested_and_trap_14_all_replies_have_rate_limits() -> None:
    visitor = Visitor()
    answers = [visitor.ask("nothing"), visitor.ask("session.status"), visitor.ask("userDataStream.subscribe")]
    visitor.client.say(b"not JSON")
    visitor.client.say(b"[]")
    visitor.client.say({"id": 1})
    answers += visitor.client.heard()

    assert [list(answer) for answer in answers] == [
        ["id", "status", "error" if answer["status"] != 200 else "result", "rateLimits"] for answer in answers
    ]
    assert [answer["status"] for answer in answers] == [400, 200, 401, 400, 400, 400]
    assert all(list(answer["error"]) == ["code", "msg"] for answer in answers if "error" in answer)


def test_questions_are_passed_on_and_answered_whenever_the_answer_comes() -> None:
    visitor = Visitor()
    assert visitor.ask("depth", 5, symbol="BTCUSDT", limit=5) is None
    assert visitor.ask("klines", 6) is None
    limit: dict[str, object] = {"limit": 6000, "count": 7}
    (name, params, done), (_, _, other) = visitor.asked
    assert (name, params) == ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "5"})

    refused = unknown_symbol()
    refused.limits = [limit]
    other(refused)
    done(Weighed({"lastUpdateId": 1}, [limit]))
    assert visitor.client.heard() == [
        {"id": 6, "status": 400, "error": {"code": -1121, "msg": "Invalid symbol."}, "rateLimits": [limit]},
        {"id": 5, "status": 200, "result": {"lastUpdateId": 1}, "rateLimits": [limit]},
    ]
    assert {"ping", "time", "ticker.24hr"} <= QUESTIONS.keys()


def test_of_futures_it_is_asked_on_a_path_of_its_own_and_has_no_users() -> None:
    for path in ("/ws-fapi/v1", "/ws-fapi/v1/"):
        opening = open(path, "", ())
        assert opening is not None
        assert opening.dialect is FUTURES_API
    visitor = Visitor(FUTURES_API)
    visitor.ask("ticker.book", 5, symbol="BTCUSDT")

    assert [(name, params) for name, params, _ in visitor.asked] == [
        ("/fapi/v1/ticker/bookTicker", {"symbol": "BTCUSDT"})
    ]
    for method in ("klines", "userDataStream.subscribe.signature", "session.logon"):
        assert error(visitor.signed(method)) == (400, -1020)


@pytest.mark.parametrize("wanted", [True, False])
def test_whether_rate_limits_are_wanted_is_no_part_of_the_question(wanted: bool) -> None:
    visitor = Visitor()
    visitor.ask("klines", symbol="BTCUSDT", returnRateLimits=wanted)

    assert [params for _, params, _ in visitor.asked] == [{"symbol": "BTCUSDT"}]


def test_an_answer_that_comes_after_the_client_is_gone_is_dropped() -> None:
    visitor = Visitor()
    visitor.ask("ping")
    visitor.client.session.lost()
    visitor.asked[0][2](Weighed({}, []))

    assert visitor.client.raw() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.binary(max_size=40)
    | st.builds(
        lambda method, params, rest: json.dumps({"id": 1, **rest, "method": method, "params": params}).encode(),
        st.sampled_from(["session.logon", "userDataStream.unsubscribe", "klines", "session.status", "x"]) | JSON,
        JSON | st.dictionaries(st.sampled_from(["apiKey", "timestamp", "signature", "recvWindow", "symbols"]), JSON),
        st.dictionaries(st.sampled_from(["id", "x"]), JSON),
    )
)
def test_no_bytes_make_it_fail(payload: bytes) -> None:
    visitor = Visitor()
    visitor.client.say(payload)

    assert visitor.client.closed is None
    assert len(visitor.client.heard()) + len(visitor.asked) + len(visitor.lobby.logins) == 1


def test_a_server_that_stops_says_so() -> None:
    visitor = Visitor()
    visitor.client.session.dismiss()

    assert visitor.client.heard() == [{"event": {"e": "serverShutdown", "E": visitor.lobby.terms.now_ms()}}]
    assert visitor.client.closed == (CloseCode.GOING_AWAY, "server stopping")


def test_a_binary_frame_closes_the_connection() -> None:
    visitor = Visitor()
    visitor.client.session.received(json.dumps({"method": "ping"}).encode(), True)

    assert visitor.client.closed is not None
    assert visitor.client.closed[0] is CloseCode.UNSUPPORTED_DATA
