"""A client's conversation, played with the server's own sessions: whatever happens, the client ends where they are.

The connection between the two is a list: the test delivers, cuts, loses, repeats, and starts the server anew.
"""

from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.client import (
    Event,
    Gap,
    Live,
    LoggedIn,
    LoggedOut,
    LoginFailed,
    Lost,
    Refused,
    Shutdown,
    Skipped,
    Stale,
    Subscribed,
    Unasked,
)
from exchange_push.client.conversation import PATIENCE_MS, PING_MS, Conversation
from exchange_push.client.pauses import back_off, comes_back
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.login import Login
from exchange_push.pubsub.publication import Publication
from tests.pubsub.lobby import DEPTH, ORDER, TICKER, Client, Lobby

Levels = dict[str, str]
BOOK, MINE, TICKERS = Channel(DEPTH, "X"), Channel(ORDER, "A"), Channel(TICKER, "X")


class TrueBook:
    """The server's book, and what it was at each update: two dictionaries and a list."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.last = 0
        self.sides: tuple[Levels, Levels] = ({}, {})
        self.was: dict[int, tuple[Levels, Levels]] = {0: ({}, {})}

    def change(self, side: int, price: str, qty: str) -> dict[str, Any]:
        self.last += 1
        if qty == "0":
            self.sides[side].pop(price, None)
        else:
            self.sides[side][price] = qty
        self.was[self.last] = (dict(self.sides[0]), dict(self.sides[1]))
        changed: list[list[list[str]]] = [[], []]
        changed[side] = [[price, qty]]
        return self._data("update", changed, self.last - 1)

    def snapshot(self) -> dict[str, Any]:
        return self._data("snapshot", [list(map(list, side)) for side in self._sorted()], None)

    def _sorted(self) -> list[list[tuple[str, str]]]:
        bids = sorted(self.sides[0].items(), key=lambda level: float(level[0]), reverse=True)
        return [bids, sorted(self.sides[1].items(), key=lambda level: float(level[0]))]

    def _data(self, type: str, levels: list[Any], prev: int | None) -> dict[str, Any]:
        found = {"type": type, "bids": levels[0], "asks": levels[1], "first": self.last, "last": self.last}
        return {**found, "prev": prev, "epoch": self.epoch, "time": self.last}

    def checksum(self) -> int:
        bids, asks = self._sorted()
        parts = []
        for place in range(25):
            parts += [f"{side[place][0]}:{side[place][1]}" for side in (bids, asks) if place < len(side)]
        crc = crc32(":".join(parts).encode())
        return crc - (1 << 32) if crc >= 1 << 31 else crc


class World:
    """A server, a client, and the wire between them. What the client hears is checked as it comes."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000
        self.orders = 0
        self.told: list[Any] = []
        self.wire: list[Any] = []
        self.starts = 0
        self.start_server()
        self.conversation = Conversation(random=lambda: 0.5, logs_in=True)
        self.book = self.conversation.subscribe("X@depth").book
        self.conversation.subscribe("@order")
        self.conversation.subscribe("X@ticker")
        self.connect()

    def start_server(self) -> None:
        self.starts += 1
        self.now_ms += 1  # no server starts in no time, and epochs are times
        self.lobby = Lobby()
        self.lobby.clock.advance(self.now_ms / 1000)
        self.true = TrueBook(self.starts)
        self.set_states()

    def set_states(self) -> None:
        self.lobby.states[BOOK] = Publication(BOOK, self.true.snapshot(), checksum=self.true.checksum)

    def connect(self) -> None:
        self.client: Client | None = Client(self.lobby)
        self.conversation.opened(self.now_ms)
        self.turn()

    def cut(self) -> None:
        self.wire.clear()
        if self.client is not None:
            self.client.session.lost()
        self.conversation.closed()
        assert self.book is not None
        assert not self.book.in_sync
        self.connect()

    def turn(self) -> None:
        """What the client wants to say goes to the server at once; its answers go on the wire."""
        assert self.client is not None
        if self.conversation.wants_token(self.now_ms):
            self.conversation.token("A")
        for request in self.conversation.requests(self.now_ms):
            self.client.say(request)
            while self.lobby.logins:
                token, _ = self.lobby.logins[0]
                self.lobby.answer(Login(token, None))
        self.wire += self.client.heard()

    def wait(self, ms: int) -> None:
        self.now_ms += ms
        self.lobby.clock.advance(ms / 1000)
        self.turn()

    def deliver(self, count: int) -> None:
        while count and self.wire:
            count -= 1
            self.hear(self.wire.pop(0))

    def deliver_all(self) -> None:
        while self.wire:
            self.deliver(1)

    def hear(self, message: Any) -> None:
        for update in self.conversation.received(message, self.now_ms):
            self.told.append(update)
            if isinstance(update, Event) and update.book is not None:
                self.check_book()
        self.turn()

    def check_book(self) -> None:
        book = self.book
        assert book is not None
        if book.in_sync and book.epoch == self.true.epoch:
            assert (dict(book.bids()), dict(book.asks())) == self.true.was[book.last]
            assert [float(price) for price, _ in book.bids()] == sorted(
                (float(p) for p, _ in book.bids()), reverse=True
            )
            assert [float(price) for price, _ in book.asks()] == sorted(float(p) for p, _ in book.asks())

    def change(self, side: int, price: str, qty: str) -> None:
        data = self.true.change(side, price, qty)
        checksum = self.true.checksum()
        self.set_states()
        self.lobby.publish(BOOK, data, checksum=lambda: checksum)
        self.collect()

    def order(self) -> None:
        self.orders += 1
        self.lobby.publish(MINE, {"n": self.orders})
        self.collect()

    def ticker(self, last: int) -> None:
        state = self.lobby.states[TICKERS] = Publication(TICKERS, {"last": last})
        self.lobby.hub.publish(state)
        self.collect()

    def collect(self) -> None:
        assert self.client is not None
        self.wire += self.client.heard()

    def next_event(self) -> int | None:
        """The place of the first event on the wire that was not to get lost."""
        for place, message in enumerate(self.wire):
            if message.get("event") in ("X@depth", "@order"):
                return place
        return None

    def lose(self) -> None:
        place = self.next_event()
        if place is not None:
            del self.wire[place]

    def repeat(self) -> None:
        place = self.next_event()
        if place is not None:
            self.wire.insert(place, self.wire[place])


