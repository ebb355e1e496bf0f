"""A second's trades added up: what klines and tickers are made of.

First and last of a bar go by the trades' ids, wherever in time the trades lie. An engine may begin the ids of a symbol
anew: how often it did is the `run` that an id belongs to, and a later run is newer than all ids of one before.
"""

from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby

import msgspec

from exchange_push.market.events import Trade
from exchange_push.market.exact import ZERO


class Bar(msgspec.Struct, array_like=True, gc=False):
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
    first_run: int
    last_run: int

    def add(self, other: "Bar") -> None:
        """Take in the trades of another bar, none of them ours already."""
        if other.first_id < self.first_id if other.first_run == self.first_run else other.first_run < self.first_run:
            self.open, self.first_id, self.first_run = other.open, other.first_id, other.first_run
        if other.last_id > self.last_id if other.last_run == self.last_run else other.last_run > self.last_run:
            self.close, self.close_qty = other.close, other.close_qty
            self.last_id, self.last_run = other.last_id, other.last_run
        if other.high_price > self.high_price:
            self.high, self.high_price = other.high, other.high_price
        if other.low_price < self.low_price:
            self.low, self.low_price = other.low, other.low_price
        self.volume += other.volume
        self.quote_volume += other.quote_volume
        self.taker_volume += other.taker_volume
        self.taker_quote_volume += other.taker_quote_volume
        self.count += other.count


def fold(trades: Iterable[Trade], bars: dict[int, Bar], run: int) -> None:
    """Add trades, in order of their ids and with higher ones than the bars hold, to the bars of their seconds.

    Call within EXACT.
    """
    for second, batch in groupby(trades, _second):
        together = list(batch)
        bar = bars.get(second)
        if bar is None:
            bar = bars[second] = _begin(second, together[0], run)
        bar.last_run = run
        _take(bar, together)


def fold_running(trades: list[Trade], bar: Bar, run: int) -> bool:
    """The same where all trades are of the bar's second, as nearly always; False, and nothing added, where not."""
    second = bar.second
    for trade in trades:
        if trade.time // 1_000 != second:
            return False
    bar.last_run = run
    _take(bar, trades)
    return True


def fold_any(trades: Iterable[Trade], bars: dict[int, Bar], run: int) -> None:
    """The same for trades whose ids are in no order. Call within EXACT."""
    ordered: dict[int, Bar] = {}
    for second, batch in groupby(sorted(trades, key=lambda trade: (trade.time // 1_000, trade.id)), _second):
        fold(batch, ordered, run)
        if second in bars:
            bars[second].add(ordered[second])
        else:
            bars[second] = ordered[second]


def _second(trade: Trade) -> int:
    return trade.time // 1_000


def _begin(second: int, trade: Trade, run: int) -> Bar:
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
        run,
        run,
    )


def _take(bar: Bar, trades: list[Trade]) -> None:
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
