import sys
import tracemalloc
from typing import Any

import pytest

from exchange_push.errors import AuthRefused, AuthUnavailable, CloseCode
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.login import Login
from exchange_push.pubsub.publication import Frame, Publication, View
from exchange_push.wire.dialects.plain import Plain
from tests.pubsub.lobby import BALANCE, DEPTH, KLINE, ORDER, SYSTEM, TICKER, TRADES, Client, Lobby

OK = {"result": True}


def subscribe(channel: str, **more: Any) -> dict[str, Any]:
    return {"op": "subscribe", "channel": channel, **more}


# -- requests and replies


def test_a_subscriber_hears_what_is_published_from_then_on() -> None:
    lobby = Lobby()
    client = lobby.client()
    lobby.publish(Channel(TICKER, "BTCUSDT"), {"n": 1})

    assert client.ask(subscribe("BTCUSDT@ticker")) == [OK]
    assert lobby.publish(Channel(TICKER, "BTCUSDT"), {"n": 2}) == (1, 0)
    assert client.heard() == [{"event": "BTCUSDT@ticker", "data": {"n": 2}}]


@pytest.mark.parametrize("id", [0, -1, 2**62, -(2**63), 2**64 - 1, "", "x" * 64, "é"])
def test_a_reply_carries_the_id_of_its_request_in_its_type(id: Any) -> None:
    client = Lobby().client()

    assert client.ask({"op": "list", "id": id}) == [{"result": [], "id": id}]
    assert client.ask({"op": "nonsense", "id": id})[0]["id"] == id


@pytest.mark.parametrize("id", [1.5, True, None, [], {}, "x" * 65, 2**64, -(2**63) - 1])
def test_an_id_of_another_type_is_malformed(id: Any) -> None:
    (reply,) = Lobby().client().ask({"op": "list", "id": id})

    assert reply["code"] == 2
    assert "id" not in reply


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", 2),
        (b"{", 2),
        (b"[" * 60_000, 2),
        (b"null", 2),
        (b'"subscribe"', 2),
        (b"[]", 2),
        (b'{"op":NaN}', 2),
        (b'{"op":"list","id":1e999}', 2),
        (b'{"op":"list","id":' + b"9" * 5000 + b"}", 2),
        (b'\xef\xbb\xbf{"op":"list"}', 2),
        (b'{"op":"\\ud800"}', 2),
        ({}, 2),
        ({"op": None}, 2),
        ({"op": 1}, 2),
        ({"op": "Subscribe"}, 3),
        ({"op": ""}, 3),
        ({"op": "subscribe"}, 2),
        ({"op": "subscribe", "channel": 1}, 2),
        ({"op": "subscribe", "channel": None}, 2),
        ({"op": "subscribe", "channels": []}, 2),
        ({"op": "subscribe", "channels": "BTCUSDT@depth"}, 2),
        ({"op": "subscribe", "channels": ["BTCUSDT@depth", 1]}, 2),
        ({"op": "subscribe", "channel": "BTCUSDT@depth", "channels": ["BTCUSDT@depth"]}, 2),
        ({"op": "subscribe", "channel": "BTCUSDT@depth", "checksum": 1}, 4),
        ({"op": "subscribe", "channel": ""}, 4),
        ({"op": "subscribe", "channel": "@"}, 4),
        ({"op": "subscribe", "channel": "BTCUSDT@nonsense"}, 4),
        ({"op": "unsubscribe", "channel": "BTCUSDT@nonsense"}, 4),
        ({"op": "subscribe", "channel": "@balance"}, 1),
        ({"op": "auth"}, 2),
        ({"op": "auth", "token": None}, 2),
        ({"op": "auth", "token": 5}, 2),
        ({"op": "auth", "token": ""}, 2),
        ({"op": "auth", "token": "x" * 4097}, 2),
        ({"op": "auth", "token": 'a"}\n'}, 2),
    ],
)
def test_a_wrong_request_is_answered_with_its_code_and_the_connection_stays(message: Any, code: int) -> None:
    lobby = Lobby()
    client = lobby.client()

    (reply,) = client.ask(message)

    assert reply["code"] == code
    assert reply["msg"]
    assert client.closed is None
    assert not lobby.logins
    assert not dict(lobby.hub.channels())
    assert client.ask({"op": "ping"}) == [{"op": "pong", "time": 0}]