STEP = st.one_of(
    st.tuples(st.just("change"), st.integers(0, 1), st.sampled_from(["1", "2.5", "10"]), st.sampled_from("012")),
    st.tuples(st.just("order")),
    st.tuples(st.just("ticker"), st.integers(1, 99)),
    st.tuples(st.just("deliver"), st.integers(1, 5)),
    st.tuples(st.sampled_from(["cut", "lose", "repeat", "restart"])),
    st.tuples(st.just("wait"), st.integers(1, 20_000)),
)


@given(st.lists(STEP, max_size=60))
def test_whatever_happens_the_client_ends_where_the_server_is_and_knows_what_it_missed(steps: list[Any]) -> None:
    world = World()
    world.deliver_all()  # what came before the first subscription was answered is nobody's
    last = None
    for name, *arguments in steps:
        if name == "restart":
            world.start_server()
            last = None
            world.cut()
        else:
            last = arguments[0] if name == "ticker" else last
            getattr(world, name)(*arguments)
    world.deliver_all()
    for _ in range(20):  # what was lost at the very end shows with the next message
        world.change(0, "1", "1")
        world.order()
        world.wait(1_000)
        world.deliver_all()

    book = world.book
    assert book is not None
    assert book.in_sync
    assert (book.last, book.epoch) == (world.true.last, world.true.epoch)
    assert (dict(book.bids()), dict(book.asks())) == world.true.sides
    tickers = [
        update.data["last"] for update in world.told if isinstance(update, Event) and update.channel == "X@ticker"
    ]
    assert last is None or tickers[-1] == last
    following, excused = 1, False
    for update in world.told:
        if isinstance(update, Lost | Skipped):
            excused = True
        elif isinstance(update, Event) and update.channel == "@order":
            assert update.data["n"] == following or (excused and update.data["n"] > following)
            following, excused = update.data["n"] + 1, False
    assert following == world.orders + 1


