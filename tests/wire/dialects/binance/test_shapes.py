"""The payload of each stream, key by key, in the order and the types that clients read."""

import json
from typing import Any

import msgspec
import pytest

from exchange_push.market.avgprice import AveragePriceData
from exchange_push.market.bookticker import BookTickerData, SymbolBookTickerData
from exchange_push.market.depth import BestLevelsData, DepthData
from exchange_push.market.executions import Execution, ExecutionsData
from exchange_push.market.kline import KlineData
from exchange_push.market.markprice import MarkPriceData
from exchange_push.market.merged import MergedTrade
from exchange_push.market.miniticker import MiniTickerData
from exchange_push.market.rolling import RollingTickerData
from exchange_push.market.ticker import TickerData
from exchange_push.market.trades import TradesData
from exchange_push.pubsub.channel import ALL, Channel, ChannelKind, Owner, SlowPolicy
from exchange_push.pubsub.publication import Publication, View
from exchange_push.wire.dialects.binance.dialect import speaking
from tests.pubsub.lobby import unframe

T = 1_700_000_000_000
E = T + 7

KIND = ChannelKind("x", Owner.SYMBOL, SlowPolicy.CONFLATE, 100)
EVERY = ChannelKind("x", Owner.EVERY, SlowPolicy.RESYNC, 1000)


def said(
    data: object,
    *,
    shift: int = 0,
    shifts: tuple[int, ...] = (),
    owner: str = "BTCUSDT",
    stream: str = "a@stream",
    **flavour: bool,
) -> list[Any]:
    """What clients of a flavour hear of a publication."""
    publication = Publication(Channel(EVERY if owner == ALL else KIND, owner), data)
    publication.time, publication.shift, publication.shifts = E, shift, shifts
    dialect = speaking(**{"combined": False, "micro": False, "futures": False, **flavour})
    wire = publication.frame(View(dialect, stream)).wire
    assert {opcode for opcode, _ in unframe(wire)} <= {1}
    return [json.loads(payload) for _, payload in unframe(wire)]


TRADES = ExecutionsData([Execution(81, "50000.10", "0.25", "buy", T), Execution(82, "7", "1", "sell", T + 1)])
MERGED = TradesData([MergedTrade(81, 82, "50000.10", "0.75", "sell", T, 2)])
KLINE = KlineData(
    symbol="BTCUSDT",
    interval="1m",
    start=T,
    end=T + 60_000,
    open="1",
    high="4",
    low="0.5",
    close="2",
    volume="10",
    quote_volume="20",
    taker_volume="3",
    taker_quote_volume="6",
    count=5,
    first_id=100,
    last_id=104,
    closed=True,
    complete=True,
    rev=0,
)
TICKER = TickerData(
    symbol="BTCUSDT",
    open="1",
    high="3",
    low="0.5",
    last="2",
    last_qty="0.1",
    change="-1",
    change_percent="-50.000",
    weighted_avg="1.50000000",
    prev_close=None,
    volume="10",
    quote_volume="15",
    count=3,
    first_id=5,
    last_id=7,
    open_time=T - 86_400_000,
    close_time=T,
    bid="1.9",
    bid_qty="4",
    ask=None,
    ask_qty=None,
    complete=False,
)
ROLLING = RollingTickerData(
    symbol="BTCUSDT",
    window="1h",
    open="1",
    high="3",
    low="0.5",
    last="2",
    change="1",
    change_percent="100.000",
    weighted_avg="1.50000000",
    volume="10",
    quote_volume="15",
    count=3,
    first_id=5,
    last_id=7,
    open_time=T - 3_600_000,
    close_time=T,
    complete=True,
)
MINI = MiniTickerData("BTCUSDT", "1", "3", "0.5", "2", "10", "15", T)
MARK = MarkPriceData("BTCUSDT", "50001.00000000", "50000.50000000", None, "-0.000125", T + 60_000, T)
QUOTE = BookTickerData("50000.00", "1.5", None, None, 7000, T)
SNAPSHOT = DepthData("snapshot", [("1", "2")], [], 7000, 7000, None, 1, T)
UPDATE = DepthData("update", [("50000.00", "0"), ("49999.5", "2")], [("50000.10", "0.75")], 7001, 7003, 7000, 1, T)
BEST = BestLevelsData([("50000.00", "1.5")], [("50000.10", "0.75")], 7003, 1, T)
AVERAGE = AveragePriceData("BTCUSDT", 5, "50000.12345678", T - 3, T, True)


def test_trade() -> None:
    first, second = said(TRADES)
    assert list(first.items()) == [
        ("e", "trade"),
        ("E", E),
        ("s", "BTCUSDT"),
        ("t", 81),
        ("p", "50000.10000000"),
        ("q", "0.25000000"),
        ("T", T),
        ("m", False),
        ("M", True),
    ]
    assert (second["t"], second["m"]) == (82, True)