@pytest.mark.parametrize(
    "message",
    [b"%b", b'{"op":%b}', b'{"op":"list","id":%b}', b'{"op":"subscribe","channel":%b}', b'{"op":"list","channels":%b}'],
)
def test_however_deep_a_request_is_nested_it_is_no_fault_of_ours(message: bytes) -> None:
    deep = sys.getrecursionlimit()
    for depth in range(deep - 200, deep + 50):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            client = Lobby().client()
            (reply,) = client.ask(message % (opening * depth + b"1" + closing * depth))
            assert reply.get("code", 2) == 2


def test_not_auth_is_answered_to_the_letter() -> None:
    client = Lobby().client()
    client.say(subscribe("@balance"))

    assert client.raw() == [(1, b'{"code":1,"msg":"Not Auth"}')]


def test_replies_and_events_are_compact_and_in_the_order_of_the_protocol() -> None:
    lobby = Lobby()
    client = lobby.client()
    client.say(subscribe("BTCUSDT@depth"))
    lobby.publish(Channel(DEPTH, "BTCUSDT"), {"bids": [], "asks": []})

    assert client.raw() == [
        (1, b'{"result":true}'),
        (1, b'{"event":"BTCUSDT@depth","data":{"bids":[],"asks":[]}}'),
    ]


def test_many_channels_are_subscribed_all_or_none() -> None:
    lobby = Lobby()
    client = lobby.client()

    assert client.ask({"op": "subscribe", "channels": ["BTCUSDT@depth", "BTCUSDT@nope"]})[0]["code"] == 4
    assert client.ask({"op": "list"}) == [{"result": []}]
    assert client.ask({"op": "subscribe", "channels": ["BTCUSDT@depth", "ETHUSDT@kline"]}) == [OK]
    assert client.ask({"op": "list"}) == [{"result": ["BTCUSDT@depth", "ETHUSDT@kline"]}]


def test_a_list_of_symbols_makes_others_unknown() -> None:
    client = Lobby(symbols=("BTCUSDT",)).client()

    assert client.ask(subscribe("BTCUSDT@depth")) == [OK]
    assert client.ask(subscribe("ETHUSDT@depth"))[0]["code"] == 5
    assert client.ask(subscribe("*@ticker")) == [OK]


def test_unsubscribing_from_what_one_has_not_is_a_success_and_from_what_one_has_ends_it() -> None:
    lobby = Lobby()
    client = lobby.client()
    channel = Channel(TICKER, "BTCUSDT")

    assert client.ask({"op": "unsubscribe", "channel": "BTCUSDT@ticker"}) == [OK]
    client.ask(subscribe("BTCUSDT@ticker"))
    assert client.ask({"op": "unsubscribe", "channels": ["BTCUSDT@ticker"]}) == [OK]
    assert lobby.publish(channel, 1) == (0, 0)
    assert not dict(lobby.hub.channels())


def test_the_limit_of_subscriptions_counts_each_channel_once() -> None:
    client = Lobby(max_subscriptions=2).client()

    assert client.ask({"op": "subscribe", "channels": ["A@depth", "A@depth", "A@ticker"]}) == [OK]
    assert client.ask(subscribe("A@depth")) == [OK]
    assert client.ask(subscribe("B@depth"))[0]["code"] == 6
    client.ask({"op": "unsubscribe", "channel": "A@depth"})
    assert client.ask(subscribe("B@depth")) == [OK]


# -- current state


def test_the_reply_comes_first_then_the_current_state_then_changes() -> None:
    lobby = Lobby()
    channel = Channel(TICKER, "BTCUSDT")
    lobby.states[channel] = Publication(channel, "now")
    client = lobby.client()

    assert client.ask(subscribe("BTCUSDT@ticker")) == [OK, {"event": "BTCUSDT@ticker", "data": "now"}]
    lobby.publish(channel, "next")
    assert client.heard() == [{"event": "BTCUSDT@ticker", "data": "next"}]


