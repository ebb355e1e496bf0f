"""What the path of a connection says: `/ws/btcusdt@trade`, `/stream?streams=btcusdt@trade/ethusdt@depth`.

`/public`, `/market` and `/private` in front are of futures; every stream can be had by each of them.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from exchange_push.pubsub.terms import Opening
from exchange_push.wire.dialects.binance.dialect import speaking

_FUTURES: Final = ("public", "market", "private")
_MICROSECOND: Final = "microsecond"


def open(path: str, query: str, subprotocols: Sequence[str]) -> Opening | None:
    """The dialect, and the streams to be subscribed at once. What has neither @ nor ! is no stream, and passed over."""
    parts = unquote(path).split("/")
    if len(parts) < 2 or parts[0]:
        return None
    parts = parts[1:]
    futures = parts[0] in _FUTURES
    if futures:
        parts = parts[1:]
    values = dict(_values(query))
    micro = values.get("timeUnit", "").lower() == _MICROSECOND
    if parts[:1] == ["ws"]:
        combined, names = False, parts[1:]
    elif parts[:1] == ["stream"] and not any("@" in part for part in parts):  # ccxt puts a number behind it
        combined, names = True, values.get("streams", "").split("/")
    else:
        return None
    dialect = speaking(combined=combined, micro=micro, futures=futures)
    return Opening(dialect, tuple(dict.fromkeys(name for name in names if "@" in name or name[:1] == "!")))


def _values(query: str) -> list[tuple[str, str]]:
    """Names and values of a query; a + stands for itself, as in `@+08:00`."""
    pairs = (part.partition("=") for part in query.split("&"))
    return [(unquote(name), unquote(value)) for name, _, value in pairs]
