"""ccxt.pro.binance: a book, trades, candles, tickers, and a user's orders and balance. HOST is its one argument."""

import asyncio
import sys

import ccxt.pro
from report import say, say_book

HOST = sys.argv[1]
SYMBOL = "BTC/USDT"

# -- how it is pointed at exchange-push
exchange = ccxt.pro.binance(
    {
        "apiKey": "demo-alice",
        "secret": "any",
        "options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False},
    }
)
exchange.urls["api"]["public"] = f"http://{HOST}/api/v3"
exchange.urls["api"]["ws"]["spot"] = f"ws://{HOST}/ws"
exchange.urls["api"]["ws"]["ws-api"]["spot"] = f"ws://{HOST}/ws-api/v3"
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


async def ticker():
    found = await exchange.watch_ticker(SYMBOL, {"name": "ticker"})
    say("ticker", symbol="BTCUSDT", last_id=int(found["info"]["L"]), open=found["open"], high=found["high"],
        low=found["low"], last=found["last"], volume=found["baseVolume"],
        quote_volume=found["quoteVolume"])  # fmt: skip


async def quote():
    found = (await exchange.watch_bids_asks([SYMBOL]))[SYMBOL]
    say("quote", symbol="BTCUSDT", id=int(found["info"]["u"]), bid=found["bid"], bid_qty=found["bidVolume"],
        ask=found["ask"], ask_qty=found["askVolume"])  # fmt: skip


async def orders():
    for order in await exchange.watch_orders():
        say("order", order=order["id"], symbol=order["info"]["s"], side=order["side"], qty=order["amount"],
            filled=order["filled"], status=order["info"]["X"])  # fmt: skip


async def balance():
    found = await exchange.watch_balance()
    say("balance", asset="USDT", free=found["USDT"]["free"], time=found["timestamp"])


async def for_ever(watch):
    while True:
        try:
            await watch()
        except ccxt.pro.BaseError as error:
            say("note", of=watch.__name__, error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.2)


async def main():
    await exchange.load_markets()
    await asyncio.gather(*map(for_ever, (book, trades, candles, ticker, quote, orders, balance)))


asyncio.run(main())
