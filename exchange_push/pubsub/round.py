"""Round: what goes to clients in one turn of the reactor.

Clients that keep up wait together: those with equal frames share one chain of them, and the work for each client and
turn does not grow with the frames. Who has something of its own waiting, or does not read, goes apart: its frames go
into its outbox, one by one, until that is empty again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from exchange_push.pubsub.outbox import PORTION_BYTES, Outbox
from exchange_push.pubsub.publication import Publication

Piece = tuple[bytes, Publication]
"""A frame's bytes, and what it is the frame of."""

Audience = Mapping[Any, None]
"""Members, in a dictionary without values; the key of a Mapping's type takes no subtypes, so it says Any."""


class Member(Protocol):
    """What a round needs of a session."""

    outbox: Outbox

    def deliver(self, wire: bytes, publication: Publication) -> bool: ...


class Chain:
    """The frames that clients wait for together, in order."""

    __slots__ = ("_before", "_run", "size_bytes", "wire")

    def __init__(self, before: "Chain | None", run: list[Piece]) -> None:
        self._before = before
        self._run = run
        self.size_bytes: int = sum(len(wire) for wire, _ in run) + (before.size_bytes if before is not None else 0)
        self.wire = b""
        """All of it; there after `join`."""

    def pieces(self) -> list[Piece]:
        runs = [self._run]
        before = self._before
        while before is not None:
            runs.append(before._run)
            before = before._before
        return [piece for run in reversed(runs) for piece in run]

    def join(self) -> None:
        pieces = self.pieces()
        self.wire = pieces[0][0] if len(pieces) == 1 else b"".join([wire for wire, _ in pieces])


class _Longer(dict[Chain | None, Chain]):
    """Chains, by what they were before the run."""

    __slots__ = ("_run",)

    def __init__(self, run: list[Piece]) -> None:
        self._run = run

    def __missing__(self, before: Chain | None) -> Chain:
        longer = self[before] = Chain(before, self._run)
        return longer


_NOBODY: Final[Audience] = {}


def _nothing() -> None: ...


class Round:
    """Who waits together for what, and who is apart.

    `begin` is called when there is something to send, `full` when more waits than should be gathered in one turn; both
    lead to a `take`.
    """

    def __init__(self) -> None:
        self.begin: Callable[[], None] = _nothing
        self.full: Callable[[], None] = _nothing
        self.apart: dict[Member, None] = {}
        self._together: dict[Member, Chain] = {}
        # What was published last, to one and the same audience: not yet in the chains of each.
        self._audience = _NOBODY
        self._run: list[Piece] = []
        self._run_bytes = 0
        self._longest_bytes = 0

    def add(self, audience: Audience, wire: bytes, publication: Publication) -> tuple[int, int]:
        """Hand a frame to all of the audience: (handed, failed)."""
        if audience is not self._audience:
            self._end_run()
            self._audience = audience
        if not self._run and not self._together:
            self.begin()
        self._run.append((wire, publication))
        self._run_bytes += len(wire)
        failed = 0
        handed = len(audience)
        if self.apart:
            for member in self.apart.keys() & audience.keys():
                failed += not member.deliver(wire, publication)
        if self._run_bytes + self._longest_bytes >= PORTION_BYTES:
            self.full()
        return handed - failed, failed

    def changing(self, audience: Audience) -> None:
        """Somebody is about to come or go: what was published before is not for who comes, and still for who goes."""
        if audience is self._audience:
            self._end_run()

    def part(self, member: Member) -> None:
        """Let the member wait by itself, with all that it waits for."""
        if member in self.apart:
            return
        self._end_run()
        self.apart[member] = None
        chain = self._together.pop(member, None)
        if chain is not None:
            for wire, publication in chain.pieces():
                member.outbox.put(wire, publication.channel, publication.slow)

    def rejoin(self, member: Member) -> None:
        """The member has nothing of its own waiting any more."""
        if member in self.apart:
            self._end_run()
            del self.apart[member]

    def leave(self, member: Member) -> None:
        """The member is gone; nothing waits for it."""
        self._end_run()
        self.apart.pop(member, None)
        self._together.pop(member, None)

    def take(self) -> dict[Member, Chain]:
        """All who wait together, and their chains, joined."""
        self._end_run()
        together, self._together = self._together, {}
        self._longest_bytes = 0
        for chain in set(together.values()):
            chain.join()
        return together

    def _end_run(self) -> None:
        """Make the run a part of the chains of its audience. No Python runs for each: there may be thousands."""
        audience, self._audience = self._audience, _NOBODY
        if not self._run:
            return
        run, self._run = self._run, []
        self._run_bytes = 0
        longer = _Longer(run)
        here: Iterable[Member] = audience
        if self.apart and not self.apart.keys().isdisjoint(audience.keys()):
            here = [member for member in audience if member not in self.apart]
        if not self._together:
            self._together = dict.fromkeys(here, longer[None])
        else:
            self._together.update(zip(here, map(longer.__getitem__, map(self._together.get, here)), strict=True))
        self._longest_bytes = max(self._longest_bytes, *(chain.size_bytes for chain in longer.values()), 0)
