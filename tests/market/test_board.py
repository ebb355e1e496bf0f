import random
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.board import Board
from exchange_push.market.depth import DepthData
from exchange_push.market.events import Funding, Gap, IndexPrice, Level, MarketEvent, Restart
from exchange_push.market.slowdepth import SlowDepthFeed
from exchange_push.pubsub.channel import Channel, ChannelKind, Owner, SlowPolicy
from exchange_push.pubsub.publication import Publication
from tests.market.exchange import KINDS, Exchange, book, channel, depth, trade

T = 1_700_000_000_000


# A slower chain of a book begins with its first listener.
STEADY = [kind for kind in KINDS if KINDS[kind] is not SlowDepthFeed]


def _feed(seed: int) -> list[list[MarketEvent | Restart | Gap]]:
    """Half a minute of everything, event by tick."""
    rng = random.Random(seed)
    now, trade_id, update_id = T, 0, 0
    ticks: list[list[MarketEvent | Restart | Gap]] = []
    for number in range(600):
        events: list[MarketEvent | Restart | Gap] = []
        for _ in range(rng.choice([0, 0, 1, 3])):
            now += rng.randrange(40)
            symbol = rng.choice("SQ")
            match rng.randrange(6):
                case 0 | 1:
                    trade_id += 1
                    late = rng.choice([0, 0, 0, 1_500])
                    events.append(trade(trade_id, str(rng.randrange(90, 110)), "1", now - late, symbol=symbol))
                case 2 | 3:
                    update_id += rng.choice([1, 1, 1, 1, 2])
                    level = (str(rng.randrange(80, 100)), str(rng.randrange(3)))
                    events.append(depth(update_id, update_id, now, [level], []))
                case 4:
                    events.append(book(update_id, now, [("99", "1"), ("98", "2")], [("101", "1")]))
                case 5:
                    events.append(IndexPrice(symbol, "x", str(rng.randrange(95, 105)), "1", now))
        if number % 200 == 150:
            events += [Gap(2), Funding("S", "0.0001", now + 60_000, now)]
        if number == 400:
            events.append(Restart(77))
        ticks.append(events)
    return ticks


def _run(exchange: Exchange, ticks: list[list[Any]]) -> list[tuple[int, str, bytes, SlowPolicy]]:
    for events in ticks:
        exchange.apply(*events)
        exchange.tick()
    return [(ms, str(p.channel), msgspec.json.encode(p.data), p.slow) for ms, p in exchange.published]


def test_the_same_events_and_ticks_give_the_same_publications() -> None:
    ticks = _feed(1)
    first, second = _run(Exchange(), ticks), _run(Exchange(), ticks)
    assert first == second
    assert {name.partition("@")[2] for _, name, _, _ in first} == {kind.name for kind in KINDS}


def test_what_is_published_and_what_is_the_state_do_not_depend_on_who_listens() -> None:
    ticks = _feed(2)
    everyone = Exchange()
    rng = random.Random(5)
    listening: dict[Channel, bool] = {}
    someone = Exchange(wanted=lambda channel: listening.setdefault(channel, False))
    names = [f"{symbol}@{kind.name}" for kind in STEADY if kind.owner is Owner.SYMBOL for symbol in "SQ"]
    names += [f"*@{kind.name}" for kind in STEADY if kind.owner is Owner.EVERY]
    compared = 0
    for events in ticks:
        for one in list(listening):
            listening[one] = rng.random() < 0.5
        asked = rng.sample(names, 5)
        for name in asked:
            assert everyone.state(name) == someone.state(name)
        everyone.apply(*events)
        someone.apply(*events)
        for name in asked:  # that something was lost may be said at once, or on the tick
            assert _but_complete(everyone.state(name)) == _but_complete(someone.state(name))
        full = [
            (str(p.channel), p.data) for p in everyone.tick() if listening.get(p.channel) and p.channel.kind in STEADY
        ]
        part = [(str(p.channel), p.data) for p in someone.tick()]
        # A channel is asked for the first time in the midst of a tick; what it does then was compared by its state.
        assert [one for one in part if one in full] == full
        compared += len(part)
    assert compared > 1_000


def _but_complete(state: Any) -> Any:
    if isinstance(state, list):
        return [_but_complete(one) for one in state]
    return state and {key: value for key, value in state.items() if key != "complete"}


