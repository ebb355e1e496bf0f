"""A client that follows the messages of a depth channel always has the true book."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange_push.market.bars import Bar
from exchange_push.market.book import Book, Side, checksum
from exchange_push.market.events import BookSnapshot, DepthChange, Level, Restart
from exchange_push.market.kept import Kept, State
from exchange_push.pubsub.publication import Publication
from tests.market.exchange import Exchange, book, channel, depth, of

T = 1_700_000_000_000
Levels = dict[Decimal, Decimal]


class Engine:
    """The true book: levels by update id, and the events that tell of it."""

    def __init__(self) -> None:
        self.id = 100_000
        self.time = T
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.history: dict[int, tuple[Levels, Levels]] = {}
        self._note()

    def _note(self) -> None:
        self.history[self.id] = (dict(self.bids), dict(self.asks))

    def change(self, bids: list[Level], asks: list[Level], ids: int) -> DepthChange:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, qty in levels:
                side[Decimal(price)] = Decimal(qty)
                if not side[Decimal(price)]:
                    del side[Decimal(price)]
        first, self.id = self.id + 1, self.id + ids
        self.time += 7
        self._note()
        return depth(first, self.id, self.time, bids, asks)

    def whole(self) -> BookSnapshot:
        return book(self.id, self.time, _texts(self.bids), _texts(self.asks))

    def restart(self) -> None:
        self.id -= 1_000  # below all that were, and never reaching them: an id means one book
        self.time += 20_000  # more than an old book may be late
        self.bids, self.asks = {}, {}
        self._note()


def _texts(levels: Levels) -> list[Level]:
    return [(str(price), str(qty)) for price, qty in levels.items()]


class Client:
    """Follows a channel by the rules of the protocol; finds levels by their text, as the simplest clients do."""

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.last: int | None = None
        self.epoch = 0

    def take(self, publication: Publication) -> None:
        data: Any = publication.data
        for levels, sign in ((data.bids, -1), (data.asks, 1)):
            prices = [sign * Decimal(price) for price, _ in levels]
            once = (
                publication.channel.kind.name == "depth"
            )  # a slower chain may name a price by an old text and a new one
            assert prices == sorted(set(prices) if once else prices)
        if data.type == "snapshot":
            assert data.prev is None
            assert data.first == data.last
            self.bids, self.asks = dict(data.bids), dict(data.asks)
        else:
            assert (data.prev, data.first, data.epoch) == (self.last, data.prev + 1, self.epoch)
            for side, levels in ((self.bids, data.bids), (self.asks, data.asks)):
                for price, qty in levels:
                    if qty == "0":
                        del side[price]
                    else:
                        assert side.get(price) != qty
                        side[price] = qty
        self.last, self.epoch = data.last, data.epoch
        if publication.checksum is not None:
            best = [sorted(s.items(), key=lambda level: Decimal(level[0])) for s in (self.bids, self.asks)]
            assert publication.checksum() == checksum(best[0][::-1][:25], best[1][:25])

    def numbers(self) -> tuple[Levels, Levels]:
        bids, asks = ({Decimal(p): Decimal(q) for p, q in side.items()} for side in (self.bids, self.asks))
        return bids, asks


_qty = st.sampled_from(["0", "0.000", "1", "1.0", "2", "30"])
_bids = st.lists(st.tuples(st.sampled_from(["7.5", "7.50", "7.6", "7.60", "7.7"]), _qty), max_size=3)
_asks = st.lists(st.tuples(st.sampled_from(["8", "8.00", "8.1", "8.2", "08.2"]), _qty), max_size=3)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), _bids, _asks, st.integers(1, 3)),
        st.tuples(st.just("lost change"), _bids, _asks, st.integers(1, 3)),
        st.sampled_from(
            [
                ("book",),
                ("remember book",),
                ("old book",),
                ("tick",),
                ("tick",),
                ("ticks",),
                ("join",),
                ("leave",),
                ("restart",),
            ]
        ),
    ),
    max_size=60,
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(["depth", "depth_250ms", "depth_500ms", "depth_1s"]), _steps)
def test_a_client_has_the_true_book_after_each_message_whenever_it_came(name: str, steps: list[Any]) -> None:
    clients: list[Client] = []
    engine, exchange = Engine(), Exchange(*dict.fromkeys(("depth", name)), wanted=lambda channel: bool(clients))
    listened = channel(f"S@{name}")
    remembered = engine.whole()
    for step in steps:
        match step:
            case ("change", bids, asks, ids):
                exchange.apply(engine.change(bids, asks, ids))
            case ("lost change", bids, asks, ids):
                engine.change(bids, asks, ids)
            case ("book",):
                exchange.apply(engine.whole())
            case ("remember book",):
                remembered = engine.whole()
            case ("old book",):
                exchange.apply(remembered)
            case ("restart",):
                engine.restart()
                remembered = engine.whole()
            case ("join",):
                state = exchange.board.state(listened)
                if state is not None:
                    clients.append(Client())
                    clients[-1].take(state)
                    assert clients[-1].numbers() == engine.history[state.data.last]  # type: ignore[attr-defined]
            case ("leave",):
                clients = clients[1:]
            case ("tick",) | ("ticks",):
                for publication in exchange.run(50 if step == ("tick",) else 500):
                    for client in clients if publication.channel == listened else ():
                        client.take(publication)
                        assert client.last is not None
                        assert client.numbers() == engine.history[client.last]
    # Whatever happened before, a whole book of a restarted engine puts everyone right.
    exchange.apply(Restart(99), engine.whole())
    clients.append(Client())
    for publication in exchange.run(100):
        for client in clients if publication.channel == listened else ():
            client.take(publication)
    assert all(client.numbers() == (engine.bids, engine.asks) and client.epoch == 99 for client in clients)


_whole = st.dictionaries(st.integers(1, 30).map(lambda n: f"{n}.0"), st.sampled_from(["1", "2", "3.0"]))


@given(st.lists(_whole, min_size=1, max_size=8))
def test_an_engine_that_sends_only_whole_books_gives_exact_differences(books: list[dict[str, str]]) -> None:
    exchange, client = Exchange("depth"), Client()
    for number, levels in enumerate(books):
        exchange.apply(book(number * 100, T + number, list(levels.items()), []))
        for publication in exchange.run(100):
            client.take(publication)
        assert client.bids == levels
        assert client.last == number * 100


@given(st.lists(_bids, min_size=2, max_size=6))
def test_of_a_price_that_a_whole_book_has_twice_the_last_counts(books: list[list[Level]]) -> None:
    exchange, client = Exchange("depth"), Client()
    for number, levels in enumerate(books):
        exchange.apply(book(number, T + number, levels, []))
        for publication in exchange.run(100):
            client.take(publication)
        last = {Decimal(price): Decimal(qty) for price, qty in levels}
        assert client.numbers()[0] == {price: qty for price, qty in last.items() if qty}


@given(_bids, st.lists(_bids, max_size=5))
def test_the_levels_as_last_published_are_found_again(loaded: list[Level], later: list[list[Level]]) -> None:
    side = Side(falling=True)
    for level in loaded:
        side.set(level)
    side.publish()
    published = side.best(100)
    for levels in later:
        for level in levels:
            side.set(level)
        assert side.published() == published
        assert side.published(1) == published[:1]


def _in_sync() -> Exchange:
    exchange = Exchange("depth", "depth5", "bookticker")
    exchange.apply(book(10, T, [("7.60", "1"), ("7.5", "2")], [("8", "3")]))
    exchange.run(100)
    exchange.published.clear()
    return exchange


def test_an_update_says_what_changed_with_contiguous_ids() -> None:
    exchange = _in_sync()
    exchange.apply(depth(11, 12, T + 1, [("7.5", "0.000"), ("7.7", "9")], []), depth(13, 13, T + 2, [], [("8", "4")]))
    exchange.run(100)
    assert exchange.sent("S@depth") == [
        {
            "type": "update",
            "bids": [["7.7", "9"], ["7.5", "0"]],
            "asks": [["8", "4"]],
            "first": 11,
            "last": 13,
            "prev": 10,
            "epoch": 1,
            "time": T + 2,
        }
    ]


def test_a_level_is_found_by_its_number_and_keeps_its_text() -> None:
    exchange = _in_sync()
    exchange.apply(depth(11, 11, T + 1, [("7.6000", "5")], []))
    exchange.run(100)
    exchange.apply(depth(12, 12, T + 2, [("07.6", "0")], []))
    exchange.run(100)
    assert [data["bids"] for data in exchange.sent("S@depth")] == [[["7.60", "5"]], [["7.60", "0"]]]


def test_a_level_that_came_back_to_what_it_was_is_left_out_but_the_ids_go_on() -> None:
    exchange = _in_sync()
    exchange.apply(depth(11, 11, T + 1, [("7.60", "5")], []), depth(12, 12, T + 2, [("7.60", "1")], []))
    exchange.run(100)
    [data] = exchange.sent("S@depth")
    assert (data["bids"], data["asks"], data["first"], data["last"], data["prev"]) == ([], [], 11, 12, 10)


def test_the_state_is_the_book_as_last_published_and_the_same_object_until_then() -> None:
    exchange = _in_sync()
    before = exchange.board.state(channel("S@depth"))
    exchange.apply(depth(11, 11, T + 1, [("7.60", "0"), ("7.4", "1")], []))
    assert exchange.board.state(channel("S@depth")) is before
    assert exchange.state("S@depth")["bids"] == [["7.60", "1"], ["7.5", "2"]]
    exchange.run(100)
    state = exchange.state("S@depth")
    assert (state["type"], state["first"], state["last"], state["prev"]) == ("snapshot", 11, 11, None)
    assert state["bids"] == [["7.5", "2"], ["7.4", "1"]]


def test_a_missing_update_silences_the_book_until_a_whole_one_comes() -> None:
    exchange = _in_sync()
    exchange.apply(depth(12, 12, T + 2, [("7.60", "9")], []))
    assert exchange.state("S@depth") is None
    assert exchange.state("S@depth5") is None
    assert exchange.state("S@bookticker") is None
    exchange.apply(depth(13, 14, T + 3, [("7.60", "8")], []))
    assert exchange.run(200) == []
    assert exchange.board.book_gaps == 1
    exchange.apply(book(12, T + 4, [("7.60", "9")], [("8.1", "1")]))
    exchange.run(100)
    [data] = exchange.sent("S@depth")
    assert (data["type"], data["last"], data["prev"], data["epoch"]) == ("snapshot", 14, None, 1)
    assert (data["bids"], data["asks"]) == ([["7.60", "8"]], [["8.1", "1"]])
    assert [data["last"] for data in exchange.sent("S@depth5")] == [14]


def test_a_whole_book_too_old_to_join_what_waits_changes_nothing() -> None:
    exchange = _in_sync()
    exchange.apply(depth(15, 15, T + 5, [("7.60", "9")], []), book(13, T + 4, [("7.60", "3")], []))
    assert exchange.run(200) == []
    exchange.apply(book(14, T + 5, [("7.60", "4")], []))
    exchange.run(100)
    assert [(data["type"], data["last"], data["bids"]) for data in exchange.sent("S@depth")] == [
        ("snapshot", 15, [["7.60", "9"]])
    ]


@pytest.mark.parametrize("waits", [True, False])
def test_a_whole_book_may_fall_into_the_midst_of_a_depth_event(waits: bool) -> None:
    exchange = Exchange("depth")
    events = [book(7, T, [("7.6", "1")], []), depth(5, 10, T + 1, [("7.6", "2")], [])]
    exchange.apply(*(reversed(events) if waits else events), depth(11, 11, T + 2, [], [("8", "1")]))
    exchange.run(100)
    [data] = exchange.sent("S@depth")
    assert (data["last"], data["bids"], data["asks"]) == (11, [["7.6", "2"]], [["8", "1"]])
    assert exchange.board.book_gaps == 0


def test_an_overlap_that_follows_no_whole_book_is_a_gap() -> None:
    exchange = _in_sync()
    exchange.apply(depth(11, 12, T + 1, [], []), depth(12, 13, T + 2, [], []))
    assert exchange.board.book_gaps == 1
    assert exchange.state("S@depth") is None


def test_what_is_not_newer_is_counted_and_ignored() -> None:
    exchange = _in_sync()
    exchange.apply(
        depth(9, 10, T + 5, [("7.60", "9")], []),
        depth(9, 9, T, [("7.60", "9")], []),
        book(10, T + 5, [("7.6", "1.0"), ("7.5", "2"), ("3", "0")], [("8", "3.00")]),
        book(9, T, [("7.60", "9")], []),
    )
    assert exchange.run(200) == []
    assert exchange.board.old_book_events == 4
    assert exchange.board.restarted_books == 0


def test_a_whole_book_unlike_what_was_published_at_its_id_begins_the_chain_anew() -> None:
    exchange = _in_sync()
    exchange.apply(book(10, T + 1, [("7.60", "1"), ("7.4", "2")], [("8", "3")]))
    assert exchange.state("S@depth") is None
    exchange.run(100)
    [data] = exchange.sent("S@depth")
    assert (data["type"], data["last"], data["prev"]) == ("snapshot", 10, None)
    assert data["bids"] == [["7.60", "1"], ["7.4", "2"]]
    assert [data["last"] for data in exchange.sent("S@depth5")] == [10]
    exchange.apply(depth(11, 11, T + 2, [("7.4", "0")], []))
    exchange.run(100)
    assert exchange.sent("S@depth")[1]["prev"] == 10
    assert (exchange.board.inconsistent_books, exchange.board.book_gaps, exchange.board.old_book_events) == (1, 0, 0)


def test_a_whole_book_unlike_what_is_not_published_yet_is_part_of_the_next_update() -> None:
    exchange = _in_sync()
    exchange.apply(depth(11, 11, T + 1, [("7.60", "5")], []), book(11, T + 1, [("7.60", "6")], [("8", "3")]))
    exchange.run(100)
    [data] = exchange.sent("S@depth")
    assert (data["type"], data["prev"], data["last"]) == ("update", 10, 11)
    assert data["bids"] == [["7.60", "6"], ["7.5", "0"]]
    assert exchange.board.inconsistent_books == 1


_whole_book = st.tuples(st.dictionaries(st.integers(1, 6), _qty, max_size=4), st.dictionaries(st.integers(7, 12), _qty))


@given(st.lists(_whole_book, min_size=2, max_size=6), st.booleans())
def test_a_whole_book_is_taken_at_an_id_that_is_known_only_where_it_differs(books: list[Any], publish: bool) -> None:
    def best(sides: Any) -> list[list[tuple[int, Decimal]]]:
        numbers = [[(price, Decimal(qty)) for price, qty in sorted(side.items()) if Decimal(qty)] for side in sides]
        return [numbers[0][::-1], numbers[1]]

    exchange, client = Exchange("depth"), Client()
    held, differences = books[0], 0
    for number, sides in enumerate(books):
        exchange.apply(book(5, T, *([(str(price), qty) for price, qty in side.items()] for side in sides)))
        for publication in exchange.run(100) if publish or number == len(books) - 1 else []:
            client.take(publication)
        common = [list(zip(*pair, strict=False)) for pair in zip(best(held), best(sides), strict=True)]
        unlike = any(one != other for pairs in common for one, other in pairs)
        unlike |= any(bool(one) != bool(other) for one, other in zip(best(held), best(sides), strict=True))
        if unlike:
            held, differences = sides, differences + 1
    assert exchange.board.inconsistent_books == differences
    assert exchange.board.old_book_events == len(books) - 1 - differences
    assert client.numbers() == tuple(dict(side) for side in best(held))


def test_lower_ids_at_a_much_later_time_are_a_new_numbering() -> None:
    exchange = _in_sync()
    exchange.apply(depth(1, 1, T + 10_002, [("7.60", "4")], []))
    assert exchange.state("S@depth") is None
    exchange.apply(book(0, T + 10_002, [("7.5", "2")], []))
    exchange.run(100)
    exchange.apply(book(0, T + 30_000, [], [("8", "1")]))
    exchange.run(100)
    sent = exchange.sent("S@depth")
    assert [(data["type"], data["last"], data["epoch"], data["bids"]) for data in sent] == [
        ("snapshot", 1, 2, [["7.60", "4"], ["7.5", "2"]]),
        ("snapshot", 0, 3, []),
    ]
    assert exchange.board.restarted_books == 2


def test_depth_events_that_a_book_holds_already_are_old_though_they_left_the_engine_after_its_time() -> None:
    exchange = Exchange("depth")
    exchange.apply(book(100, T, [("7", "1")], []), depth(90, 98, T + 60, [("7", "9")], []))
    exchange.apply(depth(99, 101, T + 160, [("7", "2")], []))
    exchange.run(100)
    assert [(data["last"], data["bids"]) for data in exchange.sent("S@depth")] == [(101, [["7", "2"]])]
    assert (exchange.board.restarted_books, exchange.board.old_book_events) == (0, 1)


def test_a_whole_book_that_comes_late_changes_nothing_though_it_carries_a_later_time() -> None:
    exchange = _in_sync()
    exchange.apply(depth(11, 20, T + 100, [("7.60", "4")], []), book(15, T + 5_000, [("7.60", "9")], []))
    exchange.apply(depth(21, 21, T + 200, [("7.5", "3")], []))
    exchange.run(100)
    [update] = exchange.sent("S@depth")
    assert (update["type"], update["last"], update["bids"]) == ("update", 21, [["7.60", "4"], ["7.5", "3"]])
    assert (exchange.board.restarted_books, exchange.board.book_gaps) == (0, 0)


def test_a_newer_session_of_the_feed_starts_all_books_over_under_its_number() -> None:
    exchange = _in_sync()
    exchange.apply(Restart(1_234))
    assert exchange.state("S@depth") is None
    exchange.apply(book(1, T - 5, [("1", "1")], []), book(1, T, [("2", "1")], [], symbol="NEW"))
    exchange.run(100)
    assert exchange.sent("S@depth")[0]["epoch"] == 1_234
    assert exchange.state("NEW@depth")["epoch"] == 1_234


def test_best_prices_of_before_a_gap_are_not_given_out_after_it() -> None:
    exchange = _in_sync()
    exchange.apply(depth(12, 12, T + 2, [], []), book(12, T + 3, [("7.60", "1"), ("7.5", "2")], [("8", "3")]))
    assert (exchange.state("S@depth"), exchange.state("S@depth5"), exchange.state("S@bookticker")) == (None,) * 3
    exchange.run(100)
    assert [data["last"] for data in exchange.sent("S@depth")] == [12]
    assert [data["last"] for data in exchange.sent("S@depth5")] == [12]
    assert [data["id"] for data in exchange.sent("S@bookticker")] == [12]


def test_only_so_many_events_wait_for_a_whole_book() -> None:
    held = Book(1)
    for number in range(2_001, 4_001):
        held.take_depth(depth(number, number, T + number, [("7", str(number))], []))
    held.take_book(book(2_999, T, [], []))
    assert not held.in_sync
    held.take_book(book(3_000, T + 1, [], []))
    assert (held.in_sync, held.id, held.bids.best(1)) == (True, 4_000, [("7", "4000")])


def test_the_checksum_is_that_of_okx() -> None:
    bids = [("50000.5", "1.20000000"), ("50000.0", "0.05000000")]
    assert checksum(bids, [("50001.0", "2.00000000")]) == 573863928
    assert checksum([], []) == 0
    deep = [(str(price), "1") for price in range(100, 60, -1)]
    assert checksum(deep, []) == checksum(deep[:25], [])


def test_the_checksum_is_signed() -> None:
    assert min(checksum([("1", str(qty))], []) for qty in range(1, 9)) < 0


def test_a_checksum_counts_the_book_after_the_message() -> None:
    exchange = _in_sync()
    exchange.apply(depth(11, 11, T + 1, [("7.60", "5")], [("8", "0")]))
    [update] = [p for p in exchange.run(100) if p.channel == channel("S@depth")]
    assert update.checksum is not None
    expected = checksum([("7.60", "5"), ("7.5", "2")], [])
    assert update.checksum() == expected
    exchange.apply(depth(12, 12, T + 2, [("7.60", "6")], []))
    assert update.checksum() == expected


def test_best_levels_are_sent_whole_when_one_of_them_changed() -> None:
    exchange = Exchange("depth5")
    bids: list[Level] = [(str(price), "1") for price in range(90, 100)]
    exchange.apply(book(1, T, bids, []))
    exchange.run(100)
    exchange.apply(depth(2, 2, T + 1, [("94", "7")], []))
    exchange.run(100)
    assert [data["last"] for data in exchange.sent("S@depth5")] == [1]
    exchange.apply(depth(3, 3, T + 2, [("97", "0")], []))
    exchange.run(100)
    assert exchange.sent("S@depth5")[1] == exchange.state("S@depth5")
    assert exchange.state("S@depth5") == {
        "bids": [["99", "1"], ["98", "1"], ["96", "1"], ["95", "1"], ["94", "7"]],
        "asks": [],
        "last": 3,
        "epoch": 1,
        "time": T + 2,
    }


def test_the_best_bid_and_ask_are_sent_every_50_ms_when_they_changed() -> None:
    exchange = Exchange("bookticker")
    exchange.apply(book(1, T, [("7", "1")], [("8", "2")]))
    exchange.tick()
    exchange.apply(depth(2, 2, T + 1, [("6", "1")], []))
    exchange.tick()
    exchange.apply(depth(3, 3, T + 2, [], [("8", "0")]))
    exchange.tick()
    assert exchange.sent("S@bookticker") == [
        {"bid": "7", "bidQty": "1", "ask": "8", "askQty": "2", "id": 1, "time": T},
        {"bid": "7", "bidQty": "1", "ask": None, "askQty": None, "id": 3, "time": T + 2},
    ]
    assert [now_ms for now_ms, _ in exchange.published] == [50, 150]
    assert exchange.state("S@bookticker") == of("S@bookticker", [exchange.published[-1][1]])[0]


# -- numbers for clients that know of no epoch


class Nothing:
    """A past without candles."""

    def bars(self, interval: str, start: int, end: int) -> Mapping[str, list[Bar]]:
        return {}


class Server:
    """A board that is started again from what was stored of it; looks at each number that it shows."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.exchange = Exchange("depth", "depth_250ms", "bookticker", past=Nothing())
        self.stored = b""
        self.shown: dict[str, int] = {}
        """The last one of each channel, over all runs."""
        self.ids: dict[int, int] = {}
        """The engine's id by the number that is shown."""

    def tick(self, count: int = 1) -> list[Publication]:
        publications = [publication for _ in range(count) for publication in self.exchange.tick()]
        self._look(publications)
        return publications

    def store(self) -> None:
        changes = self.exchange.board.changes()
        assert changes is not None
        self.stored = msgspec.msgpack.encode(changes.state)

    def crash(self) -> None:
        self.exchange = Exchange(
            "depth", "depth_250ms", "bookticker", past=Nothing(), now_ms=self.exchange.now_ms + 1_000
        )
        state = msgspec.msgpack.decode(self.stored, type=State)
        self.exchange.board.restore(Kept(state, []))
        self.stored = msgspec.msgpack.encode(state.begun())

    def stop(self) -> None:
        self._look(self.exchange.board.flush(self.exchange.now_ms, last=True))
        self.store()
        self.crash()

    def take_whole(self) -> int:
        """Take a whole book; the number that it is shown under."""
        self.exchange.apply(self.engine.whole())
        assert "depth" in [publication.channel.kind.name for publication in self.tick(2)]
        return self.shown["depth"]

    def _look(self, publications: list[Publication]) -> None:
        for publication in publications:
            data: Any = publication.data
            kind = publication.channel.kind.name
            id = data.id if kind == "bookticker" else data.last
            if publication.channel.owner == "S":
                number = id + publication.shift
                assert number >= self.shown.get(kind, 0), "it went back"
                assert self.ids.setdefault(number, id) == id, "it stands for two books"
                self.shown[kind] = number


