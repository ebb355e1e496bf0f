"""cryptofeed: a book, quotes, trades and candles, by TLS. BASE, HOST, that of TLS, certificate are its arguments."""

import ssl
import sys

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, WebsocketEndpoint
from cryptofeed.defines import CANDLES, L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import Binance
from report import say, say_book

BASE, HOST, TLS_HOST, CERTIFICATE = sys.argv[1:]

# -- how it is pointed at exchange-push
trusted = {"ssl": ssl.create_default_context(cafile=CERTIFICATE)}
Binance.websocket_endpoints = [WebsocketEndpoint(f"wss://{TLS_HOST}", options=trusted)]
Binance.rest_endpoints = [RestEndpoint(f"http://{HOST}", routes=Binance.rest_endpoints[0].routes)]
# --


async def book(found, _received):
    sides = [found.book[side] for side in ("bids", "asks")]
    say_book(found.symbol, found.sequence_number, *([(price, side[price]) for price in side] for side in sides))


async def quote(found, _received):
    say("quote", symbol=found.symbol, id=found.raw["u"], bid=found.bid, bid_qty=found.raw["B"], ask=found.ask,
        ask_qty=found.raw["A"])  # fmt: skip


async def aggregate(found, _received):
    say("aggregate", symbol=found.symbol, first=found.raw["f"], last=found.raw["l"], price=found.price,
        qty=found.amount, time=found.raw["T"], side=found.side)  # fmt: skip


async def candle(found, _received):
    say("candle", symbol=found.symbol, interval=found.interval, start=int(found.start * 1000),
        numbers=[found.open, found.high, found.low, found.close, found.volume], closed=found.closed)  # fmt: skip


handler = FeedHandler(config={"uvloop": False, "log": {"disabled": True}})
handler.add_feed(
    Binance(
        symbols=[f"{BASE}-USDT"],
        channels=[L2_BOOK, TICKER, TRADES, CANDLES],
        candle_interval="1m",
        callbacks={L2_BOOK: book, TICKER: quote, TRADES: aggregate, CANDLES: candle},
    )
)
handler.run()
