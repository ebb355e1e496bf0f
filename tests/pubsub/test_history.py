"""Numbered channels: what a client that comes back is given."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.history import History
from exchange_push.pubsub.publication import Number, Publication
from tests.pubsub.lobby import BALANCE, DEPTH, ORDER, TICKER, Client, Lobby

TICKERS = Channel(TICKER, "A")
ORDERS = Channel(ORDER, "1001")


def subscribe(name: str, **more: Any) -> dict[str, Any]:
    return {"op": "subscribe", "channel": name, **more}


def numbered(client: Client, name: str, **more: Any) -> Any:
    """The reply to a numbered subscription, and all that follows it at once."""
    return client.ask(subscribe(name, seq=True, **more))


def test_a_numbered_subscription_is_told_where_its_channel_stands_and_numbers_grow_by_one() -> None:
    lobby = Lobby()
    client = lobby.client()
    ((reply),) = numbered(client, "A@ticker", id=5)
    assert reply == {"result": True, "epoch": reply["epoch"], "seq": 0, "id": 5}
    for number in (1, 2, 3):
        lobby.publish(TICKERS, number)
        (event,) = client.heard()
        assert event == {"event": "A@ticker", "data": number, "seq": number, "epoch": reply["epoch"]}


def test_who_did_not_ask_for_numbers_gets_none() -> None:
    lobby = Lobby()
    plain, with_numbers = lobby.client(), lobby.client()
    plain.ask(subscribe("A@ticker"))
    numbered(with_numbers, "A@ticker")
    lobby.publish(TICKERS, 1)

    assert plain.heard() == [{"event": "A@ticker", "data": 1}]


def test_a_trader_who_was_away_misses_no_order_event() -> None:
    lobby = Lobby()
    client = lobby.client("1001")
    (reply,) = numbered(client, "@order")
    lobby.publish(ORDERS, "one")
    last = client.heard()[-1]
    client.session.lost()
    lobby.publish(ORDERS, "two")
    lobby.publish(ORDERS, "three")
    lobby.clock.advance(ORDER.ring_ms / 1000 - 1)
    again = lobby.client("1001")
    reply, *events = numbered(again, "@order", since={"epoch": last["epoch"], "seq": last["seq"]})
    lobby.publish(ORDERS, "four")

    assert reply == {"result": True, "epoch": last["epoch"], "seq": 3, "recovered": True}
    assert [(event["seq"], event["data"]) for event in events] == [(2, "two"), (3, "three")]
    assert [(event["seq"], event["data"]) for event in again.heard()] == [(4, "four")]


def test_who_missed_nothing_gets_nothing() -> None:
    lobby = Lobby()
    client = lobby.client()
    (reply,) = numbered(client, "A@ticker")
    lobby.states[TICKERS] = Publication(TICKERS, "state")
    again = numbered(client, "A@ticker", since={"epoch": reply["epoch"], "seq": 0})

    assert again == [{"result": True, "epoch": reply["epoch"], "seq": 0, "recovered": True}]


@pytest.mark.parametrize("change", [{"epoch": -1}, {"seq": 10}, {"seq": -2}])
def test_where_the_ring_does_not_reach_the_current_state_follows(change: dict[str, int]) -> None:
    lobby = Lobby()
    client = lobby.client()
    (reply,) = numbered(client, "A@ticker")
    for number in range(5 + TICKER.ring_size):
        lobby.publish(TICKERS, number)
        client.heard()
    lobby.states[TICKERS] = Publication(TICKERS, "state")
    newest = 5 + TICKER.ring_size
    since = {"epoch": reply["epoch"] + change.get("epoch", 0) + 10 * ("epoch" in change), "seq": 4}
    if "seq" in change:
        since["seq"] = newest + 1 if change["seq"] > 0 else 3
    again = numbered(client, "A@ticker", since=since)

    assert again == [
        {"result": True, "epoch": reply["epoch"], "seq": newest, "recovered": False},
        {"event": "A@ticker", "data": "state", "seq": newest, "epoch": reply["epoch"]},
    ]


def test_a_channel_that_nobody_watched_for_its_age_begins_a_new_epoch() -> None:
    lobby = Lobby()
    client = lobby.client()
    (first,) = numbered(client, "A@ticker")
    lobby.publish(TICKERS, 1)
    client.heard()
    client.ask({"op": "unsubscribe", "channel": "A@ticker"})
    assert lobby.hub.wanted(TICKERS)
    lobby.clock.advance(TICKER.ring_ms / 1000 + 1)
    (again,) = numbered(client, "A@ticker", since={"epoch": first["epoch"], "seq": 1})

    assert again["recovered"] is False
    assert again["epoch"] > first["epoch"]
    assert again["seq"] == 0


def test_rings_are_let_go_without_anybody_coming_back() -> None:
    lobby = Lobby()
    client = lobby.client()
    client.ask({"op": "subscribe", "channels": ["A@ticker", "B@ticker"], "seq": True})
    for owner in "AB":
        lobby.publish(Channel(TICKER, owner), 1)
    client.session.lost()
    assert len(lobby.hub.history) == 2
    lobby.clock.advance(TICKER.ring_ms / 1000 + 1)
    lobby.publish(Channel(TICKER, "C"), 1)

    assert len(lobby.hub.history) == 0
    assert not lobby.hub.wanted(TICKERS)


def test_made_up_channels_leave_no_ring_behind() -> None:
    lobby = Lobby(requests_per_s=1e9, requests_burst=10**9)
    client = lobby.client()
    for start in range(0, 10_000, 100):
        names = [f"X{number}@depth" for number in range(start, start + 100)]
        client.say({"op": "subscribe", "channels": names, "seq": True})
        client.say({"op": "unsubscribe", "channels": names})
        client.heard()

    assert len(lobby.hub.history) == 0


def test_several_channels_are_told_their_numbers_by_name() -> None:
    lobby = Lobby()
    client = lobby.client()
    (reply,) = client.ask({"op": "subscribe", "channels": ["A@ticker", "A@depth"], "seq": True})

    assert set(reply["channels"]) == {"A@ticker", "A@depth"}
    assert all(number["seq"] == 0 for number in reply["channels"].values())


@pytest.mark.parametrize(
    "option",
    [
        {"seq": 1},
        {"seq": None},
        {"since": None},
        {"since": {}},
        {"since": {"epoch": 1}},
        {"since": {"epoch": "1", "seq": 1}},
        {"since": {"epoch": 1, "seq": True}},
        {"since": {"epoch": 1, "seq": -1}},
    ],
)
def test_a_wrong_option_is_an_invalid_channel_request(option: dict[str, Any]) -> None:
    lobby = Lobby()
    client = lobby.client()

    assert client.ask(subscribe("A@ticker", **option))[0]["code"] == 4
    assert len(lobby.hub.history) == 0


def test_resuming_several_channels_at_once_is_refused() -> None:
    client = Lobby().client()
    request = {"op": "subscribe", "channels": ["A@ticker", "B@ticker"], "since": {"epoch": 1, "seq": 1}}

    assert client.ask(request)[0]["code"] == 4


@pytest.mark.parametrize(
    ("pushed", "sent"),
    [
        ('{"event":"@balance","data":{"BTC": 1.10}}', '{"event":"@balance","data":{"BTC": 1.10},"seq":1,"epoch":%d}'),
        ('{"a":{}} \n', '{"a":{},"seq":1,"epoch":%d}'),
        ("{ }", '{ "seq":1,"epoch":%d}'),
        ("hello", '{"event":"@balance","data":"hello","seq":1,"epoch":%d}'),
        ("[1]", '{"event":"@balance","data":"[1]","seq":1,"epoch":%d}'),
        ("{broken", '{"event":"@balance","data":"{broken","seq":1,"epoch":%d}'),
    ],
)
def test_a_pushed_string_gets_its_number_before_its_last_brace_or_is_wrapped(pushed: str, sent: str) -> None:
    lobby = Lobby()
    client = lobby.client("1")
    (reply,) = numbered(client, "@balance")
    lobby.publish(Channel(BALANCE, "1"), None, message=pushed)
    ((_, text),) = client.raw()

    assert text.decode() == sent % reply["epoch"]
    assert json.loads(text)["seq"] == 1


def test_a_resumed_book_carries_the_checksums_of_then() -> None:
    lobby = Lobby()
    client = lobby.client()
    (reply,) = numbered(client, "A@depth", checksum=True)
    now = [0]
    for number in (1, 2, 3):
        now[0] = number
        lobby.publish(Channel(DEPTH, "A"), {"n": number}, checksum=lambda: now[0])
    client.heard()
    _, *events = numbered(client, "A@depth", checksum=True, since={"epoch": reply["epoch"], "seq": 1})

    assert [event["data"] for event in events] == [{"n": 2, "checksum": 2}, {"n": 3, "checksum": 3}]


def test_what_is_pushed_is_kept_to_a_bound_of_bytes() -> None:
    history = History(lambda: 0)
    history.watch(ORDERS)
    for _ in range(100):
        history.record(Publication(ORDERS, message="x" * 100_000))
    kept = history.since(ORDERS, Number(history.number(ORDERS).epoch, 90))

    assert kept is not None
    assert len(kept) == 10
    assert history.since(ORDERS, Number(history.number(ORDERS).epoch, 80)) is None


@given(st.lists(st.sampled_from(["publish", "leave", "come"]), max_size=60))
def test_a_client_that_comes_and_goes_hears_everything_once_and_in_order(steps: list[str]) -> None:
    lobby = Lobby(requests_per_s=1e9, requests_burst=10**9)
    client: Client | None = lobby.client("1001")
    (reply,) = numbered(client, "@order")
    last = {"epoch": reply["epoch"], "seq": 0}
    heard: list[int] = []
    published = 0

    def listen(messages: list[Any]) -> None:
        for message in messages:
            if "event" in message:
                assert message["seq"] == last["seq"] + 1
                last["seq"] = message["seq"]
                heard.append(message["data"])

    for step in steps:
        if step == "publish":
            published += 1
            lobby.publish(ORDERS, published)
            if client is not None:
                listen(client.heard())
        elif step == "leave" and client is not None:
            client.session.lost()
            client = None
        elif step == "come" and client is None:
            client = lobby.client("1001")
            messages = numbered(client, "@order", since=dict(last))
            if messages[0]["recovered"]:
                listen(messages)
            else:
                # Nobody watched, and nothing was ever published: counting begins anew.
                assert published == 0
                last = {"epoch": messages[0]["epoch"], "seq": 0}
    if client is None:
        client = lobby.client("1001")
        listen(numbered(client, "@order", since=dict(last)))

    assert heard == list(range(1, published + 1))
