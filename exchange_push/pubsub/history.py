"""History: the recent publications of a channel, numbered, for clients that come back.

A channel is numbered from the first subscription that asks for it until nobody has watched it for its ring's age; the
next who asks then finds a new epoch. While its watchers are away a ring goes on, so that they miss nothing.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from exchange_push.pubsub.channel import Channel, ChannelKind, Owner
from exchange_push.pubsub.publication import Number, Publication

_RING_BYTES: Final = 1 << 20  # of what was pushed; a back end may push a mebibyte at a time
_COMPUTED_BYTES: Final = 512  # about what one computed publication weighs


class _Kept(NamedTuple):
    at_ms: int
    weight_bytes: int
    publication: Publication


class _Ring:
    __slots__ = ("epoch", "kept", "seq", "watchers", "weight_bytes")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.seq = 0
        self.kept: deque[_Kept] = deque()
        self.weight_bytes = 0
        self.watchers = 0

    def drop_oldest(self) -> None:
        self.weight_bytes -= self.kept.popleft().weight_bytes


class History:
    """The rings of all channels that are numbered. `now_ms` need only go forward."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._rings: dict[Channel, _Ring] = {}
        self._kinds: Counter[ChannelKind] = Counter()  # of the channels that have one
        self._unwatched: dict[Channel, int] = {}  # since when
        self._epoch = 0
        self._sweep_ms = 0

    def __contains__(self, channel: Channel) -> bool:
        return channel in self._rings

    def __len__(self) -> int:
        return len(self._rings)

    def has_any(self, kind: ChannelKind) -> bool:
        """Whether a channel of the kind is numbered."""
        return self._kinds[kind] > 0

    def watch(self, channel: Channel) -> None:
        """One more subscription that wants numbers."""
        since_ms = self._unwatched.pop(channel, None)
        if since_ms is not None and self._now_ms() - since_ms > channel.kind.ring_ms:
            self._drop(channel)
        ring = self._rings.get(channel)
        if ring is None:
            # The time, so that no epoch of before a restart comes again.
            self._epoch = max(self._epoch + 1, self._now_ms())
            ring = self._rings[channel] = _Ring(self._epoch)
            self._kinds[channel.kind] += 1
        ring.watchers += 1

    def unwatch(self, channel: Channel) -> None:
        ring = self._rings[channel]
        ring.watchers -= 1
        if ring.watchers:
            return
        if ring.seq or channel.kind.owner is Owner.USER:
            self._unwatched[channel] = self._now_ms()
        else:
            self._drop(channel)  # made-up symbols leave nothing behind

    def number(self, channel: Channel) -> Number:
        """The number of the newest publication; 0: none yet."""
        ring = self._rings[channel]
        return Number(ring.epoch, ring.seq)

    def record(self, publication: Publication) -> None:
        """Number a publication and keep it, where its channel is numbered."""
        if self._unwatched:
            self._let_go()
        ring = self._rings.get(publication.channel)
        if ring is None:
            return
        kind = publication.channel.kind
        ring.seq += 1
        publication.number = Number(ring.epoch, ring.seq)
        if publication.checksum is not None:
            # Later it would be that of a later state.
            checksum = publication.checksum()
            publication.checksum = lambda: checksum
        now_ms = self._now_ms()
        weight_bytes = _weight_bytes(publication)
        ring.kept.append(_Kept(now_ms, weight_bytes, publication))
        ring.weight_bytes += weight_bytes
        while ring.kept and (
            len(ring.kept) > kind.ring_size
            or ring.weight_bytes > _RING_BYTES
            or now_ms - ring.kept[0].at_ms > kind.ring_ms
        ):
            ring.drop_oldest()

    def since(self, channel: Channel, number: Number) -> list[Publication] | None:
        """What came after that number, oldest first; None where the ring does not reach so far back."""
        ring = self._rings[channel]
        missed = ring.seq - number.seq
        if number.epoch != ring.epoch or missed < 0 or missed > len(ring.kept):
            return None
        return [kept.publication for kept in list(ring.kept)[len(ring.kept) - missed :]]

    def _let_go(self) -> None:
        """Drop the rings that nobody has watched for their age; looks once a second."""
        now_ms = self._now_ms()
        if now_ms < self._sweep_ms:
            return
        self._sweep_ms = now_ms + 1000
        expired = [channel for channel, since_ms in self._unwatched.items() if now_ms - since_ms > channel.kind.ring_ms]
        for channel in expired:
            del self._unwatched[channel]
            self._drop(channel)

    def _drop(self, channel: Channel) -> None:
        del self._rings[channel]
        self._kinds[channel.kind] -= 1


def _weight_bytes(publication: Publication) -> int:
    pushed = publication.data if publication.message is None else publication.message
    if isinstance(pushed, str | bytes):
        return len(pushed)
    if isinstance(pushed, msgspec.Raw):
        return len(bytes(pushed))
    return _COMPUTED_BYTES
