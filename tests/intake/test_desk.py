import json
from typing import Any

import pytest
from msgspec import Raw

from exchange_push.errors import CloseCode, PushCode
from exchange_push.intake import desk as desk_module
from exchange_push.intake.desk import Clients
from exchange_push.pubsub.channel import SlowPolicy
from exchange_push.wire.push import Answer, Auth, Call, Events, Push, Send, decode_line, decode_publish, encode
from tests.fakes import LoggedFailures
from tests.intake.office import CURL_BODY, CURL_MESSAGE, NOBODY, SENT, Broken, Office
from tests.pubsub.lobby import Client


@pytest.fixture
def office() -> Office:
    return Office()


def ask(office: Office, request: Any) -> Any:
    return json.loads(encode(office.desk.answer_all(request)))


def code(answer: Any) -> int:
    assert answer["r"] is None
    found = answer["E"]["c"]
    assert isinstance(found, int)
    return found


def test_a_hub_is_what_a_desk_needs_of_clients(office: Office) -> None:
    clients: Clients = office.lobby.hub
    assert list(clients.channels()) == []


# -- publishing


def test_the_originals_push_reaches_the_user_byte_for_byte_and_nobody_else(office: Office) -> None:
    user, other = office.listener("@balance", "1001"), office.listener("@balance", "1002")

    assert ask(office, decode_publish(CURL_BODY)) == SENT

    assert user.raw() == [(1, CURL_MESSAGE)]
    assert other.raw() == []
    assert office.desk.pushes == 1


def test_all_connections_of_a_user_are_counted(office: Office) -> None:
    clients = [office.listener("@balance", "1001") for _ in range(9)]
    clients[0].stop_reading()
    more_than_half = "x" * 600_000  # of what may wait
    assert ask(office, Push("1001@balance", more_than_half)) == {"E": None, "r": {"s": 9, "f": 0}}
    assert ask(office, Push("1001@balance", more_than_half)) == {"E": None, "r": {"s": 8, "f": 1}}


def test_an_object_becomes_an_event_of_the_channel_as_the_client_knows_it(office: Office) -> None:
    user = office.listener("@order", "1001")
    ask(office, Push("1001@order", Raw(b'{"a": 1.50}')))
    assert user.raw() == [(1, b'{"event":"@order","data":{"a": 1.50}}')]


def test_binary_payloads_are_binary_messages(office: Office) -> None:
    user = office.listener("@order", "1001")
    ask(office, Push("1001@order", b"\x00\xff"))
    assert user.raw() == [(2, b"\x00\xff")]


def test_a_push_into_a_computed_channel_waits_with_all_others_and_replaces_nothing(office: Office) -> None:
    client = office.listener("BTCUSDT@ticker")
    for text in "abc":
        assert ask(office, Push("BTCUSDT@ticker", text)) == SENT
    assert client.raw() == [(1, b"a"), (1, b"b"), (1, b"c")]
    assert office.lobby.registry.for_push("BTCUSDT@ticker").kind.slow is SlowPolicy.CONFLATE  # type: ignore[union-attr]
    assert office.listener("BTCUSDT@ticker").raw() == [], "it is no state of the channel"


def test_a_depth_push_is_refused_while_the_feed_owns_the_book(office: Office) -> None:
    client = office.listener("BTCUSDT@depth")
    office.owned.add("BTCUSDT")
    assert code(ask(office, Push("ex:BTCUSDT@depth", "x"))) == 101
    assert client.raw() == []
    assert ask(office, Push("ETHUSDT@depth", "x")) == NOBODY
    office.owned.clear()
    assert ask(office, Push("BTCUSDT@depth", "x")) == SENT


BAD_UIDS = [
    "", " ", "1001 ", " 1001", "10 01", "1001\n", "1001\0", "\t1001", "1001\r\n", "a" * 65, "1" * 129, "+1001",
    "1001.0", "1,001", "1001;", "é", "１００１", "1001\u200b", "1001\ufeff", "\u202e1001", "ⅰ", "а", "1001/..",
    "../1001", "1001%20", "1001@", "@1001", "1001@1001", "*", "1001*", "ex:1001", "ex:ex:1001", "EX:1001", "1001:",
    "[1001]", "{1001}", "'1001'", '"1001"', "1001'--", "$1001", "#1001", "1001=", "~1001", "\\1001", "\x7f", "\x1b[31m",
]  # fmt: skip