def test_agg_trade() -> None:
    assert said(MERGED) == [
        {
            "e": "aggTrade",
            "E": E,
            "s": "BTCUSDT",
            "a": 81,
            "p": "50000.10000000",
            "q": "0.75000000",
            "f": 81,
            "l": 82,
            "T": T,
            "m": True,
            "M": True,
        }
    ]


def test_kline() -> None:
    assert said(KLINE) == [
        {
            "e": "kline",
            "E": E,
            "s": "BTCUSDT",
            "k": {
                "t": T,
                "T": T + 59_999,
                "s": "BTCUSDT",
                "i": "1m",
                "f": 100,
                "L": 104,
                "o": "1.00000000",
                "c": "2.00000000",
                "h": "4.00000000",
                "l": "0.50000000",
                "v": "10.00000000",
                "n": 5,
                "x": True,
                "q": "20.00000000",
                "V": "3.00000000",
                "Q": "6.00000000",
                "B": "0",
            },
        }
    ]


def test_a_candle_of_a_pair_and_a_kind_of_contract() -> None:
    [of_a_symbol] = said(KLINE, futures=True)
    [of_a_pair] = said(KLINE, futures=True, stream="btcusdt_perpetual@continuousKline_1m")
    candle = dict(of_a_symbol["k"])
    del candle["s"]

    assert of_a_pair == {"e": "continuous_kline", "E": E, "ps": "BTCUSDT", "ct": "PERPETUAL", "k": candle}
    assert said(msgspec.structs.replace(KLINE, rev=1), futures=True, stream="a_perpetual@continuousKline_1m") == []


def test_a_closed_candle_that_is_corrected_does_not_close_a_second_time() -> None:
    assert said(msgspec.structs.replace(KLINE, rev=1)) == []


def test_ticker() -> None:
    assert said(TICKER) == [
        {
            "e": "24hrTicker",
            "E": E,
            "s": "BTCUSDT",
            "p": "-1.00000000",
            "P": "-50.000",
            "w": "1.50000000",
            "x": "0.00000000",
            "c": "2.00000000",
            "Q": "0.10000000",
            "b": "1.90000000",
            "B": "4.00000000",
            "a": "0.00000000",
            "A": "0.00000000",
            "o": "1.00000000",
            "h": "3.00000000",
            "l": "0.50000000",
            "v": "10.00000000",
            "q": "15.00000000",
            "O": T - 86_400_000,
            "C": T,
            "F": 5,
            "L": 7,
            "n": 3,
        }
    ]


def test_rolling_ticker() -> None:
    [found] = said(ROLLING)
    assert (found["e"], found["O"], found["C"]) == ("1hTicker", T - 3_600_000, T)
    [full] = said(TICKER)
    assert list(found) == [key for key in full if key not in "xQbBaA"]


def test_mini_ticker() -> None:
    assert said(MINI) == [
        {
            "e": "24hrMiniTicker",
            "E": E,
            "s": "BTCUSDT",
            "c": "2.00000000",
            "o": "1.00000000",
            "h": "3.00000000",
            "l": "0.50000000",
            "v": "10.00000000",
            "q": "15.00000000",
        }
    ]


@pytest.mark.parametrize("data", [TICKER, MINI, ROLLING, MARK])
def test_the_streams_of_all_symbols_are_arrays_of_the_same(data: object) -> None:
    assert said([data, data], owner=ALL) == [said(data) * 2]
    assert said([], owner=ALL) == [[]]


def test_what_a_back_end_pushes_to_a_stream_of_all_symbols_goes_out_as_it_is() -> None:
    assert said([{"any": 1}, 2], owner=ALL) == [[{"any": 1}, 2]]


def test_average_price() -> None:
    assert said(AVERAGE) == [
        {"e": "avgPrice", "E": E, "s": "BTCUSDT", "i": "5m", "w": "50000.12345678", "T": T - 3},
    ]


def test_mark_price() -> None:
    assert said(MARK, futures=True) == [
        {
            "e": "markPriceUpdate",
            "E": T,
            "s": "BTCUSDT",
            "p": "50001.00000000",
            "i": "50000.50000000",
            "P": "50000.50000000",  # the index: cryptofeed takes it for a number
            "r": "-0.00012500",
            "T": T + 60_000,
        }
    ]
    unpaid = msgspec.structs.replace(MARK, settle_price="5.00000000", funding_rate=None, next_funding_time=None)
    [found] = said(unpaid, futures=True)
    assert (found["P"], found["r"], found["T"]) == ("5.00000000", "", 0)


