"""What a TradingView chart asks a data feed, and how it is answered (UDF, the protocol of its stock adapter).

Numbers are JSON numbers that carry the exact decimal: every version of the adapter takes them, numeric strings only
the newer ones.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Any, Final, NamedTuple

import msgspec

from exchange_push.errors import quoted
from exchange_push.market.exact import EXACT
from exchange_push.market.kline import KlineData
from exchange_push.market.ticker import TickerData

MOST: Final = 1_500
"""Bars of one answer. The adapter asks on where it is told so, `limitedServerResponse`."""
FOUND: Final = 30
_MOST_FOUND: Final = 100
_TIME_CHARS: Final = 12
_FOR_EVER: Final = 10**_TIME_CHARS

# By the name that charts have for it.
RESOLUTIONS: Final = {
    "1S": "1s",
    "1": "1m",
    "3": "3m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "240": "4h",
    "360": "6h",
    "480": "8h",
    "720": "12h",
    "1D": "1d",
    "3D": "3d",
    "1W": "1w",
    "1M": "1M",
}
_SHORT: Final = {"S": "1S", "D": "1D", "W": "1W", "M": "1M"}
_MINUTES: Final = [name for name in RESOLUTIONS if name.isdecimal()]

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Refused(Exception):
    """A question that cannot be answered; the message says why."""


class Asked(NamedTuple):
    """Which bars: the newest `limit` that begin at or after `start`, None: whenever, and before `end`; ms."""

    interval: str
    start: int | None
    end: int
    limit: int


class Listing(NamedTuple):
    """What is known of a symbol."""

    symbol: str
    exchange: str
    description: str
    tick_size: Decimal
    """Prices are multiples of it."""
    volume_digits: int


def digits_of(step: Decimal) -> int:
    """Digits behind the point of its multiples."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # it is a number
    return max(0, -exponent)


def full_name(symbol: str, exchange: str) -> str:
    return f"{exchange}:{symbol}"


def encode(answer: object) -> bytes:
    return _encode(answer)


def error(why: str) -> dict[str, str]:
    return {"s": "error", "errmsg": why}


def config(exchange: str) -> dict[str, Any]:
    every = {"value": "", "name": "All", "desc": ""}
    return {
        "supported_resolutions": list(RESOLUTIONS),
        "supports_search": True,
        "supports_group_request": False,
        "supports_marks": False,
        "supports_timescale_marks": False,
        "supports_time": True,
        "exchanges": [every, {"value": exchange, "name": exchange, "desc": exchange}],
        "symbols_types": [{"name": "All", "value": ""}, {"name": "Crypto", "value": "crypto"}],
    }


def symbol_info(listing: Listing) -> dict[str, Any]:
    digits = digits_of(listing.tick_size)
    return {
        "name": listing.symbol,
        "ticker": listing.symbol,
        "full_name": full_name(listing.symbol, listing.exchange),
        "description": listing.description,
        "type": "crypto",
        "session": "24x7",
        "timezone": "Etc/UTC",
        "exchange": listing.exchange,
        "listed_exchange": listing.exchange,
        "minmov": int(listing.tick_size.scaleb(digits)),
        "pricescale": 10**digits,
        "format": "price",
        "volume_precision": listing.volume_digits,
        "has_seconds": True,
        "seconds_multipliers": ["1"],
        "has_intraday": True,
        "intraday_multipliers": _MINUTES,
        "has_daily": True,
        "daily_multipliers": ["1", "3"],
        "has_weekly_and_monthly": True,
        "weekly_multipliers": ["1"],
        "monthly_multipliers": ["1"],
        "supported_resolutions": list(RESOLUTIONS),
        "data_status": "streaming",
    }


