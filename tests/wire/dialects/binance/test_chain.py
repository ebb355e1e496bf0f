"""Books as Binance's clients keep them, by Binance's rules, through a real hub and real sessions.

Whatever the engine does, whenever a client comes and however slowly it reads: its book is the true one at its update
id, or it saw a gap and starts over.
"""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from exchange_push.errors import CloseCode
from exchange_push.pubsub.channel import Registry
from exchange_push.pubsub.hub import Hub
from exchange_push.pubsub.outbox import Budget
from exchange_push.pubsub.session import Session
from exchange_push.pubsub.terms import Terms
from exchange_push.wire.dialects.binance.amount import NOTHING, amounts
from exchange_push.wire.dialects.binance.paths import open as open_path
from tests.market.exchange import Exchange, channel, kinds
from tests.market.test_book import Engine, Levels
from tests.pubsub.lobby import unframe

STREAMS = [
    ("/ws", "s@depth@100ms"),
    ("/ws", "s@depth"),
    ("/public/ws", "s@depth"),
    ("/public/ws", "s@depth@500ms"),
]
DEPTHS = ("depth", "depth_250ms", "depth_500ms", "depth_1s")


class Market:
    """An engine, a board, and the hub that followers subscribe to."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.exchange = Exchange(*DEPTHS, wanted=lambda wanted: self.hub.wanted(wanted))
        self.hub = Hub(self.exchange.board.state, Budget(1 << 30), lambda: self.exchange.now_ms)
        self.terms = Terms(
            registry=Registry(kinds(*DEPTHS)),
            hub=self.hub,
            look_up=lambda token, done: None,
            now_ms=lambda: self.exchange.now_ms,
            call_later=Clock().callLater,
            outbox_bytes=1_500,
        )
        self.ids: dict[int, int] = {}
        """The engine's id by the one that is shown."""

    def run(self, ms: int) -> None:
        for _ in range(ms // 50):
            publications = self.exchange.tick()
            self._note()
            for publication in publications:
                self.hub.publish(publication)

    def _note(self) -> None:
        book = self.exchange.board.book("S")
        if book is not None and book.published_id is not None:
            assert self.ids.setdefault(book.published_id + book.shift, book.published_id) == book.published_id

    def true_book(self, shown_id: int) -> tuple[Levels, Levels]:
        return self.engine.history[self.ids[shown_id]]

    def over_http(self) -> dict[str, Any] | None:
        """What a client is answered that asks for the book."""
        state: Any = self.exchange.board.state(channel("S@depth"))
        if state is None:
            return None
        data = state.data
        return {"lastUpdateId": data.last + state.shift, "bids": amounts(data.bids), "asks": amounts(data.asks)}


class Follower:
    """A client by the book: finds levels by their text, and is as strict about ids as the strictest."""

    outbox: Any

    def __init__(self, market: Market, path: str, stream: str) -> None:
        opening = open_path(path, "", ())
        assert opening is not None
        self.market = market
        self.session = Session("1", "", opening.dialect, self, market.terms)
        self.futures = path != "/ws"
        self.sides: tuple[dict[str, str], dict[str, str]] | None = None  # None: out of sync
        self.waiting: list[Any] = []
        self.last = 0
        self.joined = False  # whether an event followed the whole book
        self.heard = 0
        self.gaps = 0
        self.session.open([stream])

    def wake(self) -> None: ...

    def close(self, code: CloseCode, reason: str) -> None:
        raise AssertionError(f"closed: {code} {reason}")

    def stall(self) -> None:
        self.market.hub.round.part(self.session)
        self.session.outbox.block()

    def read(self) -> None:
        self.market.hub.round.part(self.session)
        self.session.outbox.unblock()
        wire = b""
        while portion := self.session.outbox.take():
            wire += portion
        self.market.hub.round.rejoin(self.session)
        for _, payload in unframe(wire):
            event = json.loads(payload)
            assert event["e"] == "depthUpdate"
            assert event["U"] <= event["u"]
            assert event["U"] > self.heard, "an old event came again"
            self.heard = event["u"]
            if self.sides is None:
                self.waiting.append(event)
            elif self._joins(event):
                self._apply(event)
            else:
                self.gaps += 1
                self.sides, self.waiting = None, [event]

    def sync(self) -> None:
        """Ask for the whole book, and join what was heard."""
        answer = self.market.over_http()
        if self.sides is not None or answer is None:
            return
        assert answer["lastUpdateId"] >= self.heard, "the book lags behind the stream"
        self.sides = dict(answer["bids"]), dict(answer["asks"])
        self.last, self.joined = answer["lastUpdateId"], False
        waiting, self.waiting = self.waiting, []
        for event in waiting:
            if event["u"] > self.last:
                assert self._joins(event)
                self._apply(event)
        self._check()

    def _joins(self, event: Any) -> bool:
        if not self.joined:
            return bool(event["U"] <= self.last + 1 <= event["u"])
        if self.futures:
            assert (event["pu"] == self.last) is (event["U"] == self.last + 1)
        return bool(event["U"] == self.last + 1)

    def _apply(self, event: Any) -> None:
        assert self.sides is not None
        for side, levels in zip(self.sides, (event["b"], event["a"]), strict=True):
            for price, qty in levels:
                if qty == NOTHING:
                    side.pop(price, None)
                else:
                    side[price] = qty
        self.last, self.joined = event["u"], True
        self._check()

    def _check(self) -> None:
        assert self.sides is not None
        found = tuple({Decimal(price): Decimal(qty) for price, qty in side.items()} for side in self.sides)
        assert found == self.market.true_book(self.last)
        assert [len(side) for side in self.sides] == [len(side) for side in found]


_qty = st.sampled_from(["0", "0.000", "1", "1.0", "2", "0.123456789012"])
_bids = st.lists(st.tuples(st.sampled_from(["7.5", "7.50", "7.6", "07.60", "7.123456789"]), _qty), max_size=3)
_asks = st.lists(st.tuples(st.sampled_from(["8", "8.00", "8.1", "8.200000000", "08.2"]), _qty), max_size=3)
_change = st.tuples(st.just("change"), _bids, _asks, st.integers(1, 3))
_steps = st.lists(
    st.one_of(
        _change,
        _change,
        st.tuples(st.just("lost change"), _bids, _asks, st.integers(1, 3)),
        st.tuples(st.just("come"), st.sampled_from(STREAMS)),
        st.tuples(st.sampled_from(["stall", "read", "sync"]), st.integers(0, 3)),
        st.tuples(st.just("run"), st.sampled_from([50, 50, 150, 1_000])),
        st.sampled_from([("book",), ("restart",), ("session",)]),
    ),
    max_size=60,
)


def _play(market: Market, followers: list[Follower], step: Any) -> None:
    match step:
        case ("change", bids, asks, ids):
            market.exchange.apply(market.engine.change(bids, asks, ids))
        case ("lost change", bids, asks, ids):
            market.engine.change(bids, asks, ids)
        case ("book",):
            market.exchange.apply(market.engine.whole())
        case ("restart",):
            market.engine.restart()
        case ("session",):
            market.engine.restart()
            market.exchange.restart(market.engine.time)
        case ("come", (path, stream)):
            followers.append(Follower(market, path, stream))
        case ("run", ms):
            market.run(ms)
        case (what, number) if followers:
            getattr(followers[number % len(followers)], what)()


@settings(max_examples=300, deadline=None)
@given(_steps)
def test_a_book_kept_by_binances_rules_is_the_true_one_or_knows_that_it_is_not(steps: list[Any]) -> None:
    market = Market()
    market.exchange.apply(market.engine.whole())
    followers: list[Follower] = []
    for step in steps:
        _play(market, followers, step)
    book = market.exchange.board.book("S")
    if book is not None and book.in_sync and book.id == market.engine.id:
        _settle(market, followers)
    followers += [Follower(market, path, stream) for path, stream in STREAMS]
    # Whatever happened, who starts over with the engine is right.
    _play(market, followers, ("session",))
    market.exchange.apply(market.engine.whole())
    _settle(market, followers)


def _settle(market: Market, followers: list[Follower]) -> None:
    """All read, and those who know that they are wrong ask: then all follow."""
    market.run(1_000)
    for number in (1, 2, 3):
        market.exchange.apply(market.engine.change([], [("9", str(number))], 1))
        market.run(1_000)
        for follower in followers:
            follower.read()
            follower.sync()
    gaps = [follower.gaps for follower in followers]
    market.exchange.apply(market.engine.change([], [("9", "4")], 1))
    market.run(1_000)
    for follower in followers:
        follower.read()
    assert [follower.gaps for follower in followers] == gaps
    assert all(follower.last == max(market.ids) for follower in followers)


def test_a_book_that_was_lost_shows_as_a_gap_even_where_the_engine_begins_its_ids_anew() -> None:
    market = Market()
    market.exchange.apply(market.engine.whole())
    follower = Follower(market, "/ws", "s@depth@100ms")
    market.run(100)
    follower.sync()
    market.exchange.apply(market.engine.change([("7", "1")], [], 5))
    market.run(100)
    follower.read()
    before = follower.last

    market.engine.restart()
    market.exchange.restart(market.engine.time)
    market.exchange.apply(market.engine.whole())
    market.run(100)
    assert market.engine.id < before
    market.exchange.apply(market.engine.change([("7", "2")], [], 1))
    market.run(100)
    follower.read()
    assert (follower.gaps, follower.sides) == (1, None)
    follower.sync()
    assert follower.last > before + 1


def test_a_chain_goes_on_where_nothing_was_lost() -> None:
    market = Market()
    market.exchange.apply(market.engine.whole())
    followers = [Follower(market, path, stream) for path, stream in STREAMS]
    market.run(1_000)
    for follower in followers:
        follower.sync()
    for number in range(60):
        market.exchange.apply(market.engine.change([("7", str(number % 3))], [], 2))
        market.run(150)
        for follower in followers:
            follower.read()
    market.run(1_000)
    for follower in followers:
        follower.read()
    assert [follower.gaps for follower in followers] == [0, 0, 0, 0]
    assert {follower.last for follower in followers} == {market.engine.id}
