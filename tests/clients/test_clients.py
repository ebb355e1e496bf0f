"""Clients that know Binance and nothing of us, unmodified: each has the server's own book, and all else that it asks
for, before and after a gap and a lost connection. They run all at once, for a minute, before the first of these tests.
"""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from exchange_push.demo.auth import TOKENS
from tests.clients.minute import Minute
from tests.clients.truth import levels
from tests.clients.world import NAMES, STEADY_S

PHASES = ("start", "gap", "feed gap", "kick", "disconnect", "end")

RECOVERED_S = 10
"""From a fault to the next of what a client says: unicorn takes its time."""
FRESH_S = 2
SPOT = ("ccxt_spot", "python_binance", "binance_sdk")
TRADES = (*SPOT, "ccxt_futures")
CANDLES = (*TRADES, "cryptofeed_spot")
QUOTES = (*SPOT, "cryptofeed_spot")
AMISS_S = {"python_binance": 2}
"""On a gap python-binance asks for a book, and then applies the event that showed the gap to it, though the book may be
newer: what it has is amiss until the next events have brought it to where it began.
"""
CANDLE_MS = {"cryptofeed_spot": 60_000}
"""It knows no shorter ones."""
NEWEST_ONLY = ("ccxt_spot",)
"""Of several updates of an order that come at once it tells the newest."""
AT_ONCE_S = 0.2
USERS = {"ccxt_spot": TOKENS["demo-alice"], "python_binance": TOKENS["demo-bob"], "binance_sdk": TOKENS["demo-alice"]}


