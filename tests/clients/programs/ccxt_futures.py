"""ccxt.pro.binanceusdm: a futures book, trades, candles and the mark price. BASE and HOST are its arguments."""

import asyncio
import sys

import ccxt.pro
from ccxt_watching import watch_all, watches
from report import say

BASE, HOST = sys.argv[1:]
SYMBOL = f"{BASE}/USDT:USDT"

# -- how it is pointed at exchange-push
exchange = ccxt.pro.binanceusdm()
exchange.urls["api"]["fapiPublic"] = f"http://{HOST}/fapi/v1"
exchange.urls["api"]["ws"]["linear"] = f"ws://{HOST}/ws"
# --


async def mark_price():
    found = (await exchange.watch_mark_price(SYMBOL))["info"]
    say("markprice", symbol=found["s"], price=found["p"], index=found["i"], rate=found["r"], next=found["T"])


asyncio.run(watch_all(exchange, *watches(exchange, SYMBOL), mark_price))