def test_subscribing_again_sends_the_state_again_and_delivers_once() -> None:
    lobby = Lobby()
    channel = Channel(KLINE, "BTCUSDT")
    lobby.states[channel] = Publication(channel, "now")
    client = lobby.client()
    client.ask(subscribe("BTCUSDT@kline"))

    again = client.ask(subscribe("BTCUSDT@kline_1m"))
    lobby.publish(channel, "next")

    assert again == [OK, {"event": "BTCUSDT@kline_1m", "data": "now"}]
    assert client.heard() == [{"event": "BTCUSDT@kline_1m", "data": "next"}]
    assert client.ask({"op": "list"}) == [{"result": ["BTCUSDT@kline_1m"]}]


def test_an_event_is_named_as_the_client_subscribed_it() -> None:
    lobby = Lobby()
    one, other = lobby.client(), lobby.client()
    one.ask(subscribe("BTCUSDT@kline"))
    other.ask(subscribe("BTCUSDT@kline_1m"))

    lobby.publish(Channel(KLINE, "BTCUSDT"), 1)

    assert one.heard() == [{"event": "BTCUSDT@kline", "data": 1}]
    assert other.heard() == [{"event": "BTCUSDT@kline_1m", "data": 1}]


def test_a_checksum_is_computed_only_for_those_who_asked() -> None:
    lobby = Lobby()
    with_sum, without = lobby.client(), lobby.client()
    with_sum.ask(subscribe("BTCUSDT@depth", checksum=True))
    without.ask(subscribe("BTCUSDT@depth"))
    asked = []

    def checksum() -> int:
        asked.append(1)
        return -7

    lobby.publish(Channel(DEPTH, "BTCUSDT"), {"bids": []}, checksum=checksum)

    assert with_sum.heard() == [{"event": "BTCUSDT@depth", "data": {"bids": [], "checksum": -7}}]
    assert without.heard() == [{"event": "BTCUSDT@depth", "data": {"bids": []}}]
    assert len(asked) == 1


def test_nothing_published_between_subscription_and_first_state_is_lost_or_doubled() -> None:
    lobby = Lobby()
    channel = Channel(DEPTH, "BTCUSDT")
    lobby.states[channel] = Publication(channel, "book 1")
    client = lobby.client()
    client.say(subscribe("BTCUSDT@depth"))
    # A change before the turn ends: the state that leaves then holds it already.
    lobby.states[channel] = Publication(channel, "book 2")
    lobby.publish(channel, "change from 1 to 2")
    heard = client.heard()
    lobby.publish(channel, "change from 2 to 3")

    assert heard == [OK, {"event": "BTCUSDT@depth", "data": "book 2"}]
    assert client.heard() == [{"event": "BTCUSDT@depth", "data": "change from 2 to 3"}]


class Counting(Plain):
    """Counts what it encodes."""

    def __init__(self) -> None:
        self.encoded = 0

    def event(self, publication: Publication, view: View) -> Frame:
        self.encoded += 1
        return super().event(publication, view)


@pytest.mark.parametrize("options", [{}, {"seq": True}, {"checksum": True}])
def test_a_burst_of_subscriptions_encodes_a_state_once_for_each_of_its_changes(options: dict[str, Any]) -> None:
    lobby = Lobby()
    dialect = Counting()
    book = Channel(DEPTH, "A")
    for change in range(3):
        data = {"change": change, "bids": []}
        lobby.states[book] = Publication(book, data, checksum=lambda: 1)
        lobby.publish(book, data, checksum=lambda: 1)
        before = dialect.encoded
        for _ in range(1000):
            client = Client(lobby, dialect)
            _, state = client.ask(subscribe("A@depth", **options))
            assert state["data"]["change"] == change
        assert dialect.encoded == before + 1


# -- login


def test_a_login_lets_a_client_hear_its_own_events_under_their_short_name() -> None:
    lobby = Lobby()
    client = lobby.client()
    client.say({"op": "auth", "token": "secret", "id": 1})
    assert client.heard() == []
    assert lobby.answer(Login("1001", None)) == "secret"

    assert client.heard() == [{"result": True, "id": 1}]
    assert client.ask(subscribe("@balance")) == [OK]
    lobby.publish(Channel(BALANCE, "1001"), {"BTC": "1"})
    lobby.publish(Channel(BALANCE, "1002"), {"BTC": "2"})
    assert client.heard() == [{"event": "@balance", "data": {"BTC": "1"}}]


