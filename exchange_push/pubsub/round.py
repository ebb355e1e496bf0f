"""Round: what goes to clients in one turn of the reactor.

Clients that keep up wait together: a publication is added to what each of them waits for in one loop (handing.py), and
what waits is sent in another, without Python between two clients. Who has something of its own waiting, or does not
read, goes apart: its frames go into its outbox, one by one, until that is empty again.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, Self, TypeAlias

from exchange_push.pubsub.handing import hand_each
from exchange_push.pubsub.outbox import Outbox
from exchange_push.pubsub.publication import Publication

RUN_BYTES: Final = 1 << 18
"""So many bytes of frames for one audience do not wait for the turn to end,"""
ROUND_BYTES: Final = 1 << 22
"""nor so many for all audiences; each client hears a few of them, and two sends cost it twice as much as one."""


class Piece(bytes):
    """A frame's bytes, and what it is the frame of."""

    publication: Publication

    def __new__(cls, wire: bytes, publication: Publication) -> Self:
        piece = super().__new__(cls, wire)
        piece.publication = publication
        return piece


Chain: TypeAlias = list[Piece]
"""What a member waits for, in order."""


class Member(Protocol):
    """What a round needs of a session."""

    outbox: Outbox
    chain: Chain
    """The round's own: what the member waits for together with others."""

    def deliver(self, wire: bytes, publication: Publication) -> bool: ...


Audience: TypeAlias = dict[Any, Chain]
"""Members, each with its chain."""

Send: TypeAlias = Callable[[dict[Member, Chain]], list[tuple[Member, int]]]
"""Sends each member its chain, and gives who did not take all, and how many bytes it took. It calls no round."""

_NOBODY: Final[Audience] = {}


def _nothing() -> None: ...


class Round:
    """Who waits together for what, and who is apart.

    `begin` is called when there is something to send, `full` when more waits than should be gathered in one turn; both
    lead to a `send`.
    """

    def __init__(self) -> None:
        self.begin: Callable[[], None] = _nothing
        self.full: Callable[[], None] = _nothing
        self.apart: dict[Member, None] = {}
        # What was published last, to one and the same audience: not yet in its chains.
        self._audience = _NOBODY
        self._run: Chain = []
        self._together: dict[Member, Chain] = {}  # whose chain is not empty
        self._run_bytes = 0
        self._bytes = 0

    def add(self, audience: Audience, wire: bytes, publication: Publication) -> tuple[int, int]:
        """Hand a frame to all of the audience: (handed, failed)."""
        if audience is not self._audience:
            self._end_run()
            self._audience = audience
        if not self._bytes:
            self.begin()
        self._run.append(Piece(wire, publication))
        self._run_bytes += len(wire)
        self._bytes += len(wire)
        failed = 0
        handed = len(audience)
        if self.apart:
            for member in self.apart.keys() & audience.keys():
                failed += not member.deliver(wire, publication)
        if self._run_bytes >= RUN_BYTES or self._bytes >= ROUND_BYTES:
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
        for piece in self._withdraw(member):
            member.outbox.put(piece, piece.publication.channel, piece.publication.slow)

    def rejoin(self, member: Member) -> None:
        """The member has nothing of its own waiting any more."""
        if member in self.apart:
            self._end_run()
            del self.apart[member]

    def leave(self, member: Member) -> None:
        """The member is gone; nothing waits for it."""
        self._end_run()
        self.apart.pop(member, None)
        self._withdraw(member)

    def _withdraw(self, member: Member) -> Chain:
        """What the member waited for with others."""
        chain = list(self._together.pop(member, ()))
        member.chain.clear()
        return chain

    def send(self, send: Send) -> list[tuple[Member, Chain, int]]:
        """Have sent what all wait for together. Gives who did not take all, its chain, and how many bytes it took."""
        self._bytes = 0
        if self._run and not self._together:  # one audience only: one chain for all of it
            together = dict.fromkeys(self._here(), self._run)
            self._audience, self._run, self._run_bytes = _NOBODY, [], 0
            return [(member, together[member], taken) for member, taken in send(together)]
        self._end_run()
        together, self._together = self._together, {}
        try:
            return [(member, list(together[member]), taken) for member, taken in send(together)]
        finally:
            for chain in together.values():
                chain.clear()

    def _here(self) -> Audience:
        """Of the present audience, who is not apart."""
        if self.apart and not self.apart.keys().isdisjoint(self._audience.keys()):
            return {member: chain for member, chain in self._audience.items() if member not in self.apart}
        return self._audience

    def _end_run(self) -> None:
        """Add the run to the chains of its audience."""
        if self._run:
            hand_each(self._here(), self._run, self._together)
            self._run = []
            self._run_bytes = 0
        self._audience = _NOBODY