def test_what_is_due_together_leaves_together_on_one_grid() -> None:
    exchange = Exchange()
    _run(exchange, _feed(3))
    for kind in KINDS:
        ticks = [
            ms
            for ms, p in exchange.published
            if p.channel.kind is kind
            and p.slow is kind.slow
            and (kind in STEADY or (isinstance(p.data, DepthData) and p.data.type == "update"))
        ]
        assert ticks
        if kind.every_ms < 1_000 or kind.name == "markprice":  # a ticker may have to wait for the market's second
            assert {ms % kind.every_ms for ms in ticks[1:]} <= {0, ticks[0] % kind.every_ms}
        assert all(after == before or after - before >= 50 for before, after in pairwise(ticks))


def test_it_knows_the_symbols_it_heard_of_and_no_others() -> None:
    exchange = Exchange()
    exchange.apply(trade(1, "7", "1", T, symbol="Z"), IndexPrice("A", "x", "1", "1", T), depth(1, 1, T, [], []))
    for number in range(1_000):
        assert exchange.board.state(Channel(channel("S@depth").kind, f"NO{number}")) is None
    assert exchange.board.symbols() == ["A", "S", "Z"]


def test_it_owns_a_book_once_a_whole_one_came_by_the_feed() -> None:
    exchange = Exchange()
    exchange.apply(depth(1, 1, T, [], []))
    assert not exchange.board.owns_book("S")
    exchange.apply(book(1, T, [], []))
    exchange.apply(Restart(5))
    assert exchange.board.owns_book("S")
    assert not exchange.board.owns_book("Q")


def test_a_channel_that_is_not_computed_has_no_state() -> None:
    kind = ChannelKind("notes", Owner.SYMBOL, SlowPolicy.QUEUE)
    exchange = Exchange()
    exchange.apply(trade(1, "7", "1", T))
    assert exchange.board.state(Channel(kind, "S")) is None


def test_without_events_nothing_is_published() -> None:
    exchange = Exchange()
    exchange.apply(Gap(3))
    assert exchange.run(5_000) == []
    exchange.apply(trade(1, "7", "1", T))
    exchange.run(2_400)
    seconds = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [data["complete"] for data in seconds] == [True, True]


def test_a_new_feed_is_one_class_and_one_row() -> None:
    class Loudest:
        """Publishes how many trades came since it was last due."""

        def __init__(self, kind: ChannelKind, markets: Any) -> None:
            self._kind = kind
            self._count = 0

        def flush(self, tick: Any, due: bool) -> list[Publication]:
            self._count += sum(map(len, tick.traded.values()))
            if not due:
                return []
            count, self._count = self._count, 0
            return [Publication(Channel(self._kind, "*"), count)]

        def state(self, owner: str) -> Publication | None:
            return None

    kind = ChannelKind("loudest", Owner.EVERY, SlowPolicy.CONFLATE, 200)
    board = Board({kind: Loudest}, wanted=lambda channel: True)
    board.apply([trade(1, "7", "1", T), trade(2, "7", "1", T)], 0)
    counts = [p.data for now_ms in range(0, 401, 50) for p in board.flush(now_ms)]
    assert counts == [2, 0, 0]


def test_the_grace_before_the_clock_closes_a_candle_is_a_setting() -> None:
    board = Board(
        {channel("S@kline_1s").kind: KINDS[channel("S@kline_1s").kind]},
        wanted=lambda channel: True,
        close_grace_ms=1_000,
    )
    board.apply([trade(1, "7", "1", T)], 0)
    board.flush(0)
    assert [now_ms for now_ms in range(50, 2_100, 50) if any(p.data.closed for p in board.flush(now_ms))] == [2_000]  # type: ignore[attr-defined]


def test_a_day_of_four_symbols_takes_seconds() -> None:
    exchange = Exchange()
    exchange.board = Board(KINDS, wanted=lambda channel: channel.kind.name == "kline_1d")
    for second in range(0, 86_400, 5):
        number = second + 1
        exchange.apply(*[trade(number, f"{number % 97}.5", "1", T + second * 1_000, symbol=s) for s in "ABCD"])
        exchange.now_ms += 4_950
        exchange.tick()
    exchange.run(100)
    assert exchange.board.trades == 4 * 86_400 // 5
    assert exchange.state("A@ticker")["count"] >= 86_400 // 5 - 2
    assert exchange.state("D@kline_1M")["count"] == 86_400 // 5


