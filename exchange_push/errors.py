"""What can go wrong, by who is at fault, and the numbers that say so on the wire.

    ExchangePushError
    ├── ConfigError          the operator: a bad option, key or file
    ├── WireError            the peer sent what we cannot read
    │   ├── MalformedPacket    a datagram of the engine's feed
    │   └── MalformedPush      an internal push; carries the code of the answer
    ├── ClientError          answered with code and msg; the connection stays
    ├── PageError            an HTTP request of a client is answered with this status
    ├── Disconnect           the connection ends with this close code and reason
    ├── StoreUnavailable     the store cannot be asked now
    └── AuthError            the auth service gave no uid
        ├── AuthRefused        it does not know the token
        └── AuthUnavailable    it timed out, failed, or answered nonsense

A message says what was found and what was expected. It never holds a token, and what it quotes of a peer's text
has gone through `quoted`.
"""

from enum import IntEnum


class ClientCode(IntEnum):
    """Codes of an error answer to a client. A number is never used twice."""

    NOT_AUTH = 1
    MALFORMED = 2
    UNKNOWN_OP = 3
    INVALID_CHANNEL = 4
    UNKNOWN_SYMBOL = 5
    TOO_MANY_SUBSCRIPTIONS = 6
    TOO_MANY_REQUESTS = 7
    LOGIN_REFUSED = 8
    LOGIN_UNAVAILABLE = 9


class CloseCode(IntEnum):
    """Why a WebSocket ends. 4000-4499: come back; 4500-4999: come back only after a change."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TOO_SLOW = 4008
    OVERLOADED = 4013
    TOO_MANY_REQUESTS = 4029
    TOO_MANY_ERRORS = 4500
    LOGIN_REFUSED = 4501
    LOGGED_OUT = 4503
    TOO_MANY_CONNECTIONS = 4505


class PushCode(IntEnum):
    """Codes of an error answer to an internal push."""

    INVALID_ARGUMENT = 101
    CALL_FAILED = 301
    SEND_FAILED = 401
    NOT_AUTHORISED = 403
    TOO_LARGE = 413


class ExchangePushError(Exception):
    """The root of this tree."""


class ConfigError(ExchangePushError):
    """An option, key or file of the operator cannot be used; the message is one line for a terminal."""


class WireError(ExchangePushError):
    """A peer sent bytes that we cannot read."""


class MalformedPacket(WireError):
    """A datagram that is not a packet of the engine's feed."""


class MalformedPush(WireError):
    """An internal push that cannot be carried out."""

    def __init__(self, msg: str, code: PushCode = PushCode.INVALID_ARGUMENT) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg


class ClientError(ExchangePushError):
    """A client's request cannot be carried out; it is answered and the connection stays."""

    def __init__(self, code: ClientCode, msg: str) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg


class PageError(ExchangePushError):
    """A client's HTTP request cannot be answered."""

    def __init__(self, status: int, msg: str) -> None:
        super().__init__(msg)
        self.status = status
        self.msg = msg


class Disconnect(ExchangePushError):
    """The connection must end."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StoreUnavailable(ExchangePushError):
    """There is no store, or it cannot be read, or too many ask."""


class AuthError(ExchangePushError):
    """No uid came of a login."""


class AuthRefused(AuthError):
    """The auth service does not know the token."""


class AuthUnavailable(AuthError):
    """The auth service timed out, failed, or answered nonsense."""


_QUOTED_CHARS = 64  # enough to find one's own mistake, too little to fill a log


def quoted(found: object) -> str:
    """What a peer sent, fit for one line of a log or an answer: escaped, ASCII and short."""
    if isinstance(found, str) and len(found) > _QUOTED_CHARS:
        return f"{found[:_QUOTED_CHARS]!a}… ({len(found)} characters)"
    try:
        text = ascii(found)
    except RecursionError:  # what could just be decoded may be too deep to be shown
        return f"{type(found).__name__} nested too deep"
    return text if len(text) <= 2 * _QUOTED_CHARS else text[: 2 * _QUOTED_CHARS] + "…"
