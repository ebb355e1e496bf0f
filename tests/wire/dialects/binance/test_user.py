"""What a back end pushes to its users, as events of the user data stream."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.pubsub.channel import Channel, ChannelKind, Owner, SlowPolicy
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.dialects.binance.user import user_events

BALANCE = ChannelKind("balance", Owner.USER, SlowPolicy.QUEUE)
ORDER = ChannelKind("order", Owner.USER, SlowPolicy.QUEUE)
T = 1_700_000_000_000
SOLD = {"orderId": 7, "symbol": "BTCUSDT", "side": "sell", "type": "limit", "status": "PARTIALLY_FILLED", "time": T - 9}


def raw(kind: ChannelKind, data: object = None, message: str | bytes | None = None) -> list[bytes]:
    publication = Publication(Channel(kind, "1001"), data, message=message)
    publication.time = T
    return user_events(publication)


def told(kind: ChannelKind, data: object = None, message: str | bytes | None = None) -> list[Any]:
    return [json.loads(event) for event in raw(kind, data, message)]


def test_a_balance_is_the_position_of_its_asset() -> None:
    assert told(BALANCE, {"asset": "USDT", "balance": "100000.5", "time": T - 5}) == [
        {
            "e": "outboundAccountPosition",
            "E": T,
            "u": T - 5,
            "B": [{"a": "USDT", "f": "100000.50000000", "l": "0.00000000"}],
        }
    ]


def test_several_balances_are_one_position() -> None:
    push = {"balances": [{"coin": "BTC", "free": 1, "locked": "0.25"}, {"asset": "ETH", "available": "2"}, {"x": 1}]}

    [event] = told(BALANCE, push)
    assert event["B"] == [
        {"a": "BTC", "f": "1.00000000", "l": "0.25000000"},
        {"a": "ETH", "f": "2.00000000", "l": "0.00000000"},
    ]
    assert event["u"] == T


def test_a_change_of_a_balance_is_an_update() -> None:
    assert told(BALANCE, {"asset": "BTC", "change": "-0.5", "time": 5}) == [
        {"e": "balanceUpdate", "E": T, "a": "BTC", "d": "-0.50000000", "T": 5}
    ]


def test_numbers_of_json_keep_their_digits() -> None:
    pushed = msgspec.Raw(b'{"asset":"USDT","free":12345678901234567.10,"locked":1e-8}')

    assert told(BALANCE, pushed)[0]["B"] == [{"a": "USDT", "f": "12345678901234567.10000000", "l": "0.00000001"}]


def test_an_order_is_an_execution_report_with_what_the_push_says() -> None:
    push = {
        **SOLD,
        "price": "64000.1",
        "qty": "0.500",
        "filled": "0.2",
        "lastQty": "0.1",
        "lastPrice": "64000.1",
        "tradeId": 81,
        "maker": True,
        "fee": "0.01",
        "feeAsset": "BNB",
        "clientOrderId": "mine",
        "created": T - 50,
        "filledValue": "12800.02",
        "timeInForce": "GTC",
    }

    [event] = told(ORDER, push)
    expected = {
        "e": "executionReport",
        "E": T,
        "s": "BTCUSDT",
        "c": "mine",
        "S": "SELL",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.50000000",
        "p": "64000.10000000",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "i": 7,
        "l": "0.10000000",
        "z": "0.20000000",
        "L": "64000.10000000",
        "n": "0.01000000",
        "N": "BNB",
        "T": T - 9,
        "t": 81,
        "w": True,
        "m": True,
        "O": T - 50,
        "Z": "12800.02000000",
        "Y": "6400.01000000",
    }
    assert {key: event[key] for key in expected} == expected


def test_what_an_order_does_not_say_is_not_made_up() -> None:
    [event] = told(ORDER, {**SOLD, "filled": "0.2"})

    assert {event[key] for key in "lLYpqPn"} == {"0.00000000"}
    assert (event["t"], event["c"], event["f"]) == (-1, "", "")
    assert not {"Z", "O", "m"} & event.keys()  # clients would take these at their word
    assert event["N"] == "USDT"  # 0 of it; without an asset they cannot add up fees


def test_an_order_that_nothing_was_filled_of_has_cost_nothing() -> None:
    assert told(ORDER, {**SOLD, "status": "NEW", "filled": "0"})[0]["Z"] == "0.00000000"


@pytest.mark.parametrize(
    ("status", "execution", "order_status", "waits"),
    [
        ("NEW", "NEW", "NEW", True),
        ("open", "NEW", "NEW", True),
        ("FILLED", "TRADE", "FILLED", False),
        ("CANCELED", "CANCELED", "CANCELED", False),
        ("cancelled", "CANCELED", "CANCELED", False),
        ("EXPIRED", "EXPIRED", "EXPIRED", False),
        ("REJECTED", "REJECTED", "REJECTED", False),
    ],
)
def test_what_happened_is_told_by_the_status(status: str, execution: str, order_status: str, waits: bool) -> None:
    [event] = told(ORDER, {**SOLD, "status": status})

    assert (event["x"], event["X"], event["w"]) == (execution, order_status, waits)


def test_an_event_that_has_the_shape_already_goes_out_byte_for_byte() -> None:
    own = b'{"e":"executionReport", "E":5,"p":1.50 }'

    assert raw(ORDER, msgspec.Raw(own)) == [own]
    assert raw(ORDER, message=own.decode()) == [own]
    assert raw(ORDER, message='{"event":"@order","data":' + own.decode() + "}") == [own]
    assert raw(ORDER, msgspec.Raw(b"[" + own + b"," + own + b"]")) == [own, own]


def test_a_push_in_our_own_language_is_read_as_its_data() -> None:
    message = '{"event":"@balance","data":{"asset":"BTC","available":"1.50"}}'

    assert told(BALANCE, message=message)[0]["B"][0]["f"] == "1.50000000"


@pytest.mark.parametrize(
    "pushed",
    [
        {"available": "1.50"},
        {"asset": "BTC"},
        {"asset": "BTC", "free": "much"},
        {"asset": "BTC", "free": "NaN"},
        {"asset": "BTC", "free": "1e999"},
        {"asset": "BTC", "free": True},
        {"asset": "BTC", "free": "1" * 41},
        {"balances": 5},
        {"symbol": "BTCUSDT", "status": "NEW"},
    ],
)
def test_what_cannot_be_told_gives_no_event(pushed: object) -> None:
    assert told(BALANCE, pushed) == []
    assert told(ORDER, pushed) == []


@pytest.mark.parametrize("message", ["", "hello", "5", "[1,2]", '{"event":"@order","data":5}', "[" * 5_000, b"\x00"])
def test_a_push_that_is_no_object_gives_no_event(message: str | bytes) -> None:
    assert raw(ORDER, message=message) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5) | st.sampled_from(["1.5", "NEW"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["asset", "free", "status", "orderId", "symbol", "balances", "e", "price", "time", "data"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_push_makes_it_fail_and_each_event_is_an_object_with_a_name(pushed: object) -> None:
    for kind in (BALANCE, ORDER):
        for event in told(kind, message=json.dumps(pushed)):
            assert isinstance(event["e"], str)
