"""The Hub: who listens to what, and fan-out.

It holds a channel only while somebody listens: names that clients make up leave nothing behind.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from exchange_push.errors import CloseCode
from exchange_push.pubsub.channel import Channel, ChannelKind
from exchange_push.pubsub.history import History
from exchange_push.pubsub.outbox import Budget
from exchange_push.pubsub.publication import Publication, View
from exchange_push.pubsub.round import Chain, Round

if TYPE_CHECKING:
    from exchange_push.pubsub.session import Session


class _Listeners(dict["Session", Chain]):
    """Who sees a channel alike: an audience of the round."""

    __slots__ = ("channel", "view")

    def __init__(self, channel: Channel, view: View) -> None:
        self.channel = channel
        self.view = view


class Hub:
    """Channels and their subscribers, grouped by how they see the channel; sessions by client id and by uid.

    `state` gives the current state of a channel, None where there is none. `now_ms` need only go forward.
    """

    def __init__(
        self, state: Callable[[Channel], Publication | None], budget: Budget, now_ms: Callable[[], int]
    ) -> None:
        self.state = state
        self.history = History(now_ms)
        self._now_ms = now_ms
        self.budget = budget
        self.round = Round()
        self.sessions: dict[str, Session] = {}
        self._users: dict[str, dict[Session, None]] = {}
        self._channels: dict[Channel, dict[View, _Listeners]] = {}
        self._kinds: Counter[ChannelKind] = Counter()  # how many of their channels somebody listens to
        self.publications = 0
        self.deliveries = 0
        self.evicted = 0

    # -- who is there

    def add(self, session: "Session") -> None:
        self.sessions[session.client_id] = session

    def remove(self, session: "Session") -> None:
        self.sessions.pop(session.client_id, None)
        self.round.leave(session)

    def bind(self, session: "Session", uid: str) -> None:
        self._users.setdefault(uid, {})[session] = None

    def unbind(self, session: "Session", uid: str) -> None:
        sessions = self._users.get(uid)
        if sessions is not None:
            sessions.pop(session, None)
            if not sessions:
                del self._users[uid]

    def sessions_of(self, uid: str) -> "list[Session]":
        return list(self._users.get(uid, ()))

    # -- who listens to what

    def subscribe(self, session: "Session", channel: Channel, view: View) -> tuple[Channel, View]:
        """Add a listener. Gives channel and view as all who listen to it alike may keep them: one object for all."""
        views = self._channels.get(channel)
        if views is None:
            views = self._channels[channel] = {}
            self._kinds[channel.kind] += 1
        sessions = views.get(view)
        if sessions is None:
            sessions = views[view] = _Listeners(channel, view)
        self.round.changing(sessions)
        sessions[session] = session.chain
        if view.numbered:
            self.history.watch(channel)
        return sessions.channel, sessions.view

    def unsubscribe(self, session: "Session", channel: Channel, view: View) -> None:
        views = self._channels.get(channel)
        if views is None or (sessions := views.get(view)) is None or session not in sessions:
            return
        self.round.changing(sessions)
        del sessions[session]
        if view.numbered:
            self.history.unwatch(channel)
        if not sessions:
            del views[view]
            if not views:
                del self._channels[channel]
                self._kinds[channel.kind] -= 1

    def wanted(self, channel: Channel) -> bool:
        """Does anybody listen, or may somebody come back who did?"""
        return channel in self._channels or channel in self.history

    def any_wanted(self, kind: ChannelKind) -> bool:
        """The same of any channel of a kind."""
        return self._kinds[kind] > 0 or self.history.has_any(kind)

    def channels(self) -> Iterator[tuple[Channel, int]]:
        """Every channel that somebody listens to, and how many do."""
        for channel, views in self._channels.items():
            yield channel, sum(map(len, views.values()))

    def listeners(self, channel: Channel) -> "dict[str, list[Session]]":
        """Who listens to the channel, by the name under which they know it."""
        found: dict[str, list[Session]] = {}
        for view, sessions in self._channels.get(channel, {}).items():
            found.setdefault(view.name, []).extend(sessions)
        return found

    # -- fan-out

    def publish(self, publication: Publication) -> tuple[int, int]:
        """Hand the publication to all who listen: (connections it was handed to, failed)."""
        if not publication.time:
            publication.time = self._now_ms()
        self.history.record(publication)
        views = self._channels.get(publication.channel)
        if views is None:
            return 0, 0
        self.publications += 1
        handed = failed = 0
        for view, sessions in tuple(views.items()):
            wire = publication.frame(view).wire
            if not wire:
                continue
            found = self.round.add(sessions, wire, publication)
            handed += found[0]
            failed += found[1]
        self.deliveries += handed
        if self.budget.exceeded:
            self._evict()
        return handed, failed

    def _evict(self) -> None:
        """Close those who hold most until all together are within the budget again."""
        slow = sorted(
            (session for session in self.sessions.values() if session.outbox.blocked),
            key=lambda session: session.outbox.held_bytes,
        )
        while slow and self.budget.exceeded:
            self.evicted += 1
            slow.pop().disconnect(CloseCode.TOO_SLOW, "too slow: the server's memory for slow clients is used up")
