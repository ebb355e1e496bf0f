"""Best bid and ask of all symbols. That of one is looked at beside the other channels of a book, in test_book.py."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.market.exchange import Exchange, book, channel, depth, of

T = 1_700_000_000_000
NAME = "*@bookticker"


def _symbols(data: list[dict[str, Any]]) -> list[str]:
    return [each["symbol"] for each in data]


def test_every_second_it_has_the_symbols_whose_best_bid_or_ask_changed() -> None:
    exchange = Exchange("bookticker", NAME)
    assert exchange.board.state(channel(NAME)) is None
    exchange.apply(book(7, T, [("6", "1")], []), book(9, T + 1, [("1", "1")], [("2", "1.50")], symbol="OTHER"))
    exchange.run(1_000)
    exchange.apply(depth(8, 8, T + 2, [("5", "1")], []), depth(10, 10, T + 3, [], [("2", "3")], symbol="OTHER"))
    exchange.run(3_000)
    first, second = exchange.sent(NAME)

    assert first == [
        {"symbol": "S", "bid": "6", "bidQty": "1", "ask": None, "askQty": None, "id": 7, "time": T},
        {"symbol": "OTHER", "bid": "1", "bidQty": "1", "ask": "2", "askQty": "1.50", "id": 9, "time": T + 1},
    ]
    assert second == [{**first[1], "askQty": "3", "id": 10, "time": T + 3}]
    assert exchange.state(NAME) == [first[0], second[0]]
    assert exchange.board.state(channel(NAME)) is exchange.board.state(channel(NAME))


def test_a_book_out_of_sync_is_left_out_until_it_is_known_again() -> None:
    exchange = Exchange("bookticker", NAME)
    exchange.apply(book(7, T, [("6", "1")], []), book(7, T, [("6", "1")], [], symbol="OTHER"))
    exchange.run(1_000)
    exchange.apply(depth(9, 9, T + 2, [("7", "1")], []))
    exchange.run(1_000)
    assert _symbols(exchange.state(NAME)) == ["OTHER"]
    exchange.apply(book(9, T + 3, [("6", "1")], []))
    exchange.run(1_000)

    assert [_symbols(sent) for sent in exchange.sent(NAME)] == [["S", "OTHER"], ["S"]]
    assert _symbols(exchange.state(NAME)) == ["OTHER", "S"]


def test_nothing_is_made_for_nobody_and_the_state_is_there_all_the_same() -> None:
    exchange = Exchange("bookticker", NAME, wanted=lambda channel: False)
    exchange.apply(book(7, T, [("6", "1")], []))
    exchange.run(2_000)

    assert exchange.published == []
    assert _symbols(exchange.state(NAME)) == ["S"]


def test_each_symbol_has_the_shift_of_its_book() -> None:
    exchange = Exchange("bookticker", NAME)
    exchange.apply(book(7, T, [("6", "1")], []), book(7, T, [("6", "1")], [], symbol="OTHER"))
    exchange.run(1_000)
    exchange.apply(depth(8, 8, T + 1, [], [("8", "1")], symbol="OTHER"))
    exchange.apply(book(3, T + 60_000, [("5", "1")], []))
    exchange.run(1_000)
    [_, publication] = [found for _, found in exchange.published if found.channel == channel(NAME)]
    data: Any = publication.data

    assert {each.symbol: each.id + shift for each, shift in zip(data, publication.shifts, strict=True)} == {
        "OTHER": 8,
        "S": 8,  # one after its last
    }


_level = st.tuples(st.sampled_from(["5", "6", "7"]), st.sampled_from(["0", "1", "2"]))
_step = st.one_of(
    st.tuples(st.just("book"), st.sampled_from("ABC"), _level),
    st.tuples(st.sampled_from(["depth", "depth", "lost"]), st.sampled_from("ABC"), _level),
    st.tuples(st.just("run"), st.sampled_from([50, 1_000, 2_000])),
    st.just(("restart",)),
)


@given(st.lists(_step, max_size=40), st.integers(0, 40))
def test_who_comes_at_any_time_knows_the_quotes_of_all_books_each_second(steps: list[Any], comes: int) -> None:
    exchange = Exchange("bookticker", NAME)
    ids = dict.fromkeys("ABC", 0)
    known: dict[str, Any] | None = None
    for place, step in enumerate([*steps, ("run", 1_000)]):
        if place == comes:
            known = {each["symbol"]: each for each in exchange.state(NAME) or []}
        match step:
            case ("book", symbol, level):
                ids[symbol] += 1
                exchange.apply(book(ids[symbol], T + place, [level], [], symbol=symbol))
            case ("depth" | "lost" as what, symbol, level):
                ids[symbol] += 1 if what == "depth" else 2
                exchange.apply(depth(ids[symbol], ids[symbol], T + place, [level], [], symbol=symbol))
            case ("restart",):
                exchange.restart(place + 2)
            case ("run", ms):
                for data in of(NAME, exchange.run(ms)):
                    if known is not None:
                        known |= {each["symbol"]: each for each in data}
                if ms < 1_000:
                    continue
                for symbol in exchange.board.symbols():
                    found = exchange.board.book(symbol)
                    if known is not None and found is not None and found.in_sync:
                        quote = [known[symbol][key] for key in ("bid", "bidQty", "ask", "askQty")]
                        assert quote == list(found.quote())
