from typing import Literal

import pytest

from exchange_push.errors import WireError
from exchange_push.market.events import Trade
from exchange_push.market.interval import INTERVALS
from exchange_push.wire.rows import CandleRows, Layout, TradeRows, layout, order_of, time_of

T = 1_704_067_200_000


def trades(row: str, header: str | None = None, columns: str | None = None) -> tuple[Trade, int]:
    found = layout("trades", (header or row).split(","), columns and columns.split(","))  # type: ignore[arg-type]
    assert found.header is (header is not None)
    return TradeRows("S", found).decode(row.split(","))


TRADE = Trade("S", 7, "42000.10", "0.25", "sell", T)


@pytest.mark.parametrize(
    ("row", "header", "columns"),
    [
        (f"7,42000.10,0.25,10500.025,{T},True,True", None, None),
        (f"7,42000.10,0.25,10500.025,{T}123,True,True", None, None),
        (f"7,42000.10,0.25,10500.025,{T},true", "id,price,qty,quote_qty,time,is_buyer_maker", None),
        (f"{T},Sell,0.25,42000.10,7", "Timestamp,Side,Size,Price,Trade ID", None),
        (f"SELL,7,x,42000.10,0.25,{T}", None, "side,id,-,price,qty,time"),
        (f"7,42000.10,0.25,{T},1", "a,b,c,d,e", "id,price,qty,time,maker"),
    ],
)
def test_a_trade_reads_the_same_in_whatever_columns(row: str, header: str | None, columns: str | None) -> None:
    assert trades(row, header, columns) == (TRADE, 7)


@pytest.mark.parametrize(
    ("row", "header"),
    [
        (f"3,42000.10,0.25,7,9,{T},True,True", None),
        (
            f"3,42000.10,0.25,7,9,{T},True",
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        ),
    ],
)
def test_aggregated_trades_have_the_ids_of_the_trades(row: str, header: str | None) -> None:
    assert trades(row, header) == (TRADE, 9)


def test_without_ids_trades_are_counted_through() -> None:
    found = layout("trades", ["price", "qty", "time", "side"])
    rows = TradeRows("S", found)
    assert not found.has_ids
    assert [rows.decode(["1", "2", str(T), "buy"])[0].id for _ in range(3)] == [0, 1, 2]


_BINANCE = f"{T},10,12.5,9.00,11,100,{T + 59_999},1050.5,25,60,630,0"