def found(symbols: Iterable[str], exchange: str, query: Mapping[str, str]) -> list[dict[str, str]]:
    """What a search finds, those that begin with what is looked for first. Raises Refused."""
    limit = _number(query, "limit", _MOST_FOUND)
    if query.get("type", "") not in ("", "crypto") or query.get("exchange", "") not in ("", exchange):
        return []
    text = query.get("query", "").upper()
    hits = [symbol for symbol in symbols if text in full_name(symbol, exchange).upper()]
    hits.sort(key=lambda symbol: (not symbol.startswith(text), symbol))
    return [
        {
            "symbol": symbol,
            "full_name": full_name(symbol, exchange),
            "description": symbol,
            "exchange": exchange,
            "ticker": symbol,
            "type": "crypto",
        }
        for symbol in hits[: FOUND if limit is None else limit]
    ]


def asked(query: Mapping[str, str]) -> Asked:
    """Raises Refused."""
    resolution = query.get("resolution")
    if resolution is None:
        raise Refused(f"no resolution, expected one of {', '.join(RESOLUTIONS)}")
    interval = RESOLUTIONS.get(_SHORT.get(resolution, resolution))
    if interval is None:
        raise Refused(f"resolution is {quoted(resolution)}, expected one of {', '.join(RESOLUTIONS)}")
    start, end = _number(query, "from", _FOR_EVER), _number(query, "to", _FOR_EVER)
    count = _number(query, "countback", _FOR_EVER)
    end_ms = (_FOR_EVER if end is None else end) * 1000
    if count:  # it outranks `from`, which is a guess of how long so many bars take
        return Asked(interval, None, end_ms, min(count, MOST))
    if start is None:
        raise Refused("neither from nor countback, expected one of them")
    if start * 1000 > end_ms:
        raise Refused(f"to is {end}, expected {start} or more, as from")
    return Asked(interval, start * 1000, end_ms, MOST)


def inside(candles: Iterable[KlineData], wanted: Asked) -> list[KlineData]:
    """Those that were asked for: `end` is exclusive, but for the running one. Of a chart that asks for all up to now,
    it may begin right now."""
    hits = [
        candle
        for candle in candles
        if (wanted.start is None or candle.start >= wanted.start)
        and (candle.start < wanted.end or (candle.start == wanted.end and not candle.closed))
    ]
    return hits[-wanted.limit :]


def bars(candles: Iterable[KlineData]) -> dict[str, Any]:
    rows = list(candles)
    return {
        "s": "ok",
        "t": [row.start // 1000 for row in rows],
        "o": [Decimal(row.open) for row in rows],
        "h": [Decimal(row.high) for row in rows],
        "l": [Decimal(row.low) for row in rows],
        "c": [Decimal(row.close) for row in rows],
        "v": [Decimal(row.volume) for row in rows],
    }


def no_bars(before: KlineData | None) -> dict[str, Any]:
    """`before`: the last one before the time asked for, which a chart then asks for."""
    return {"s": "no_data"} if before is None else {"s": "no_data", "nextTime": before.start // 1000}


def quote(name: str, listing: Listing, ticker: TickerData) -> dict[str, Any]:
    """`name`: as the chart asked for it."""
    figures: dict[str, str | None] = {
        "ch": ticker.change,
        "chp": ticker.change_percent,
        "lp": ticker.last,
        "bid": ticker.bid,
        "ask": ticker.ask,
        "open_price": ticker.open,
        "high_price": ticker.high,
        "low_price": ticker.low,
        "prev_close_price": ticker.prev_close,
        "volume": ticker.volume,
    }
    known: dict[str, Any] = {key: Decimal(text) for key, text in figures.items() if text is not None}
    if "bid" in known and "ask" in known:
        with localcontext(EXACT):
            known["spread"] = known["ask"] - known["bid"]
    about = {"short_name": listing.symbol, "exchange": listing.exchange, "description": listing.description}
    return {"s": "ok", "n": name, "v": {**about, **known}}


def no_quote(name: str, why: str) -> dict[str, Any]:
    return {"s": "error", "n": name, "v": {}, "errmsg": why}


def _number(query: Mapping[str, str], name: str, most: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _TIME_CHARS + 1 and int(text) <= most):
        expected = f"a number up to {most}" if name in ("limit", "countback") else "a time in seconds"
        raise Refused(f"{name} is {quoted(text)}, expected {expected}")
    return int(text)
