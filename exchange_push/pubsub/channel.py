"""Channels: what can be listened to, how it is named, and who may name it.

A channel is a pair (kind, owner) from end to end and never a joined string: no text that a client sends can be put
together with a uid to name another user's channel.
"""

import re
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from exchange_push.errors import ClientCode, ClientError, quoted

SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,31}")
UID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
KIND_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,31}")
_NAME_CHARS: Final = 128  # uid, symbol and kind together are shorter; more is an attack

ALL: Final = "*"


class Owner(Enum):
    """What the channels of a kind belong to."""

    SYMBOL = "symbol"  # BTCUSDT@depth
    EVERY = "every symbol"  # *@ticker
    USER = "user"  # @balance for its user, 1001@balance inside
    NOBODY = "nobody"  # system


class SlowPolicy(Enum):
    """What happens to publications that a slow client has not taken yet."""

    CONFLATE = "the newest replaces what waits"
    QUEUE = "all wait; past the bound the client is closed (4008)"
    RESYNC = "what waits is dropped, and the current state is sent when there is room"


@dataclass(frozen=True, slots=True, eq=False)
class ChannelKind:
    """A row of the catalogue: one type of channel. Compared by identity."""

    name: str
    owner: Owner
    slow: SlowPolicy
    every_ms: int = 0
    """Cadence of what the server computes; 0: it is published when it is pushed."""
    after_ms: int = 0
    """So much later than others of its cadence it is due, so that not all is made on one tick."""
    checksum: bool = False
    """A client may ask for a checksum in each message."""
    of_book: bool = False
    """Made of the symbol's book, so that it is stale where that is not known."""
    of_index: bool = False
    """The same of the symbol's index."""
    deflate_bytes: int = 256
    """From how many bytes on it is compressed, for clients that agreed to it."""
    ring_size: int = 256
    """How many publications a numbered channel keeps for clients that come back,"""
    ring_ms: int = 60_000
    """and for how long; so long, too, the channel stays numbered while nobody watches."""

    @property
    def computed(self) -> bool:
        return self.every_ms > 0


class Channel(NamedTuple):
    kind: ChannelKind
    owner: str
    """A symbol, a uid, "*" or "" by `kind.owner`."""

    def __str__(self) -> str:
        """The name inside: `BTCUSDT@depth`, `1001@balance`, `system`."""
        return self.kind.name if self.kind.owner is Owner.NOBODY else f"{self.owner}@{self.kind.name}"


class Registry:
    """Finds the channel behind a name.

    `aliases` maps further kind names to a kind's own (`kline` to `kline_1m`); `symbols`, where not empty, are the
    only ones that exist; `prefix` is what internal names may carry in front.
    """

    knows: Callable[[str], bool]
    """Whether clients may ask for a symbol."""

    def __init__(
        self,
        kinds: Iterable[ChannelKind],
        *,
        aliases: dict[str, str] | None = None,
        symbols: Iterable[str] = (),
        prefix: str = "ex:",
    ) -> None:
        self._kinds: dict[Owner, dict[str, ChannelKind]] = {owner: {} for owner in Owner}
        for kind in kinds:
            self._kinds[kind.owner][kind.name] = kind
        for alias, name in (aliases or {}).items():
            for table in self._kinds.values():
                if name in table:
                    table[alias] = table[name]
        listed = frozenset(symbols)
        self.knows = (lambda symbol: symbol in listed) if listed else (lambda symbol: True)
        self.prefix = prefix

    def knowing(self, knows: Callable[[str], bool]) -> "Registry":
        """The same for clients who may ask for other symbols."""
        other = copy(self)
        other.knows = knows
        return other

    def kind(self, owner: Owner, name: str) -> ChannelKind | None:
        return self._kinds[owner].get(name)

    def for_client(self, name: object, uid: str | None) -> Channel:
        """The channel that a client logged in as `uid` (None: not logged in) means by `name`.

        Raises ClientError: not logged in (1), no such channel (4), no such symbol (5).
        """
        if not isinstance(name, str):
            raise ClientError(ClientCode.MALFORMED, f"channel is {quoted(name)}, expected a string")
        owner, at, kind_name = name[: _NAME_CHARS + 1].partition("@")
        if len(name) <= _NAME_CHARS:
            if not at:
                kind = self._kinds[Owner.NOBODY].get(name)
                if kind is not None:
                    return Channel(kind, "")
            elif not owner:
                kind = self._kinds[Owner.USER].get(kind_name)
                if kind is not None:
                    if uid is None:
                        raise ClientError(ClientCode.NOT_AUTH, "Not Auth")
                    return Channel(kind, uid)
            else:
                channel = self._public(owner, kind_name)
                if channel is not None:
                    if owner != ALL and not self.knows(owner):
                        raise ClientError(ClientCode.UNKNOWN_SYMBOL, f"unknown symbol {quoted(owner)}")
                    return channel
        raise ClientError(
            ClientCode.INVALID_CHANNEL,
            f"invalid channel {quoted(name)}, expected <symbol>@<type> or, after login, @<type>",
        )

    def for_push(self, name: str) -> Channel | None:
        """The channel that an internal push means by `name` (`ex:1001@balance`); None where there is none."""
        name = name.removeprefix(self.prefix)
        if len(name) > _NAME_CHARS:
            return None
        owner, at, kind_name = name.partition("@")
        if not at:
            kind = self._kinds[Owner.NOBODY].get(name)
            return None if kind is None else Channel(kind, "")
        kind = self._kinds[Owner.USER].get(kind_name)
        if kind is not None:
            return Channel(kind, owner) if UID.fullmatch(owner) else None
        return self._public(owner, kind_name)

    def _public(self, owner: str, kind_name: str) -> Channel | None:
        if owner == ALL:
            kind = self._kinds[Owner.EVERY].get(kind_name)
        else:
            kind = self._kinds[Owner.SYMBOL].get(kind_name) if SYMBOL.fullmatch(owner) else None
        return None if kind is None else Channel(kind, owner)


def client_name(channel: Channel) -> str:
    """The name by which a client knows the channel: `@balance` for `1001@balance`."""
    return f"@{channel.kind.name}" if channel.kind.owner is Owner.USER else str(channel)
