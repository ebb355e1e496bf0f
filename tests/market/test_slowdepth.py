"""Slower chains of a book, each rule by itself; that they lead to the true book is held in test_book.py."""

from typing import Any

import pytest

from exchange_push import catalog
from tests.market.exchange import Exchange, book, channel, depth

T = 1_700_000_000_000
SPEEDS = {"depth_250ms": 250, "depth_500ms": 500, "depth_1s": 1_000}


def _listening(name: str) -> Exchange:
    """A book that is published, and a listener who has its state, at 1,000 ms of the wall."""
    exchange = Exchange("depth", name, now_ms=900)
    exchange.apply(book(10, T, [("7.60", "1")], [("8", "3")]))
    exchange.run(100)
    assert [data["type"] for data in exchange.sent(f"S@{name}")] == ["snapshot"]
    exchange.published.clear()
    return exchange


@pytest.mark.parametrize("name", SPEEDS)
def test_an_update_sums_up_what_the_faster_chain_published_since(name: str) -> None:
    exchange = _listening(name)
    for number in range(1, 41):
        exchange.apply(depth(10 + number, 10 + number, T + number, [("7.60", str(number))], []))
        exchange.tick()
    times = [now_ms for now_ms, publication in exchange.published if publication.channel == channel(f"S@{name}")]
    assert times == list(range(1_000 + SPEEDS[name], 3_001, SPEEDS[name]))
    slow, fast = exchange.sent(f"S@{name}"), exchange.sent("S@depth")
    assert {data["last"] for data in slow} <= {data["last"] for data in fast}
    last = 10
    for data in slow:
        assert (data["type"], data["prev"], data["first"]) == ("update", last, last + 1)
        assert len(data["bids"]) == 1
        last = data["last"]
    assert last == 50


def test_what_changed_back_is_left_out_but_the_ids_go_on() -> None:
    exchange = _listening("depth_1s")
    for number, qty in enumerate(("2", "1"), 11):
        exchange.apply(depth(number, number, T, [("7.60", qty)], []))
        exchange.run(500)
    [update] = exchange.sent("S@depth_1s")
    assert (update["bids"], update["first"], update["last"]) == ([], 11, 12)


def test_a_price_that_came_back_under_another_text_is_removed_under_the_one_that_is_known() -> None:
    exchange = _listening("depth_1s")
    for number, level in enumerate([("7.60", "0"), ("7.6", "5")], 11):
        exchange.apply(depth(number, number, T, [level], []))
        exchange.run(500)
    [update] = exchange.sent("S@depth_1s")
    assert update["bids"] == [["7.60", "0"], ["7.6", "5"]]


def test_a_chain_is_kept_only_while_somebody_listens_and_begins_with_who_comes() -> None:
    listening = False
    exchange = Exchange("depth", "depth_1s", wanted=lambda wanted: listening)
    exchange.apply(book(10, T, [("7", "1")], []))
    exchange.run(1_000)
    held: Any = exchange.board.book("S")
    assert not held.lags

    exchange.apply(depth(11, 11, T, [("7", "2")], []))
    exchange.run(150)
    listening = True
    assert exchange.state("S@depth_1s")["last"] == 11
    exchange.apply(depth(12, 12, T, [("7", "3")], []))
    exchange.run(1_000)
    [update] = exchange.sent("S@depth_1s")
    assert (update["prev"], update["last"], update["bids"]) == (11, 12, [["7", "3"]])

    listening = False
    exchange.run(1_000)
    assert not held.lags


def test_in_the_catalogue_they_stand_behind_what_they_are_made_of() -> None:
    names = [kind.name for kind in catalog.COMPUTED]
    assert all(names.index("depth") < names.index(name) for name in SPEEDS)
