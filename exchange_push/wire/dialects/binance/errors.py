"""What is wrong with a request, as Binance's clients know it: `{"code":-1121,"msg":"Invalid symbol."}`.

Clients go by the code, some by the words too: they are Binance's where Binance has any.
"""

from enum import IntEnum

from exchange_push.errors import ExchangePushError, quoted


class Code(IntEnum):
    """Binance's numbers, as far as they are used here."""

    UNKNOWN = -1000
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
    DUPLICATE_SYMBOLS = -1151
    NO_API_KEY = -2014
    REFUSED_KEY = -2015


class BinanceError(ExchangePushError):
    """A request that is answered with this code, over HTTP with this status."""

    def __init__(self, code: Code, msg: str, status: int = 400) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.status = status

    @property
    def body(self) -> dict[str, object]:
        return {"code": self.code.value, "msg": self.msg}


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
