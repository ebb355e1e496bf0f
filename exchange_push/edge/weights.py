"""How much each address has asked for in the running minute, and who is kept out for having gone on too long.

Minutes are those of the clock, as in Binance's headers. What is held is bounded: past that, who came first is
forgotten.
"""

from typing import Final, NamedTuple

from exchange_push.edge.front import address_key, one_spelling

_MINUTE_MS: Final = 60_000
_ADDRESSES: Final = 100_000
_LONGEST_S: Final = 3 * 86_400
_NOBODY: Final = ""


class Used(NamedTuple):
    """What a request came to. `retry_s`, where it is not 0: it is refused for so long; `banned`: for having gone on."""

    weight: int
    retry_s: int = 0
    banned: bool = False


class _Ban(NamedTuple):
    until_ms: int
    length_s: int


class Weights:
    """`per_minute`: weight that an address has, 0: no limit. After `refusals` requests beyond it in one minute the
    address is banned for `ban_s`, and twice as long each time that it comes to that again, up to three days.

    Loopback and `proxies` are counted, and never refused: many may be behind them.
    """

    def __init__(self, per_minute: int, *, refusals: int, ban_s: int, proxies: frozenset[str] = frozenset()) -> None:
        self.per_minute = per_minute
        self._proxies = proxies
        self._refusals = refusals
        self._ban_s = ban_s
        self._minute = -1
        self._used: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._bans: dict[str, _Ban] = {}
        self.refused = 0
        self.bans = 0

    def use(self, address: str | None, weight: int, now_ms: int) -> Used:
        """Count a request in. Without an address it came by a UNIX socket, and is never refused."""
        minute = now_ms // _MINUTE_MS
        if minute != self._minute:
            self._minute, self._used, self._refused = minute, {}, {}
        limited = None if address is None or one_spelling(address) in self._proxies else address_key(address)
        key = limited or address or _NOBODY
        used = self._used.get(key, 0)
        if limited is None or not self.per_minute:
            return Used(self._note(key, used + weight))
        ban = self._bans.get(key)
        if ban is not None and now_ms < ban.until_ms:
            self.refused += 1
            return Used(used, -(-(ban.until_ms - now_ms) // 1_000), banned=True)
        if used + weight <= self.per_minute:
            return Used(self._note(key, used + weight))
        self.refused += 1
        refused = self._refused[key] = self._refused.get(key, 0) + 1
        if refused > self._refusals:
            ban = self._ban(key, now_ms)
            return Used(used, ban.length_s, banned=True)
        self._note(key, used)
        return Used(used, -(-((minute + 1) * _MINUTE_MS - now_ms) // 1_000))

    def _note(self, key: str, used: int) -> int:
        if key not in self._used and len(self._used) >= _ADDRESSES:
            oldest = next(iter(self._used))
            del self._used[oldest]
            self._refused.pop(oldest, None)
        self._used[key] = used
        return used

    def _ban(self, key: str, now_ms: int) -> _Ban:
        before = self._bans.pop(key, None)
        again = before is not None and now_ms < before.until_ms + before.length_s * 1_000
        length_s = min(2 * before.length_s, _LONGEST_S) if before is not None and again else self._ban_s
        if len(self._bans) >= _ADDRESSES:
            del self._bans[next(iter(self._bans))]
        ban = self._bans[key] = _Ban(now_ms + length_s * 1_000, length_s)
        self._refused.pop(key, None)
        self.bans += 1
        return ban