@given(st.lists(STEP.filter(lambda step: step[0] not in ("lose", "restart")), max_size=60))
def test_a_client_that_only_lost_its_connection_misses_no_event_of_its_own(steps: list[Any]) -> None:
    world = World()
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
        if name == "wait" and arguments[0] > 1_000:
            world.deliver_all()
    world.cut()
    world.deliver_all()

    heard = [update.data["n"] for update in world.told if isinstance(update, Event) and update.channel == "@order"]
    # What came before the very first subscription was heard of is nobody's.
    first = heard[0] if heard else world.orders + 1
    assert heard == list(range(first, world.orders + 1))
    assert not [update for update in world.told if isinstance(update, Lost | Skipped)]


# -- one thing at a time


class Talk:
    """A conversation whose server is the test."""

    def __init__(self, **options: Any) -> None:
        self.now_ms = 0.0
        self.conversation = Conversation(random=lambda: 0.0, **options)

    def open(self) -> list[Any]:
        self.conversation.opened(self.now_ms)
        return self.said()

    def said(self, after_ms: float = 0) -> list[Any]:
        self.now_ms += after_ms
        return self.conversation.requests(self.now_ms)

    def hear(self, message: object) -> list[Any]:
        return self.conversation.received(message, self.now_ms)

    def agree(self, requests: list[Any]) -> list[Any]:
        """Answer each with success."""
        updates = []
        for request in requests:
            found: dict[str, Any] = {"op": "pong", "time": 1} if request["op"] == "ping" else {"result": True}
            updates += self.hear({**found, "id": request["id"]})
        return updates

    def begin(self) -> None:
        """Open, and answer all that is asked at first."""
        requests = self.open()
        while requests:
            self.agree(requests)
            requests = self.said()

    def event(self, channel: str, data: object, **others: object) -> list[Any]:
        return self.hear({"event": channel, "data": data, **others})


def without_id(requests: list[Any]) -> list[Any]:
    return [{key: value for key, value in request.items() if key != "id"} for request in requests]


def test_channels_that_are_alike_are_asked_for_in_one_request() -> None:
    talk = Talk()
    for channel in ("A@ticker", "A@depth", "B@ticker", "B@depth"):
        talk.conversation.subscribe(channel)
    talk.conversation.subscribe("A@trades", numbered=True)

    assert without_id(talk.open()) == [
        {"op": "subscribe", "channels": ["system", "A@ticker", "B@ticker"]},
        {"op": "subscribe", "channels": ["A@depth", "B@depth"], "checksum": True},
        {"op": "subscribe", "channel": "A@trades", "seq": True},
    ]


@pytest.mark.parametrize(
    ("channel", "has_book"),
    [("A@depth", True), ("A@depth_1s", True), ("A@depth_250ms", True), ("A@depth5", False), ("A@depth5_1s", False)],
)
def test_the_channels_that_make_a_book_have_one(channel: str, has_book: bool) -> None:
    assert (Talk().conversation.subscribe(channel).book is not None) == has_book


def test_of_channels_asked_for_together_only_the_wrong_one_is_refused() -> None:
    talk = Talk()
    for channel in ("A@ticker", "A@nonsense"):
        talk.conversation.subscribe(channel)
    [request] = talk.open()
    assert talk.hear({"code": 4, "msg": "invalid channel", "id": request["id"]}) == []
    system, ticker, nonsense = talk.said()

    assert [each["channel"] for each in (system, ticker, nonsense)] == ["system", "A@ticker", "A@nonsense"]
    assert talk.agree([system, ticker]) == [Subscribed("A@ticker")]
    refused = {"code": 4, "msg": "invalid channel", "id": nonsense["id"]}
    assert talk.hear(refused) == [Refused("A@nonsense", 4, "invalid channel")]
    talk.conversation.closed()
    assert without_id(talk.open()) == [{"op": "subscribe", "channels": ["system", "A@ticker"]}]


