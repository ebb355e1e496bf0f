"""What is stored, and that a board which is killed goes on from it as if nothing had been."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exchange_push.market.events import MarketEvent
from tests.market.exchange import book, trade
from tests.store.stored import Stored, numbers

T = 1_700_000_000_000
_prices = st.sampled_from(["7.00", "6.50", "8.25", "10.00", "0.50"])
_steps = st.tuples(
    st.sampled_from(["A", "A", "B"]),
    _prices,
    st.sampled_from(["1.00", "0.25", "3.10"]),
    st.sampled_from(["buy", "sell"]),
    st.sampled_from([0, 1, 300, 1_000, 2_500, 60_000, 600_000, 3_600_000, 13 * 3_600_000]),
    st.sampled_from([0, 0, 0, 0, 1_500, 40_000, 100_000, 5_000_000]),  # how late
)
_moves = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=40)


def _feed(steps: list[Any]) -> list[MarketEvent]:
    """A feed whose trades may be late, and whose time is borne out by books."""
    events: list[MarketEvent] = [trade(1, "7.50", "1.00", T, symbol="A")]
    now, ids = T, {"A": 1, "B": 0}
    for symbol, price, qty, side, forward, late in steps:
        now += forward
        ids[symbol] += 1
        events += [book(now, now, [], [], symbol="OTHER") for _ in range(2 if forward > 60_000 else 0)]
        events.append(trade(ids[symbol], price, qty, max(T, now - late), side, symbol=symbol))
    # In the end market time is the same, however long the wall clock carried it on.
    return [*events, *(book(now + 600_000, now + 600_000, [], [], symbol="OTHER") for _ in range(2))]


@settings(
    max_examples=60, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_steps, min_size=1, max_size=40), _moves)
def test_a_board_killed_at_any_moment_goes_on_as_if_it_had_not_been(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], moves: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    events = _feed(steps)
    steady, killed = Stored(folder / "steady", events), Stored(folder / "killed", events)
    for count, commits, dies in moves:
        killed.take(min(count, len(events) - 2 - killed.next))
        killed.tick()
        if commits:
            killed.commit()
        if dies:
            killed.kill()
    for stored in (steady, killed):
        while stored.next < len(events) - 2:
            stored.take(1)
            stored.tick()
            stored.commit()
        stored.tick()
        stored.commit()
        while stored.now_ms % 1_000 != 950:
            stored.tick()
            stored.commit()
        stored.take(2)
        for _ in range(4):  # a window may have to wait for the store; less than the grace, so that no time passes
            stored.tick()
            stored.commit()
    assert killed.candles() == steady.candles()
    assert numbers(killed.states()) == numbers(steady.states())
    for symbol in ("A", "B"):
        assert killed.trade_ids(symbol) == sorted(event.id for event in events if event.symbol == symbol)
    steady.store.close()
    killed.store.close()
