"""unicorn-binance-local-depth-cache. BASE and HOST are its arguments."""

import asyncio
import sys
import time

from report import say, say_book
from unicorn_binance_local_depth_cache import BinanceLocalDepthCacheManager
from unicorn_binance_rest_api import BinanceRestApiManager

BASE, HOST = sys.argv[1:]
SYMBOL = f"{BASE}USDT"

# -- how it is pointed at exchange-push
BinanceRestApiManager.API_URL = f"http://{HOST}/api"
manager = BinanceLocalDepthCacheManager(
    exchange="binance.com",
    depth_cache_update_interval=100,
    init_interval=1,
    init_time_window=1,
    ubra_manager=BinanceRestApiManager(tld="com", warn_on_update=False),
    warn_on_update=False,
)
manager.ubwa.websocket_base_uri = f"ws://{HOST}/"
# --


async def look():
    """In the thread that changes the book: bids, asks and id belong together there, and nowhere else."""
    cache = manager.depth_caches[SYMBOL.lower()]
    if not cache["is_synchronized"]:
        return None
    return cache["last_update_id"], manager.get_bids(SYMBOL), manager.get_asks(SYMBOL)


def main():
    manager.create_depthcache(SYMBOL)
    told, synchronized = None, False
    while True:
        time.sleep(0.03)
        loops = [loop for loop in manager.ubwa.event_loops.values() if loop is not None and loop.is_running()]
        found = asyncio.run_coroutine_threadsafe(look(), loops[-1]).result(10) if loops else None
        if (found is not None) != synchronized:
            synchronized = found is not None
            say("note", of="book", error="synchronized" if synchronized else "out of sync")
        if found is not None and found[0] != told:
            told = found[0]
            say_book(SYMBOL, *found)


main()