def test_a_channel_that_came_meanwhile_is_not_asked_for_together_with_wrong_ones() -> None:
    talk = Talk()
    talk.conversation.subscribe("A@nonsense")
    [request] = talk.open()
    talk.conversation.subscribe("B@ticker")
    talk.hear({"code": 4, "msg": "invalid channel", "id": request["id"]})

    assert [each["channel"] for each in talk.said()] == ["B@ticker", "system", "A@nonsense"]


def test_what_is_wanted_no_longer_before_it_was_asked_for_is_not_asked_for() -> None:
    talk = Talk()
    talk.begin()
    talk.conversation.subscribe("A@ticker")
    talk.conversation.unsubscribe("A@ticker")

    assert talk.said() == []


def test_a_channel_that_was_begun_anew_and_then_left_is_unsubscribed() -> None:
    talk = Talk()
    talk.conversation.subscribe("A@ticker")
    talk.begin()
    talk.conversation.subscribe("A@ticker")
    talk.conversation.unsubscribe("A@ticker")

    assert without_id(talk.said()) == [{"op": "unsubscribe", "channel": "A@ticker"}]


def test_who_comes_back_to_a_channel_before_it_was_left_has_it() -> None:
    talk = Talk()
    talk.conversation.subscribe("A@ticker")
    talk.begin()
    talk.conversation.unsubscribe("A@ticker")
    talk.conversation.subscribe("A@ticker")
    requests = talk.said()

    assert [each["op"] for each in requests] == ["unsubscribe", "subscribe"]
    assert talk.agree(requests) == [Subscribed("A@ticker")]
    assert talk.event("A@ticker", 1) == [Event("A@ticker", 1)]


def test_requests_keep_to_a_pace_that_a_server_bears() -> None:
    talk = Talk()
    talk.begin()
    for number in range(200):
        talk.conversation.subscribe(f"S{number}@trades", numbered=True)
        talk.conversation.subscriptions[f"S{number}@trades"].alone = True
    at_once = len(talk.said())
    in_ten_seconds = sum(len(talk.said(100)) for _ in range(100))

    assert 40 <= at_once <= 50
    assert 95 <= in_ten_seconds <= 101


def test_too_many_requests_are_made_again_later() -> None:
    talk = Talk()
    talk.begin()
    talk.conversation.subscribe("A@ticker")
    [request] = talk.said()
    talk.hear({"code": 7, "msg": "too many requests", "id": request["id"]})

    assert talk.said() == talk.said(900) == []
    assert without_id(talk.said(101)) == [{"op": "subscribe", "channel": "A@ticker"}]


def test_a_channel_that_was_left_is_silent_at_once_and_unsubscribed() -> None:
    talk = Talk()
    talk.conversation.subscribe("A@ticker")
    talk.begin()
    talk.conversation.unsubscribe("A@ticker")

    assert talk.event("A@ticker", 1) == []
    [request] = talk.said()
    assert (request["op"], request["channel"]) == ("unsubscribe", "A@ticker")
    assert talk.event("A@ticker", 2) == []
    talk.hear({"code": 7, "msg": "too many requests", "id": request["id"]})
    [request] = talk.said(1_000)
    assert (request["op"], request["channel"]) == ("unsubscribe", "A@ticker")
    talk.agree([request])
    talk.conversation.subscribe("A@ticker")
    assert [each["op"] for each in talk.said()] == ["subscribe"]


def test_private_channels_wait_for_the_login_and_public_ones_do_not() -> None:
    talk = Talk(logs_in=True)
    talk.conversation.subscribe("@order")
    talk.conversation.subscribe("A@ticker")
    requests = talk.open()
    assert [each["op"] for each in requests] == ["subscribe"]
    assert talk.conversation.wants_token(talk.now_ms)
    assert not talk.conversation.wants_token(talk.now_ms)
    talk.conversation.token("geheim")
    talk.agree(requests)
    [auth] = talk.said()
    assert without_id([auth]) == [{"op": "auth", "token": "geheim"}]
    assert talk.hear({"result": True, "id": auth["id"]}) == [LoggedIn()]
    assert without_id(talk.said())[0] == {"op": "subscribe", "channel": "@order", "seq": True}


