"""ccxt.pro.binanceusdm: a futures book, trades, candles and the mark price. HOST is its one argument."""

import asyncio
import sys

import ccxt.pro
from report import say, say_book

HOST = sys.argv[1]
SYMBOL = "BTC/USDT:USDT"

# -- how it is pointed at exchange-push
exchange = ccxt.pro.binanceusdm()
exchange.urls["api"]["fapiPublic"] = f"http://{HOST}/fapi/v1"
exchange.urls["api"]["ws"]["linear"] = f"ws://{HOST}/ws"
# --


async def book():
    found = await exchange.watch_order_book(SYMBOL)
    say_book("BTCUSDT", found["nonce"], found["bids"], found["asks"])


async def trades():
    for trade in await exchange.watch_trades(SYMBOL):
        say("trade", symbol="BTCUSDT", id=int(trade["id"]), price=trade["price"], qty=trade["amount"],
            time=trade["timestamp"], side=trade["side"])  # fmt: skip


async def candles():
    for start, *numbers in await exchange.watch_ohlcv(SYMBOL, "1s"):
        say("candle", symbol="BTCUSDT", interval="1s", start=start, numbers=numbers)


async def mark_price():
    found = (await exchange.watch_mark_price(SYMBOL))["info"]
    say("markprice", symbol="BTCUSDT", price=found["p"], index=found["i"], rate=found["r"], next=found["T"])


async def for_ever(watch):
    while True:
        try:
            await watch()
        except ccxt.pro.BaseError as error:
            say("note", of=watch.__name__, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.2)


async def main():
    await exchange.load_markets()
    await asyncio.gather(*map(for_ever, (book, trades, candles, mark_price)))


asyncio.run(main())