def test_a_bad_uid_reaches_nobody_and_is_told_so(office: Office) -> None:
    user = office.listener("@balance", "1001")
    assert len(BAD_UIDS) >= 40
    for uid in BAD_UIDS:
        answer = ask(office, decode_line(json.dumps({"c": f"ex:{uid}@balance", "d": "x"}).encode()))
        assert code(answer) == 101, uid
        assert answer["E"]["m"].isprintable()
    assert user.raw() == []


def test_only_one_prefix_is_taken_off(office: Office) -> None:
    user = office.listener("@balance", "1001")
    for name in ("1001@balance", "ex:1001@balance"):
        assert ask(office, Push(name, "x")) == SENT
    for name in ("ex:ex:1001@balance", "ex: 1001@balance", "EX:1001@balance", "xe:1001@balance"):
        assert code(ask(office, Push(name, "x"))) == 101
    assert len(user.raw()) == 2


def test_uids_are_compared_as_text(office: Office) -> None:
    users = {uid: office.listener("@balance", uid) for uid in ("1001", "01001", "1e3", "true", "a-b_C")}
    for uid in users:
        assert ask(office, Push(f"{uid}@balance", uid)) == SENT
    assert {uid: user.raw() for uid, user in users.items()} == {uid: [(1, uid.encode())] for uid in users}


@pytest.mark.parametrize(
    "name", ["", "@", "balance", "@balance", "1001@nothing", "btcusdt@trades", "BTCUSDT@", "@@", "*@trades", "x" * 300]
)
def test_a_channel_that_there_is_not_is_refused_shortly(office: Office, name: str) -> None:
    answer = ask(office, Push(name, "x"))
    assert code(answer) == 101
    assert len(answer["E"]["m"]) < 200


def test_an_array_is_answered_by_an_array_and_one_bad_request_spoils_no_other(office: Office) -> None:
    user = office.listener("@balance", "1001")
    request = decode_line(
        b'[{"c":"1001@balance","d":"a","i":1},{"c":"?","d":"","i":2},{"c":"1001@balance","d":"b","i":3}]'
    )
    answers = ask(office, request)
    assert [answer["i"] for answer in answers] == [1, 2, 3]
    assert [answer["E"] and answer["E"]["c"] for answer in answers] == [None, 101, None]
    assert user.raw() == [(1, b"a"), (1, b"b")]


def test_a_secret_among_requests_is_no_request(office: Office) -> None:
    assert code(ask(office, [Auth("s")])[0]) == 101


# -- keys


def test_a_repeat_of_a_key_is_answered_alike_and_not_sent_again(office: Office) -> None:
    user = office.listener("@balance", "1001")
    first = ask(office, Push("1001@balance", "x", "k", 1))
    office.now_ms = 299_999
    assert user.raw() == [(1, b"x")]
    user.say({"op": "unsubscribe", "channel": "@balance"})
    assert ask(office, Push("1001@balance", "x", "k", 2)) == {**first, "i": 2}
    assert office.desk.repeats == 1
    office.now_ms = 300_000
    assert ask(office, Push("1001@balance", "x", "k")) == NOBODY


def test_a_repeat_does_not_make_a_key_live_longer(office: Office) -> None:
    user = office.listener("@balance", "1001")
    for now_ms in (0, 200_000, 299_999, 300_000):
        office.now_ms = now_ms
        ask(office, Push("1001@balance", "x", "k"))
    assert len(user.raw()) == 2


def test_what_was_refused_may_be_tried_again_with_its_key(office: Office) -> None:
    office.owned.add("BTCUSDT")
    assert code(ask(office, Push("BTCUSDT@depth", "x", "k"))) == 101
    office.owned.clear()
    client = office.listener("BTCUSDT@depth")
    assert ask(office, Push("BTCUSDT@depth", "x", "k")) == SENT
    assert client.raw() == [(1, b"x")]


