"""Parameters of a request, over HTTP or the WebSocket API: read by name, checked by Binance's rules.

All raise BinanceError. A number above what an endpoint gives is cut to that, as Binance does.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from exchange_push.errors import quoted
from exchange_push.pubsub.channel import SYMBOL
from exchange_push.wire.dialects.binance.errors import (
    BinanceError,
    Code,
    bad_value,
    illegal,
    missing,
    unknown_symbol,
)

Params: TypeAlias = Mapping[str, str]

_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_ZONE: Final = re.compile(r"([+-]?)([0-9]{1,2})(?::([0-9]{2}))?")
_WINDOW: Final = re.compile(r"([1-9][0-9]?)([mhd])")
_LONGEST: Final = {"m": 59, "h": 23, "d": 7}
_UNIT_S: Final = {"m": 60, "h": 3_600, "d": 86_400}
_MAX: Final = 2**63 - 1
_TIME_MAX: Final = 10**15  # ms; beyond it no calendar goes
_ZONES_MINUTES: Final = range(-12 * 60, 14 * 60 + 1)


def from_query(args: Mapping[str, Sequence[str]]) -> Params:
    """Of what stands behind the `?`."""
    for name, values in args.items():
        if len(values) > 1:
            raise BinanceError(Code.TOO_MANY_PARAMETERS, f"Duplicate values for parameter {quoted(name)} detected.")
    return {name: values[0] for name, values in args.items()}


def from_json(found: object) -> Params:
    """Of `params` in a message: numbers, booleans and lists become what they are in a query."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise bad_value("params", "an object")
    return {name: _text(name, value) for name, value in found.items() if value is not None}


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    raise bad_value(name, "a string, a number, a boolean or a list")


def expect_only(params: Params, names: Iterable[str]) -> None:
    """Nothing may be there that is not read."""
    known = set(names)
    read = len(params.keys() & known)
    if read == len(params):
        return
    if not known:
        raise BinanceError(Code.TOO_MANY_PARAMETERS, f"Too many parameters; expected '0' and received '{len(params)}'.")
    raise BinanceError(
        Code.UNREAD, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(params)}'."
    )


def text(params: Params, name: str) -> str | None:
    """None: it was not sent."""
    found = params.get(name)
    if found == "":
        raise BinanceError(Code.EMPTY, f"Parameter '{name}' was empty.")
    return found


def needed(params: Params, name: str) -> str:
    found = text(params, name)
    if found is None:
        raise missing(name)
    return found


def number(params: Params, name: str, *, least: int = 0, most: int = _MAX) -> int | None:
    found = text(params, name)
    if found is None:
        return None
    if not _NUMBER.fullmatch(found):
        raise illegal(name, "^[0-9]{1,20}$")
    if int(found) < least:
        raise bad_value(name, f"{least} or more")
    return min(int(found), most)


def limit(params: Params, usual: int, most: int) -> int:
    found = number(params, "limit", least=1, most=most)
    return usual if found is None else found


def span(params: Params) -> tuple[int | None, int | None]:
    """`startTime` and `endTime`, both inclusive, ms."""
    start = number(params, "startTime", most=_TIME_MAX)
    end = number(params, "endTime", most=_TIME_MAX)
    if start is not None and end is not None and end < start:
        raise bad_value("endTime", "startTime or later")
    return start, end


def choice(params: Params, name: str, among: Iterable[str], usual: str) -> str:
    found = text(params, name)
    if found is None:
        return usual
    if found not in among:
        raise bad_value(name, f"one of {', '.join(among)}")
    return found


def flag(params: Params, name: str) -> bool:
    """True where it was not sent."""
    return choice(params, name, ("true", "false"), "true") == "true"


def texts(params: Params, name: str) -> list[str] | None:
    """One text, or a JSON array of them."""
    found = text(params, name)
    if found is None or not found.startswith("["):
        return None if found is None else [found]
    try:
        return msgspec.json.decode(found, type=list[str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise bad_value(name, "a text or an array of texts") from None


def window_s(name: str) -> int:
    """The length of `windowSize`: 1m to 59m, 1h to 23h, 1d to 7d."""
    match = _WINDOW.fullmatch(name)
    if match is None or int(match[1]) > _LONGEST[match[2]]:
        raise bad_value("windowSize", "1m to 59m, 1h to 23h, or 1d to 7d")
    return int(match[1]) * _UNIT_S[match[2]]


def zone_minutes(params: Params) -> int:
    """`timeZone` as minutes ahead of UTC: `8`, `-1:00`, `05:45`."""
    found = text(params, "timeZone")
    if found is None:
        return 0
    match = _ZONE.fullmatch(found)
    if match is None:
        raise bad_value("timeZone", "one like 8, -1:00 or 05:45")
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    minutes = -minutes if match[1] == "-" else minutes
    if minutes not in _ZONES_MINUTES or int(match[3] or 0) > 59:
        raise bad_value("timeZone", "-12:00 to +14:00")
    return minutes


def symbol(params: Params, known: Callable[[str], bool]) -> str:
    return _symbol("symbol", needed(params, "symbol"), known)


def _symbol(name: str, found: str, known: Callable[[str], bool]) -> str:
    if not SYMBOL.fullmatch(found):
        raise illegal(name, f"^{SYMBOL.pattern}$")
    if not known(found):
        raise unknown_symbol()
    return found


def symbols(params: Params, known: Callable[[str], bool]) -> list[str] | None:
    """Those of `symbols=["BTCUSDT","ETHUSDT"]`; None: it was not sent."""
    found = text(params, "symbols")
    if found is None:
        return None
    if "symbol" in params:
        raise combination("symbol", "symbols")
    try:
        names = msgspec.json.decode(found, type=list[str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise illegal("symbols", f'^\\["{SYMBOL.pattern}"(,"{SYMBOL.pattern}")*\\]$') from None
    if not names:
        raise missing("symbols")
    if len(set(names)) < len(names):
        raise BinanceError(Code.DUPLICATE_SYMBOLS, "Symbol is present multiple times in the list.")
    return [_symbol("symbols", name, known) for name in names]


def combination(*names: str) -> BinanceError:
    return BinanceError(
        Code.COMBINATION, f"Combination of optional parameters invalid: {' and '.join(names)} exclude each other."
    )