_runs = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(1, 3)),
        st.tuples(st.just("lost change"), st.integers(1, 3)),
        st.tuples(st.just("tick"), st.integers(1, 6)),
        st.sampled_from([("book",), ("book",), ("anew",), ("session",), ("other",)]),
        st.sampled_from([("store",), ("store",), ("crash",), ("crash",), ("stop",)]),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@example([("stop",), ("book",), ("tick", 2), ("change", 3), ("tick", 2), ("crash",)])  # before its first write of this
@given(_runs)
def test_numbers_only_grow_however_often_engine_and_server_begin_anew(steps: list[Any]) -> None:
    server = Server()
    engine, price = server.engine, 0
    server.take_whole()
    server.store()
    for step in steps:
        match step:
            case ("change" | "lost change" as what, ids):
                price += 1
                event = engine.change([(str(price % 5), str(price))], [], ids)
                if what == "change":
                    server.exchange.apply(event)
            case ("tick", count):
                server.tick(count)
            case ("book",):
                server.exchange.apply(engine.whole())
            case ("anew",):
                engine.restart()
            case ("session",):
                engine.restart()
                server.exchange.restart(engine.time)
            case ("other",):
                server.exchange.apply(book(engine.time, engine.time, [], [], symbol="OTHER"))
            case (what,):
                server.tick()
                getattr(server, what)()
    engine.restart()
    server.crash()
    before = max(server.shown.values())
    assert server.take_whole() > before


