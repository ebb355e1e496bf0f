"""The same clients, hearing a real capture: other sizes, ids of twelve digits that leap, times of years ago, and an
engine that has begun anew.
"""

from decimal import Decimal

import pytest

from tests.clients.minute import Minute
from tests.clients.test_clients import AMISS_S, CANDLE_MS, CANDLES, FRESH_S, QUOTES, RECOVERED_S, TRADES
from tests.clients.truth import levels
from tests.clients.world import CALM_MS, NAMES

PHASES = ("start", "gap", "kick", "end")
LEAST_BOOKS = 75
"""Of a client, of the 179 updates that there are: a fault costs some, and updates that come together are one."""


def test_all_of_it_happened(replayed: Minute) -> None:
    assert tuple(replayed.marks) == PHASES
    assert replayed.marks["start"]["late"] == []
    assert replayed.marks["end"]["lost"] == dict.fromkeys(NAMES, 1)
    assert all(replayed.marks["kick"]["kicked"].values())


@pytest.mark.parametrize("name", NAMES)
def test_every_book_is_that_of_the_server_at_this_update(replayed: Minute, name: str) -> None:
    books = replayed.said(name, "book")
    truth = replayed.truth.books
    wrong = [book["at"] for book in books if truth.get(book["id"]) != (levels(book["bids"]), levels(book["asks"]))]
    faults = [replayed.marks[phase]["at"] for phase in PHASES[:-1]]

    assert [at for at in wrong if not any(0 < at - fault < AMISS_S.get(name, 0) for fault in faults)] == [], (
        replayed.notes(name)
    )
    assert len(wrong) < 10
    assert min(book["id"] for book in books) > 600_000_000_000
    assert len({book["id"] for book in books}) > LEAST_BOOKS, replayed.notes(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("phase", PHASES[:-1])
def test_books_come_again_after_a_fault_and_are_new(replayed: Minute, name: str, phase: str) -> None:
    begin_s = replayed.marks[phase]["at"]
    end_s = replayed.marks[PHASES[PHASES.index(phase) + 1]]["at"]
    books = [book for book in replayed.said(name, "book") if begin_s < book["at"] <= end_s]
    told = replayed.truth.told
    new = [book for book in books if told.get(book["id"], 0) > begin_s]

    assert new, replayed.notes(name)
    assert new[0]["at"] - begin_s < RECOVERED_S, replayed.notes(name)
    assert end_s - told[new[-1]["id"]] < 2 * FRESH_S, replayed.notes(name)


@pytest.mark.parametrize("name", TRADES)
def test_every_trade_comes_once_and_as_it_was(replayed: Minute, name: str) -> None:
    said = replayed.said(name, "trade")
    ids = [trade["id"] for trade in said]
    missing = [trade for trade in replayed.truth.trades.values() if trade.id not in set(ids)]

    for trade in said:
        told = replayed.truth.trades[trade["id"]]
        assert (Decimal(trade["price"]), Decimal(trade["qty"])) == (told.price, told.qty)
        assert (trade["time"], trade["side"]) == (told.time, told.side)
    assert len(ids) == len(set(ids))
    assert [trade for trade in missing if not replayed.unheard(name, "trade", trade.at)] == [], replayed.notes(name)


@pytest.mark.parametrize("name", CANDLES)
def test_a_candle_is_all_trades_of_its_time(replayed: Minute, name: str) -> None:
    length_ms = CANDLE_MS.get(name, 1_000)
    newest = {candle["start"]: candle for candle in replayed.said(name, "candle") if candle.get("closed", True)}
    trades = replayed.truth.trades.values()
    times = [trade.time for trade in trades]
    # A candle closes once here: what comes after that is not in it. The first ones had closed before the trades came.
    late = {
        trade.time - trade.time % length_ms for trade in trades if trade.heard // length_ms > trade.time // length_ms
    }
    begin_ms = min(times) + 1.5 * CALM_MS
    within = [start for start in newest.keys() - late if begin_ms < start < max(times) - length_ms - 1000 * FRESH_S]

    assert len(within) > 8 or length_ms > 1_000
    for start in within:
        of = replayed.truth.candle(start, length_ms)
        expected = [*of[:5], of.quote_volume, of.taker_volume, of.taker_quote_volume, of.count]
        numbers = [Decimal(number) for number in newest[start]["numbers"] + newest[start].get("more", [])]
        assert numbers == expected[: len(numbers)], start


@pytest.mark.parametrize("name", QUOTES)
def test_a_quote_is_the_top_of_the_book_at_its_update(replayed: Minute, name: str) -> None:
    quotes = replayed.said(name, "quote")

    assert len(quotes) > 20
    for quote in quotes:
        [bid], [ask] = replayed.truth.top(quote["id"], 1)
        assert (Decimal(quote["bid"]), Decimal(quote["bid_qty"])) == bid
        assert (Decimal(quote["ask"]), Decimal(quote["ask_qty"])) == ask
