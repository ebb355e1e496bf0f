"""The newest trades of each symbol one by one, as the engine reported them: what is stored has them merged.

They are kept packed, since they are asked for seldom and there may be many symbols; and in nothing that the garbage
collector has to look at.
"""

from collections import deque
from typing import Final

import msgspec

from exchange_push.market.events import Trade
from exchange_push.market.feed import Market

_KEPT: Final = 1_000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Trade]).decode


class Recent:
    """The newest 1,000 of each symbol, and what else came together with the oldest of them."""

    def __init__(self) -> None:
        self._batches: dict[Market, deque[bytes]] = {}
        self._sizes: dict[Market, deque[int]] = {}
        self._counts: dict[Market, int] = {}

    def add(self, market: Market, trades: list[Trade]) -> None:
        batches = self._batches.get(market)
        if batches is None:
            batches, self._sizes[market], self._counts[market] = deque(), deque(), 0
            self._batches[market] = batches
        sizes = self._sizes[market]
        batches.append(_encode(trades))
        sizes.append(len(trades))
        count = self._counts[market] + len(trades)
        while count - sizes[0] >= _KEPT:
            batches.popleft()
            count -= sizes.popleft()
        self._counts[market] = count

    def newest(self, market: Market, limit: int) -> list[Trade]:
        """In order of time and id."""
        found = [trade for batch in self._batches.get(market, ()) for trade in _decode(batch)]
        found.sort(key=_by_time)
        return found[-limit:]


def _by_time(trade: Trade) -> tuple[int, int]:
    return trade.time, trade.id