def test_the_newest_hundred_thousand_keys_are_remembered_and_no_more(office: Office) -> None:
    user = office.listener("@balance", "1001")
    assert desk_module.KEYS == 100_000
    for number in range(100_001):
        office.desk.answer(Push("1002@balance", "x", str(number)))
    for key in ("0", "1"):
        office.desk.answer(Push("1001@balance", key, key))
    # 0 was forgotten, and asking for it forgot 1 in its stead
    assert [payload for _, payload in user.raw()] == [b"0", b"1"]
    assert office.desk.repeats == 0
    office.desk.answer(Push("1001@balance", "x", "3"))
    assert office.desk.repeats == 1
    assert len(office.desk._keys._answered) == 100_000


def test_keys_that_are_too_old_leave_nothing_behind(office: Office) -> None:
    for number in range(100):
        office.desk.answer(Push("1002@balance", "x", str(number)))
    office.now_ms = 300_000
    office.desk.answer(Push("1002@balance", "x", "new"))
    assert len(office.desk._keys._answered) == 1


# -- one connection


def test_a_send_goes_to_one_connection(office: Office) -> None:
    one, other = office.lobby.client("1001"), office.lobby.client("1001")
    assert ask(office, Send(one.session.client_id, "hi", None, 1)) == {"E": None, "r": {"s": True}, "i": 1}
    ask(office, Send(one.session.client_id, Raw(b'{"a": 1}')))
    ask(office, Send(one.session.client_id, b"\x00"))
    assert one.raw() == [(1, b"hi"), (1, b'{"a": 1}'), (2, b"\x00")]
    assert other.raw() == []


def test_a_send_to_nobody_failed(office: Office) -> None:
    client = office.lobby.client()
    assert code(ask(office, Send("999", "hi"))) == PushCode.SEND_FAILED
    client.session.disconnect(CloseCode.NORMAL, "bye")
    assert code(ask(office, Send(client.session.client_id, "hi"))) == PushCode.SEND_FAILED
    assert office.desk.sends == 0


def test_an_operator_subscribes_a_client_to_what_is_its_own_and_to_nothing_else(office: Office) -> None:
    client = office.lobby.client("1001")
    name = client.session.client_id
    assert ask(office, Call(name, "subscribe", ["BTCUSDT@trades", "ex:1001@order"], 5)) == {
        "E": None, "r": {"s": True}, "i": 5,
    }  # fmt: skip
    ask(office, Push("1001@order", Raw(b"{}")))
    assert client.raw() == [(1, b'{"event":"@order","data":{}}')]
    assert code(ask(office, Call(name, "subscribe", ["1002@order"]))) == PushCode.CALL_FAILED
    assert ask(office, Call(name, "unsubscribe", ["1001@order"]))["E"] is None
    assert client.session.channel_names() == ["BTCUSDT@trades"]
    assert office.desk.calls == 2


def test_setting_the_uid_logs_in_and_null_logs_out(office: Office) -> None:
    client = office.lobby.client()
    name, uids = client.session.client_id, []
    for function, args in (
        ("set_context_value", ["uid", 10000]),
        ("set_context", [{"uid": "bob", "level": 3}]),
        ("set_context_value", ["uid", None]),
    ):
        assert ask(office, Call(name, function, args))["E"] is None
        uids.append(client.session.uid)
    assert uids == ["10000", "bob", None]
    assert client.session.context == {"uid": None, "level": 3}
    assert code(ask(office, Call(name, "set_context_value", ["uid", "a b"]))) == PushCode.CALL_FAILED


@pytest.mark.parametrize(
    ("function", "args", "expected"),
    [
        ("subscribe", [1], 101),
        ("subscribe", [["BTCUSDT@trades"]], 101),
        ("unsubscribe", [None], 101),
        ("set_context", [], 101),
        ("set_context", [[]], 101),
        ("set_context", [{}, {}], 101),
        ("set_context_value", ["uid"], 101),
        ("set_context_value", [1, 2], 101),
        ("subscribe", ["nothing"], 301),
        ("unsubscribe", ["nothing"], 301),
        ("explode", [], 301),
        ("__init__", [], 301),
    ],
)
def test_a_call_that_cannot_be_done_changes_nothing(
    office: Office, function: str, args: list[Any], expected: int
) -> None:
    client = office.lobby.client("1001")
    assert code(ask(office, Call(client.session.client_id, function, args))) == expected
    assert (client.session.uid, client.session.channel_names(), client.session.context) == ("1001", [], {})
    assert client.closed is None