def test_requests_behind_a_pending_login_wait_and_keep_their_order() -> None:
    lobby = Lobby()
    client = lobby.client()
    client.say({"op": "auth", "token": "t", "id": 1})
    client.say({"op": "subscribe", "channel": "@balance", "id": 2})
    client.say({"op": "nonsense", "id": 3})
    client.say({"op": "auth", "token": "u", "id": 4})
    client.say({"op": "subscribe", "channel": "@order", "id": 5})
    assert client.heard() == []

    lobby.answer(Login("1001", None))
    assert [message["id"] for message in client.heard()] == [1, 2, 3]
    lobby.answer(Login("1001", None))
    assert [message["id"] for message in client.heard()] == [4, 5]
    assert {str(channel) for channel, _ in lobby.hub.channels()} == {"1001@balance", "1001@order"}


@pytest.mark.parametrize(("error", "code"), [(AuthRefused("x"), 8), (AuthUnavailable("x"), 9)])
def test_a_failed_login_leaves_the_earlier_one_standing(error: Any, code: int) -> None:
    lobby = Lobby()
    client = lobby.client("1001")
    client.ask(subscribe("@balance"))
    client.say({"op": "auth", "token": "bad"})
    lobby.answer(error)

    assert client.codes() == [code]
    assert lobby.publish(Channel(BALANCE, "1001"), 1) == (1, 0)


def test_requests_behind_a_pending_login_hold_no_more_memory_than_their_bytes() -> None:
    client = Lobby().client()
    client.say({"op": "auth", "token": "slow"})
    message = b'{"op":"subscribe","channels":[' + b",".join([b"{}"] * 20_000) + b"]}"
    tracemalloc.start()
    for number in range(15):
        client.say(message + b" " * number)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held_bytes < 16 * (len(message) + 100)
    assert client.heard() == []


def test_the_rate_of_requests_behind_a_pending_login_is_that_of_their_coming() -> None:
    lobby = Lobby(requests_per_s=1, requests_burst=3)
    client = lobby.client()
    client.say({"op": "auth", "token": "slow"})
    for number in range(3):
        client.say({"op": "ping", "id": number})
    lobby.clock.advance(60)
    lobby.answer(Login("A", None))

    assert client.codes() == [None, None, None, 7]


def test_the_third_refused_login_closes() -> None:
    lobby = Lobby()
    client = lobby.client()
    for _ in range(3):
        assert client.closed is None
        client.say({"op": "auth", "token": "bad"})
        lobby.answer(AuthRefused("x"))

    assert client.codes() == [8, 8, 8]
    assert client.closed is not None
    assert client.closed[0] is CloseCode.LOGIN_REFUSED


def test_a_login_as_another_user_drops_the_private_channels_of_the_former() -> None:
    lobby = Lobby()
    client = lobby.client("A")
    client.ask({"op": "subscribe", "channels": ["@balance", "@order", "BTCUSDT@ticker", "system"]})
    client.say({"op": "auth", "token": "b"})
    lobby.publish(Channel(BALANCE, "A"), "before")
    lobby.answer(Login("B", None))
    lobby.publish(Channel(BALANCE, "A"), "after")
    lobby.publish(Channel(ORDER, "A"), "after")

    assert client.heard() == [
        {"event": "@balance", "data": "before"},
        OK,
        {"event": "system", "data": {"type": "logout", "reason": "replaced"}},
    ]
    assert client.ask({"op": "list"}) == [{"result": ["BTCUSDT@ticker", "system"]}]
    client.ask(subscribe("@balance"))
    lobby.publish(Channel(BALANCE, "B"), "mine")
    assert client.heard() == [{"event": "@balance", "data": "mine"}]


def test_a_login_as_the_same_user_keeps_the_private_channels() -> None:
    lobby = Lobby()
    client = lobby.client("A")
    client.ask({"op": "subscribe", "channels": ["@balance", "system"]})
    client.say({"op": "auth", "token": "again"})
    lobby.answer(Login("A", None))

    assert client.heard() == [OK]
    assert lobby.publish(Channel(BALANCE, "A"), 1) == (1, 0)


