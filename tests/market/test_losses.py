"""What clients are told of a gap in the feed: which candles and tickers it touched, and when they are whole again."""

from typing import Any

from exchange_push.market.events import Gap
from tests.market.exchange import Exchange, book, trade

T = 1_700_000_040_000  # a whole minute


def _candles(exchange: Exchange, symbol: str, interval: str = "1m") -> list[tuple[int, int, bool, str]]:
    """(minutes, rev, complete, volume) of the closed ones."""
    found = [data for data in exchange.sent(f"{symbol}@kline_{interval}") if data["closed"]]
    return [((data["start"] - T) // 60_000, data["rev"], data["complete"], data["volume"]) for data in found]


def _lossy() -> Exchange:
    """Of two symbols A loses trade 3 within a gap over the end of the first minute, B nothing."""
    exchange = Exchange("kline_1m", "ticker")
    exchange.apply(trade(1, "10", "1", T, symbol="A"), trade(1, "10", "1", T + 1, symbol="B"))
    exchange.tick()
    exchange.apply(trade(2, "11", "1", T + 58_000, symbol="A"))
    exchange.apply(Gap(5))
    exchange.apply(trade(4, "12", "1", T + 61_000, symbol="A"))
    exchange.tick()
    return exchange


def test_a_gap_makes_candles_incomplete_until_the_next_id_says_otherwise() -> None:
    exchange = _lossy()
    # The gap spoke against both; A's next id is not the one that follows.
    assert _candles(exchange, "A") == [(0, 0, False, "2")]
    assert _candles(exchange, "B") == [(0, 0, False, "1")]
    exchange.apply(trade(2, "10", "1", T + 62_000, symbol="B"))
    exchange.tick()

    assert _candles(exchange, "B") == [(0, 0, False, "1"), (0, 1, True, "1")]
    assert exchange.state("B@kline_1m")["complete"]
    assert _candles(exchange, "A") == [(0, 0, False, "2")]
    assert not exchange.state("A@kline_1m")["complete"]


def test_a_trade_that_fills_the_hole_corrects_its_candle_and_makes_all_complete() -> None:
    exchange = _lossy()
    exchange.apply(trade(3, "15", "2", T + 59_000, symbol="A"))
    exchange.tick()

    assert _candles(exchange, "A") == [(0, 0, False, "2"), (0, 1, True, "4")]
    state = exchange.state("A@kline_1m")
    assert (state["complete"], state["firstId"], state["volume"]) == (True, 4, "1")
    assert exchange.board.repaired_trades == 1
    exchange.apply(trade(3, "15", "2", T + 59_000, symbol="A"))
    assert exchange.board.duplicate_trades == 1


def test_open_and_close_go_by_ids_however_late_a_trade_comes() -> None:
    exchange = Exchange("kline_1m", "trades")
    exchange.apply(trade(5, "10", "1", T), Gap(1), trade(8, "20", "1", T + 2_000))
    exchange.tick()
    exchange.apply(trade(7, "99", "1", T + 1_500), trade(6, "1", "1", T + 1_000), trade(9, "21", "1", T + 2_500))
    exchange.tick()
    data = exchange.state("S@kline_1m")

    assert [data[name] for name in ("open", "high", "low", "close", "count", "firstId", "lastId")] == [
        "10", "99", "1", "21", 5, 5, 9,
    ]  # fmt: skip
    sent = [(merged["first"], merged["last"]) for data in exchange.sent("S@trades") for merged in data["trades"]]
    assert sorted(sent) == [(number, number) for number in range(5, 10)]


def test_a_ticker_is_incomplete_for_who_lost_trades_in_its_window_only() -> None:
    exchange = _lossy()
    exchange.apply(trade(2, "10", "1", T + 62_000, symbol="B"))
    day = T + 86_400_000

    def complete_at(time: int) -> list[bool]:
        exchange.apply(book(time, time, [], [], symbol="OTHER"), book(time + 1, time + 1, [], [], symbol="OTHER"))
        exchange.run(1_000)
        return [_last(exchange, symbol)["complete"] for symbol in "AB"]

    assert complete_at(day - 60_000) == [False, False]  # it began in the midst of the window
    assert complete_at(day + 30_000) == [False, True]
    assert complete_at(day + 120_000) == [True, True]


def _last(exchange: Exchange, symbol: str) -> Any:
    return exchange.state(f"{symbol}@ticker")
