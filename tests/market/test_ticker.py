"""The 24 h window against a second implementation that goes over all trades, and each rule by itself."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_push.market.events import Gap, Trade
from exchange_push.market.ticker import TickerData
from tests.market.exchange import Exchange, book, channel, depth, trade

T = 1_700_000_000_000
DAY = 86_400_000
HOUR = 3_600_000


def _rounded(value: Fraction, places: int) -> Decimal:
    return Decimal(round(value * 10**places)).scaleb(-places)  # round() of a Fraction is half-even


def window(trades: list[Trade], close_time: int, length: int = DAY, step: int = 1_000) -> dict[str, Any] | None:
    """The figures by going over all trades, in order of arrival."""
    open_time = (close_time - length) // step * step
    known = [t for t in trades if t.time < close_time]
    inside = [t for t in known if t.time >= open_time]
    left = [t for t in known if t.time < open_time]
    if not known:
        return None
    last = known[-1]
    prices = [Decimal(t.price) for t in inside] or [Decimal(last.price)]
    volume = sum((Decimal(t.qty) for t in inside), Decimal(0))
    worth = sum((Decimal(t.price) * Decimal(t.qty) for t in inside), Decimal(0))
    change = Decimal(last.price) - prices[0]
    return {
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "last": Decimal(last.price),
        "last_qty": Decimal(last.qty),
        "change": change,
        "change_percent": _rounded(Fraction(change) * 100 / Fraction(prices[0]), 3),
        "weighted_avg": _rounded(Fraction(worth) / Fraction(volume) if volume else Fraction(Decimal(last.price)), 8),
        "prev_close": Decimal(left[-1].price) if left else None,
        "volume": volume,
        "quote_volume": worth,
        "count": len(inside),
        "first_id": inside[0].id if inside else -1,
        "last_id": last.id if inside else -1,
        "open_time": open_time,
    }


def _check(data: TickerData, trades: list[Trade]) -> None:
    expected = window(trades, data.close_time)
    assert expected is not None
    for name, value in expected.items():
        found = getattr(data, name)
        assert (Decimal(found) if isinstance(value, Decimal) else found) == value, name


_prices = st.sampled_from(["7", "7.00", "6.5", "8.25", "10", "0.5", "11"])
_qtys = st.sampled_from(["1", "0.25", "3", "0.333333333333333333", "0"])
steps = st.tuples(
    st.sampled_from(["buy", "sell"]),
    _prices,
    _qtys,
    st.sampled_from([0, 1, 999, 1_000, 60_000, HOUR, 7 * HOUR, 23 * HOUR, DAY, 2 * DAY]),
    st.sampled_from([0, 0, 0, 1_000, 1_500, 40_000]),
    st.integers(0, 2),
)


@settings(max_examples=300)
@given(st.lists(steps, max_size=30))
def test_each_ticker_is_the_window_of_its_trades(events: list[Any]) -> None:
    exchange = Exchange("ticker")
    now = T
    trades = [trade(1, "7.5", "1", T)]
    exchange.apply(*trades)
    for side, price, qty, forward, late, seconds in events:
        now = max(now, exchange.board.market_time) + forward
        exchange.apply(book(now, now, [], [], symbol="OTHER"))
        trades.append(trade(len(trades) + 1, price, qty, max(T, now - late), side))
        exchange.apply(trades[-1])
        for publication in exchange.run(seconds * 1_000):
            assert isinstance(publication.data, TickerData)
            _check(publication.data, trades)
    exchange.run(3_000)
    last = exchange.published[-1][1].data
    assert isinstance(last, TickerData)
    _check(last, trades)


def test_a_day_of_trades_leaves_the_window_second_by_second() -> None:
    exchange = Exchange("ticker")
    trades: list[Trade] = []
    checked = 0
    for second in range(0, 2 * 86_400, 40):
        price, qty = f"{100 + second * 7_919 % 501}.{second % 7}", f"0.{second % 89 + 1}"
        trades.append(trade(len(trades) + 1, price, qty, T + second * 1_000))
        exchange.apply(trades[-1])
        exchange.now_ms += 950
        for publication in exchange.tick():
            if second % 3_000 == 0 and isinstance(publication.data, TickerData):
                _check(publication.data, trades)
                checked += 1
    assert checked > 20


def test_the_shape_is_that_of_the_protocol() -> None:
    exchange = Exchange("ticker")
    exchange.apply(
        book(1, T, [("7.59", "4")], []),
        trade(1, "7.60", "2", T, "sell"),
        trade(2, "7.50", "1", T),
        trade(3, "7.65", "3.0", T + 10),
        trade(4, "9", "3.0", T + 1_000),
    )
    exchange.run(1_000)
    assert exchange.sent("S@ticker") == [
        {
            "symbol": "S",
            "open": "7.60",
            "high": "7.65",
            "low": "7.50",
            "last": "7.65",
            "lastQty": "3.0",
            "change": "0.05",
            "changePercent": "0.658",
            "weightedAvg": "7.60833333",
            "prevClose": None,
            "volume": "6.0",
            "quoteVolume": "45.650",
            "count": 3,
            "firstId": 1,
            "lastId": 3,
            "openTime": T + 1_000 - DAY,
            "closeTime": T + 1_000,
            "bid": "7.59",
            "bidQty": "4",
            "ask": None,
            "askQty": None,
            "complete": False,
        }
    ]


def test_it_comes_every_second_without_trades_when_the_markets_second_is_over() -> None:
    exchange = Exchange("ticker")
    exchange.apply(trade(1, "7", "1", T + 900))
    exchange.run(900)
    exchange.apply(trade(2, "7", "1", T + 2_000))
    exchange.run(3_100)
    closes = [(now_ms, data.data.close_time - T) for now_ms, data in exchange.published]  # type: ignore[attr-defined]
    # At 2,000 of the wall the market is at 2,850 still, and its second over at 2,150.
    assert closes == [(1_000, 2_000), (2_150, 3_000), (3_150, 4_000)]


def test_an_empty_window_has_the_last_price_throughout() -> None:
    exchange = Exchange("ticker")
    exchange.apply(trade(1, "7", "1", T), trade(2, "8.5", "3", T))
    exchange.run(2_000)
    exchange.apply(book(1, T + 2 * DAY, [], [], symbol="OTHER"))
    exchange.run(1_000)
    data = exchange.state("S@ticker")
    assert [data[name] for name in ("open", "high", "low", "last", "prevClose")] == ["8.5"] * 5
    assert [data[name] for name in ("volume", "quoteVolume", "change", "changePercent")] == ["0", "0", "0.0", "0.000"]
    assert (data["weightedAvg"], data["lastQty"]) == ("8.50000000", "3")
    assert (data["count"], data["firstId"], data["lastId"]) == (0, -1, -1)


def test_a_fall_too_small_to_show_has_no_sign() -> None:
    exchange = Exchange("ticker")
    exchange.apply(trade(1, "100000", "1", T), trade(2, "99999.9", "1", T), trade(3, "1", "1", T + 1_000))
    exchange.run(1_000)
    assert (exchange.state("S@ticker")["changePercent"], exchange.state("S@ticker")["change"]) == ("0.000", "-0.1")


def test_trades_at_price_zero_have_no_percentage() -> None:
    exchange = Exchange("ticker")
    exchange.apply(trade(1, "0", "1", T), trade(2, "5", "1", T), trade(3, "5", "1", T + 1_000))
    exchange.run(1_000)
    assert exchange.state("S@ticker")["changePercent"] == "0.000"


def test_the_window_is_complete_once_a_whole_day_was_heard_and_again_a_day_after_a_gap() -> None:
    exchange = Exchange("ticker")
    completes = []
    exchange.apply(trade(1, "7", "1", T))
    for time in (T + DAY - 1_000, T + DAY, T + DAY + HOUR, T + 2 * DAY + HOUR, T + 2 * DAY + HOUR + 1_000):
        if time == T + DAY + HOUR:
            exchange.apply(Gap(7))
        exchange.apply(book(time, time, [], [], symbol="OTHER"))
        exchange.run(1_000)
        completes.append(exchange.state("S@ticker")["complete"])
    assert completes == [False, True, False, False, True]


def test_a_book_out_of_sync_has_no_best_prices() -> None:
    exchange = Exchange("ticker")
    exchange.apply(trade(1, "7", "1", T), book(1, T, [("6", "1")], [("8", "1")]))
    exchange.run(2_000)
    assert exchange.state("S@ticker")["ask"] == "8"
    exchange.apply(depth(9, 9, T + 2_500, [], []))
    exchange.run(1_000)
    assert (exchange.state("S@ticker")["ask"], exchange.state("S@ticker")["bidQty"]) == (None, None)


def test_the_array_of_all_has_those_whose_figures_changed_and_its_state_has_all() -> None:
    exchange = Exchange("*@ticker")
    assert exchange.board.state(channel("*@ticker")) is None
    exchange.apply(trade(1, "7", "1", T), trade(1, "9", "1", T, symbol="Q"), trade(1, "7", "1", T + 1_000, symbol="R"))
    exchange.run(1_000)
    exchange.apply(trade(2, "9", "2", T + 1_100, symbol="Q"), book(1, T + 2_000, [("6", "1")], []))
    exchange.run(1_000)
    exchange.run(1_000)
    arrays = [[data["symbol"] for data in array] for array in exchange.sent("*@ticker")]
    assert arrays == [["S", "Q"], ["S", "Q", "R"]]
    state = exchange.board.state(channel("*@ticker"))
    assert state is exchange.board.state(channel("*@ticker"))
    assert [data["symbol"] for data in exchange.state("*@ticker")] == ["S", "Q", "R"]
    assert {data["closeTime"] for data in exchange.state("*@ticker")} == {T + 3_000}


def test_a_change_deep_in_the_book_is_none_of_the_ticker() -> None:
    exchange = Exchange("*@ticker")
    exchange.apply(trade(1, "7", "1", T), book(1, T + 1_000, [("6", "1"), ("5", "1")], []))
    exchange.run(1_000)
    exchange.apply(depth(2, 2, T + 2_000, [("5", "2")], []))
    exchange.run(1_000)
    assert len(exchange.sent("*@ticker")) == 1


def test_the_array_has_all_when_the_day_is_complete() -> None:
    exchange = Exchange("*@ticker")
    exchange.apply(book(1, T, [], []), trade(1, "7", "1", T + HOUR), trade(1, "9", "1", T + HOUR, symbol="Q"))
    for time in (T + DAY - 1_000, T + DAY, T + DAY + 1_000):
        exchange.apply(book(time, time, [], [], symbol="OTHER"))
        exchange.run(1_000)
    assert [[data["complete"] for data in array] for array in exchange.sent("*@ticker")] == [[False] * 2, [True] * 2]


def test_the_state_is_the_last_ticker_sent_whether_or_not_the_book_moved_since() -> None:
    watched, unwatched = Exchange("ticker"), Exchange("ticker", wanted=lambda channel: False)
    for exchange in (watched, unwatched):
        exchange.apply(trade(1, "7", "1", T), book(1, T, [("6", "1")], []))
        exchange.run(2_000)
        exchange.apply(depth(2, 2, T + 2_050, [("6.5", "1")], []), trade(2, "8", "1", T + 2_050))
        exchange.run(50)
    assert watched.state("S@ticker") == unwatched.state("S@ticker") == watched.sent("S@ticker")[-1]
    assert watched.board.state(channel("S@ticker")) is watched.published[-1][1]


def test_an_average_between_two_digits_goes_to_the_even_one() -> None:
    exchange = Exchange("ticker")
    exchange.apply(trade(1, "0.000000005", "1", T), trade(2, "0.000000025", "1", T), trade(3, "1", "1", T + 1_000))
    exchange.run(1_000)
    assert exchange.state("S@ticker")["weightedAvg"] == "0.00000002"


def test_who_comes_to_all_tickers_late_hears_from_then_on_what_all_others_hear() -> None:
    """While nobody listens to them, nobody compares them either."""
    listening = False
    early, late = Exchange(), Exchange(wanted=lambda channel: listening, any_wanted=lambda kind: listening)
    names = ("*@ticker", "*@miniticker", "*@ticker_1h", "S@ticker", "S@avgprice")
    for second in range(20):
        events = [trade(second, str(7 + second % 3), "1", T + 1_000 * second, symbol=symbol) for symbol in "SQ"]
        if second % 4:
            events.pop()
        if second == 10:
            listening = True
            assert [late.state(name) for name in names] == [early.state(name) for name in names]
        for exchange in (early, late):
            exchange.published.clear()
            exchange.apply(*events)
            exchange.run(1_000)
        assert [late.sent(name) for name in names] == [early.sent(name) if listening else [] for name in names]
    assert late.sent("*@ticker")
