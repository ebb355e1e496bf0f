from twisted.internet.task import Clock

from exchange_push.edge.transport import Turn, Writer
from exchange_push.errors import CloseCode
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.outbox import Budget, Outbox
from tests.fakes import LoggedFailures
from tests.pubsub.lobby import DEPTH

BOOK = Channel(DEPTH, "A")


class Broken(Exception):
    pass


class Client:
    """A client whose state cannot be told where it is broken."""

    def __init__(self, turn: Turn, broken: bool = False) -> None:
        self.broken = broken
        self.got: list[bytes] = []
        self.closed: CloseCode | None = None
        self.outbox = Outbox(100_000, Budget(100_000), self._state)
        self.writer = Writer(self, self.outbox, turn)

    def _state(self, channel: Channel) -> bytes:
        if self.broken:
            raise Broken
        return b"state"

    def send_bytes(self, data: bytes) -> None:
        self.got.append(data)

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed = code

    def say(self, wire: bytes) -> None:
        self.outbox.put(wire)
        self.writer.wake()


def test_what_is_said_in_a_turn_leaves_in_one_write() -> None:
    clock = Clock()
    client = Client(Turn(clock))
    for wire in (b"a", b"b", b"c"):
        client.say(wire)
    assert client.got == []
    clock.advance(0)
    client.say(b"d")
    clock.advance(0)

    assert client.got == [b"abc", b"d"]


def test_more_than_a_portion_does_not_wait_for_the_turn_to_end() -> None:
    client = Client(Turn(Clock()))
    client.say(b"x" * 70_000)

    assert client.got == [b"x" * 70_000]


def test_nothing_is_written_to_who_does_not_read_until_it_does() -> None:
    clock = Clock()
    client = Client(Turn(clock))
    client.writer.pauseProducing()
    client.writer.pauseProducing()
    client.say(b"a")
    clock.advance(0)
    assert client.got == []
    client.writer.resumeProducing()

    assert client.got == [b"a"]


def test_a_client_whose_state_cannot_be_told_is_closed_and_keeps_no_other_from_its_own(
    logged_failures: LoggedFailures,
) -> None:
    clock = Clock()
    turn = Turn(clock)
    broken, well = Client(turn, broken=True), Client(turn)
    for client in (broken, well):
        client.outbox.put_current(BOOK)
        client.outbox.put(b"more")
        client.writer.wake()
    clock.advance(0)

    assert well.got == [b"statemore"]
    assert broken.got == []
    assert broken.closed is CloseCode.INTERNAL_ERROR
    assert not len(broken.outbox)
    assert turn.faults == 1
    assert len(logged_failures.flush(Broken)) == 1
