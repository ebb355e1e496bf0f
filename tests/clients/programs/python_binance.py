"""python-binance: DepthCacheManager, and sockets of BinanceSocketManager. BASE and HOST are its arguments."""

import asyncio
import sys
from decimal import Decimal

from binance import AsyncClient, BinanceSocketManager, DepthCacheManager
from binance.exceptions import BinanceAPIException, BinanceWebsocketUnableToConnect
from report import say, say_book

BASE, HOST = sys.argv[1:]
SYMBOL = f"{BASE}USDT"

# -- how it is pointed at exchange-push
AsyncClient.API_URL = f"http://{HOST}/api"
AsyncClient.WS_API_URL = f"ws://{HOST}/ws-api/v3"
BinanceSocketManager.STREAM_URL = f"ws://{HOST}/"
# --


async def book(client, sockets):
    # Its own 500 levels are less than the books of the capture have.
    async with DepthCacheManager(client, SYMBOL, bm=sockets, ws_interval=100, conv_type=Decimal, limit=1000) as manager:
        while True:
            found = await manager.recv()
            if isinstance(found, dict):
                say("note", of="book", error=found)
            else:
                say_book(SYMBOL, manager._last_update_id, found.get_bids(), found.get_asks())


async def listen(socket, tell):
    async with socket as stream:
        while True:
            message = await stream.recv()
            if message.get("e") == "error":
                say("note", of=tell.__name__, error=message)
            else:
                tell(message)


def trade(message):
    say("trade", symbol=message["s"], id=message["t"], price=message["p"], qty=message["q"], time=message["T"],
        side="sell" if message["m"] else "buy")  # fmt: skip


def candle(message):
    k = message["k"]
    say("candle", symbol=k["s"], interval=k["i"], start=k["t"], numbers=[k[key] for key in "ohlcv"],
        more=[k["q"], k["V"], k["Q"], k["n"]], closed=k["x"])  # fmt: skip


def ticker(message):
    say("ticker", symbol=message["s"], last_id=message["L"], open=message["o"], high=message["h"], low=message["l"],
        last=message["c"], volume=message["v"], quote_volume=message["q"], count=message["n"])  # fmt: skip


def quote(message, of="quote"):
    say(of, symbol=message["s"], id=message["u"], bid=message["b"], bid_qty=message["B"], ask=message["a"],
        ask_qty=message["A"])  # fmt: skip


def every_quote(message):
    if message["s"] == SYMBOL:
        quote(message, "every_quote")


def top(message):
    say("top", symbol=SYMBOL, id=message["lastUpdateId"], bids=message["bids"], asks=message["asks"])


def user(message):
    if message["e"] == "executionReport":
        say("order", order=str(message["i"]), symbol=message["s"], side=message["S"].lower(), qty=message["q"],
            filled=message["z"], status=message["X"])  # fmt: skip
    elif message["e"] == "outboundAccountPosition":
        for row in message["B"]:
            say("balance", asset=row["a"], free=row["f"], time=message["E"])


async def user_data(sockets):
    """The library connects again, but does not subscribe: its socket has to be entered anew, not before it did so."""
    while True:
        try:
            stream = await sockets.user_socket().__aenter__()
            say("note", of="user", error="subscribed")
            while (message := await stream.recv()).get("e") != "error":
                user(message)
            say("note", of="user", error=message)
        except (BinanceAPIException, BinanceWebsocketUnableToConnect) as error:
            say("note", of="user", error=repr(error))
        await asyncio.sleep(3)


async def main():
    client = await AsyncClient.create("demo-bob", "any")
    sockets = BinanceSocketManager(client)
    await asyncio.gather(
        book(client, sockets),
        listen(sockets.trade_socket(SYMBOL), trade),
        listen(sockets.kline_socket(SYMBOL, "1s"), candle),
        listen(sockets.symbol_ticker_socket(SYMBOL), ticker),
        listen(sockets.symbol_book_ticker_socket(SYMBOL), quote),
        listen(sockets.book_ticker_socket(), every_quote),
        listen(sockets.depth_socket(SYMBOL, depth="10"), top),
        user_data(sockets),
    )


asyncio.run(main())
