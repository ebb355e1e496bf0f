"""CPU of the market room for each trade: Board.apply and Board.flush, all channels wanted, nothing encoded.

    python -m benchmarks.market

Left out: decoding what comes in, encoding and sending what goes out. Trades come 20 to a batch, four symbols in turn;
"a flush for each n" is how many trades fall on one tick of 50 ms (20 trades a tick are 400 a second).
"""

import gc
import random
from functools import partial
from time import process_time

from exchange_push.market.board import TICK_MS, Board
from exchange_push.market.bookticker import BookTickerFeed
from exchange_push.market.depth import BestLevelsFeed, DepthFeed
from exchange_push.market.events import BookSnapshot, DepthChange, IndexPrice, Level, MarketEvent, Trade
from exchange_push.market.feed import FeedFactory
from exchange_push.market.interval import INTERVALS
from exchange_push.market.kline import KlineFeed
from exchange_push.market.markprice import EveryMarkPriceFeed, MarkPriceFeed
from exchange_push.market.ticker import EveryTickerFeed, TickerFeed
from exchange_push.market.trades import TradesFeed
from exchange_push.pubsub.channel import ChannelKind, Owner, SlowPolicy

_START_MS = 1_700_000_000_000
_SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT")
_BATCH = 20

_TRADE_KINDS: dict[ChannelKind, FeedFactory] = {
    ChannelKind("trades", Owner.SYMBOL, SlowPolicy.QUEUE, 100): TradesFeed,
    ChannelKind("ticker", Owner.SYMBOL, SlowPolicy.CONFLATE, 1_000): TickerFeed,
    ChannelKind("ticker", Owner.EVERY, SlowPolicy.RESYNC, 1_000): EveryTickerFeed,
    **{
        ChannelKind(f"kline_{name}", Owner.SYMBOL, SlowPolicy.CONFLATE, 250): partial(KlineFeed, interval=name)
        for name in INTERVALS
    },
}
_MARK_KINDS: dict[ChannelKind, FeedFactory] = {
    ChannelKind("markprice", Owner.SYMBOL, SlowPolicy.CONFLATE, 1_000): MarkPriceFeed,
    ChannelKind("markprice", Owner.EVERY, SlowPolicy.RESYNC, 1_000): EveryMarkPriceFeed,
}
_BOOK_KINDS: dict[ChannelKind, FeedFactory] = {
    ChannelKind("depth", Owner.SYMBOL, SlowPolicy.RESYNC, 100): DepthFeed,
    ChannelKind("depth20", Owner.SYMBOL, SlowPolicy.CONFLATE, 100): partial(BestLevelsFeed, levels=20),
    ChannelKind("bookticker", Owner.SYMBOL, SlowPolicy.CONFLATE, 50): BookTickerFeed,
}


def _trades(count: int, a_second: int) -> list[list[MarketEvent]]:
    """Batches of trades whose times rise at the rate at which they come; a third are further fills of an order."""
    random.seed(1)
    batches: list[list[MarketEvent]] = []
    ids = dict.fromkeys(_SYMBOLS, 0)
    price, order = 4_000_000, 0
    for batch in range(count // _BATCH):
        symbol = _SYMBOLS[batch % len(_SYMBOLS)]
        events: list[MarketEvent] = []
        for place in range(_BATCH):
            ids[symbol] += 1
            if random.random() < 0.67:
                order += 1
                price += random.randrange(-50, 51)
            side = "buy" if order % 2 else "sell"
            time = _START_MS + (batch * _BATCH + place) * 1_000 // a_second
            text = f"{price // 100}.{price % 100:02}"
            events.append(
                Trade(symbol, ids[symbol], text, f"0.{random.randrange(1, 10**5):05}", side, time, order)  # type: ignore[arg-type]
            )
        batches.append(events)
    return batches


def _measure_trades(a_second: int) -> None:
    batches = _trades(200_000, a_second)
    board = Board(_TRADE_KINDS, wanted=lambda channel: True)
    a_tick = max(1, a_second * TICK_MS // 1_000 // _BATCH)
    applied = flushed = 0.0
    published = 0
    gc.collect()
    for place, events in enumerate(batches):
        now_ms = place * TICK_MS // a_tick
        begin = process_time()
        board.apply(events, now_ms)
        applied += process_time() - begin
        if place % a_tick == a_tick - 1:
            begin = process_time()
            published += len(board.flush(now_ms))
            flushed += process_time() - begin
    count = board.trades
    print(
        f"{a_second:>7,} trades/s, a flush for each {a_tick * _BATCH:>5,}: "
        f"apply {applied / count * 1e6:.2f} + flush {flushed / count * 1e6:.2f} "
        f"= {(applied + flushed) / count * 1e6:.2f} µs a trade ({published:,} publications)"
    )


def _measure_books() -> None:
    random.seed(1)
    board = Board(_BOOK_KINDS, wanted=lambda channel: True)
    bids: list[Level] = [(f"{40_000 - place / 10:.1f}", "1.5") for place in range(1, 1_001)]
    asks: list[Level] = [(f"{40_000 + place / 10:.1f}", "1.5") for place in range(1_000)]
    board.apply([BookSnapshot("BTCUSDT", 0, _START_MS, bids, asks)], 0)
    board.flush(0)
    events = [
        DepthChange(
            "BTCUSDT",
            number,
            number,
            _START_MS + number,
            [(f"{40_000 - random.randrange(1, 300) / 10:.1f}", f"{random.randrange(3)}.5") for _ in range(5)],
            [(f"{40_000 + random.randrange(300) / 10:.1f}", f"{random.randrange(3)}") for _ in range(5)],
        )
        for number in range(1, 20_001)
    ]
    gc.collect()
    begin = process_time()
    for place in range(0, len(events), 10):
        board.apply(events[place : place + 10], place * 5)
        board.flush(place * 5)
    print(f"depth events of 10 levels, 10 a tick: {(process_time() - begin) / len(events) * 1e6:.1f} µs an event")


def _measure_marks() -> None:
    """Every second each symbol has new prices of four sources and a new best bid; its book is 2 x 200 levels deep."""
    board = Board(_MARK_KINDS, wanted=lambda channel: True)
    symbols = [f"S{number}USDT" for number in range(500)]
    asks: list[Level] = [(f"{40_000 + place / 10:.1f}", "0.01") for place in range(1, 201)]
    seconds = 60
    spent = []
    for second in range(seconds):
        time = _START_MS + second * 1_000
        bids: list[Level] = [(f"{40_000 - place / 10:.1f}", "0.01") for place in range(second % 7, 200)]
        events: list[MarketEvent] = []
        for symbol in symbols:
            events += [
                IndexPrice(symbol, source, f"{39_990 + second}.{place}", "0.25", time)
                for place, source in enumerate(("one", "two", "three", "four"))
            ]
            events.append(BookSnapshot(symbol, second, time, bids, asks))
            events.append(Trade(symbol, second, "40001", "1", "buy", time))
        board.apply(events, second * 1_000)
        begin = process_time()
        board.flush(second * 1_000)
        spent.append((process_time() - begin) * 1e6 / len(symbols))
    spent.sort()
    print(f"mark prices of {len(symbols)} symbols: {spent[seconds // 2]:.1f} µs each a second, at most {spent[-1]:.1f}")


if __name__ == "__main__":
    for rate in (400, 8_000, 20_000, 50_000):
        _measure_trades(rate)
    _measure_books()
    _measure_marks()
