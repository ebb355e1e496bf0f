"""What both programs of ccxt watch."""

import asyncio

import ccxt.pro
from report import say, say_book


def watches(exchange, symbol):
    """A book, trades and candles."""

    async def book():
        found = await exchange.watch_order_book(symbol)
        say_book(symbol, found["nonce"], found["bids"], found["asks"])

    async def trades():
        for trade in await exchange.watch_trades(symbol):
            say("trade", symbol=symbol, id=int(trade["id"]), price=trade["price"], qty=trade["amount"],
                time=trade["timestamp"], side=trade["side"])  # fmt: skip

    async def candles():
        for start, *numbers in await exchange.watch_ohlcv(symbol, "1s"):
            say("candle", symbol=symbol, interval="1s", start=start, numbers=numbers)

    return book, trades, candles


async def watch_all(exchange, *watches):
    """For ever: who waits when a connection is lost or a message is missing is told by an error, and calls again."""
    await exchange.load_markets()
    await asyncio.gather(*map(_for_ever, watches))


async def _for_ever(watch):
    while True:
        try:
            await watch()
        except ccxt.pro.BaseError as error:
            say("note", of=watch.__name__, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.2)