def log_in(talk: Talk, token: str = "t") -> Any:
    """The request to log in."""
    assert talk.conversation.wants_token(talk.now_ms)
    talk.conversation.token(token)
    requests = talk.said()
    [auth] = [each for each in requests if each["op"] == "auth"]
    talk.agree([each for each in requests if each is not auth])
    return auth


def test_a_refused_token_is_not_tried_again_but_one_of_a_function_once() -> None:
    for renews, tries in ((False, 1), (True, 2)):
        talk = Talk(logs_in=True, renews=renews)
        talk.conversation.subscribe("@order")
        talk.begin()
        for number in range(tries):
            auth = log_in(talk)
            [failed] = talk.hear({"code": 8, "msg": "refused", "id": auth["id"]})
            assert failed == LoginFailed(8, "refused", again=number + 1 < tries)
        assert not talk.conversation.wants_token(talk.now_ms + 1e9)
        assert [each["op"] for each in talk.said(PING_MS)] == ["ping"]


def test_a_login_that_is_unavailable_is_tried_again_after_a_growing_pause() -> None:
    talk = Talk(logs_in=True)
    talk.begin()
    pauses = []
    for _ in range(8):
        auth = log_in(talk)
        assert talk.hear({"code": 9, "msg": "later", "id": auth["id"]}) == [LoginFailed(9, "later", again=True)]
        begun = talk.now_ms
        while True:
            talk.agree(talk.said(100))
            if talk.conversation._login._at_ms <= talk.now_ms:
                break
        pauses.append(round((talk.now_ms - begun) / 1000, 1))

    assert pauses == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_a_token_that_cannot_be_had_is_asked_for_again_later() -> None:
    talk = Talk(logs_in=True, renews=True)
    talk.begin()
    assert talk.conversation.wants_token(talk.now_ms)
    assert talk.conversation.no_token("boom", talk.now_ms) == [LoginFailed(None, "boom", again=True)]

    assert not talk.conversation.wants_token(talk.now_ms + 499)
    assert talk.conversation.wants_token(talk.now_ms + 500)


def test_a_login_that_expired_is_renewed_and_goes_on_where_it_was() -> None:
    talk = Talk(logs_in=True)
    talk.conversation.subscribe("@order")
    talk.begin()
    talk.hear({"result": True, "id": log_in(talk)["id"]})
    [request] = [each for each in talk.said() if each["op"] == "subscribe"]
    talk.hear({"result": True, "epoch": 5, "seq": 3, "id": request["id"]})
    assert talk.event("@order", {"n": 1}, seq=4, epoch=5) == [Event("@order", {"n": 1}, 4, 5)]
    assert talk.event("system", {"type": "logout", "reason": "expired"}) == [LoggedOut("expired")]
    assert talk.event("@order", {"n": 2}, seq=5, epoch=5) == []

    talk.hear({"result": True, "id": log_in(talk)["id"]})
    [request] = [each for each in talk.said() if each["op"] == "subscribe"]
    assert request["since"] == {"epoch": 5, "seq": 4}


@pytest.mark.parametrize("reason", ["revoked", "replaced"])
def test_who_was_logged_out_on_purpose_stays_out_until_told(reason: str) -> None:
    talk = Talk(logs_in=True)
    talk.begin()
    talk.hear({"result": True, "id": log_in(talk)["id"]})
    assert talk.event("system", {"type": "logout", "reason": reason}) == [LoggedOut(reason)]

    assert not talk.conversation.wants_token(talk.now_ms + 1e9)
    talk.conversation.log_in(renews=False)
    assert talk.conversation.wants_token(talk.now_ms)


def test_a_login_as_another_user_asks_for_the_private_channels_again() -> None:
    talk = Talk(logs_in=True)
    talk.conversation.subscribe("@order", numbered=False)
    talk.begin()
    talk.hear({"result": True, "id": log_in(talk)["id"]})
    talk.agree(talk.said())
    talk.conversation.log_in(renews=False)
    talk.hear({"result": True, "id": log_in(talk, "another")["id"]})
    requests = talk.said()
    assert talk.event("system", {"type": "logout", "reason": "replaced"}) == [LoggedOut("replaced")]

    assert without_id(requests) == [{"op": "subscribe", "channel": "@order"}]
    assert talk.agree(requests) == [Subscribed("@order")]
    assert talk.event("@order", 1) == [Event("@order", 1)]
    talk.conversation.subscribe("@balance")  # it is logged in
    assert [each["channel"] for each in talk.said()] == ["@balance"]