def test_a_login_ends_when_the_auth_service_said_so() -> None:
    lobby = Lobby()
    client = lobby.client()
    client.say({"op": "auth", "token": "t"})
    lobby.answer(Login("A", 60))
    client.ask({"op": "subscribe", "channels": ["@balance", "system"]})
    lobby.clock.advance(59)
    assert lobby.publish(Channel(BALANCE, "A"), 1) == (1, 0)
    client.heard()
    lobby.clock.advance(1)

    assert client.heard() == [{"event": "system", "data": {"type": "logout", "reason": "expired"}}]
    assert lobby.publish(Channel(BALANCE, "A"), 1) == (0, 0)
    assert client.ask(subscribe("@balance"))[0]["code"] == 1


def test_a_new_login_of_the_same_user_moves_the_end() -> None:
    lobby = Lobby()
    client = lobby.client()
    for token, expires in (("t", 60.0), ("u", None)):
        client.say({"op": "auth", "token": token})
        lobby.answer(Login("A", expires))
    lobby.clock.advance(61)

    assert client.session.uid == "A"


def test_a_login_that_comes_after_the_client_left_is_nobodys() -> None:
    lobby = Lobby()
    client = lobby.client()
    client.say({"op": "auth", "token": "t"})
    client.session.lost()
    lobby.answer(Login("A", 60))

    assert lobby.hub.sessions_of("A") == []
    assert not lobby.clock.getDelayedCalls()


def test_uids_are_compared_as_text() -> None:
    lobby = Lobby()
    one, padded = lobby.client("1001"), lobby.client("01001")
    for client in (one, padded):
        client.ask(subscribe("@balance"))
    lobby.publish(Channel(BALANCE, "1001"), 1)

    assert len(one.heard()) == 1
    assert padded.heard() == []


# -- limits


def test_too_many_requests_are_refused_and_then_closed() -> None:
    lobby = Lobby(requests_per_s=20, requests_burst=100)
    client = lobby.client()
    for _ in range(101):
        client.say({"op": "ping"})
    heard = client.heard()
    assert [message.get("code") for message in heard] == [None] * 100 + [7]
    lobby.clock.advance(1)
    for _ in range(20):
        client.say({"op": "ping"})
    assert client.codes() == [None] * 20
    for _ in range(200):
        client.say({"op": "ping"})

    assert client.closed is not None
    assert client.closed[0] is CloseCode.TOO_MANY_REQUESTS
    assert len(client.heard()) == 99


def test_more_than_twenty_malformed_requests_in_a_minute_close() -> None:
    lobby = Lobby()
    client = lobby.client()
    for _ in range(3):
        for _ in range(20):
            client.say(b"nonsense")
        lobby.clock.advance(60)
    assert client.closed is None
    for _ in range(21):
        client.say({"op": "subscribe", "channel": "1001@balance"})

    assert client.closed is not None
    assert client.closed[0] is CloseCode.TOO_MANY_ERRORS
    assert client.codes().count(4) == 21


def test_a_hundred_thousand_made_up_channels_leave_no_memory_behind() -> None:
    lobby = Lobby(requests_per_s=1e9, requests_burst=10**9)
    client = lobby.client()
    for start in range(0, 100_000, 100):
        names = [f"X{number}@depth" for number in range(start, start + 100)]
        client.say({"op": "subscribe", "channels": names})
        client.say({"op": "unsubscribe", "channels": names})
        assert client.heard() == [OK, OK]

    assert not lobby.hub._channels
    assert not client.session._views
    assert not len(client.session.outbox)


def test_a_session_that_ends_leaves_nothing_behind() -> None:
    lobby = Lobby()
    client = lobby.client("A")
    client.ask({"op": "subscribe", "channels": ["@balance", "BTCUSDT@depth", "system"]})
    client.session.lost()

    assert not lobby.hub._channels
    assert not lobby.hub._users
    assert not lobby.hub.sessions
    assert lobby.publish(Channel(BALANCE, "A"), 1) == (0, 0)


def test_a_binary_frame_on_a_json_connection_closes_it() -> None:
    client = Lobby().client()
    client.session.received(b"{}", True)

    assert client.closed is not None
    assert client.closed[0] is CloseCode.UNSUPPORTED_DATA


# -- what the operator does


