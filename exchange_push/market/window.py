"""A symbol's bars of the last hours, added up: what a ticker is made of.

Seconds that have passed become minutes and these hours, so that a day of a busy symbol is some 200 bars. Where the
window's old end moves into an hour or a minute, it is split again: from what was kept of it (`keeps`), or from what a
store gives back. A window that always begins at a whole minute (`grain`) is never split into seconds.
"""

from collections import deque
from collections.abc import Iterable
from copy import copy as _copy
from itertools import pairwise
from typing import NamedTuple
from zlib import compress, decompress

import msgspec

from exchange_push.market.bars import Bar
from exchange_push.market.exact import ZERO

SECOND, MINUTE, HOUR = 1, 60, 3_600
_FINER = {HOUR: MINUTE, MINUTE: SECOND}


class Piece(msgspec.Struct, array_like=True, gc=False):
    """The trades of `length` seconds from `start` (s since the epoch)."""

    start: int
    length: int
    bar: Bar
    finer: bytes | None = None
    """The pieces that it was made of, packed; None: they were not kept."""

    @property
    def end(self) -> int:
        return self.start + self.length


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Piece]).decode


def _pack(pieces: list[Piece]) -> bytes:
    return compress(_encode(pieces), 1)


def _unpack(packed: bytes) -> list[Piece]:
    return _decode(decompress(packed))


class Newest(NamedTuple):
    """A trade, as far as tickers ask."""

    run: int
    id: int
    price: str
    qty: str


