"""The answer of an engine's book URL -> a book event, by the rules of wire/events.py."""

from typing import Any

import msgspec

from exchange_push.errors import WireError, quoted
from exchange_push.market.events import BookSnapshot
from exchange_push.wire.events import decode_event


class _Answer(msgspec.Struct):
    """`{"lastUpdateId":n,"bids":[[price,qty],…],"asks":[…]}`; more keys may stand there."""

    lastUpdateId: Any
    bids: Any
    asks: Any


def decode_polled(body: bytes, symbol: str, time_ms: int) -> BookSnapshot:
    """The book of `symbol`; the answer names neither symbol nor time. Raises WireError saying what is wrong with it."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise WireError(f"not {{lastUpdateId, bids, asks}}: {quoted(str(error))}") from None
    event = decode_event(["book", symbol, answer.lastUpdateId, time_ms, answer.bids, answer.asks])
    assert isinstance(event, BookSnapshot)
    return event
