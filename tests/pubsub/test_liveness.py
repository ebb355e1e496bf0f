from collections.abc import Set
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.liveness import Liveness
from exchange_push.pubsub.publication import Publication
from tests.pubsub.lobby import SYSTEM, Client, Lobby

STALE_MS = 3000


class Room:
    """A lobby in which the feed can fall silent. Its wall clock stands at `now_ms`."""

    def __init__(self) -> None:
        self.lobby = Lobby(stale=lambda channel, name: self.liveness.notice(channel, name))
        self.liveness = Liveness(self.lobby.hub, Channel(SYSTEM, ""), stale_ms=STALE_MS)
        self.now_ms = 100_000

    def client(self, *channels: str, uid: str | None = None) -> Client:
        client = self.lobby.client(uid)
        if channels:
            client.say({"op": "subscribe", "channels": list(channels)})
            client.heard()
        return client

    def look(
        self,
        silent_ms: int | None = 0,
        unsure: Set[str] = frozenset(),
        polled: Set[str] = frozenset(),
        unpriced: Set[str] = frozenset(),
    ) -> None:
        self.liveness.look(self.now_ms, silent_ms, unsure, polled, unpriced)


def stale(channel: str, since: int) -> dict[str, Any]:
    return {"event": "system", "data": {"type": "stale", "channel": channel, "since": since}}


def live(channel: str) -> dict[str, Any]:
    return {"event": "system", "data": {"type": "live", "channel": channel}}


def test_a_silent_feed_makes_its_channels_stale_until_it_is_heard_again() -> None:
    room = Room()
    client = room.client("system", "BTCUSDT@trades")
    room.look(STALE_MS)
    assert client.heard() == []
    room.look(STALE_MS + 1)
    assert client.heard() == [stale("BTCUSDT@trades", 100_000 - STALE_MS - 1)]
    room.now_ms += 50
    room.look(STALE_MS + 51)
    assert client.heard() == []
    room.look(10)
    assert client.heard() == [live("BTCUSDT@trades")]
    assert room.liveness.silences == 1


def test_a_feed_that_was_never_heard_from_is_absent_and_not_stale() -> None:
    room = Room()
    client = room.client("system", "BTCUSDT@trades")
    room.look(None)

    assert client.heard() == []
    assert client.ask({"op": "subscribe", "channel": "BTCUSDT@depth"}) == [{"result": True}]


def test_the_operator_sees_how_many_channels_in_use_are_stale() -> None:
    room = Room()
    room.client("system", "BTCUSDT@depth", "ETHUSDT@depth", "BTCUSDT@trades")
    room.look(unsure={"BTCUSDT", "NOBODY"})
    assert room.liveness.stale == 1
    room.look(STALE_MS + 1)
    assert room.liveness.stale == 3


def test_a_stall_of_our_own_is_not_taken_for_a_silent_feed() -> None:
    room = Room()
    client = room.client("system", "BTCUSDT@trades")
    room.look(50)
    room.now_ms += 5000
    room.look(5050)
    assert client.heard() == []
    room.now_ms += 50
    room.look(0)
    assert client.heard() == []
    for _ in range(2):
        room.now_ms += 50
        room.look(STALE_MS + 1)
    assert client.heard() == [stale("BTCUSDT@trades", room.now_ms - 50 - STALE_MS - 1)]


def test_a_channel_is_named_as_the_client_knows_it() -> None:
    room = Room()
    one, other = room.client("system", "BTCUSDT@kline"), room.client("system", "BTCUSDT@kline_1m")
    room.look(STALE_MS + 1)

    assert [notice["data"]["channel"] for notice in one.heard() + other.heard()] == [
        "BTCUSDT@kline",
        "BTCUSDT@kline_1m",
    ]


def test_only_who_listens_to_system_and_to_the_channel_is_told() -> None:
    room = Room()
    without_system, without_channel = room.client("BTCUSDT@trades"), room.client("system")
    both = room.client("BTCUSDT@trades", "system")
    room.look(STALE_MS + 1)

    assert (without_system.heard(), without_channel.heard()) == ([], [])
    assert len(both.heard()) == 1


def test_what_is_pushed_never_goes_stale() -> None:
    room = Room()
    client = room.client("system", "@balance", "@order", uid="1001")
    room.look(STALE_MS + 1, unsure={"BTCUSDT", "1001", ""})

    assert client.heard() == []


def test_the_channels_of_every_symbol_go_stale_with_the_feed() -> None:
    room = Room()
    client = room.client("system", "*@ticker")
    room.look(STALE_MS + 1, unsure={"*"})

    assert client.heard() == [stale("*@ticker", 100_000 - STALE_MS - 1)]


def test_a_book_that_is_not_known_makes_only_what_is_made_of_it_stale() -> None:
    room = Room()
    client = room.client("system", "BTCUSDT@depth", "BTCUSDT@trades", "ETHUSDT@depth")
    room.look(unsure={"BTCUSDT"})
    assert client.heard() == [stale("BTCUSDT@depth", 100_000)]
    room.now_ms += 50
    room.look(unsure={"BTCUSDT", "ETHUSDT"})
    assert client.heard() == [stale("ETHUSDT@depth", 100_050)]
    room.look(unsure={"ETHUSDT"})
    assert client.heard() == [live("BTCUSDT@depth")]