class Window:
    """All trades of a symbol since the second that `expire` last named."""

    __slots__ = (
        "_disordered",
        "_grain",
        "_high",
        "_keeps",
        "_low",
        "_pieces",
        "count",
        "last",
        "left",
        "quote_volume",
        "volume",
    )

    def __init__(self, *, keeps: bool, grain: int = SECOND) -> None:
        self._keeps = keeps
        self._grain = grain
        self._pieces: deque[Piece] = deque()
        self._disordered = False  # whether a piece may begin with an older trade than one before it in time
        self._high: Bar | None = None  # None: to be looked for
        self._low: Bar | None = None
        self.volume = self.quote_volume = ZERO
        self.count = 0
        self.last: Newest | None = None
        """The newest trade of those that were in the window when they came."""
        self.left: Newest | None = None
        """The newest trade that left it."""

    def add(self, bar: Bar, opened: int) -> None:
        """Take in the trades of a second, `opened` being the first in the window."""
        if bar.second < opened:
            self._leave(bar)
            return
        self._note_last(bar)
        self._count(bar)
        pieces = self._pieces
        if pieces and bar.second < pieces[-1].end:
            self._add_late(bar)
            return
        if pieces:
            before = pieces[-1]
            self._disordered = self._disordered or _begins_before(bar, before.bar)
            if before.start // MINUTE < bar.second // MINUTE:
                self._join(MINUTE, opened)
            if before.start // HOUR < bar.second // HOUR:
                self._join(HOUR, opened)
        pieces.append(Piece(bar.second, SECOND, bar))

    def pass_by(self, bar: Bar) -> None:
        """Take note of trades that have left it."""
        self._note_last(bar)
        self._leave(bar)

    def load(self, piece: Piece) -> None:
        """Take in what a store kept, oldest first, before all else."""
        self._note_last(piece.bar)
        self._count(piece.bar)
        if self._pieces:
            self._disordered = self._disordered or _begins_before(piece.bar, self._pieces[-1].bar)
        self._pieces.append(_copy(piece))  # windows of other lengths have it too

    def expire(self, opened: int) -> None:
        """Let go of all before this second. A piece that reaches over it stays as long as it cannot be split."""
        pieces = self._pieces
        while pieces and pieces[0].start < opened:
            piece = pieces[0]
            if piece.end > opened:
                if piece.finer is None:
                    break
                self._replace(0, _unpack(piece.finer))
                continue
            pieces.popleft()
            bar = piece.bar
            self.volume -= bar.volume
            self.quote_volume -= bar.quote_volume
            self.count -= bar.count
            self._leave(bar)
            if bar is self._high or (self._high and bar.high_price == self._high.high_price):
                self._high = None
            if bar is self._low or (self._low and bar.low_price == self._low.low_price):
                self._low = None
        if not pieces:
            self.volume = self.quote_volume = ZERO  # without the digits of what was
            self._disordered = False

    def coarse(self, opened: int, until: int) -> Piece | None:
        """The first piece that reaches beyond `opened`, begins before `until`, and is to be split with what a store
        gives back."""
        for piece in self._pieces:
            if piece.start >= until:
                return None
            if piece.length > self._grain and piece.finer is None and piece.end > opened:
                return piece
        return None

    def split(self, whole: Piece, bars: Iterable[Bar]) -> bool:
        """Put these bars in the place of a piece; whether they hold its trades."""
        length = _FINER[whole.length]
        pieces = [Piece(bar.second - bar.second % length, length, bar) for bar in bars]
        if sum(piece.bar.count for piece in pieces) != whole.bar.count:
            return False
        self._replace(self._pieces.index(whole), pieces)
        return True

    def reaches_over(self, opened: int) -> bool:
        """Whether it holds trades of before this second."""
        return bool(self._pieces) and self._pieces[0].start < opened

    def first(self) -> Bar | None:
        """The bar whose first trade is the oldest of all; None where the window is empty."""
        pieces = self._pieces
        if not pieces:
            return None
        if not self._disordered:
            return pieces[0].bar
        return min((piece.bar for piece in pieces), key=lambda bar: (bar.first_run, bar.first_id))

    @property
    def high(self) -> str:
        if self._high is None:
            self._high = max((piece.bar for piece in self._pieces), key=lambda bar: bar.high_price)
        return self._high.high

    @property
    def low(self) -> str:
        if self._low is None:
            self._low = min((piece.bar for piece in self._pieces), key=lambda bar: bar.low_price)
        return self._low.low

    def _note_last(self, bar: Bar) -> None:
        if self.last is None or (bar.last_run, bar.last_id) > self.last[:2]:
            self.last = Newest(bar.last_run, bar.last_id, bar.close, bar.close_qty)

    def _leave(self, bar: Bar) -> None:
        if self.left is None or (bar.last_run, bar.last_id) > self.left[:2]:
            self.left = Newest(bar.last_run, bar.last_id, bar.close, bar.close_qty)

    def _count(self, bar: Bar) -> None:
        self.volume += bar.volume
        self.quote_volume += bar.quote_volume
        self.count += bar.count
        if self._high is not None and bar.high_price > self._high.high_price:
            self._high = bar
        if self._low is not None and bar.low_price < self._low.low_price:
            self._low = bar

    def _add_late(self, bar: Bar) -> None:
        """A bar that is not later than all others: added to the piece of its time, or put between."""
        pieces = self._pieces
        self._high = self._low = None
        self._disordered = True
        place = len(pieces)
        while place and pieces[place - 1].start > bar.second:
            place -= 1
        if place and bar.second < pieces[place - 1].end:
            _add(pieces[place - 1], bar)
        else:
            pieces.insert(place, Piece(bar.second, SECOND, bar))

    def _join(self, length: int, opened: int) -> None:
        """Make the last pieces one, of the whole minute or hour that they lie in."""
        pieces = self._pieces
        start = pieces[-1].start - pieces[-1].start % length
        if length > self._grain and start < opened + 2 * HOUR:  # it would have to be split soon, or has been
            return
        parts: list[Piece] = []
        while pieces and pieces[-1].start >= start and pieces[-1].length < length:
            parts.append(pieces.pop())
        if parts:
            parts.reverse()
            bar = _copy(parts[0].bar)
            for part in parts[1:]:
                bar.add(part.bar)
            pieces.append(Piece(start, length, bar, _pack(parts) if self._keeps and length > self._grain else None))
            self._high = self._low = None

    def _replace(self, place: int, parts: list[Piece]) -> None:
        pieces = self._pieces
        pieces.rotate(-place)
        pieces.popleft()
        pieces.extendleft(reversed(parts))
        pieces.rotate(place)
        self._high = self._low = None
        self._disordered = self._disordered or any(
            _begins_before(later.bar, sooner.bar) for sooner, later in pairwise(parts)
        )


def _begins_before(bar: Bar, other: Bar) -> bool:
    return (bar.first_run, bar.first_id) < (other.first_run, other.first_id)


def _add(piece: Piece, bar: Bar) -> None:
    """Add a second's bar to a piece, and to what it was made of."""
    if piece.finer is not None:
        parts = _unpack(piece.finer)
        place = 0
        while place < len(parts) and parts[place].end <= bar.second:
            place += 1
        if place < len(parts) and parts[place].start <= bar.second:
            _add(parts[place], bar)
        else:
            parts.insert(place, _alone(bar, _FINER[piece.length]))
        piece.finer = _pack(parts)
    piece.bar = _copy(piece.bar)  # a second's is shared with who else was given it
    piece.bar.add(bar)


def _alone(bar: Bar, length: int) -> Piece:
    """The piece of `length` seconds in which this bar is all."""
    finer = None if length == SECOND else _pack([_alone(bar, _FINER[length])])
    return Piece(bar.second - bar.second % length, length, bar, finer)
