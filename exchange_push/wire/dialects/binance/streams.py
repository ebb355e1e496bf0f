"""Names of streams: `btcusdt@depth@100ms` is what we call `BTCUSDT@depth`, `!ticker@arr` is `*@ticker`.

Two names may mean one channel, since faster than promised is as good; a connection hears it under the name that it
subscribed last.
"""

import re
from typing import Final

from exchange_push.errors import ClientCode, ClientError, quoted
from exchange_push.market.interval import INTERVALS
from exchange_push.pubsub.channel import ALL, SYMBOL, Channel, Owner, client_name

_SYMBOL: Final = re.compile(SYMBOL.pattern.replace("A-Z", "a-z"))
_EAST: Final = "@+08:00"
_EIGHT_HOURS_MS: Final = 28_800_000

# Kinds of channels of a symbol by what stands behind the first @. The first name of a kind is the one it is given
# where nobody asked for it by name.
_COMMON: Final = {
    "trade": "trade",
    "aggTrade": "trades",
    "miniTicker": "miniticker",
    "ticker": "ticker",
    "ticker_1h": "ticker_1h",
    "ticker_4h": "ticker_4h",
    "ticker_1d": "ticker_1d",
    "bookTicker": "bookticker",
    "avgPrice": "avgprice",
    "markPrice": "markprice_3s",
    "markPrice@1s": "markprice",
    "depth@100ms": "depth",
    "depth@250ms": "depth_250ms",
    "depth@500ms": "depth_500ms",
    "depth@1000ms": "depth_1s",
    **{f"depth{levels}@100ms": f"depth{levels}" for levels in (5, 10, 20)},
    **{f"kline_{name}": f"kline_{name}" for name in INTERVALS},
    # Those that begin when they begin 8 hours to the east, too.
    **{
        f"kline_{name}{_EAST}": f"kline_{name}"
        for name, interval in INTERVALS.items()
        if _EIGHT_HOURS_MS % interval.length_ms == 0
    },
}
SPOT: Final = {
    **_COMMON,
    "depth": "depth_1s",
    **{f"depth{levels}": f"depth{levels}_1s" for levels in (5, 10, 20)},
    **{f"depth{levels}@1000ms": f"depth{levels}_1s" for levels in (5, 10, 20)},
}
FUTURES: Final = {
    **_COMMON,
    "depth": "depth_250ms",
    "depth@0ms": "depth",  # in no document, and what some clients ask for
    **{
        f"depth{levels}{speed}": f"depth{levels}"
        for levels in (5, 10, 20)
        for speed in ("", "@0ms", "@250ms", "@500ms")
    },
}
# Kinds of channels of every symbol, by what stands behind the !.
_EVERY: Final = {
    "miniTicker@arr": "miniticker",
    "miniTicker@arr@1000ms": "miniticker",
    "ticker@arr": "ticker",
    "ticker@arr@1000ms": "ticker",
    "ticker_1h@arr": "ticker_1h",
    "ticker_4h@arr": "ticker_4h",
    "ticker_1d@arr": "ticker_1d",
    "bookTicker": "bookticker",
    "markPrice@arr": "markprice_3s",
    "markPrice@arr@1s": "markprice",
}


# Of a pair and a kind of contract, which is what a symbol of ours is, if it is perpetual.
CONTINUOUS: Final = "_perpetual@continuousKline_"


def channel_name(stream: object, kinds: dict[str, str]) -> str:
    """Our name of the channel that a stream is, `kinds` being SPOT or FUTURES. Raises ClientError."""
    if not isinstance(stream, str):
        raise ClientError(ClientCode.MALFORMED, "params must be an array of strings")
    if stream.startswith("!"):
        kind = _EVERY.get(stream[1:])
        if kind is not None:
            return f"{ALL}@{kind}"
    symbol, _, rest = (stream.replace(CONTINUOUS, "@kline_") if kinds is FUTURES else stream).partition("@")
    kind = kinds.get(rest)
    if kind is None or not _SYMBOL.fullmatch(symbol):
        raise ClientError(ClientCode.INVALID_CHANNEL, f"invalid stream {quoted(stream)}{_hint(symbol, rest, kinds)}")
    return f"{symbol.upper()}@{kind}"


def _hint(symbol: str, rest: str, kinds: dict[str, str]) -> str:
    """What is wrong with a stream that Binance has."""
    if rest in kinds and SYMBOL.fullmatch(symbol):
        return f", expected {symbol.lower()}@{rest}"
    if rest.endswith(_EAST) and rest.removesuffix(_EAST) in kinds:
        return ", its candles begin by UTC here"
    return ""


def stream_name(channel: Channel, kinds: dict[str, str]) -> str:
    """The stream that a channel is; of one that is none, our own name of it."""
    kind = channel.kind
    names: list[str] = []
    if kind.owner is Owner.SYMBOL:
        names = [f"{channel.owner.lower()}@{name}" for name, known in kinds.items() if known == kind.name]
    elif kind.owner is Owner.EVERY:
        names = [f"!{name}" for name, known in _EVERY.items() if known == kind.name]
    return names[0] if names else client_name(channel)