def test_a_server_that_was_stopped_goes_on_with_the_ids_of_an_engine_that_does() -> None:
    server = Server()
    first = server.take_whole()
    assert first == server.engine.id

    server.stop()
    assert server.take_whole() == first  # it is the same book
    server.engine.change([], [], 5)
    server.stop()
    assert server.take_whole() == first + 5


def test_a_number_is_left_out_where_an_engine_began_anew_while_no_server_ran() -> None:
    server = Server()
    first = server.take_whole()
    server.stop()
    server.engine.restart()
    anew = server.take_whole()
    assert anew > first
    for number in range(1, 4):
        server.stop()
        server.engine.change([], [], 1)
        assert server.take_whole() == anew + number


def test_after_a_crash_numbers_are_above_all_that_may_have_been_shown() -> None:
    server = Server()
    server.take_whole()
    server.store()
    for _ in range(1_000):  # after the store was last written
        server.exchange.apply(server.engine.change([], [("9", str(server.engine.id))], 3))
        server.tick()
    before = server.shown["depth"]
    assert before == 100_000 + 3_000

    server.crash()
    server.exchange.apply(book(server.engine.time, server.engine.time, [], [], symbol="OTHER"))
    server.tick()
    server.store()  # of the other symbol alone something is known
    server.crash()
    server.engine.restart()
    assert server.take_whole() > before
