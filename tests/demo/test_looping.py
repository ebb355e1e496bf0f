from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.demo.looping import looped
from exchange_push.demo.replay import Recorded, read
from exchange_push.errors import ConfigError
from exchange_push.market.events import Trade
from exchange_push.wire.events import decode_events
from tests.market.exchange import Exchange

CAPTURE = Path(__file__).parents[1] / "data" / "binance-futures.jsonl.gz"
AT = 1_626_992_741_000


def rounds(events: list[list[Any]], count: int) -> list[tuple[int, list[Any]]]:
    """What is played of events that arrived one each 10 ms."""

    def recorded() -> Iterator[Recorded]:
        for number, event in enumerate(events):
            yield Recorded(AT + 10 * number, event, number)

    return [(one.at_ms - AT, one.event) for one in islice(looped(recorded), count * len(events))]


def test_ids_move_on_by_symbol_and_kind_and_times_by_as_long_as_it_lasts() -> None:
    events: list[list[Any]] = [
        ["trade", "A", 7, "1", "1", "buy", AT],
        ["trade", "A", 9, "1", "1", "buy", AT + 5, 42],
        ["trade", "B", 70, "1", "1", "sell", AT],
        ["book", "A", 100, AT, [["1", "1"]], []],
        ["depth", "A", 101, 104, AT + 1, [], []],
        ["index", "A", "x", "1", "1", AT],
        ["funding", "A", "0.0001", AT + 1_000, AT],
        ["user", 1, "order", {"id": 1}],
    ]
    *first, _ = rounds(events, 1)
    second = rounds(events, 3)[len(events) : 2 * len(events)]

    assert [event for _, event in first] == events[:-1]
    assert second == [
        (71, ["trade", "A", 10, "1", "1", "buy", AT + 71]),
        (81, ["trade", "A", 12, "1", "1", "buy", AT + 76, 42]),
        (91, ["trade", "B", 71, "1", "1", "sell", AT + 71]),
        (101, ["book", "A", 105, AT + 71, [["1", "1"]], []]),
        (111, ["depth", "A", 106, 109, AT + 72, [], []]),
        (121, ["index", "A", "x", "1", "1", AT + 71]),
        (131, ["funding", "A", "0.0001", AT + 1_071, AT + 71]),
        (141, ["user", 1, "order", {"id": 1}]),
    ]


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 3)), min_size=1, max_size=20), st.integers(1, 4))
def test_no_id_comes_twice(steps: list[tuple[str, int]], count: int) -> None:
    ids = {"A": 5, "B": 1_000}
    events: list[list[Any]] = []
    for symbol, step in steps:
        ids[symbol] += step
        events.append(["trade", symbol, ids[symbol], "1", "1", "buy", AT])
    played = rounds(events, count)

    for symbol in "AB":
        found = [event[2] for _, event in played if event[1] == symbol]
        assert found == sorted(set(found))
    assert [at for at, _ in played] == sorted({at for at, _ in played})


def test_of_nothing_nothing_comes() -> None:
    assert rounds([], 3) == []


def test_a_file_that_changes_while_it_is_played_ends_it_with_the_line_that_is_new() -> None:
    once = [Recorded(AT, ["trade", "A", 1, "1", "1", "buy", AT], 1)]
    grown = [*once, Recorded(AT, ["trade", "B", 1, "1", "1", "buy", AT], 2)]
    files = iter([once, grown])
    played = looped(lambda: iter(next(files)))

    assert [next(played).event[2] for _ in range(2)] == [1, 2]
    with pytest.raises(ConfigError, match="line 2: not there before"):
        next(played)


@pytest.mark.parametrize("count", [2, 3])
def test_the_capture_goes_on_as_one_market(count: int) -> None:
    events = [one.event for one in read(CAPTURE)]
    exchange = Exchange("trades", "depth", "ticker", "kline_1m")
    end_ms = None
    trades = 0
    for one in islice(looped(lambda: read(CAPTURE)), count * len(events)):
        begin_ms = one.at_ms if end_ms is None else end_ms
        while begin_ms + 50 <= one.at_ms:
            begin_ms += 50
            exchange.tick()
        end_ms = begin_ms
        [event] = decode_events([one.event]).events
        trades += isinstance(event, Trade)
        exchange.apply(event)
    exchange.tick()

    board = exchange.board
    assert (board.trades, board.duplicate_trades, board.set_backs, board.late_trades_dropped) == (trades, 0, 0, 0)
    assert board.books_out_of_sync() == []
