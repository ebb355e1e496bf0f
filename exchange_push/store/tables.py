"""The tables of a store, and their rows <-> values.

Prices, quantities and sums are text, as exact as they were computed; times are ms since the epoch. What each table is
for: docs/reference/store.md.
"""

from decimal import Decimal
from operator import attrgetter
from typing import Any, Final
from zlib import compress, decompress

import msgspec

from exchange_push.market.bars import Bar
from exchange_push.market.chart import Candle
from exchange_push.market.exact import plain
from exchange_push.market.kept import State
from exchange_push.market.merged import MergedTrade
from exchange_push.market.recorded import Hole

APPLICATION: Final = 0x65785075  # "exPu", in the file's head
VERSION: Final = 1

_NUMBERS: Final = """
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL, close_qty TEXT NOT NULL,
    volume TEXT NOT NULL, quote_volume TEXT NOT NULL, taker_volume TEXT NOT NULL, taker_quote_volume TEXT NOT NULL,
    count INTEGER NOT NULL, first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
    first_run INTEGER NOT NULL, last_run INTEGER NOT NULL, rev INTEGER NOT NULL"""
COLUMNS: Final = (
    "open, high, low, close, close_qty, volume, quote_volume, taker_volume, taker_quote_volume,"
    " count, first_id, last_id, first_run, last_run, rev"
)
SHOWN: Final = ", ".join(Candle._fields)
MARKS: Final = ", ".join("?" * 15)
SET: Final = ", ".join(f"{column} = ?" for column in COLUMNS.split(", "))
KEYS: Final = {"second": "start, symbol", "candle": "symbol, interval, start", "trades": "symbol, start, first_id"}
# Seconds lie by time, so that each write goes to the end of the table; candles by symbol, so that a chart is one read.
SCHEMA: Final = f"""
CREATE TABLE kept (what TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE symbol (
    id INTEGER PRIMARY KEY, symbol TEXT NOT NULL UNIQUE, mark_id INTEGER NOT NULL, mark_time INTEGER NOT NULL,
    run INTEGER NOT NULL, met INTEGER NOT NULL, begin INTEGER, holes BLOB NOT NULL, mark BLOB);
CREATE TABLE candle (
    symbol INTEGER NOT NULL, interval TEXT NOT NULL, start INTEGER NOT NULL, {_NUMBERS},
    PRIMARY KEY (symbol, interval, start)) WITHOUT ROWID;
CREATE TABLE second (start INTEGER NOT NULL, symbol INTEGER NOT NULL, {_NUMBERS},
    PRIMARY KEY (start, symbol)) WITHOUT ROWID;
CREATE TABLE trades (
    symbol INTEGER NOT NULL, start INTEGER NOT NULL, first_id INTEGER NOT NULL, end INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (symbol, start, first_id)) WITHOUT ROWID;
CREATE TABLE leap (start INTEGER NOT NULL, end INTEGER NOT NULL);
CREATE VIEW chart AS SELECT symbol.symbol AS symbol, candle.interval AS interval,
    datetime(candle.start / 1000, 'unixepoch') AS start, open, high, low, close, volume, quote_volume, count, rev
    FROM candle JOIN symbol ON candle.symbol = symbol.id;
"""
CHUNK_MS: Final = 60_000  # trades that are written together may be so far apart, and are seldom further

_time_of = attrgetter("time")
encode = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(State).decode
decode_place = msgspec.msgpack.Decoder(tuple[int, int]).decode
decode_holes = msgspec.msgpack.Decoder(list[Hole]).decode
_decode_trades = msgspec.msgpack.Decoder(list[MergedTrade]).decode


def row_at(number: int, interval: str, start: int) -> tuple[str, str, tuple[object, ...]]:
    """Table, condition and values of a candle's row."""
    if interval == "1s":
        return "second", "start = ? AND symbol = ?", (start, number)
    return "candle", "symbol = ? AND interval = ? AND start = ?", (number, interval, start)


def row_of(bar: Bar, rev: int) -> tuple[object, ...]:
    return (
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.close_qty,
        plain(bar.volume),
        plain(bar.quote_volume),
        plain(bar.taker_volume),
        plain(bar.taker_quote_volume),
        bar.count,
        bar.first_id,
        bar.last_id,
        bar.first_run,
        bar.last_run,
        rev,
    )


def bar_of(start: int, row: tuple[Any, ...]) -> Bar:
    """`start` in ms; `row` as COLUMNS."""
    opened, high, low, close, close_qty, volume, quote_volume, taker_volume, taker_quote_volume, *rest = row
    count, first_id, last_id, first_run, last_run, *_ = rest
    return Bar(
        start // 1_000,
        opened,
        high,
        low,
        close,
        close_qty,
        Decimal(high),
        Decimal(low),
        Decimal(volume),
        Decimal(quote_volume),
        Decimal(taker_volume),
        Decimal(taker_quote_volume),
        count,
        first_id,
        last_id,
        first_run,
        last_run,
    )


def chunk_of(trades: list[MergedTrade]) -> tuple[int, int, int, bytes]:
    # No loop in Python: whoever reads the feed would wait for it.
    times = list(map(_time_of, trades))
    return min(times), trades[0].first, max(times), compress(encode(trades), 1)


def trades_of(data: bytes) -> list[MergedTrade]:
    return _decode_trades(decompress(data))