def _closed(exchange: Exchange, name: str = "S@kline_1s") -> list[int]:
    return [data["start"] - T for data in exchange.sent(name) if data["closed"]]


@pytest.mark.parametrize("times", [1, 2])
def test_a_time_far_ahead_that_the_next_event_does_not_bear_out_moves_nothing(times: int) -> None:
    exchange = Exchange()
    exchange.apply(trade(1, "7", "1", T), book(1, T, [("6", "1")], []))
    year = 365 * 86_400_000
    for number in range(2, 2 + times):
        exchange.apply(trade(9, "9", "5", T + year), IndexPrice("S", "x", "7", "1", T + 200 * number))
        exchange.apply(
            depth(number, number, T + 7 * year, [("6", "2")], []),
            trade(number, str(number), "1", T + 200 * number + 99),
        )
        exchange.apply(IndexPrice("S", "x", "9", "1", T + 50 * year))
    exchange.apply(IndexPrice("S", "x", "7", "1", T + 1_000))
    exchange.run(1_500)
    assert _closed(exchange)[0] == 0
    assert exchange.board.disbelieved == 3 * times
    assert [t["first"] for data in exchange.sent("S@trades") for t in data["trades"]] == list(range(1, 2 + times))
    assert exchange.state("S@depth")["bids"] == [["6", "2"]]
    assert exchange.state("S@markprice")["indexPrice"] == "7.00000000"


@pytest.mark.parametrize(("latest", "candles"), [(T + 100_000, [0]), (T + 99_999, [])])
def test_a_time_far_ahead_is_believed_when_nothing_follows_unless_it_has_not_come_yet(
    latest: int, candles: list[int]
) -> None:
    kinds = {channel(name).kind: KINDS[channel(name).kind] for name in ("S@kline_1m", "S@trades")}
    board = Board(kinds, wanted=lambda channel: True, latest_ms=lambda: latest)
    board.apply([trade(1, "7", "1", T), trade(2, "8", "1", T + 100_000)], 0)
    published = [publication for now_ms in range(0, 300, 50) for publication in board.flush(now_ms)]
    data: list[Any] = [publication.data for publication in published]
    assert len([kline for kline in data if getattr(kline, "closed", False)]) == 2 * len(candles)
    assert board.market_time >= latest if candles else board.market_time < T + 1_000


def test_what_repeats_an_old_time_says_nothing_against_a_jump() -> None:
    exchange = Exchange()
    year = 365 * 86_400_000
    exchange.apply(book(5, T, [("6", "1")], []), trade(1, "7", "1", T), trade(2, "8", "1", T + year))
    exchange.apply(trade(1, "7", "1", T), book(5, T, [("6", "1")], []), trade(3, "9", "1", T + year - 50_000))
    exchange.run(100)
    assert [t["first"] for data in exchange.sent("S@trades") for t in data["trades"]] == [1, 2, 3]
    assert exchange.board.disbelieved == 0


def test_a_doubted_event_is_taken_before_a_gap_or_a_new_session() -> None:
    for step in (Gap(1), Restart(2)):
        exchange = Exchange()
        exchange.apply(trade(1, "7", "1", T), trade(2, "8", "1", T + 100_000), step, trade(3, "9", "1", T + 100_001))
        exchange.run(100)
        assert [t["first"] for data in exchange.sent("S@trades") for t in data["trades"]] == [1, 2, 3]
        assert exchange.board.disbelieved == 0


def test_a_new_session_of_older_trades_sets_market_time_back() -> None:
    exchange = Exchange()
    exchange.apply(trade(50, "70", "1", T), IndexPrice("S", "x", "70", "1", T), book(9, T, [("69", "1")], []))
    exchange.run(3_000)
    year = 365 * 86_400_000
    old = T - year
    exchange.apply(trade(51, "71", "1", T + 3_000))
    exchange.published.clear()
    exchange.apply(Restart(2), book(1, old - 60_000, [("6", "1")], []), trade(60, "7", "1", old))
    exchange.apply(trade(61, "8", "1", old + 999), trade(62, "9", "1", old + 2_000))
    exchange.run(2_000)
    ids = [t["first"] for data in exchange.sent("S@trades") for t in data["trades"]]
    assert ids == [51, 60, 61, 62]
    closed = [data for data in exchange.sent("S@kline_1s") if data["closed"]]
    assert [(data["start"] - old, data["count"], data["close"], data["complete"]) for data in closed[:3]] == [
        (0, 2, "8", True),
        (1_000, 0, "8", True),
        (2_000, 1, "9", True),
    ]
    ticker = exchange.state("S@ticker")
    assert (ticker["count"], ticker["volume"], ticker["prevClose"]) == (3, "3", None)
    assert exchange.state("S@markprice") is None
    assert exchange.state("S@depth")["bids"] == [["6", "1"]]
    assert exchange.board.set_backs == 1
    assert exchange.board.trades == 5


