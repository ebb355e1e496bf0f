from itertools import pairwise

import pytest
from twisted.internet.task import Clock

from exchange_push.demo.sender import Faults, Sender
from exchange_push.wire.packet import Packet, Rerequest, decode, encode_request, unsealed

LINES = [("127.0.0.1", 1), ("127.0.0.1", 2)]
ASKER = ("127.0.0.1", 3)


class Net:
    """A UDP port that keeps what is written to it, by address."""

    def __init__(self):
        self.clock = Clock()
        self.sent = {address: [] for address in [*LINES, ASKER]}
        self.full = False

    def write(self, datagram, address):
        if self.full:
            raise BlockingIOError
        self.sent[address].append(datagram)

    def packets(self, address):
        return [decode(datagram) for datagram in self.sent[address]]

    def seqs(self, address):
        return [sent.seq for sent in self.packets(address)]


def sender(lines=LINES, **options):
    net = Net()
    found = Sender(net.clock, lines, 7, **options)
    found.makeConnection(net)
    return found, net


def faulty(count=2_000, **shares):
    found, net = sender(faults=Faults(**shares))
    for number in range(count):
        found.send([number])
        net.clock.advance(0.001)
    net.clock.advance(1)
    return found, net


def ask(found, seq, count, session=7):
    found.datagramReceived(encode_request(Rerequest(session, seq, count)), ASKER)


def test_every_packet_goes_to_every_line_with_the_numbers_that_are_next():
    found, net = sender()
    found.send(["a", "b"])
    found.send([])
    found.send(["c"])
    found.end()
    sent = [Packet(7, 1, ["a", "b"]), Packet(7, 3, []), Packet(7, 3, ["c"]), Packet(7, 4, None)]
    assert net.packets(LINES[0]) == net.packets(LINES[1]) == sent


def test_who_asks_is_sent_the_packets_that_hold_what_was_asked_for():
    found, net = sender()
    for first in range(1, 40, 3):
        found.send([first, first + 1, first + 2])
        found.send([])
    ask(found, 8, 3)
    assert net.packets(ASKER) == [Packet(7, 7, [7, 8, 9]), Packet(7, 10, [10, 11, 12])]
    assert found.requests == 1


def test_what_is_not_kept_any_more_or_of_another_session_or_yet_to_come_is_not_answered():
    found, net = sender(kept_packets=5)
    for number in range(1, 11):
        found.send([number])
    ask(found, 1, 5)
    ask(found, 8, 2, session=6)
    ask(found, 11, 100)
    assert net.sent[ASKER] == []
    ask(found, 4, 3)
    assert net.seqs(ASKER) == [6]


def test_an_answer_is_of_bounded_size():
    found, net = sender()
    for number in range(1, 1_001):
        found.send([number])
    ask(found, 1, 2**62)
    assert net.seqs(ASKER) == list(range(1, 257))


def test_what_is_no_request_is_passed_over():
    found, net = sender()
    found.send([1])
    for datagram in (b"", b"\xc1", encode_request(Rerequest(7, 1, 1)) + b"\0"):
        found.datagramReceived(datagram, ASKER)
    assert net.sent[ASKER] == []
    assert found.requests == 0


def test_with_a_key_packets_and_answers_are_sealed():
    found, net = sender(key=b"a key")
    found.send([1])
    ask(found, 1, 1)
    for address in (*LINES, ASKER):
        (datagram,) = net.sent[address]
        assert decode(unsealed(datagram, b"a key")) == Packet(7, 1, [1])


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.5])
def test_of_each_line_the_share_is_lost_that_was_told(loss):
    found, net = faulty(loss=loss)
    a, b = (net.seqs(line) for line in LINES)
    assert found.lost == 4_000 - len(a) - len(b)
    for seqs in (a, b):
        assert abs(1 - len(seqs) / 2_000 - loss) < 0.02
        assert seqs == sorted(set(seqs))
    assert set(a) != set(b)


def test_requests_and_answers_are_lost_too():
    found, net = sender(faults=Faults(loss=0.5))
    found.send([1])
    for _ in range(1_000):
        ask(found, 1, 1)
    assert 400 < found.requests < 600
    assert 180 < len(net.sent[ASKER]) < 320


def test_the_share_that_was_told_comes_twice():
    _, net = faulty(repeat=0.01)
    seqs = net.seqs(LINES[0])
    assert set(seqs) == set(range(1, 2_001))
    assert 5 < len(seqs) - 2_000 < 50


def test_the_share_that_was_told_is_overtaken_and_comes():
    _, net = faulty(reorder=0.01)
    seqs = net.seqs(LINES[0])
    assert sorted(seqs) == list(range(1, 2_001))
    assert 5 < sum(later < earlier for earlier, later in pairwise(seqs)) < 50


def test_every_packet_comes_as_late_as_was_told():
    found, net = sender(faults=Faults(delay_ms=20))
    found.send([1])
    net.clock.advance(0.019)
    assert net.sent[LINES[0]] == []
    net.clock.advance(0.001)
    assert net.seqs(LINES[0]) == [1]


def test_the_end_takes_back_what_is_on_its_way_and_gets_through():
    found, net = sender(faults=Faults(loss=1.0, delay_ms=20))
    found.send([1])
    found.end()
    assert [sent.events for sent in net.packets(LINES[0])] == [None]
    assert net.clock.getDelayedCalls() == []
    found, net = sender(faults=Faults(delay_ms=20))
    found.send([1])
    found.end()
    net.clock.advance(1)
    assert net.packets(LINES[0]) == [Packet(7, 2, None)]


def test_the_same_seed_makes_the_same_faults():
    shares = {"loss": 0.1, "repeat": 0.1, "reorder": 0.1}
    assert faulty(**shares)[1].sent == faulty(**shares)[1].sent


def test_a_full_socket_loses_the_packet_and_says_so_in_a_number():
    found, net = sender()
    net.full = True
    found.send([1])
    net.full = False
    found.send([2])
    assert found.unsent == 2
    assert net.seqs(LINES[0]) == [2]
