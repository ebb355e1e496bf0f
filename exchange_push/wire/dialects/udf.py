"""What a TradingView chart asks a data feed, and how it is answered (UDF, the protocol of its stock adapter).

Numbers are JSON numbers that carry the exact decimal: every version of the adapter takes them, numeric strings only
the newer ones.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

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


class NoAnswer(Struct, frozen=True, tag_field="s", tag="error"):
    """`errmsg` says why."""

    errmsg: str


class Exchange(Struct, frozen=True):
    value: str
    name: str
    desc: str


class SymbolType(Struct, frozen=True):
    name: str
    value: str


class Config(Struct, frozen=True):
    supported_resolutions: list[str]
    supports_search: bool
    supports_group_request: bool
    supports_marks: bool
    supports_timescale_marks: bool
    supports_time: bool
    exchanges: list[Exchange]
    symbols_types: list[SymbolType]


def config(exchange: str) -> Config:
    return Config(
        supported_resolutions=list(RESOLUTIONS),
        supports_search=True,
        supports_group_request=False,
        supports_marks=False,
        supports_timescale_marks=False,
        supports_time=True,
        exchanges=[Exchange("", "All", ""), Exchange(exchange, exchange, exchange)],
        symbols_types=[SymbolType("All", ""), SymbolType("Crypto", "crypto")],
    )


class SymbolInfo(Struct, frozen=True):
    """Prices are multiples of `minmov` / `pricescale`."""

    name: str
    ticker: str
    full_name: str
    description: str
    type: str
    session: str
    timezone: str
    exchange: str
    listed_exchange: str
    minmov: int
    pricescale: int
    format: str
    volume_precision: int
    has_seconds: bool
    seconds_multipliers: list[str]
    has_intraday: bool
    intraday_multipliers: list[str]
    has_daily: bool
    daily_multipliers: list[str]
    has_weekly_and_monthly: bool
    weekly_multipliers: list[str]
    monthly_multipliers: list[str]
    supported_resolutions: list[str]
    data_status: str


def symbol_info(listing: Listing) -> SymbolInfo:
    digits = digits_of(listing.tick_size)
    return SymbolInfo(
        name=listing.symbol,
        ticker=listing.symbol,
        full_name=full_name(listing.symbol, listing.exchange),
        description=listing.description,
        type="crypto",
        session="24x7",
        timezone="Etc/UTC",
        exchange=listing.exchange,
        listed_exchange=listing.exchange,
        minmov=int(listing.tick_size.scaleb(digits)),
        pricescale=10**digits,
        format="price",
        volume_precision=listing.volume_digits,
        has_seconds=True,
        seconds_multipliers=["1"],
        has_intraday=True,
        intraday_multipliers=_MINUTES,
        has_daily=True,
        daily_multipliers=["1", "3"],
        has_weekly_and_monthly=True,
        weekly_multipliers=["1"],
        monthly_multipliers=["1"],
        supported_resolutions=list(RESOLUTIONS),
        data_status="streaming",
    )


class Hit(Struct, frozen=True):
    symbol: str
    full_name: str
    description: str
    exchange: str
    ticker: str
    type: str


def found(symbols: Iterable[str], exchange: str, query: Mapping[str, str]) -> list[Hit]:
    """What a search finds, those that begin with what is looked for first. Raises Refused."""
    limit = _number(query, "limit", _MOST_FOUND)
    if query.get("type", "") not in ("", "crypto") or query.get("exchange", "") not in ("", exchange):
        return []
    text = query.get("query", "").upper()
    hits = [symbol for symbol in symbols if text in full_name(symbol, exchange).upper()]
    hits.sort(key=lambda symbol: (not symbol.startswith(text), symbol))
    return [
        Hit(symbol, full_name(symbol, exchange), description=symbol, exchange=exchange, ticker=symbol, type="crypto")
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


_LETTERS: Final = {"times": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}


class Bars(Struct, frozen=True, rename=_LETTERS, tag_field="s", tag="ok"):
    """`t` is where each begins, in s; then come open, high, low, close and volume of each."""

    times: list[int]
    open: list[Decimal]
    high: list[Decimal]
    low: list[Decimal]
    close: list[Decimal]
    volume: list[Decimal]


class NoBars(Struct, frozen=True, rename="camel", tag_field="s", tag="no_data"):
    """`nextTime`, in s: where the last one begins before the time asked for, which a chart then asks for."""

    next_time: int | UnsetType = UNSET


def bars(candles: Iterable[KlineData]) -> Bars:
    rows = list(candles)
    return Bars(
        times=[row.start // 1000 for row in rows],
        open=[Decimal(row.open) for row in rows],
        high=[Decimal(row.high) for row in rows],
        low=[Decimal(row.low) for row in rows],
        close=[Decimal(row.close) for row in rows],
        volume=[Decimal(row.volume) for row in rows],
    )


def no_bars(before: KlineData | None) -> NoBars:
    """`before`: the last one before the time asked for."""
    return NoBars() if before is None else NoBars(before.start // 1000)


class Figures(Struct, frozen=True, kw_only=True):
    """What is not known is left out."""

    short_name: str
    exchange: str
    description: str
    ch: Decimal
    chp: Decimal
    lp: Decimal
    bid: Decimal | UnsetType = UNSET
    ask: Decimal | UnsetType = UNSET
    open_price: Decimal
    high_price: Decimal
    low_price: Decimal
    prev_close_price: Decimal | UnsetType = UNSET
    volume: Decimal
    spread: Decimal | UnsetType = UNSET


class NoFigures(Struct, frozen=True):
    pass


class Quote(Struct, frozen=True, tag_field="s", tag="ok"):
    """`n`: as the chart asked for it."""

    n: str
    v: Figures


class NoQuote(Struct, frozen=True, tag_field="s", tag="error"):
    n: str
    v: NoFigures
    errmsg: str


class Quotes(Struct, frozen=True, tag_field="s", tag="ok"):
    d: list[Quote | NoQuote]


def quote(name: str, listing: Listing, ticker: TickerData) -> Quote:
    """`name`: as the chart asked for it."""
    bid, ask = _figure(ticker.bid), _figure(ticker.ask)
    spread: Decimal | UnsetType = UNSET
    if bid is not UNSET and ask is not UNSET:
        with localcontext(EXACT):
            spread = ask - bid
    figures = Figures(
        short_name=listing.symbol,
        exchange=listing.exchange,
        description=listing.description,
        ch=Decimal(ticker.change),
        chp=Decimal(ticker.change_percent),
        lp=Decimal(ticker.last),
        bid=bid,
        ask=ask,
        open_price=Decimal(ticker.open),
        high_price=Decimal(ticker.high),
        low_price=Decimal(ticker.low),
        prev_close_price=_figure(ticker.prev_close),
        volume=Decimal(ticker.volume),
        spread=spread,
    )
    return Quote(name, figures)


def _figure(text: str | None) -> Decimal | UnsetType:
    return UNSET if text is None else Decimal(text)


def no_quote(name: str, why: str) -> NoQuote:
    return NoQuote(name, NoFigures(), why)


def _number(query: Mapping[str, str], name: str, most: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _TIME_CHARS + 1 and int(text) <= most):
        expected = f"a number up to {most}" if name in ("limit", "countback") else "a time in seconds"
        raise Refused(f"{name} is {quoted(text)}, expected {expected}")
    return int(text)
