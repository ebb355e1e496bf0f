"""A symbol's bars of the last 24 hours, added up: what a ticker is made of.

Bars are kept packed: a day of a busy symbol is 86,400 of them.
"""

import operator
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import msgspec

from exchange_push.market.bars import Bar
from exchange_push.market.exact import ZERO


class Past(msgspec.Struct, array_like=True, gc=False):
    """What the window needs to know of a bar when it leaves."""

    second: int
    open: str
    first_id: int
    first_no: int
    close: str
    last_no: int
    volume: Decimal
    quote_volume: Decimal
    count: int
    late: bool
    """Whether a bar later in time began before it."""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Past).decode


def _past(bar: Bar, late: bool) -> Past:
    return Past(
        bar.second,
        bar.open,
        bar.first_id,
        bar.first_no,
        bar.close,
        bar.last_no,
        bar.volume,
        bar.quote_volume,
        bar.count,
        late,
    )


class _Extremes:
    """Highest or lowest price of the bars in a window: those that no later one beats, in order of time."""

    __slots__ = ("_beats", "_kept")

    def __init__(self, beats: Callable[[Decimal, Decimal], bool]) -> None:
        self._beats = beats
        self._kept: deque[tuple[int, Decimal, str]] = deque()

    @property
    def text(self) -> str:
        return self._kept[0][2]

    def add(self, second: int, price: Decimal, text: str) -> None:
        """Take in a price; seconds may come again, and late."""
        kept = self._kept
        later: list[tuple[int, Decimal, str]] = []
        while kept and kept[-1][0] > second:
            later.append(kept.pop())
        if not later or self._beats(price, later[-1][1]):
            while kept and not self._beats(kept[-1][1], price):
                kept.pop()
            if not kept or kept[-1][0] != second:
                kept.append((second, price, text))
        kept.extend(reversed(later))

    def expire(self, second: int) -> None:
        """Forget what is older than this."""
        while self._kept and self._kept[0][0] < second:
            self._kept.popleft()


class Newest(NamedTuple):
    """A trade, as far as tickers ask."""

    no: int
    price: str
    qty: str
    id: int


class Window:
    """All trades of a symbol whose second is `opened` or later, by what `expire` last said of it."""

    __slots__ = ("_bars", "_highs", "_lows", "count", "last", "left", "quote_volume", "volume")

    def __init__(self) -> None:
        self._bars: deque[bytes] = deque()
        self._highs = _Extremes(operator.gt)
        self._lows = _Extremes(operator.lt)
        self.volume = self.quote_volume = ZERO
        self.count = 0
        self.last: Newest | None = None
        """The newest trade of those that were in the window when they came."""
        self.left: tuple[int, str] | None = None
        """Number and price of the newest trade that left it."""

    def add(self, bar: Bar, opened: int) -> bool:
        """Take in a bar; whether it is one more, and not added to one, or too old."""
        if bar.second < opened:
            self._leave(bar.last_no, bar.close)
            return False
        if self.last is None or bar.last_no > self.last.no:
            self.last = Newest(bar.last_no, bar.close, bar.close_qty, bar.last_id)
        self._highs.add(bar.second, bar.high_price, bar.high)
        self._lows.add(bar.second, bar.low_price, bar.low)
        self.volume += bar.volume
        self.quote_volume += bar.quote_volume
        self.count += bar.count
        bars = self._bars
        place = len(bars)
        late = False
        while place and (past := _unpack(bars[place - 1])).second >= bar.second:
            if past.second == bar.second:
                past.close, past.last_no = bar.close, bar.last_no
                past.volume += bar.volume
                past.quote_volume += bar.quote_volume
                past.count += bar.count
                bars[place - 1] = _pack(past)
                return False
            late = late or past.first_no < bar.first_no
            place -= 1
        bars.insert(place, _pack(_past(bar, late)))
        # Whoever began after it though earlier in time is late now; those before one that did not are so already.
        while place and (past := _unpack(bars[place - 1])).first_no > bar.first_no:
            past.late = True
            bars[place - 1] = _pack(past)
            place -= 1
        return True

    def expire(self, opened: int) -> None:
        """Let go of the bars older than this second."""
        bars = self._bars
        while bars and (past := _unpack(bars[0])).second < opened:
            bars.popleft()
            self.volume -= past.volume
            self.quote_volume -= past.quote_volume
            self.count -= past.count
            self._leave(past.last_no, past.close)
        self._highs.expire(opened)
        self._lows.expire(opened)
        if not bars:
            self.volume = self.quote_volume = ZERO  # without the digits of what was

    def _leave(self, no: int, price: str) -> None:
        if self.left is None or no > self.left[0]:
            self.left = (no, price)

    def first(self) -> Past | None:
        """The bar whose first trade came before all others; None where the window is empty."""
        return next((past for past in map(_unpack, self._bars) if not past.late), None)

    @property
    def high(self) -> str:
        return self._highs.text

    @property
    def low(self) -> str:
        return self._lows.text