def test_all_of_it_happened(minute: Minute) -> None:
    assert tuple(minute.marks) == PHASES
    assert minute.marks["start"]["late"] == []
    assert minute.marks["end"]["lost"] == dict.fromkeys(NAMES, 1)
    assert minute.marks["end"]["lost_of_feed"] == 1
    assert all(minute.marks["kick"]["kicked"].values())
    assert [answer["E"] for answer in minute.marks["disconnect"]["answers"]] == [None, None]
    assert [name for name in NAMES if minute.said(name, "ended")[0]["at"] < minute.marks["end"]["at"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_book_is_that_of_the_server_at_this_update(minute: Minute, name: str) -> None:
    books = minute.said(name, "book")
    wrong = [
        book["at"]
        for book in books
        if minute.truth.books.get(book["id"]) != (levels(book["bids"]), levels(book["asks"]))
    ]
    faults = [minute.marks[phase]["at"] for phase in ("gap", "feed gap", "kick")]

    assert [at for at in wrong if not any(0 < at - fault < AMISS_S.get(name, 0) for fault in faults)] == [], (
        minute.notes(name)
    )
    assert len(wrong) < 10
    assert len({book["id"] for book in books}) > 5 * STEADY_S * 5  # of 10 a second, half would do


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("phase", PHASES[:-1])
def test_books_come_again_after_a_fault_and_are_new(minute: Minute, name: str, phase: str) -> None:
    begin_s = minute.marks[phase]["at"]
    end_s = minute.marks[PHASES[PHASES.index(phase) + 1]]["at"]
    books = [book for book in minute.said(name, "book") if begin_s < book["at"] <= end_s]
    told = minute.truth.told
    new = [book for book in books if told.get(book["id"], 0) > begin_s]

    assert new, minute.notes(name)
    assert new[0]["at"] - begin_s < RECOVERED_S, minute.notes(name)
    assert end_s - told[new[-1]["id"]] < FRESH_S, minute.notes(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_book_is_begun_anew_after_a_gap_and_a_kick_and_at_no_other_time(minute: Minute, name: str) -> None:
    asked = {phase: minute.marks[phase]["snapshots"][name] for phase in PHASES}

    assert asked["start"] == asked["gap"]
    assert asked["gap"] < asked["feed gap"] < asked["kick"] < asked["disconnect"], minute.notes(name)
    assert asked["disconnect"] == asked["end"]


@pytest.mark.parametrize("name", TRADES)
def test_every_trade_comes_once_and_as_it_was(minute: Minute, name: str) -> None:
    said = minute.said(name, "trade")
    ids = [trade["id"] for trade in said]
    missing = [trade for trade in minute.truth.trades.values() if min(ids) < trade.id < max(ids)]
    missing = [trade for trade in missing if trade.id not in set(ids)]

    for trade in said:
        told = minute.truth.trades[trade["id"]]
        assert (Decimal(trade["price"]), Decimal(trade["qty"])) == (told.price, told.qty)
        assert (trade["time"], trade["side"]) == (told.time, told.side)
    assert len(ids) == len(set(ids))
    assert [trade for trade in missing if not minute.unheard(name, "trade", trade.at)] == [], minute.notes(name)
    assert minute.marks["end"]["at"] - minute.truth.trades[max(ids)].at < 10 * FRESH_S


def test_aggregate_trades_are_all_trades_in_their_order(minute: Minute) -> None:
    said = minute.said("cryptofeed_spot", "aggregate")
    gaps = [
        (before["last"], after["first"]) for before, after in pairwise(said) if after["first"] != before["last"] + 1
    ]

    for line in said:
        parts = [minute.truth.trades[number] for number in range(line["first"], line["last"] + 1)]
        assert {(part.price, part.side, part.time) for part in parts} == {
            (Decimal(line["price"]), line["side"], line["time"])
        }
        assert sum(part.qty for part in parts) == Decimal(line["qty"])
    for last, first in gaps:
        missed = [minute.truth.trades[number].at for number in range(last + 1, first)]
        assert all(minute.unheard("cryptofeed_spot", "aggregate", at) for at in missed), minute.notes("cryptofeed_spot")
    assert len(gaps) <= 1


@pytest.mark.parametrize("name", CANDLES)
def test_a_candle_is_all_trades_of_its_time(minute: Minute, name: str) -> None:
    newest = {candle["start"]: candle for candle in minute.said(name, "candle")}
    length_ms = CANDLE_MS.get(name, 1_000)
    begin_ms, end_ms = (int(minute.marks[phase]["at"] * 1000) for phase in ("start", "end"))
    first = begin_ms - begin_ms % length_ms
    ended = range(first, end_ms - length_ms - 1000 * FRESH_S, length_ms)
    heard = [start for start in ended if not minute.unheard(name, "candle", (start + length_ms) / 1000)]

    assert ended
    assert (len(ended) - len(heard)) * length_ms <= max(length_ms, 2 * RECOVERED_S * 1000), minute.notes(name)
    for start in heard:
        of = minute.truth.candle(start, length_ms)
        expected = [*of[:5], of.quote_volume, of.taker_volume, of.taker_quote_volume, of.count]
        assert start in newest, minute.notes(name)
        numbers = [Decimal(number) for number in newest[start]["numbers"] + newest[start].get("more", [])]
        assert numbers == expected[: len(numbers)], start
        assert newest[start].get("closed", True)


@pytest.mark.parametrize("name", SPOT)
def test_a_ticker_is_all_trades_up_to_its_last(minute: Minute, name: str) -> None:
    tickers = minute.said(name, "ticker")

    assert len(tickers) > 2 * STEADY_S
    for ticker in tickers:
        summary = minute.truth.until(ticker["last_id"])
        found = [ticker[key] for key in ("open", "high", "low", "last", "volume", "quote_volume")]
        assert [Decimal(number) for number in found] == list(summary[:6])
        assert ticker.get("count", summary.count) == summary.count
        assert ticker["at"] - minute.truth.trades[ticker["last_id"]].at < 10 * FRESH_S


@pytest.mark.parametrize(
    ("name", "of", "a_second"), [*((name, "quote", 2.0) for name in QUOTES), ("python_binance", "every_quote", 0.5)]
)
def test_a_quote_is_the_top_of_the_book_at_its_update(minute: Minute, name: str, of: str, a_second: float) -> None:
    quotes = minute.said(name, of)

    assert len(quotes) > a_second * STEADY_S
    for quote in quotes:
        [bid], [ask] = minute.truth.top(quote["id"], 1)
        assert (Decimal(quote["bid"]), Decimal(quote["bid_qty"])) == bid
        assert (Decimal(quote["ask"]), Decimal(quote["ask_qty"])) == ask


def test_ten_levels_are_the_top_of_the_book(minute: Minute) -> None:
    tops = minute.said("python_binance", "top")

    assert len(tops) > 2 * STEADY_S
    for top in tops:
        sides = [[(Decimal(price), Decimal(qty)) for price, qty in top[side]] for side in ("bids", "asks")]
        assert tuple(sides) == minute.truth.top(top["id"], 10)


def test_a_mark_price_is_that_of_our_own_protocol(minute: Minute) -> None:
    keys = ("markPrice", "indexPrice", "fundingRate", "nextFundingTime")
    published = [tuple(Decimal(event[key]) for key in keys) for event in minute.mark_prices]
    said = [
        tuple(Decimal(line[key]) for key in ("price", "index", "rate", "next"))
        for line in minute.said("ccxt_futures", "markprice")
    ]

    assert len(said) > 2 * STEADY_S
    assert [prices for prices in said if prices not in published] == []


@pytest.mark.parametrize("name", SPOT)
def test_a_user_hears_of_the_own_orders_and_of_no_others(minute: Minute, name: str) -> None:
    told = [
        (
            at,
            (
                str(data["orderId"]),
                data["symbol"],
                data["side"],
                *map(Decimal, (data["qty"], data["filled"])),
                data["status"],
            ),
        )
        for at, data in minute.truth.user_events[USERS[name], "order"]
    ]
    said = [
        (line["order"], line["symbol"], line["side"], *map(Decimal, (line["qty"], line["filled"])), line["status"])
        for line in minute.said(name, "order")
    ]
    heard = [at for at, update in told if update in said]
    missing = [
        update
        for place, (at, update) in enumerate(told)
        if update not in said
        and heard[0] < at < heard[-1]
        and not minute.unheard(name, "order", at)
        and not (name in NEWEST_ONLY and outdone(place, told))
    ]

    assert len(said) == len(set(said))
    assert set(said) <= {update for _, update in told}
    assert missing == [], minute.notes(name)
    assert heard[0] < minute.marks["kick"]["at"]
    assert heard[-1] > minute.marks["disconnect"]["at"], minute.notes(name)


def outdone(place: int, told: list[tuple[float, tuple[Any, ...]]]) -> bool:
    """Whether the engine told more of this order at the same moment."""
    at, update = told[place]
    return any(later - at < AT_ONCE_S and other[0] == update[0] for later, other in told[place + 1 :])


@pytest.mark.parametrize("name", SPOT)
def test_a_user_hears_of_the_own_balance(minute: Minute, name: str) -> None:
    told = minute.truth.user_events[USERS[name], "balance"]
    said = [Decimal(line["free"]) for line in minute.said(name, "balance") if line["asset"] == "USDT"]
    late = sum(at > minute.marks["end"]["at"] - FRESH_S for at, _ in told)
    balances = [Decimal(data["balance"]) for _, data in told]

    assert said, minute.notes(name)
    assert set(said) <= set(balances)
    assert said[-1] in balances[-late - 1 :]
