"""What a program says of its client: a line of JSON each, which tests/clients/world.py puts on record."""

import json
from collections.abc import Iterable
from typing import Any


def say(kind: str, **fields: Any) -> None:
    print(json.dumps({"kind": kind, **fields}, default=str), flush=True)


def say_book(symbol: str, update_id: int, bids: Iterable[Any], asks: Iterable[Any]) -> None:
    """The whole book that the client has, as of an update; levels are pairs of what the client makes of them."""
    sides = [[[price, qty] for price, qty, *_ in side] for side in (bids, asks)]
    say("book", symbol=symbol, id=update_id, bids=sides[0], asks=sides[1])