def test_an_earlier_login_stands_when_another_is_refused() -> None:
    talk = Talk(logs_in=True)
    talk.begin()
    talk.hear({"result": True, "id": log_in(talk)["id"]})
    talk.conversation.log_in(renews=False)
    talk.hear({"code": 8, "msg": "refused", "id": log_in(talk, "wrong")["id"]})
    talk.conversation.subscribe("@order")

    assert [each["channel"] for each in talk.said()] == ["@order"]


def test_what_was_missed_for_too_long_is_told_before_what_follows() -> None:
    talk = Talk()
    talk.conversation.subscribe("A@trades", numbered=True)
    [request] = [each for each in talk.open() if each.get("seq")]
    talk.hear({"result": True, "epoch": 1, "seq": 9, "id": request["id"]})
    assert talk.event("A@trades", "state", seq=9, epoch=1) == [Event("A@trades", "state", 9, 1)]
    assert talk.event("A@trades", "state", seq=9, epoch=1) == []
    talk.conversation.closed()
    [request] = [each for each in talk.open() if "since" in each]
    answer = {"result": True, "epoch": 2, "seq": 40, "recovered": False, "id": request["id"]}

    assert talk.hear(answer) == [Lost("A@trades"), Subscribed("A@trades")]
    assert talk.event("A@trades", "state", seq=40, epoch=2) == [Event("A@trades", "state", 40, 2)]
    assert talk.event("A@trades", "x", seq=43, epoch=2) == [Skipped("A@trades", 2), Event("A@trades", "x", 43, 2)]


SNAPSHOT = {"type": "snapshot", "bids": [], "asks": [], "first": 1, "last": 1, "prev": None, "epoch": 1, "time": 1}
LATER = {**SNAPSHOT, "type": "update", "first": 3, "last": 3, "prev": 2}


def test_a_book_that_breaks_again_and_again_is_asked_for_ever_more_slowly() -> None:
    talk = Talk()
    talk.conversation.subscribe("A@depth")
    talk.begin()
    pauses = []
    for _ in range(8):
        talk.event("A@depth", SNAPSHOT)
        [gap] = talk.event("A@depth", LATER)
        assert isinstance(gap, Gap)
        assert talk.event("A@depth", LATER) == []  # one request is enough
        begun = talk.now_ms
        requests = talk.said()
        while not [each for each in requests if each["op"] == "subscribe"]:
            talk.agree(requests)
            requests = talk.said(50)
        pauses.append(round((talk.now_ms - begun) / 1000, 2))
        talk.agree(requests)

    assert pauses == [0, 0.25, 0.5, 1, 2, 4, 8, 15]


def test_a_book_that_held_for_a_while_is_repaired_at_once() -> None:
    talk = Talk()
    talk.conversation.subscribe("A@depth")
    talk.begin()
    for _ in range(3):
        talk.event("A@depth", SNAPSHOT)
        talk.event("A@depth", {**LATER, "first": 2, "last": 2, "prev": 1})
        talk.event("A@depth", {**LATER, "first": 9, "last": 9, "prev": 8})
        requests = talk.said()
        assert [each["op"] for each in requests] == ["subscribe"]
        talk.agree(requests)


def test_a_pushed_message_that_names_no_channel_belongs_to_the_one_that_it_is_numbered_by() -> None:
    talk = Talk()
    talk.conversation.subscribe("@order")
    talk.conversation.subscribe("@balance")
    [request] = [each for each in talk.open() if each.get("seq")]
    numbers = {"@order": {"epoch": 5, "seq": 0}, "@balance": {"epoch": 6, "seq": 0}}
    talk.hear({"result": True, "channels": numbers, "id": request["id"]})
    message = {"hello": 1, "seq": 1, "epoch": 6}

    assert talk.hear(message) == [Event("@balance", message, 1, 6)]
    assert talk.event("@balance", "x", seq=2, epoch=6) == [Event("@balance", "x", 2, 6)]
    assert talk.hear({"hello": 1, "seq": 1, "epoch": 99}) == [Unasked({"hello": 1, "seq": 1, "epoch": 99})]