def test_a_call_on_nobody_failed(office: Office) -> None:
    assert code(ask(office, Call("999", "subscribe", []))) == PushCode.CALL_FAILED


# -- events


def test_events_are_counted_as_applied_and_malformed(office: Office) -> None:
    trade = b'["trade","BTCUSDT",1,"7.60","2","buy",1700000000000]'
    request = Events([Raw(trade), Raw(b'["trade"]'), Raw(b'["later",1]'), Raw(b'["user",1001,"order",{"a": 1}]')], 8)
    assert ask(office, request) == {"E": None, "r": {"s": 2, "f": 1}, "i": 8}
    assert office.desk.events == 2
    assert office.events[0].unknown == 1
    assert bytes(office.events[0].events[1].data) == b'{"a": 1}'  # type: ignore[union-attr,arg-type]


# -- users and who is there


def sockets(office: Office, uid: str, count: int) -> list[Client]:
    return [office.listener("@balance", uid) for _ in range(count)]


def test_a_revoked_user_loses_login_and_private_channels_but_no_connection(office: Office) -> None:
    users, other = sockets(office, "1001", 1000), office.listener("@balance", "1002")
    assert office.desk.log_out("1001") == 1000
    assert {user.session.uid for user in users} == {None}
    assert ask(office, Push("1001@balance", "x")) == NOBODY
    assert not any(user.closed for user in users)
    assert ask(office, Push("1002@balance", "x")) == SENT
    assert other.raw() == [(1, b"x")]
    assert office.desk.log_out("1001") == 0


def test_disconnected_users_are_told_4503(office: Office) -> None:
    users, other = sockets(office, "1001", 3), office.lobby.client("1002")
    assert office.desk.disconnect("1001") == 3
    assert [user.closed[0] for user in users if user.closed] == [CloseCode.LOGGED_OUT] * 3
    assert other.closed is None


def test_channels_are_listed_by_name_with_prefix_and_limit(office: Office) -> None:
    for channel in ("BTCUSDT@trades", "ETHUSDT@trades", "BTCUSDT@depth", "BTCUSDT@trades"):
        office.listener(channel)
    office.listener("@balance", "1001")
    assert list(office.desk.channels("", 9).items()) == [
        ("1001@balance", 1), ("BTCUSDT@depth", 1), ("BTCUSDT@trades", 2), ("ETHUSDT@trades", 1),
    ]  # fmt: skip
    assert office.desk.channels("BTC", 9) == {"BTCUSDT@depth": 1, "BTCUSDT@trades": 2}
    assert office.desk.channels("ex:1001@", 9) == {"1001@balance": 1}
    assert list(office.desk.channels("", 2)) == ["1001@balance", "BTCUSDT@depth"]
    assert office.desk.channels("", 0) == {}


def test_clients_are_shown_with_all_that_an_operator_asks_for(office: Office) -> None:
    office.lobby.clock.advance(5)
    office.listener("@balance", "1001").session.send("1234")
    office.lobby.client()
    assert office.desk.clients("1001", 9) == [
        {
            "client_id": "1",
            "uid": "1001",
            "peer": "192.0.2.1:1",
            "since": 5000,
            "channels": ["1001@balance"],
            "waiting": 6,
        }
    ]
    assert [client["uid"] for client in office.desk.clients(None, 9)] == ["1001", None]
    assert len(office.desk.clients(None, 1)) == 1
    assert office.desk.clients("1002", 9) == []


# -- our own faults


def test_a_fault_of_ours_is_logged_answered_and_survived(office: Office, logged_failures: LoggedFailures) -> None:
    user = office.listener("@balance", "1001")
    office.broken = True
    assert ask(office, Push("1001@balance", "canary-payload", None, 1)) == {
        "E": {"c": 401, "m": "internal error"}, "r": None, "i": 1,
    }  # fmt: skip
    assert code(ask(office, Events([]))) == 401
    office.broken = False
    assert ask(office, Push("1001@balance", "x")) == SENT
    assert user.raw() == [(1, b"x")]
    assert office.desk.faults == 2
    assert len(logged_failures.flush(Broken)) == 2


def test_answers_are_values(office: Office) -> None:
    assert office.desk.answer(Push("1002@balance", "x")) == Answer(None, {"s": 0, "f": 0})