def test_book_ticker() -> None:
    assert said(QUOTE, shift=5) == [
        {
            "u": 7005,
            "s": "BTCUSDT",
            "b": "50000.00000000",
            "B": "1.50000000",
            "a": "0.00000000",
            "A": "0.00000000",
            "E": E,
        }
    ]
    [future] = said(QUOTE, futures=True)
    assert (future["e"], future["T"], future["E"]) == ("bookTicker", T, E)


@pytest.mark.parametrize("futures", [False, True])
def test_book_tickers_of_all_symbols_are_messages_of_their_own(futures: bool) -> None:
    every = [SymbolBookTickerData(symbol, "50000.00", "1.5", None, None, 7000, T) for symbol in ("BTCUSDT", "ETHUSDT")]
    [one] = said(QUOTE, futures=futures)

    found = said(every, shifts=(5, 0), owner=ALL, futures=futures)
    assert found == [{**one, "u": 7005}, {**one, "s": "ETHUSDT"}]
    assert [list(each) for each in found] == [list(one)] * 2
    combined = said(every, shifts=(5, 0), owner=ALL, futures=futures, combined=True)
    assert combined == [{"stream": "a@stream", "data": each} for each in found]


def test_depth() -> None:
    assert [list(found.items()) for found in said(UPDATE, shift=5)] == [
        [
            ("e", "depthUpdate"),
            ("E", E),
            ("s", "BTCUSDT"),
            ("U", 7006),
            ("u", 7008),
            ("b", [["50000.00000000", "0.00000000"], ["49999.50000000", "2.00000000"]]),
            ("a", [["50000.10000000", "0.75000000"]]),
        ]
    ]
    [future] = said(UPDATE, shift=5, futures=True)
    assert (future["T"], future["U"], future["u"], future["pu"]) == (T, 7006, 7008, 7005)


def test_a_whole_book_within_the_stream_is_not_told() -> None:
    for combined in (False, True):
        assert said(SNAPSHOT, combined=combined) == []


def test_best_levels() -> None:
    bids, asks = [["50000.00000000", "1.50000000"]], [["50000.10000000", "0.75000000"]]
    assert said(BEST, shift=5) == [{"lastUpdateId": 7008, "bids": bids, "asks": asks}]
    assert said(BEST, shift=5, futures=True) == [
        {"e": "depthUpdate", "E": E, "T": T, "s": "BTCUSDT", "u": 7008, "b": bids, "a": asks}
    ]


ALL_SHAPES = (TRADES, MERGED, KLINE, TICKER, ROLLING, MINI, MARK, QUOTE, UPDATE, BEST, AVERAGE, [TICKER, TICKER])
TIMES = frozenset("EOCt")


def _scaled(found: Any, key: str = "", kline: bool = False) -> Any:
    """What it is where times are µs."""
    if isinstance(found, dict):
        candle = found.get("e") is None and "x" in found
        return {name: _scaled(value, name, candle) for name, value in found.items()}
    if isinstance(found, list):
        return [_scaled(item) for item in found]
    if kline and key == "T":
        return (found + 1) * 1_000 - 1
    times = {"t", "T"} if kline else {"E", "O", "C", "T"}
    return found * 1_000 if key in times and type(found) is int else found


@pytest.mark.parametrize("data", ALL_SHAPES)
@pytest.mark.parametrize("futures", [False, True])
def test_of_each_shape_a_flavour_changes_only_what_it_says(data: object, futures: bool) -> None:
    owner = ALL if isinstance(data, list) else "BTCUSDT"
    raw = said(data, owner=owner, futures=futures)
    assert raw
    assert said(data, owner=owner, futures=futures, combined=True) == [
        {"stream": "a@stream", "data": payload} for payload in raw
    ]
    assert said(data, owner=owner, futures=futures, micro=True) == _scaled(raw)


@pytest.mark.parametrize("data", ALL_SHAPES)
def test_prices_are_text_and_ids_and_times_whole_numbers(data: object) -> None:
    def check(found: Any) -> None:
        if isinstance(found, dict):
            for name, value in found.items():
                assert value is not None, name
                check(value)
        elif isinstance(found, list):
            for item in found:
                check(item)
        else:
            assert type(found) in (str, int, bool)
            if isinstance(found, str) and found[:1].isdigit() and found != "0" and "." in found:
                assert len(found.partition(".")[2]) in (3, 8)  # percent, and all others

    for futures in (False, True):
        check(said(data, owner=ALL if isinstance(data, list) else "BTCUSDT", futures=futures))
    for levels in [payload[side] for payload in said(UPDATE) + said(BEST) for side in ("b", "bids") if side in payload]:
        assert all(len(level) == 2 and type(level[0]) is type(level[1]) is str for level in levels)
