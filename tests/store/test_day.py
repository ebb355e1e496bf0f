"""Thirty hours of trading with a store, killed now and then: tickers and candles are those of all trades."""

import random
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from exchange_push.market.events import MarketEvent, Trade
from exchange_push.market.interval import INTERVALS
from exchange_push.market.rolling import RollingTickerData
from exchange_push.market.ticker import TickerData
from tests.market.exchange import trade
from tests.store.stored import Stored

T = 1_700_000_000_000
HOURS = 30
_KLINES = [f"kline_{name}" for name in INTERVALS]
_LENGTHS_MS = {"1h": 3_600_000, "4h": 4 * 3_600_000}
_NAMES = ("open", "high", "low", "last", "prev_close", "volume", "quote_volume", "count", "first_id", "last_id")
DAY_MS = 86_400_000


def _trades(count: int) -> list[MarketEvent]:
    rng = random.Random(4)
    found: list[MarketEvent] = []
    ids = {"A": 0, "B": 0}
    for number in range(count):
        symbol = "A" if number % 5 else "B"
        ids[symbol] += 1
        time = T + number * HOURS * 3_600_000 // count - rng.choice((0, 0, 0, 1_500, 30_000))
        price, qty = f"{rng.randrange(9_000, 11_000)}.{rng.randrange(10)}", f"0.{rng.randrange(100, 999)}"
        found.append(trade(ids[symbol], price, qty, max(T, time), rng.choice(("buy", "sell")), symbol=symbol))
    return found


def _window(events: Iterable[MarketEvent], data: TickerData | RollingTickerData) -> dict[str, Any]:
    trades = [each for each in events if isinstance(each, Trade) and each.symbol == data.symbol]
    inside = [each for each in trades if data.open_time <= each.time < data.close_time]
    left = [each for each in trades if each.time < data.open_time]
    prices = [Decimal(each.price) for each in inside]
    newest = inside[-1]
    return {
        "open": inside[0].price,
        "high": str(max(prices)),
        "low": str(min(prices)),
        "last": newest.price,
        "prev_close": left[-1].price if left else None,
        "volume": str(sum(Decimal(each.qty) for each in inside)),
        "quote_volume": str(sum(Decimal(each.qty) * Decimal(each.price) for each in inside)),
        "count": len(inside),
        "first_id": inside[0].id,
        "last_id": newest.id,
    }


def test_thirty_hours_of_trading_are_added_up_right_whoever_kills_the_board(tmp_path: Path) -> None:
    rng = random.Random(5)
    events = _trades(25_000)
    stored = Stored(tmp_path / "store", events, "ticker", "trades", "ticker_1h", "ticker_4h", *_KLINES)
    counts: deque[int] = deque(maxlen=4)  # a ticker may have waited for the store for some ticks
    kills = 0
    checked = dict.fromkeys(("24h", "1h", "4h"), 0)
    while stored.next < len(events):
        stored.take(4)
        counts.append(stored.next)
        before = len(stored.published)
        stored.tick()
        stored.commit()
        if rng.random() < 0.003:
            stored.kill()
            kills += 1
        for publication in stored.published[before:]:
            data = publication.data
            if not isinstance(data, TickerData | RollingTickerData) or data.symbol != "A":
                continue
            length = data.window if isinstance(data, RollingTickerData) else "24h"
            if data.close_time > T + _LENGTHS_MS.get(length, DAY_MS) and not rng.randrange(
                3 if length == "24h" else 12
            ):
                figures = {name: getattr(data, name) for name in _NAMES if hasattr(data, name)}
                assert any(figures.items() <= _window(events[:count], data).items() for count in counts), length
                assert data.complete is (data.open_time >= T)
                checked[length] += 1
        stored.published.clear()
    for _ in range(2):  # not on every tick there is something to store
        stored.tick()
        stored.commit()
    assert kills > 5
    assert min(checked.values()) > 5, checked
    for name in ("1m", "5m", "1h", "1d"):
        rows = {(row[0], row[1]): row for row in stored.candles()[name]}
        expected: dict[tuple[str, int], list[Trade]] = {}
        for each in events:
            assert isinstance(each, Trade)
            expected.setdefault((each.symbol, INTERVALS[name].start(each.time)), []).append(each)
        closed = INTERVALS[name].start(stored.board.market_time)
        for key, trades in expected.items():
            if key[1] < closed:
                row = rows.pop(key)
                assert (row[2], row[5], row[11]) == (trades[0].price, trades[-1].price, len(trades))
                assert row[7] == str(sum(Decimal(each.qty) for each in trades))
        assert not rows
    stored.store.close()