@pytest.mark.parametrize(
    ("row", "header"),
    [
        (_BINANCE, None),
        (_BINANCE.replace(f"{T}", f"{T}000").replace(f"{T + 59_999}", f"{T + 59_999}999"), None),
        (
            _BINANCE,
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,-",
        ),
    ],
)
def test_a_candle_reads_the_same_with_and_without_a_header(row: str, header: str | None) -> None:
    found = layout("candles", (header or row).split(","))
    start, bar = CandleRows(INTERVALS["1m"], found).decode(row.split(","))
    assert start == T
    assert bar is not None
    assert (bar.open, bar.high, bar.low, bar.close, bar.count) == ("10", "12.5", "9.00", "11", 25)
    numbers = [bar.volume, bar.quote_volume, bar.taker_volume, bar.taker_quote_volume]
    assert [str(number) for number in numbers] == ["100", "1050.5", "60", "630"]
    assert (bar.first_id, bar.last_id, bar.first_run, bar.last_run) == (
        -1,
        -1,
        order_of(T // 1000),
        order_of(T // 1000),
    )


def test_a_candle_may_have_ids() -> None:
    columns = "time,open,high,low,close,volume,-,quote_volume,count,taker_volume,taker_quote_volume,first_id,last_id"
    row = f"{_BINANCE.removesuffix(',0')},5,29".split(",")
    _, bar = CandleRows(INTERVALS["1m"], layout("candles", row, columns.split(","))).decode(row)
    assert bar is not None
    assert (bar.first_id, bar.last_id, bar.first_run, bar.last_run) == (5, 29, 0, 0)


def test_a_candle_without_trades_has_no_bar() -> None:
    row = f"{T},10,10,10,10,0.00,{T + 59_999},0,0,0,0,0".split(",")
    assert CandleRows(INTERVALS["1m"], layout("candles", row)).decode(row) == (T, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,1,1,1,{T},True,True", "id is 'x', expected a whole number"),
        ("9223372036854775808,1,1,1,{T},True,True", "id is '9223372036854775808'"),
        ("-1,1,1,1,{T},True,True", "id is '-1'"),
        ("1,1e3,1,1,{T},True,True", "price is '1e3', expected a decimal like 123.45"),
        ("1,.5,1,1,{T},True,True", "price is '.5'"),
        ("1,1,-1,1,{T},True,True", "qty is '-1'"),
        ("1,1,0.1234567890123456789,1,{T},True,True", "qty is '0.1234567890123456789'"),
        ("1,1,1,1,{T}.5,True,True", "time is '1704067200000.5', expected"),
        ("1,1,1,1,1704067200,True,True", "time is '1704067200', expected ms or µs since the epoch"),
        ("1,1,1,1,1704067200000000000,True,True", "time is '1704067200000000000', expected ms or µs"),
        ("1,1,1,1,{T},maybe,True", "side is 'maybe', expected one of true, 1, false, 0"),
        ("1,1,1", "3 fields, expected at least 6"),
    ],
)
def test_a_wrong_trade_says_what_was_found(row: str, message: str) -> None:
    rows = TradeRows("S", layout("trades", [*"1234567"]))
    with pytest.raises(WireError) as raised:
        rows.decode(row.replace("{T}", str(T)).split(","))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        (0, str(T + 1_000), "time is 1704067201000, expected the start of a candle of 1m"),
        (1, "nan", "open is 'nan'"),
        (2, "10.9", "open 10 and close 11 lie outside low 9.00 and high 10.9"),
        (3, "10.5", "open 10 and close 11 lie outside low 10.5 and high 12.5"),
        (5, "", "volume is ''"),
        (5, "59", "taker_volume is 60, expected at most volume, 59"),
        (7, "629", "taker_quote_volume is 630, expected at most quote_volume, 629"),
        (8, "1.0", "count is '1.0', expected a whole number"),
        (8, "0", "count is 0 and volume 100"),
    ],
)
def test_a_wrong_candle_says_what_was_found(place: int, text: str, message: str) -> None:
    row = _BINANCE.split(",")
    rows = CandleRows(INTERVALS["1m"], layout("candles", row))
    row[place] = text
    with pytest.raises(WireError) as raised:
        rows.decode(row)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "first", "columns", "message"),
    [
        ("trades", "1,2,3", None, "3 fields and no header, expected --columns"),
        ("trades", "id,price,time,side", None, "no column of qty; found id, price, time, side"),
        ("trades", "id,price,qty,time", None, "no column of side or maker"),
        ("trades", "1,2,3,4", "id,price,qty,time", "no column of side or maker"),
        ("trades", "1,2,3,4,5,6", "id,price,price,qty,time,side", "price is there twice"),
        ("trades", "price,qty,time,side,first_id", None, "no column of first_id and last_id together"),
        ("candles", "time,open,high,low,close,volume", None, "no column of quote_volume, count, taker_volume"),
        ("trades", "what,is,this", None, "no column of price, qty, time, side or maker; found none that is known"),
    ],
)
def test_columns_that_do_not_do_are_named(
    kind: Literal["trades", "candles"], first: str, columns: str | None, message: str
) -> None:
    with pytest.raises(WireError) as raised:
        layout(kind, first.split(","), columns and columns.split(","))  # type: ignore[arg-type]
    assert str(raised.value).startswith(message)


def test_times_in_microseconds_are_cut_to_milliseconds() -> None:
    assert time_of("1735689600123999") == 1_735_689_600_123
    assert Layout({"price": 0}, False).has_ids is False
