"""The intake record: what came in and when the server ticked, so that a run can be repeated. Bytes <-> values.

Items one after the other, each a msgpack array, its kind first, behind its length in four bytes. A Begin stands at each
start of a server. Format: docs/reference/intake-record.md.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from exchange_push.errors import WireError
from exchange_push.market.bars import Bar
from exchange_push.market.changes import Amended
from exchange_push.market.events import Gap, MarketEvent, Restart
from exchange_push.market.kept import Kept

VERSION: Final = 1
_LENGTH_BYTES: Final = 4
_ITEM_BYTES: Final = 64 << 20  # far more than a datagram or a push holds; a broken file must not be read into memory


class Begin(msgspec.Struct, array_like=True, tag="begin", frozen=True):
    """A server started. What its calculation depends on beside the events."""

    version: int
    close_grace_ms: int
    products: dict[str, dict[str, object]]
    """By symbol, the fields of market/product.py's Product."""
    public: list[str]
    """Channel types that the operator added;"""
    private: list[str]
    """of them, those of users."""
    store: bool = False
    """Whether there was a store."""


class RestartItem(msgspec.Struct, array_like=True, tag="restart", frozen=True):
    session: int


class GapItem(msgspec.Struct, array_like=True, tag="gap", frozen=True):
    count: int


class Applied(msgspec.Struct, array_like=True, tag="apply", frozen=True):
    """Events were given to the board at `now_ms` of the monotonic clock."""

    now_ms: int
    events: list[MarketEvent | RestartItem | GapItem]


class Ticked(msgspec.Struct, array_like=True, tag="tick", frozen=True):
    """The board was flushed."""

    now_ms: int
    latest_ms: int
    """The latest time that an event could have."""


class Pushed(msgspec.Struct, array_like=True, tag="push", frozen=True):
    """A publication that was not computed: a text, a binary message, or JSON data."""

    channel: str
    """As it is called inside: `1001@balance`."""
    text: str | None = None
    binary: bytes | None = None
    json: str | None = None


class Restored(msgspec.Struct, array_like=True, tag="restore", frozen=True):
    """What the store gave the board at the start."""

    kept: Kept


class Recalled(msgspec.Struct, array_like=True, tag="recall", frozen=True):
    """What the store gave the board within the tick before."""

    interval: str
    start: int
    end: int
    bars: dict[str, list[Bar]]


class Mended(msgspec.Struct, array_like=True, tag="amend", frozen=True):
    """Candles that late trades corrected in the store were published."""

    candles: list[Amended]


Item: TypeAlias = Begin | Applied | Ticked | Pushed | Restored | Recalled | Mended

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Item).decode


def encode(item: Item) -> bytes:
    data = _encode(item)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def applied(now_ms: int, events: Iterable[MarketEvent | Restart | Gap]) -> Applied:
    return Applied(now_ms, [_item(event) for event in events])


def _item(event: MarketEvent | Restart | Gap) -> MarketEvent | RestartItem | GapItem:
    if isinstance(event, Restart):
        return RestartItem(event.session)
    return GapItem(event.count) if isinstance(event, Gap) else event


def events_of(item: Applied) -> Iterator[MarketEvent | Restart | Gap]:
    for event in item.events:
        if isinstance(event, RestartItem):
            yield Restart(event.session)
        elif isinstance(event, GapItem):
            yield Gap(event.count)
        else:
            yield event


def decode(pieces: Iterable[bytes]) -> Iterator[Item]:
    """The items of a record that comes in pieces; one that the end cuts off is left out. Raises WireError."""
    data = b""
    number = 0
    for piece in pieces:
        data += piece
        at = 0
        while len(data) - at >= _LENGTH_BYTES:
            size = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
            if size > _ITEM_BYTES:
                raise WireError(
                    f"item {number + 1}: {size} bytes, expected at most {_ITEM_BYTES}: not an intake record?"
                )
            end = at + _LENGTH_BYTES + size
            if end > len(data):
                break
            number += 1
            try:
                yield _decode(data[at + _LENGTH_BYTES : end])
            except ValueError as error:
                raise WireError(f"item {number}: {error}") from None
            at = end
        data = data[at:]
