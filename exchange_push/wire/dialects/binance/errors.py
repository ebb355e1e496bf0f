"""What is wrong with a request, as Binance's clients know it: `{"code":-1121,"msg":"Invalid symbol."}`.

Clients go by the code, some by the words too: they are Binance's where Binance has any.
"""

from collections.abc import Sequence
from enum import IntEnum

from exchange_push.errors import ClientCode, ClientError, quoted


class Code(IntEnum):
    """Binance's numbers, as far as they are used here."""

    UNKNOWN = -1000
    UNAUTHORIZED = -1002
    TOO_MANY_REQUESTS = -1003
    BUSY = -1008
    UNSUPPORTED = -1020
    TIMESTAMP = -1021
    SIGNATURE = -1022
    ILLEGAL_CHARS = -1100
    TOO_MANY_PARAMETERS = -1101
    MISSING = -1102
    UNREAD = -1104
    EMPTY = -1105
    INTERVAL = -1120
    SYMBOL = -1121
    COMBINATION = -1128
    VALUE = -1130
    WINDOW = -1131
    DUPLICATE_SYMBOLS = -1151
    BAD_KEY = -2014
    REFUSED_KEY = -2015
    NO_SUBSCRIPTION = -2036


class BinanceError(ClientError):
    """A request that is answered with this number, and with this status of HTTP."""

    def __init__(self, number: Code, msg: str, status: int = 400) -> None:
        super().__init__(ClientCode.MALFORMED, msg)
        self.number = number
        self.status = status
        self.limits: Sequence[object] = ()
        """What a reply over a WebSocket says of the weight used."""

    @property
    def body(self) -> dict[str, object]:
        return {"code": self.number.value, "msg": self.msg}


def translated(error: ClientError) -> BinanceError:
    """An error of ours by the number that Binance has for it."""
    if isinstance(error, BinanceError):
        return error
    number, msg, status = _OURS.get(error.code, (Code.UNKNOWN, error.msg, 400))
    return BinanceError(number, msg, status)


_OURS: dict[ClientCode, tuple[Code, str, int]] = {
    ClientCode.NOT_AUTH: (Code.UNAUTHORIZED, "You are not authorized to execute this request.", 401),
    ClientCode.TOO_MANY_REQUESTS: (Code.TOO_MANY_REQUESTS, "Too many requests; please slow down.", 429),
    ClientCode.LOGIN_REFUSED: (Code.REFUSED_KEY, "Invalid API-key, IP, or permissions for action.", 401),
    ClientCode.LOGIN_UNAVAILABLE: (Code.BUSY, "API-keys cannot be looked up at present. Try again later.", 503),
}


def missing(name: str) -> BinanceError:
    return BinanceError(Code.MISSING, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> BinanceError:
    return BinanceError(
        Code.ILLEGAL_CHARS, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def bad_value(name: str, expected: str = "") -> BinanceError:
    text = f"Data sent for parameter '{name}' is not valid."
    return BinanceError(Code.VALUE, f"{text} Expected {expected}." if expected else text)


def unknown_symbol() -> BinanceError:
    return BinanceError(Code.SYMBOL, "Invalid symbol.")


def unsupported(what: str) -> BinanceError:
    return BinanceError(Code.UNSUPPORTED, f"This operation is not supported: {quoted(what)}.", 404)


def not_known(what: str) -> BinanceError:
    """Of what clients may ask for and nobody told us yet; it is worth to try again."""
    return BinanceError(Code.UNKNOWN, f"{what} is not known at present.", 503)