def test_the_operator_revokes_a_login() -> None:
    lobby = Lobby()
    client = lobby.client("A")
    client.ask({"op": "subscribe", "channels": ["@balance", "system"]})
    client.session.logout()

    assert client.heard() == [{"event": "system", "data": {"type": "logout", "reason": "revoked"}}]
    assert client.ask(subscribe("@balance"))[0]["code"] == 1


def test_the_operator_subscribes_a_client_to_its_own_and_public_channels_only() -> None:
    lobby = Lobby()
    client = lobby.client("A")
    client.session.subscribe_as_operator(["ex:A@balance", "BTCUSDT@trades"])
    lobby.publish(Channel(BALANCE, "A"), 1)

    assert client.heard() == [{"event": "@balance", "data": 1}]
    with pytest.raises(Exception, match="not logged in as 'B'"):
        client.session.subscribe_as_operator(["B@balance"])
    assert client.session.channel_names() == ["A@balance", "BTCUSDT@trades"]


def test_a_uid_in_the_context_is_the_login() -> None:
    lobby = Lobby()
    client = lobby.client()
    client.session.set_context_value("uid", 1001)
    assert client.ask(subscribe("@balance")) == [OK]
    assert [session.uid for session in lobby.hub.sessions_of("1001")] == ["1001"]
    client.session.set_context({"uid": None, "app": 1})

    assert client.ask({"op": "list"}) == [{"result": []}]
    for bad in (True, 0, -1, "a b", 1.0, ""):
        with pytest.raises(Exception, match="uid is"):
            client.session.set_context_value("uid", bad)


def test_a_system_channel_is_heard_only_by_who_subscribed_to_it() -> None:
    lobby = Lobby()
    deaf, listening = lobby.client(), lobby.client()
    listening.ask(subscribe("system"))
    lobby.publish(Channel(SYSTEM, ""), {"type": "shutdown", "inMs": 0})

    assert deaf.heard() == []
    assert listening.heard() == [{"event": "system", "data": {"type": "shutdown", "inMs": 0}}]


def clients(lobby: Lobby, number: int) -> list[Client]:
    return [lobby.client() for _ in range(number)]


def test_one_client_that_closes_in_the_middle_of_a_fan_out_stops_no_other() -> None:
    lobby = Lobby(outbox_bytes=65536)
    everyone = clients(lobby, 100)
    for client in everyone:
        client.ask(subscribe("BTCUSDT@trades"))
    for client in everyone[::10]:
        client.session.outbox.block()
        client.session.send("x" * 65000)

    handed, failed = lobby.publish(Channel(TRADES, "BTCUSDT"), "y" * 1000)

    assert (handed, failed) == (90, 10)
    assert all(client.closed and client.closed[0] is CloseCode.TOO_SLOW for client in everyone[::10])
    assert all(len(client.heard()) == 1 for index, client in enumerate(everyone) if index % 10)


# -- what is said without being asked for

CHANNEL = Channel(TICKER, "A")


def test_what_the_way_in_asked_for_is_subscribed_without_an_answer() -> None:
    lobby = Lobby()
    lobby.states[CHANNEL] = Publication(CHANNEL, {"n": 1})
    client = lobby.client()
    client.session.open([str(CHANNEL)])
    assert client.heard() == [{"event": str(CHANNEL), "data": {"n": 1}}]
    lobby.publish(CHANNEL, {"n": 2})
    assert client.heard() == [{"event": str(CHANNEL), "data": {"n": 2}}]


def test_of_what_the_way_in_asked_for_only_what_is_wrong_is_answered() -> None:
    lobby = Lobby(max_subscriptions=1)
    client = lobby.client()
    client.session.open(["nothing", "A@ticker", "A@ticker", "B@ticker", "@balance"])
    assert client.codes() == [4, 6, 1]
    assert client.session.channel_names() == ["A@ticker"]
    client.session.open(["nothing"] * 30)
    assert client.closed is not None
    assert client.closed[0] is CloseCode.TOO_MANY_ERRORS


def test_a_session_that_is_dismissed_is_closed_as_the_server_stops() -> None:
    lobby = Lobby()
    client = lobby.client()
    client.session.dismiss()
    client.session.dismiss()
    assert client.heard() == []
    assert client.closed == (CloseCode.GOING_AWAY, "server stopping")
