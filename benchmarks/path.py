"""CPU of one trade on its whole way in one process: from the datagram's bytes to the frames of all its channels.

    python -m benchmarks.path

FeedProtocol.datagramReceived, decode, sequence, Board.apply; then, every 50 ms of the feed's own time, Board.flush and
a JSON frame for each publication of every kline, of ticker, `*@ticker` and trades, all wanted; and every second what
changed goes into an SQLite store, the kernel's work for it included. Left out: the kernel's on the network
(benchmarks/feed.py and benchmarks/server.py have it) and the writing to clients, which all trades of a tick share.
"""

import gc
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import process_time

from twisted.internet.task import Clock

from exchange_push import catalog
from exchange_push.intake.udp import FeedIntake, FeedProtocol
from exchange_push.market.bars import Bar
from exchange_push.market.board import TICK_MS, Board
from exchange_push.market.ticker import EveryTickerFeed, TickerFeed
from exchange_push.market.trades import TradesFeed
from exchange_push.pubsub.publication import View
from exchange_push.store.sqlite import SqliteStore
from exchange_push.wire.dialects.plain import PLAIN
from exchange_push.wire.packet import encode
from exchange_push.wire.sequence import Line

TARGET_US = 6.0
_SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT")
_START_MS = 1_700_000_000_000
_COUNT = 100_000
_ROUNDS = 3

_KINDS = {
    kind: make
    for kind, make in catalog.COMPUTED.items()
    if kind.name.startswith("kline") or make in (TradesFeed, TickerFeed, EveryTickerFeed)
}


def datagrams(a_second: int, per_datagram: int) -> list[bytes]:
    """Trades of four symbols in turn whose times rise at the rate at which they come; a third are further fills."""
    rng = random.Random(1)
    ids = dict.fromkeys(_SYMBOLS, 0)
    price, order, number = 4_000_000, 0, 0
    found: list[bytes] = []
    while number < _COUNT:
        symbol = _SYMBOLS[len(found) % len(_SYMBOLS)]
        events: list[object] = []
        for _ in range(per_datagram):
            ids[symbol] += 1
            if rng.random() < 0.67:
                order += 1
                price += rng.randrange(-50, 51)
            text, qty = f"{price // 100}.{price % 100:02}", f"0.{rng.randrange(1, 10**5):05}"
            time = _START_MS + (number + len(events)) * 1_000 // a_second
            events.append(["trade", symbol, ids[symbol], text, qty, "buy" if order % 2 else "sell", time, order])
        found.append(encode(1, number + 1, events))
        number += per_datagram
    return found


class _NoPast:
    def bars(self, interval: str, start: int, end: int) -> Mapping[str, list[Bar]]:
        return {}  # nothing is as old as a day here


def _round(feed: list[bytes], a_second: int, per_datagram: int, path: Path) -> tuple[float, float, float, float, int]:
    """µs a trade of taking in, of flushing, of encoding and of storing, and how many frames."""
    now_ms = 0
    board = Board(_KINDS, wanted=lambda channel: True, past=_NoPast())
    store = SqliteStore(str(path), {})
    intake = FeedIntake(Clock(), apply=board.apply, user=lambda event: None, now_ms=lambda: now_ms)
    protocol = FeedProtocol(Line("bench"), intake)
    a_tick = max(1, a_second * TICK_MS // 1_000 // per_datagram)
    taken = flushed = encoded = stored = 0.0
    frames = 0
    gc.collect()
    for at in range(0, len(feed), a_tick):
        begin = process_time()
        for datagram in feed[at : at + a_tick]:
            protocol.datagramReceived(datagram, ("127.0.0.1", 1))
        took_in = process_time()
        now_ms += TICK_MS
        publications = board.flush(now_ms)
        done = process_time()
        for publication in publications:
            publication.frame(View(PLAIN, str(publication.channel)))
        framed = process_time()
        if now_ms % 1_000 == 0:
            changes = board.changes()
            assert changes is not None
            store.write([changes])
        stored += process_time() - framed
        encoded += framed - done
        flushed += done - took_in
        taken += took_in - begin
        frames += len(publications)
    store.close()
    assert board.trades == len(feed) * per_datagram
    each = 1e6 / board.trades
    return taken * each, flushed * each, encoded * each, stored * each, frames


def main() -> None:
    columns = ("take in", "flush", "encode", "store", "sum")
    print(f"{'trades/s':>9} {'a datagram':>10} {''.join(f'{column:>9}' for column in columns)}  µs of CPU a trade")
    for a_second, per_datagram in ((8_000, 20), (20_000, 20), (50_000, 20), (50_000, 1)):
        feed = datagrams(a_second, per_datagram)
        with tempfile.TemporaryDirectory() as folder:
            rounds = [_round(feed, a_second, per_datagram, Path(folder) / str(number)) for number in range(_ROUNDS)]
        hops = [median(column) for column in list(zip(*rounds, strict=True))[:4]]
        total = sum(hops)
        verdict = f"target {TARGET_US}: {'met' if total <= TARGET_US else 'MISSED'}" if per_datagram == 20 else ""
        print(
            f"{a_second:>9,} {per_datagram:>10} {''.join(f'{hop:>9.2f}' for hop in (*hops, total))}"
            f"  {rounds[0][4]:,} frames  {verdict}"
        )


if __name__ == "__main__":
    main()
