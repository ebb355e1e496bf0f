"""Liveness: which channels may be old, since when, and who is told of it.

What the exchange computes for its clients goes stale when nothing is heard of the engine's feed, what is made of a book
also when that book is unsure, and what is made of an index when its symbol is unpriced. A stale channel and a quiet
one look alike; the difference is told on `system`, to those who listen to it, under the names that they know. What is
pushed never goes stale, and neither does what never was there: a feed, a book or an index never heard of is absent.

Nothing is measured here: `look` is given what the feed, the books and the indices say.
"""

from collections.abc import Set
from typing import Final

from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.hub import Hub
from exchange_push.pubsub.publication import Publication

_STALL_MS: Final = 500  # between two looks, ten times what it should be: it was we who were silent
_NOBODY: Final[frozenset[str]] = frozenset()


class Liveness:
    """`system` is the channel on which it is told; a feed is silent after more than `stale_ms`."""

    def __init__(self, hub: Hub, system: Channel, *, stale_ms: int) -> None:
        self.silences = 0
        """How often the feed fell silent."""
        self._hub = hub
        self._system = system
        self._stale_ms = stale_ms
        self._looked_ms: int | None = None
        self._silent_since: int | None = None
        self._unsure_since: dict[str, int] = {}  # by symbol
        self._unpriced_since: dict[str, int] = {}
        self._polled: Set[str] = _NOBODY

    @property
    def stale(self) -> int:
        """How many of the channels that somebody listens to may be old."""
        return sum(self.since(channel) is not None for channel, _ in self._hub.channels())

    def since(self, channel: Channel) -> int | None:
        """Since when (ms since the epoch) the channel may be old; None: it is live."""
        kind = channel.kind
        if not kind.computed:
            return None
        if kind.of_book:
            unsure_since = self._unsure_since.get(channel.owner)
            if unsure_since is not None or channel.owner in self._polled:
                return unsure_since
        if kind.of_index and channel.owner in self._unpriced_since:
            return self._unpriced_since[channel.owner]
        return self._silent_since

    def notice(self, channel: Channel, name: str) -> Publication | None:
        """What a new listener to the channel must know; None: that it is live, as is expected."""
        since = self.since(channel)
        return None if since is None else self._notice(name, since)

    def look(
        self,
        now_ms: int,
        silent_ms: int | None,
        unsure: Set[str],
        polled: Set[str] = _NOBODY,
        unpriced: Set[str] = _NOBODY,
    ) -> None:
        """Take in how things stand, on each tick, and tell who must know what became stale or live by it.

        `now_ms` is the wall clock; the feed was last heard `silent_ms` ago, None: never; the books of the symbols
        `unsure` are not known at present; those of `polled` come by another way than the feed; the index of the symbols
        `unpriced` is lost.
        """
        stalled = self._looked_ms is not None and now_ms - self._looked_ms > _STALL_MS
        self._looked_ms = now_ms
        if stalled:
            return  # what came meanwhile waits in the sockets, and is heard before the next look
        silent = silent_ms is not None and silent_ms > self._stale_ms
        if not silent:
            polled = _NOBODY  # it is of no consequence
        was_silent = self._silent_since is not None
        touched = (
            (self._unsure_since.keys() ^ unsure) | (self._polled ^ polled) | (self._unpriced_since.keys() ^ unpriced)
        )
        if silent == was_silent and not touched:
            return
        before = {
            channel: self.since(channel)
            for channel, _ in self._hub.channels()
            if silent != was_silent or channel.owner in touched
        }
        if silent and not was_silent:
            self.silences += 1
            self._silent_since = now_ms - (silent_ms or 0)
        elif not silent:
            self._silent_since = None
        self._unsure_since = {symbol: self._unsure_since.get(symbol, now_ms) for symbol in unsure}
        self._unpriced_since = {symbol: self._unpriced_since.get(symbol, now_ms) for symbol in unpriced}
        self._polled = frozenset(polled)
        for channel, was_since in before.items():
            since = self.since(channel)
            if (since is None) != (was_since is None):
                for name, listeners in self._hub.listeners(channel).items():
                    notice = self._notice(name, since)
                    for session in listeners:
                        session.tell(notice)

    def _notice(self, name: str, since: int | None) -> Publication:
        if since is None:
            return Publication(self._system, {"type": "live", "channel": name})
        return Publication(self._system, {"type": "stale", "channel": name, "since": since})