def test_the_same_recording_in_a_second_session_gives_its_books_again_and_no_trade_twice() -> None:
    exchange = Exchange()
    hour = 3_600_000
    recording: list[MarketEvent] = [
        book(5, T, [("6", "1")], []),
        trade(1, "7", "1", T),
        depth(6, 6, T + hour, [("6", "2")], []),
    ]
    recording += [trade(2, "8", "1", T + hour)]
    for session in (1, 2):
        exchange.apply(Restart(session), *recording)
        exchange.run(1_000)
    assert [t["first"] for data in exchange.sent("S@trades") for t in data["trades"]] == [1, 2]
    assert [(d["epoch"], d["bids"]) for d in exchange.sent("S@depth")] == [(1, [["6", "2"]]), (2, [["6", "2"]])]
    assert (exchange.board.duplicate_trades, exchange.board.set_backs) == (2, 0)
    assert exchange.state("S@ticker")["count"] == 2


def test_market_time_goes_back_within_a_session_only_when_for_10_s_all_new_trades_lie_far_behind() -> None:
    exchange = Exchange("kline_1s")
    hour = 3_600_000
    exchange.apply(trade(1, "7", "1", T + hour))
    for number in range(2, 30):
        exchange.apply(trade(number, "7", "1", T + 1_000 * number))
        if number == 5:
            exchange.apply(book(1, T + hour + 5_000, [], [], symbol="OTHER"))
        exchange.run(1_000)
        assert exchange.board.set_backs == (number >= 16)
    assert _closed(exchange)[-3:] == [26_000, 27_000, 28_000]


def test_a_book_is_unsure_from_its_loss_until_a_new_one_is_published() -> None:
    exchange = Exchange()
    exchange.apply(book(1, T, [("7", "1")], []))
    for _ in range(3):
        exchange.tick()
        assert exchange.board.unsure_books() == set()
    exchange.apply(depth(5, 5, T, [], []))
    exchange.run(300)
    assert exchange.board.unsure_books() == {"S"}
    assert exchange.board.books_out_of_sync() == ["S"]
    exchange.run(50)
    exchange.apply(book(5, T, [("7", "2")], []))
    exchange.published.clear()
    while exchange.board.unsure_books():
        assert exchange.sent("S@depth") == []
        exchange.tick()
    assert [data["type"] for data in exchange.sent("S@depth")] == ["snapshot"]
    assert exchange.board.books_out_of_sync() == []


def test_a_book_that_nobody_can_have_seen_is_not_unsure() -> None:
    exchange = Exchange()
    exchange.apply(depth(5, 5, T, [], []), depth(9, 9, T, [], []))
    exchange.run(200)
    assert exchange.board.unsure_books() == set()
    assert exchange.board.books_out_of_sync() == ["S"]


def test_a_book_lost_and_found_within_a_tick_is_not_unsure() -> None:
    exchange = Exchange()
    exchange.apply(book(1, T, [("7", "1")], []))
    exchange.run(200)
    exchange.apply(Restart(7), book(1, T + 1, [("8", "1")], []))
    for _ in range(4):
        exchange.tick()
        assert exchange.board.unsure_books() == set()


def test_a_crossed_book_is_published_as_it_is_and_unsure_until_its_end_is_published() -> None:
    exchange = Exchange()
    exchange.apply(book(1, T, [("7", "1")], [("9", "1")]))
    exchange.run(100)
    assert exchange.board.unsure_books() == set()
    exchange.apply(depth(2, 2, T, [("9.0", "1")], []))
    exchange.run(100)
    assert exchange.sent("S@depth")[-1]["bids"] == [["9.0", "1"]]
    exchange.apply(depth(3, 3, T, [("9.1", "1")], []))
    exchange.tick()
    assert (exchange.board.unsure_books(), exchange.board.crossed_books) == ({"S"}, 1)
    exchange.apply(depth(4, 4, T, [("9.0", "0"), ("9.1", "0")], []))
    while exchange.board.unsure_books():
        assert exchange.sent("S@depth")[-1]["last"] < 4
        exchange.tick()
    assert exchange.sent("S@depth")[-1]["last"] == 4
    assert exchange.board.crossed_books == 1


