"""A board with a store beside it that can be killed at any moment, and be started again from what was stored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exchange_push.market.bars import Bar
from exchange_push.market.board import TICK_MS, Board
from exchange_push.market.events import Gap, MarketEvent, Restart
from exchange_push.market.interval import INTERVALS
from exchange_push.pubsub.publication import Publication
from exchange_push.store.sqlite import SqliteStore
from tests.market.exchange import KINDS, channel, wire

NUMBERS = "start, open, high, low, close, close_qty, volume, quote_volume, taker_volume, taker_quote_volume, count"


class Stored:
    """`events` is the feed, which can be read again from any place; what is killed goes on from the place stored."""

    def __init__(self, path: Path, events: Sequence[MarketEvent | Restart | Gap], *names: str) -> None:
        self.path = path
        self.events = events
        self.kinds = {channel(name if "@" in name else f"S@{name}").kind: None for name in names}
        self.now_ms = 0
        self.next = 0
        self.published: list[Publication] = []
        self.store: SqliteStore
        self.board: Board
        self.start()

    def start(self) -> None:
        self.store = SqliteStore(str(self.path), {"1s": 90_000_000, "trades": 90_000_000})
        kinds = {kind: KINDS[kind] for kind in self.kinds} or KINDS
        self.board = Board(kinds, wanted=lambda channel: True, past=self)
        kept = self.store.load()
        if kept is not None:
            self.board.restore(kept)
        place = self.store.place()
        self.next = 0 if place is None else place[1]

    def kill(self) -> None:
        self.store.close()
        self.start()

    def bars(self, interval: str, start: int, end: int) -> Mapping[str, list[Bar]]:
        return self.store.bars(interval, start, end)

    def take(self, count: int) -> None:
        """The next events of the feed."""
        self.board.apply(self.events[self.next : self.next + count], self.now_ms)
        self.next += count

    def tick(self) -> None:
        self.now_ms += TICK_MS
        self.published += self.board.flush(self.now_ms)

    def commit(self) -> None:
        """Store what the last tick left, where it can be; call it before anything else is taken."""
        if not self.board.storable:
            return
        changes = self.board.changes()
        assert changes is not None
        changes.place = (1, self.next)
        for amended in self.store.write([changes]):
            self.published += self.board.amend(
                amended.interval, amended.symbol, amended.start, amended.bar, amended.rev
            )

    # -- what is there in the end

    def candles(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is stored, by interval."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        db = self.store._db
        for name in INTERVALS:
            table = "second" if name == "1s" else f"(SELECT * FROM candle WHERE interval = '{name}')"
            sql = f"SELECT symbol.symbol, {NUMBERS}, first_id, last_id FROM {table} AS c JOIN symbol ON c.symbol = id"
            found[name] = sorted(db.execute(sql).fetchall())
        return found

    def states(self) -> dict[str, Any]:
        """The running candles and tickers."""
        found: dict[str, Any] = {}
        for symbol in self.board.symbols():
            if symbol == "OTHER":
                continue
            for name in ("ticker", *(f"kline_{name}" for name in INTERVALS)):
                publication = self.board.state(channel(f"{symbol}@{name}"))
                found[f"{symbol}@{name}"] = None if publication is None else wire(publication)
        return found

    def trade_ids(self, symbol: str) -> list[int]:
        """Of the trades stored; how many were merged depends on when the ticks fell."""
        trades = self.store.trades(symbol, 0, 1 << 62, 1_000_000)
        return sorted(number for trade in trades for number in range(trade.first, trade.last + 1))


def numbers(states: Mapping[str, Any], *, empty: bool = True) -> dict[str, Any]:
    """States without the revisions: what a killed board published was not all stored. And without the price that
    `empty` candles repeat, where trades came out of order: of a minute a store knows no more than its own close."""
    left_out = {"rev"} if empty else {"rev", "open", "high", "low", "close"}
    return {
        name: {
            key: value
            for key, value in (state or {}).items()
            if key not in (left_out if "interval" in state and not state["count"] else {"rev"})
        }
        for name, state in states.items()
    }