def test_a_feed_that_comes_back_does_not_bring_a_book_back_that_it_lost() -> None:
    room = Room()
    client = room.client("system", "BTCUSDT@depth", "BTCUSDT@trades")
    room.look(STALE_MS + 1)
    assert len(client.heard()) == 2
    room.look(0, unsure={"BTCUSDT"})
    assert client.heard() == [live("BTCUSDT@trades")]
    room.look(0)
    assert client.heard() == [live("BTCUSDT@depth")]


def test_a_book_that_comes_by_another_way_does_not_go_stale_with_the_feed() -> None:
    room = Room()
    client = room.client("system", "BTCUSDT@depth", "ETHUSDT@depth", "BTCUSDT@trades")
    room.look(STALE_MS + 1, polled={"BTCUSDT"})

    assert [notice["data"]["channel"] for notice in client.heard()] == ["ETHUSDT@depth", "BTCUSDT@trades"]


@pytest.mark.parametrize("channels", [["system", "BTCUSDT@trades"], ["BTCUSDT@trades", "system"]])
def test_who_subscribes_while_a_channel_is_stale_hears_of_it_once_behind_the_reply(channels: list[str]) -> None:
    room = Room()
    room.look(STALE_MS + 1)
    since = 100_000 - STALE_MS - 1

    assert room.client().ask({"op": "subscribe", "channels": channels}) == [
        {"result": True},
        stale("BTCUSDT@trades", since),
    ]
    client = room.client()
    for channel in channels:
        client.say({"op": "subscribe", "channel": channel})
    assert client.heard() == [{"result": True}, {"result": True}, stale("BTCUSDT@trades", since)]


def test_the_current_state_comes_before_the_word_that_it_is_old() -> None:
    room = Room()
    channel = room.lobby.registry.for_client("BTCUSDT@ticker", None)
    room.lobby.states[channel] = Publication(channel, {"n": 1})
    room.look(STALE_MS + 1)
    heard = room.client("system").ask({"op": "subscribe", "channel": "BTCUSDT@ticker"})

    assert [message.get("event") for message in heard] == [None, "BTCUSDT@ticker", "system"]


def test_nobody_is_told_who_left_in_between() -> None:
    room = Room()
    client = room.client("system", "BTCUSDT@trades", "BTCUSDT@depth")
    client.say({"op": "unsubscribe", "channel": "BTCUSDT@trades"})
    client.heard()
    room.look(STALE_MS + 1)

    assert [notice["data"]["channel"] for notice in client.heard()] == ["BTCUSDT@depth"]


NAMES = ["system", "A@depth", "B@depth", "A@trades", "*@ticker", "A@kline"]
SYMBOLS = st.sets(st.sampled_from("AB"))
LOOKS = st.tuples(st.none() | st.sampled_from([0, STALE_MS, STALE_MS + 1, 9000]), SYMBOLS, SYMBOLS)
DOINGS = st.tuples(st.sampled_from(["subscribe", "unsubscribe"]), st.sampled_from(NAMES))


def is_stale(name: str, silent_ms: int | None, unsure: set[str], polled: set[str]) -> bool:
    """The rule as the documentation says it."""
    silent = silent_ms is not None and silent_ms > STALE_MS
    if name.endswith("@depth"):
        return name[0] in unsure or (silent and name[0] not in polled)
    return silent


@given(st.lists(LOOKS | DOINGS, max_size=30))
def test_a_client_that_believes_the_notices_always_knows_what_is_stale(steps: list[tuple[Any, ...]]) -> None:
    room = Room()
    client = room.client("system")
    held, believed = {"system"}, set[str]()
    how: tuple[Any, ...] = (None, set(), set())
    for step in steps:
        if len(step) == 3:
            how = step
            room.look(*how)
        else:
            op, name = step
            client.say({"op": op, "channel": name})
            (held.add if op == "subscribe" else held.discard)(name)
            believed &= held if "system" in held else set()
        for message in client.heard():
            if "event" in message:
                notice = message["data"]
                (believed.add if notice["type"] == "stale" else believed.remove)(notice["channel"])
        if "system" in held:
            assert believed == {name for name in held - {"system"} if is_stale(name, *how)}
        else:
            assert not believed


def test_a_symbol_without_an_index_makes_its_mark_price_stale_and_nothing_else() -> None:
    room = Room()
    client = room.client("system", "BTCUSDT@markprice", "ETHUSDT@markprice", "BTCUSDT@depth", "*@ticker")
    room.look(unpriced={"BTCUSDT"})
    assert client.heard() == [stale("BTCUSDT@markprice", 100_000)]
    room.now_ms += 50
    room.look(STALE_MS + 1, unpriced={"BTCUSDT", "ETHUSDT"})
    told = {message["data"]["channel"]: message["data"]["since"] for message in client.heard()}
    silent_since = 100_050 - STALE_MS - 1
    assert told == dict.fromkeys(("BTCUSDT@depth", "*@ticker"), silent_since) | {"ETHUSDT@markprice": 100_050}
    room.look(unpriced={"ETHUSDT"})
    assert sorted(message["data"]["channel"] for message in client.heard()) == [
        "*@ticker",
        "BTCUSDT@depth",
        "BTCUSDT@markprice",
    ]
