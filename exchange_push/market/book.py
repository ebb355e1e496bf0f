"""Price levels of one symbol, and what changed since they were last published.

A book is in sync once a whole book has come, for as long as the update ids that follow join without a hole. Out of
sync it says nothing; depth events wait for the whole book that they join.

Levels are compared as numbers ("7.60" and "7.6000" are one) and keep the text under which they came first, so that a
client that finds levels by text finds them too.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

from exchange_push.market.events import BookSnapshot, DepthChange, Level
from exchange_push.market.exact import is_zero

_WAITING_EVENTS = 1_000  # a whole book is due within seconds; an engine makes some hundred updates in one
_CHECKSUM_LEVELS = 25
_BEST: Final = 25  # looked up once after a change: several channels show some of them

# An id at or below the one held is news of a restarted engine only where it is later by more than this. Less is the
# usual meeting of two roads: a whole book carries the time of the last match, or of its request, and the depth events
# that it already holds left the engine some 100 ms after that.
RESTART_MS = 10_000

# What an engine makes at most: so the numbers that were shown after a store was last written, before a crash, are
# below those that the engine's clock allows for.
_UPDATES_PER_MS = 1_000


class Quote(NamedTuple):
    """Best bid and ask; an empty side is None."""

    bid: str | None
    bid_qty: str | None
    ask: str | None
    ask_qty: str | None


NO_QUOTE = Quote(None, None, None, None)


Changed: TypeAlias = Mapping[Decimal, Level | None]
_NOTHING: Final[Changed] = {}


class Side:
    """Bids or asks, and for each price touched since `publish` the level that stood there then."""

    __slots__ = ("_best", "_changed", "_falling", "_levels", "_prices")

    def __init__(self, *, falling: bool) -> None:
        self._falling = falling
        self._levels: dict[Decimal, Level] = {}
        self._prices: list[Decimal] = []  # rising, on both sides
        self._best: list[Level] | None = None  # as many as most ask for; None: to be looked up
        self._changed: dict[Decimal, Level | None] = {}

    def load(self, levels: Iterable[Level]) -> None:
        """Start over with these levels; nothing counts as changed."""
        last = {Decimal(level[0]): level for level in levels}
        self._levels = {price: level for price, level in last.items() if not is_zero(level[1])}
        self._prices = sorted(self._levels)
        self._changed = {}
        self._best = None

    def set(self, level: Level) -> None:
        """Put the level in the place of that at its price; quantity zero removes it."""
        text, qty = level
        price = Decimal(text)
        old = self._levels.get(price)
        self._best = None
        if is_zero(qty):
            if old is not None:
                self._changed.setdefault(price, old)
                del self._levels[price]
                del self._prices[bisect_left(self._prices, price)]
            return
        known = self._changed.setdefault(price, old) or old
        self._levels[price] = level if known is None or known[0] == text else (known[0], qty)
        if old is None:
            insort(self._prices, price)

    def replace(self, levels: list[Level]) -> None:
        """Change into these levels, touching only what differs. Of a price given twice the last counts."""
        held = set(self._levels.values())
        given = set(levels)
        added = [level for level in levels if level not in held]
        prices = {Decimal(level[0]) for level in added}
        gone = []
        for price, level in self._levels.items():
            if level not in given:
                if price not in prices:
                    gone.append(price)
            elif price in prices:
                self.replace(list({Decimal(level[0]): level for level in levels}.values()))
                return
        for price in gone:
            self.set((self._levels[price][0], "0"))
        for level in added:
            self.set(level)

    def agrees(self, levels: list[Level]) -> bool:
        """Whether these are the levels held, as deep as both go, compared as numbers. None is unlike any."""
        held = self.best(max(len(levels), 1))
        if held == levels:  # the usual case
            return True
        given = {Decimal(price): qty for price, qty in levels}
        prices = sorted((price for price, qty in given.items() if not is_zero(qty)), reverse=self._falling)
        return bool(prices) == bool(held) and all(
            price == Decimal(text) and Decimal(qty) == Decimal(given[price])
            for price, (text, qty) in zip(prices, held, strict=False)
        )

    def changes(self) -> list[Level]:
        """What leads from the levels as last published to those of now, best first; removed ones have "0"."""
        changed = self._changed
        result: list[Level] = []
        for price in sorted(changed, reverse=self._falling):
            before, after = changed[price], self._levels.get(price)
            if before != after:
                if after is not None:
                    result.append(after)
                elif before is not None:
                    result.append((before[0], "0"))
        return result

    def changes_since(self, before: Changed) -> list[Level]:
        """What leads from the levels `before` to those as last published, best first."""
        result: list[Level] = []
        for price in sorted(before, reverse=self._falling):
            was, after = before[price], self._changed.get(price) if price in self._changed else self._levels.get(price)
            if was == after:
                continue
            if was is not None and (after is None or after[0] != was[0]):
                result.append((was[0], "0"))  # it came back under another text: the one known goes
            if after is not None:
                result.append(after)
        return result

    @property
    def changed(self) -> Changed:
        """For each price touched since `publish` the level that stood there then."""
        return self._changed

    def publish(self) -> None:
        self._changed = {}

    @property
    def top(self) -> Decimal | None:
        """The best price; None where there is no level."""
        return self._prices[-1 if self._falling else 0] if self._prices else None

    def walk(self) -> Iterator[tuple[Decimal, Decimal]]:
        """(price, quantity), best first, read as far as it is asked for."""
        levels = self._levels
        for price in reversed(self._prices) if self._falling else self._prices:
            yield price, Decimal(levels[price][1])

    def best(self, limit: int) -> list[Level]:
        """The best `limit` levels, or as many as there are."""
        if limit > _BEST:
            return self._look_up(limit)
        if self._best is None:
            self._best = self._look_up(_BEST)
        return self._best[:limit]

    def _look_up(self, limit: int) -> list[Level]:
        prices = self._prices[: -limit - 1 : -1] if self._falling else self._prices[:limit]
        levels = self._levels
        return [levels[price] for price in prices]

    def published(self, limit: int | None = None, before: Changed = _NOTHING) -> list[Level]:
        """The levels as last published, best first; or as they were when those of `before` still stood."""
        if not self._changed and not before:  # the usual case: whoever asks does so right after publishing
            return self.best(len(self._prices) if limit is None else limit)
        levels = dict(self._levels)
        for changed in (self._changed, before):
            for price, level in changed.items():
                if level is None:
                    levels.pop(price, None)
                else:
                    levels[price] = level
        return [levels[price] for price in sorted(levels, reverse=self._falling)[:limit]]


class Lag:
    """How far a chain that is published more rarely is behind: for each price changed since, the level it knows."""

    __slots__ = ("asks", "bids", "last", "losses", "time")

    def __init__(self, last: int, time: int, losses: int) -> None:
        self.bids: dict[Decimal, Level | None] = {}
        self.asks: dict[Decimal, Level | None] = {}
        self.last = last
        self.time = time
        self.losses = losses
        """Of the book when it began: after another it is void."""

    def take(self, bids: Changed, asks: Changed) -> None:
        """This changed, and is published."""
        for known, changed in ((self.bids, bids), (self.asks, asks)):
            for price, level in changed.items():
                known.setdefault(price, level)


class Numbering(NamedTuple):
    """How the updates of a book are numbered for clients that know of no epoch. A store keeps it."""

    shift: int = 0
    """Added to update ids it makes numbers that only grow, and leaves one out where the book was lost in between. Only
    while the book is in sync."""
    highest: int = -1
    """That was given;"""
    stored_ms: int | None = None
    """as of this time, if others may have been given after it."""

    def shift_of(self, id: int, time_ms: int) -> int:
        """What is added from this id on, which comes at this time, in the next run."""
        highest = self.highest
        if self.stored_ms is not None:
            highest += max(1, time_ms - self.stored_ms) * _UPDATES_PER_MS
        elif id + self.shift == highest:  # nothing has changed since
            return self.shift
        return max(self.shift, highest + 1 - id)

    def as_of(self, stored_ms: int | None) -> "Numbering":
        """These, where others may be given after this time; None: no more are."""
        return self if self.stored_ms is not None or self.highest < 0 else self._replace(stored_ms=stored_ms)


FROM_ZERO: Final = Numbering()


class Book:
    """The book of one symbol. `id` and `time` are of the last update taken in, `numbering` of an earlier run."""

    def __init__(self, epoch: int, numbering: Numbering = FROM_ZERO) -> None:
        self.bids = Side(falling=True)
        self.asks = Side(falling=False)
        self.epoch = epoch
        self.in_sync = False
        self.heard = False
        """Whether a whole book ever came."""
        self.id = 0
        self.time = 0
        self.published_id: int | None = None
        """`id` when `publish` was last called; None: it was not since the book came in sync."""
        self.published_time = 0
        self.losses = 0
        """How often it went out of sync, for whatever reason: what was derived before the last one is void."""
        self.gaps = 0
        self.old_events = 0
        self.restarted_ids = 0
        self.inconsistencies = 0
        """How often a whole book of the id held had other levels."""
        self.shift = 0
        """As in `Numbering`."""
        self.lags: dict[object, Lag] = {}
        """By the chain whose they are."""
        self._highest = -1  # of these numbers, before the book was last lost
        self._earlier: Numbering | None = numbering  # until it is in sync
        self._numbered = False  # whether `id` can be compared with what comes
        self._whole = False  # whether the last event taken in was a whole book
        self._waiting: deque[DepthChange] = deque(maxlen=_WAITING_EVENTS)

    def restart(self, epoch: int) -> None:
        """The engine started over: forget all levels and ids."""
        self.epoch = epoch
        self._lose()
        self._numbered = False
        self._waiting.clear()

    def take_book(self, event: BookSnapshot) -> None:
        """A whole book as of its id."""
        self.heard = True
        if self._numbered and event.id <= self.id:
            if event.id < self.id and event.time - self.time > RESTART_MS:
                self._restart_ids()
            elif event.id < self.id or (self.in_sync and self.agrees(event)):
                self.old_events += 1
                return
            elif self.in_sync:
                self.inconsistencies += 1
                if self.published_id == self.id:
                    self._lose()  # no update leads from an id to itself: who saw it must start over
        if self.in_sync:
            self.bids.replace(event.bids)
            self.asks.replace(event.asks)
        else:
            self.bids.load(event.bids)
            self.asks.load(event.asks)
        self.id, self.time = event.id, event.time
        self._numbered = self._whole = True
        if not self.in_sync:
            self._join()

    def take_depth(self, event: DepthChange) -> None:
        """Changed levels; waits where the book is out of sync."""
        if self._numbered and event.last <= self.id:
            if event.last == self.id or event.time - self.time <= RESTART_MS:
                self.old_events += 1
                return
            self._restart_ids()
        if not self.in_sync:
            self._waiting.append(event)
        elif self._joins(event):
            self._change(event)
        else:
            self.gaps += 1
            self._lose()
            self._waiting.append(event)

    def agrees(self, event: BookSnapshot) -> bool:
        """Whether a whole book of the id held has the levels held, as deep as both go.

        Deeper levels prove nothing: an engine cuts what it answers, and what was cut comes up when others go.
        """
        return self.bids.agrees(event.bids) and self.asks.agrees(event.asks)

    def publish(self) -> None:
        """What stands now is published."""
        for lag in self.lags.values():
            lag.take(self.bids.changed, self.asks.changed)
        self.bids.publish()
        self.asks.publish()
        self.published_id, self.published_time = self.id, self.time

    def lag(self, chain: object) -> Lag:
        """What changes from now on for a chain that has published what is published now."""
        assert self.published_id is not None
        lag = self.lags[chain] = Lag(self.published_id, self.published_time, self.losses)
        return lag

    def numbering(self, stored_ms: int | None) -> Numbering:
        """What a store is to keep at this time; None: nothing is published after it."""
        if self._earlier is not None:
            return self._earlier.as_of(stored_ms)
        return Numbering(self.shift, self.id + self.shift if self.in_sync else self._highest, stored_ms)

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask: an auction, or levels that are wrong."""
        bid, ask = self.bids.top, self.asks.top
        return bid is not None and ask is not None and bid >= ask

    def quote(self) -> Quote:
        """Best bid and ask of now; nothing where the book is out of sync."""
        if not self.in_sync:
            return NO_QUOTE
        bid = self.bids.best(1)
        ask = self.asks.best(1)
        return Quote(*(bid[0] if bid else (None, None)), *(ask[0] if ask else (None, None)))

    def _joins(self, event: DepthChange) -> bool:
        # A whole book may fall into the midst of what one depth event sums up.
        return event.first == self.id + 1 or (self._whole and event.first <= self.id < event.last)

    def _change(self, event: DepthChange) -> None:
        for level in event.bids:
            self.bids.set(level)
        for level in event.asks:
            self.asks.set(level)
        self.id, self.time = event.last, event.time
        self._whole = False

    def _join(self) -> None:
        waiting = [event for event in self._waiting if event.last > self.id]
        self._waiting.clear()
        for place, event in enumerate(waiting):
            if not self._joins(event):
                self._waiting.extend(waiting[place:])
                return
            self._change(event)
        self.bids.publish()
        self.asks.publish()
        self.in_sync = True
        if self._earlier is not None:
            self.shift = self._earlier.shift_of(self.id, self.time)
            self._earlier = None
        else:
            self.shift = max(self.shift, self._highest + 1 - self.id)

    def _lose(self) -> None:
        self.losses += 1
        if self.in_sync:
            self._highest = self.id + self.shift
        self.in_sync = False
        self.published_id = None

    def _restart_ids(self) -> None:
        self.restarted_ids += 1
        self.restart(self.epoch + 1)


def checksum(bids: list[Level], asks: list[Level]) -> int:
    """CRC32 (IEEE, signed) over `price:qty` of the best 25 levels, bid and ask alternating, joined by ":"."""
    parts: list[str] = []
    for place in range(_CHECKSUM_LEVELS):
        for side in (bids, asks):
            if place < len(side):
                parts += side[place]
    crc = crc32(":".join(parts).encode())
    return crc - (1 << 32) if crc >> 31 else crc
