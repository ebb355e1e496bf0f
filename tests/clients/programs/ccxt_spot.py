"""ccxt.pro.binance: a book, trades, candles, tickers, a user's orders and balance. BASE and HOST are its arguments."""

import asyncio
import sys

import ccxt.pro
from ccxt_watching import watch_all, watches
from report import say

BASE, HOST = sys.argv[1:]
SYMBOL = f"{BASE}/USDT"

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


async def ticker():
    found = await exchange.watch_ticker(SYMBOL, {"name": "ticker"})
    say("ticker", symbol=found["info"]["s"], last_id=int(found["info"]["L"]), open=found["open"], high=found["high"],
        low=found["low"], last=found["last"], volume=found["baseVolume"],
        quote_volume=found["quoteVolume"])  # fmt: skip


async def quote():
    found = (await exchange.watch_bids_asks([SYMBOL]))[SYMBOL]
    say("quote", symbol=found["info"]["s"], id=int(found["info"]["u"]), bid=found["bid"], bid_qty=found["bidVolume"],
        ask=found["ask"], ask_qty=found["askVolume"])  # fmt: skip


async def orders():
    for order in await exchange.watch_orders():
        say("order", order=order["id"], symbol=order["info"]["s"], side=order["side"], qty=order["amount"],
            filled=order["filled"], status=order["info"]["X"])  # fmt: skip


async def balance():
    found = await exchange.watch_balance()
    say("balance", asset="USDT", free=found["USDT"]["free"], time=found["timestamp"])


asyncio.run(watch_all(exchange, *watches(exchange, SYMBOL), ticker, quote, orders, balance))
