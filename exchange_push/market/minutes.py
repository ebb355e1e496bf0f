"""The running minute of each symbol, added up once for all that is made of whole minutes."""

from copy import copy

from exchange_push.market.bars import Bar
from exchange_push.market.feed import Market, Markets, Tick

_MINUTE_S = 60


class Minutes:
    """Takes in the seconds that end. What came late is not in it: whoever uses it hears of that by the tick."""

    def __init__(self, markets: Markets) -> None:
        self.running: dict[Market, Bar] = {}
        """Without the running second."""
        self.ended: list[tuple[Market, Bar]] = []
        """On this tick, in order of time for each market. Not to be changed."""
        self._tick: Tick | None = None
        self._minute = 0

    def collect(self, tick: Tick) -> None:
        """Take in a tick, once for all who ask."""
        if tick is self._tick:
            return
        self._tick = tick
        self.ended = []
        if tick.anew:
            self.running = {}
        for market, bar in tick.closed:
            known = self.running.get(market)
            if known is not None and known.second // _MINUTE_S == bar.second // _MINUTE_S:
                known.add(bar)
                continue
            if known is not None:
                self.ended.append((market, known))
            self.running[market] = copy(bar)  # the tick's own is shared
        minute = tick.time // (_MINUTE_S * 1_000)
        if minute != self._minute:
            self._minute = minute
            over = [item for item in self.running.items() if item[1].second // _MINUTE_S != minute]
            for market, _ in over:
                del self.running[market]
            self.ended += over
