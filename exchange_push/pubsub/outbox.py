"""What waits for one client alone.

What a client does not share with others (round.py) goes through its outbox and leaves at the end of the reactor's turn.
While the client's socket is full (`blocked`) things stay, and each kind's SlowPolicy says what becomes of them; what is
held never passes `limit_bytes`, what the transport holds of it included.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Final, TypeGuard

from exchange_push.errors import CloseCode, Disconnect
from exchange_push.pubsub.channel import Channel, SlowPolicy

# What a socket's send buffer takes at once (edge/front.py); more would only move the memory to the transport.
PORTION_BYTES: Final = 32768


class Budget:
    """Bytes that all blocked outboxes hold together."""

    __slots__ = ("held_bytes", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    @property
    def exceeded(self) -> bool:
        return self.held_bytes > self.limit_bytes


def _no_state(channel: Channel) -> bytes | None:
    return None


class Outbox:
    """An ordered set of waiting things: frames, and channels whose current state is due.

    `current` gives the bytes of a channel's current state at the moment they leave, None where there is none.
    """

    __slots__ = (
        "_blocked",
        "_budget",
        "_current",
        "_handed_bytes",
        "_items",
        "_keys",
        "_limit_bytes",
        "_updates",
        "held_bytes",
    )

    def __init__(self, limit_bytes: int, budget: Budget, current: Callable[[Channel], bytes | None]) -> None:
        self._limit_bytes = limit_bytes
        self._budget = budget
        self._current = current
        # Key: the channel where only one thing of it may wait, (channel, n) for a RESYNC channel's updates,
        # n for what must all arrive. Value: bytes, or None for "the current state, when it leaves".
        self._items: OrderedDict[object, bytes | None] = OrderedDict()
        self._keys = count()
        self._updates = 0  # how many of a RESYNC channel wait; 0 spares a search of the whole queue
        self._blocked = False
        self._handed_bytes = 0  # of those held, what the transport has and the socket did not take yet
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def blocked(self) -> bool:
        return self._blocked

    def block(self) -> None:
        if not self._blocked:
            self._blocked = True
            self._budget.held_bytes += self.held_bytes

    def unblock(self) -> None:
        if self._blocked:
            self._blocked = False
            self._budget.held_bytes -= self.held_bytes
            self.held_bytes -= self._handed_bytes
            self._handed_bytes = 0

    def hand(self, size: int) -> None:
        """The transport, which blocked, holds so many bytes more: they count until it unblocks."""
        self._handed_bytes += size
        self._hold(size)

    @property
    def full_portion(self) -> bool:
        """More waits than should be gathered in one turn."""
        return self.held_bytes >= PORTION_BYTES

    def put(self, wire: bytes, channel: Channel | None = None, slow: SlowPolicy = SlowPolicy.QUEUE) -> None:
        """Add a frame. Raises Disconnect (4008) when a blocked client's bound is passed; the outbox is then empty."""
        key: object
        if slow is SlowPolicy.CONFLATE:
            key = channel
            self._drop(channel)
        elif slow is SlowPolicy.RESYNC:
            if channel in self._items:
                return  # the state that is due will hold this change
            key = (channel, next(self._keys))
            self._updates += 1
        else:
            key = next(self._keys)
        self._items[key] = wire
        self._hold(len(wire))
        if self._blocked:
            # From a quarter on, so that what must all arrive has room.
            if self._updates and self.held_bytes > self._limit_bytes // 4:
                self._resync()
            if self.held_bytes > self._limit_bytes:
                held = self.held_bytes
                self.clear()
                raise Disconnect(CloseCode.TOO_SLOW, f"too slow: {held} bytes waited, the limit is {self._limit_bytes}")

    def put_current(self, channel: Channel) -> None:
        """The channel's current state is due; it is fetched when it leaves, so nothing newer can overtake it."""
        self._drop(channel)
        self._items[channel] = None

    def drop(self, channel: Channel) -> None:
        """The client listens to the channel no more: its state is not due."""
        self._drop(channel)

    def take(self) -> bytes:
        """The next portion to write, b"" when nothing waits."""
        parts: list[bytes] = []
        size = 0
        while self._items and size < PORTION_BYTES:
            key, wire = self._items.popitem(last=False)
            if wire is None:
                assert isinstance(key, Channel)
                wire = self._current(key) or b""
            else:
                self._hold(-len(wire))
                if _is_update(key):
                    self._updates -= 1
            parts.append(wire)
            size += len(wire)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def clear(self) -> None:
        self._items.clear()
        self._updates = 0
        self._hold(self._handed_bytes - self.held_bytes)

    def retire(self) -> None:
        """Nothing is taken any more. The session need not wait for the garbage collector to be gone, too."""
        self._current = _no_state

    def _hold(self, size: int) -> None:
        self.held_bytes += size
        if self._blocked:
            self._budget.held_bytes += size

    def _drop(self, key: object) -> None:
        wire = self._items.pop(key, None)
        if wire is not None:
            self._hold(-len(wire))

    def _resync(self) -> None:
        """Drop the waiting updates of RESYNC channels; the current state of each is due instead."""
        for key in [key for key in self._items if _is_update(key)]:
            self._drop(key)
            self.put_current(key[0])
        self._updates = 0


def _is_update(key: object) -> TypeGuard[tuple[Channel, int]]:
    return type(key) is tuple
