"""binance-sdk-spot, the official one. BASE and HOST are its arguments.

It keeps no book and leaves connecting again to who uses it: both are done here, as Binance describes it.
"""

import asyncio
import sys
from decimal import Decimal

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_spot.spot import Spot
from binance_sdk_spot.websocket_api.models import ExecutionReport, OutboundAccountPosition
from report import say, say_book

BASE, HOST = sys.argv[1:]
SYMBOL = f"{BASE}USDT"

# -- how it is pointed at exchange-push
client = Spot(
    config_rest_api=ConfigurationRestAPI(base_path=f"http://{HOST}"),
    config_ws_api=ConfigurationWebSocketAPI("demo-alice", "any", stream_url=f"ws://{HOST}/ws-api/v3"),
    config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://{HOST}"),
)
# --


class Book:
    """As Binance says that a local book has to be kept."""

    def __init__(self):
        self.last = None
        self.bids, self.asks = {}, {}
        self.early = []

    def event(self, event):
        if self.last is None:
            self.early.append(event)
        elif self.last + 1 < event.U:
            say("note", of="book", error=f"gap: {event.U} after {self.last}")
            self.__init__()
            self.early.append(event)
        elif event.u > self.last:
            self.apply(event.u, event.b, event.a)

    async def keep(self):
        """Where there are events and no book, begin one from a snapshot that reaches to the first of them."""
        while True:
            await asyncio.sleep(0.05)
            if self.last is None and self.early:
                response = await asyncio.to_thread(client.rest_api.depth, symbol=SYMBOL, limit=1000)
                snapshot = response.data()
                if snapshot.last_update_id >= self.early[0].U - 1:
                    events, self.early = self.early, []
                    self.apply(snapshot.last_update_id, snapshot.bids, snapshot.asks)
                    for event in events:
                        self.event(event)

    def apply(self, update_id, bids, asks):
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, qty in levels:
                if Decimal(qty):
                    side[price] = qty
                else:
                    side.pop(price, None)
        self.last = update_id
        say_book(SYMBOL, self.last, self.bids.items(), self.asks.items())


def trade(message):
    say("trade", symbol=message.s, id=message.t, price=message.p, qty=message.q, time=message.T,
        side="sell" if message.m else "buy")  # fmt: skip


def candle(message):
    k = message.k
    say("candle", symbol=k.s, interval=k.i, start=k.t, numbers=[k.o, k.h, k.l, k.c, k.v], more=[k.q, k.V, k.Q, k.n],
        closed=k.x)  # fmt: skip


def ticker(message):
    say("ticker", symbol=message.s, last_id=message.L, open=message.o, high=message.h, low=message.l, last=message.c,
        volume=message.v, quote_volume=message.q, count=message.n)  # fmt: skip


def quote(message):
    say("quote", symbol=message.s, id=message.u, bid=message.b, bid_qty=message.B, ask=message.a,
        ask_qty=message.A)  # fmt: skip


def user(event):
    message = event.actual_instance
    if isinstance(message, ExecutionReport):
        say("order", order=str(message.i), symbol=message.s, side=message.S.lower(), qty=message.q, filled=message.z,
            status=message.X)  # fmt: skip
    elif isinstance(message, OutboundAccountPosition):
        for row in message.B:
            say("balance", asset=row.a, free=row.f, time=message.E)


async def market():
    """One connection, until it is lost."""
    streams = client.websocket_streams
    connection = await streams.create_connection()
    over = asyncio.Event()
    streams.on_connection("close", over.set)
    book = Book()
    for stream, callback in (
        (await connection.diff_book_depth(SYMBOL.lower(), update_speed="100ms"), book.event),
        (await connection.trade(SYMBOL.lower()), trade),
        (await connection.kline(SYMBOL.lower(), "1s"), candle),
        (await connection.ticker(SYMBOL.lower()), ticker),
        (await connection.book_ticker(SYMBOL.lower()), quote),
    ):
        stream.on("message", callback)
    keeping = asyncio.create_task(book.keep())
    await over.wait()
    keeping.cancel()
    say("note", of="market", error="closed")


async def user_data():
    api = client.websocket_api
    await api.create_connection()
    over = asyncio.Event()
    api.on_connection("close", over.set)
    subscribed = await api.user_data_stream_subscribe_signature()
    subscribed.stream.on("message", user)
    await over.wait()
    say("note", of="user_data", error="closed")


async def for_ever(part):
    while True:
        try:
            await part()
        except Exception as error:
            say("note", of=part.__name__, error=repr(error))
        await asyncio.sleep(0.5)


async def main():
    await asyncio.gather(for_ever(market), for_ever(user_data))


asyncio.run(main())