def test_numbers_that_begin_anew_are_a_loss() -> None:
    talk = Talk()
    talk.conversation.subscribe("A@trades", numbered=True)
    talk.begin()
    assert talk.event("A@trades", "x", seq=5, epoch=1) == [Event("A@trades", "x", 5, 1)]
    assert talk.event("A@trades", "y", seq=1, epoch=2) == [Lost("A@trades"), Event("A@trades", "y", 1, 2)]
    assert talk.event("A@trades", "z", seq=2, epoch=2) == [Event("A@trades", "z", 2, 2)]


def test_stale_and_live_are_told_and_kept() -> None:
    talk = Talk()
    subscription = talk.conversation.subscribe("A@depth")
    talk.begin()

    assert talk.event("system", {"type": "stale", "channel": "A@depth", "since": 5}) == [Stale("A@depth", 5)]
    assert subscription.stale
    assert talk.event("system", {"type": "live", "channel": "A@depth"}) == [Live("A@depth")]
    assert not subscription.stale
    assert talk.event("system", {"type": "shutdown", "inMs": 3000}) == [Shutdown(3000)]


def test_who_subscribed_to_system_gets_its_events_too() -> None:
    talk = Talk()
    talk.conversation.subscribe("system")
    assert without_id(talk.open())[0] == {"op": "subscribe", "channel": "system"}
    data = {"type": "shutdown", "inMs": 1}
    assert talk.event("system", data) == [Shutdown(1), Event("system", data)]
    talk.conversation.unsubscribe("system")

    assert [each["op"] for each in talk.said()] == []  # the client itself listens on
    assert talk.event("system", data) == [Shutdown(1)]


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        None,
        17,
        [],
        {},
        {"result": True},
        {"result": True, "id": 99},
        {"result": True, "id": [1]},
        {"event": "A@ticker"},
        {"event": 1, "data": 2},
        {"event": "B@ticker", "data": 2},
        {"op": "pong", "time": 5},
    ],
)
def test_what_nobody_asked_for_is_handed_on_and_changes_nothing(message: object) -> None:
    talk = Talk()
    talk.conversation.subscribe("A@ticker")
    requests = talk.open()

    assert talk.hear(message) == [Unasked(message)]
    assert talk.agree(requests) == [Subscribed("A@ticker")]


def test_a_server_that_answers_no_ping_is_dead() -> None:
    talk = Talk()
    talk.begin()
    assert talk.conversation.latency_ms == 0
    assert talk.said(PING_MS - 1) == []
    [ping] = talk.said(1)
    assert ping["op"] == "ping"
    assert talk.said(PATIENCE_MS) == []
    assert not talk.conversation.is_dead(talk.now_ms)
    assert talk.conversation.is_dead(talk.now_ms + 1)
    talk.hear({"op": "pong", "time": 1, "id": ping["id"]})
    assert not talk.conversation.is_dead(talk.now_ms + 1)
    assert talk.conversation.latency_ms == PATIENCE_MS


def test_pauses_grow_from_half_to_whole_up_to_the_most() -> None:
    assert [back_off(attempt, lambda: 0.0, 1, 30) for attempt in range(1, 8)] == [0.5, 1, 2, 4, 8, 15, 15]
    assert back_off(3, lambda: 1.0, 1, 30) == 4
    assert back_off(10**9, lambda: 1.0, 1, 30) == 30


def test_close_codes_say_whether_to_come_back() -> None:
    assert all(map(comes_back, (1000, 1001, 1005, 1006, 1011, 1012, 1013, 4008, 4013, 4029, 4499)))
    assert not any(map(comes_back, (1002, 1003, 1007, 1009, 4500, 4501, 4503, 4505, 4999)))
    assert comes_back(1002, ours=True)
