"""A second's trades added up: what klines and tickers are made of.

Trades are numbered by arrival (`no`), which is the order of their ids for as long as the engine does not restart them;
first and last of a bar go by it, wherever in time the trades lie.
"""

from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby

import msgspec

from exchange_push.market.events import Trade
from exchange_push.market.exact import ZERO


class Bar(msgspec.Struct, gc=False):
    """At least one trade; of one second, or of a longer stretch where bars were added up."""

    second: int
    """Of the first bar in it, in s since the epoch."""
    open: str
    high: str
    low: str
    close: str
    close_qty: str
    high_price: Decimal
    low_price: Decimal
    volume: Decimal
    quote_volume: Decimal
    taker_volume: Decimal
    """Of the trades whose taker bought; so is the next."""
    taker_quote_volume: Decimal
    count: int
    first_id: int
    last_id: int
    first_no: int
    last_no: int

    def add(self, other: "Bar") -> None:
        """Take in the trades of another bar, none of them ours already."""
        if other.first_no < self.first_no:
            self.open, self.first_id, self.first_no = other.open, other.first_id, other.first_no
        if other.last_no > self.last_no:
            self.close, self.close_qty = other.close, other.close_qty
            self.last_id, self.last_no = other.last_id, other.last_no
        if other.high_price > self.high_price:
            self.high, self.high_price = other.high, other.high_price
        if other.low_price < self.low_price:
            self.low, self.low_price = other.low, other.low_price
        self.volume += other.volume
        self.quote_volume += other.quote_volume
        self.taker_volume += other.taker_volume
        self.taker_quote_volume += other.taker_quote_volume
        self.count += other.count


def fold(trades: Iterable[Trade], bars: dict[int, Bar], no: int) -> int:
    """Add trades, in order of arrival, to the bars of their seconds; the first is number `no` + 1.

    Returns the number of the last. Call within EXACT.
    """
    for second, run in groupby(trades, _second):
        bar = bars.get(second)
        batch = list(run)
        if bar is None:
            bar = bars[second] = _begin(second, batch[0], no + 1)
        no = _take(bar, batch, no)
    return no


def _second(trade: Trade) -> int:
    return trade.time // 1_000


def _begin(second: int, trade: Trade, no: int) -> Bar:
    text, qty = trade.price, trade.qty
    price = Decimal(text)
    return Bar(
        second,
        text,
        text,
        text,
        text,
        qty,
        price,
        price,
        ZERO,
        ZERO,
        ZERO,
        ZERO,
        0,
        trade.id,
        trade.id,
        no,
        no,
    )


def _take(bar: Bar, trades: list[Trade], no: int) -> int:
    # The one loop that runs once per trade: what it touches is local, and a sweep's equal prices are parsed once.
    text = ""
    price = ZERO
    high, low = bar.high_price, bar.low_price
    volume, quote_volume = bar.volume, bar.quote_volume
    taker_volume, taker_quote_volume = bar.taker_volume, bar.taker_quote_volume
    for trade in trades:
        if trade.price != text:
            text = trade.price
            price = Decimal(text)
            if price > high:
                bar.high, high = text, price
            elif price < low:
                bar.low, low = text, price
        qty = Decimal(trade.qty)
        worth = price * qty
        volume += qty
        quote_volume += worth
        if trade.side == "buy":
            taker_volume += qty
            taker_quote_volume += worth
    bar.high_price, bar.low_price = high, low
    bar.volume, bar.quote_volume = volume, quote_volume
    bar.taker_volume, bar.taker_quote_volume = taker_volume, taker_quote_volume
    last = trades[-1]
    bar.close, bar.close_qty, bar.last_id = last.price, last.qty, last.id
    bar.count += len(trades)
    bar.last_no = no + len(trades)
    return bar.last_no