_crossing = st.lists(st.tuples(st.sampled_from(["7", "8", "8.0", "9"]), st.sampled_from(["0", "1"])), max_size=3)


@given(st.lists(st.tuples(_crossing, _crossing, st.sampled_from(["depth", "book", "lost"])), max_size=20))
def test_each_time_that_a_book_crosses_is_counted_once(steps: list[tuple[list[Level], list[Level], str]]) -> None:
    exchange = Exchange()
    exchange.apply(book(0, T, [], []))
    bids: set[Decimal] = set()
    asks: set[Decimal] = set()
    crossed, crossings, last = False, 0, 0
    for their_bids, their_asks, kind in steps:
        for side, levels in ((bids, their_bids), (asks, their_asks)):
            for price, qty in levels:
                (side.add if qty == "1" else side.discard)(Decimal(price))
        last += 2 if kind == "lost" else 1
        whole = [[(str(price), "1") for price in side] for side in (bids, asks)]
        exchange.apply(book(last, T, *whole) if kind == "book" else depth(last, last, T, their_bids, their_asks))
        exchange.run(100)
        held = exchange.board.book("S")
        assert held is not None
        before, crossed = crossed, held.in_sync and bool(bids and asks) and max(bids) >= min(asks)
        crossings += crossed and not before
        assert exchange.board.unsure_books() == ({"S"} if crossed or not held.in_sync else set())
    assert exchange.board.crossed_books == crossings


def test_what_is_published_says_of_what_time_it_is_and_how_its_ids_go_on() -> None:
    exchange = Exchange("depth", "trades")
    assert not exchange.board.has_symbols
    exchange.apply(book(10, T, [("7", "1")], []), trade(1, "7", "1", T + 5))
    exchange.run(100)
    assert exchange.board.has_symbols
    assert exchange.board.knows("S")
    assert not exchange.board.knows("T")
    assert {(publication.time, publication.shift) for _, publication in exchange.published} == {(T + 5, 0)}

    exchange.apply(Restart(2), book(3, T + 50, [("7", "2")], []))
    exchange.run(100)
    state = exchange.board.state(channel("S@depth"))
    assert state is not None
    assert (state.time, state.shift) == (T + 50, 8)  # 10 was shown, so that 11 is the new book and 12 the next update
    exchange.apply(trade(2, "7", "1", T + 60))
    exchange.run(100)
    assert exchange.published[-1][1].shift == 0


def test_who_comes_first_to_a_kind_of_channel_has_its_state_and_then_all_changes() -> None:
    """While nobody listens to any channel of a kind, it is not worked out what those of books and candles show."""
    listening = False
    early, late = Exchange(), Exchange(wanted=lambda channel: listening, any_wanted=lambda kind: listening)
    names = [f"S@{name}" for name in ("depth5", "depth10", "depth20", "bookticker", "kline_1m", "kline_1h")]
    names += ["Q@kline_1m", "Q@kline_1h"]  # of which nothing changes any more
    now = 1_700_000_039_500  # soon a minute ends
    for exchange in (early, late):
        exchange.apply(trade(1, "7", "1", now, symbol="Q"))
    for number in range(60):
        bids = [(str(90 - place), str(1 + number // 2 % 3)) for place in range(number // 2 % 25)]
        events = [book(number, now + 30 * number, bids, [("101", "1")]), trade(number, "7", "1", now + 30 * number)]
        if number == 30:  # all were due on the tick before
            listening = True
            for name in names:
                shown, expected = late.state(name), early.state(name)
                assert {key: shown[key] for key in shown if key not in ("id", "last", "time")} == {
                    key: expected[key] for key in expected if key not in ("id", "last", "time")
                }
                assert late.board.state(channel(name)) is late.board.state(channel(name))
        for exchange in (early, late):
            exchange.published.clear()
            exchange.apply(*events)
            exchange.tick()
        for name in names:
            assert late.sent(name) == (early.sent(name) if listening else [])
    assert listening
