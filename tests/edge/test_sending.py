"""The loop over the sockets, compiled and in Python: one outcome."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.edge.sending import send_each, send_each_in_python

SendEach = Callable[[dict[Any, Any], dict[Any, int]], list[tuple[Any, int]]]
BOTH = pytest.mark.parametrize("send", [send_each, send_each_in_python])


class Pairs:
    """Connected sockets with small buffers, some of whose far ends are gone."""

    def __init__(self, gone: list[bool]) -> None:
        self.near: list[socket.socket] = []
        self.far: list[socket.socket] = []
        for is_gone in gone:
            near, far = socket.socketpair()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            near.setblocking(False)
            far.setblocking(False)
            if is_gone:
                far.close()
            self.near.append(near)
            self.far.append(far)

    def read(self) -> list[bytes]:
        return [_all_of(far) if far.fileno() >= 0 else b"" for far in self.far]

    def close(self) -> None:
        for end in self.near + self.far:
            end.close()


def _all_of(far: socket.socket) -> bytes:
    found = b""
    while True:
        try:
            found += far.recv(1 << 20)
        except BlockingIOError:
            return found


@pytest.fixture
def pair() -> Iterator[Pairs]:
    pairs = Pairs([False])
    yield pairs
    pairs.close()


@BOTH
def test_what_every_socket_takes_is_told_of_none(send: SendEach, pair: Pairs) -> None:
    number = pair.near[0].fileno()

    assert send({1: [b"a"], 2: (b"b", b"", b"c")}, {1: number, 2: number}) == []
    assert pair.read() == [b"abc"]
    assert send({}, {}) == []


@BOTH
def test_where_there_is_no_socket_nothing_is_taken(send: SendEach, pair: Pairs) -> None:
    chains = {"ann": [b"a"], "bob": [b"b"], "cid": [b"c"]}

    assert send(chains, {"ann": -1, "cid": pair.near[0].fileno()}) == [("ann", 0), ("bob", 0)]
    assert pair.read() == [b"c"]


@BOTH
def test_a_chain_may_have_more_pieces_than_the_system_takes_at_once(send: SendEach, pair: Pairs) -> None:
    pieces = [bytes([number % 256]) for number in range(2_500)]

    assert send({1: pieces}, {1: pair.near[0].fileno()}) == []
    assert pair.read() == [b"".join(pieces)]


@BOTH
def test_neighbours_may_have_the_same_chain(send: SendEach, pair: Pairs) -> None:
    number = pair.near[0].fileno()
    chain = [b"a", b"b"]

    chains = dict(enumerate([chain, chain, list(chain), [b"a"], [b"a", b"c"]]))

    assert send(chains, dict.fromkeys(chains, number)) == []
    assert pair.read() == [b"abababaac"]


@BOTH
@pytest.mark.parametrize(
    ("chains", "sockets"),
    [
        ({1: [b""]}, {1: None}),
        ({1: [b""]}, {1: 1 << 80}),
        ({1: [None]}, {1: -1}),
        ({1: [b"a", None]}, {1: -1}),
        ({1: None}, {1: -1}),
        ({1: [b"a"]}, None),
        (None, {}),
    ],
)
def test_what_is_no_socket_or_no_bytes_is_an_error_and_sends_nothing(
    send: SendEach, chains: dict[Any, list[bytes]], sockets: dict[Any, int]
) -> None:
    with pytest.raises((TypeError, OverflowError, AttributeError)):
        send(chains, sockets)


sizes = st.one_of(st.integers(0, 300), st.integers(0, 30_000))
chains = st.lists(sizes, max_size=4)


@given(st.lists(st.tuples(st.booleans(), st.lists(chains, max_size=5)), max_size=4), st.booleans())
def test_compiled_or_not_the_sockets_take_the_same_bytes(plan: list[tuple[bool, list[list[int]]]], alike: bool) -> None:
    outcomes = []
    made: dict[tuple[int, int], bytes] = {}
    for send in (send_each, send_each_in_python):
        pairs = Pairs([gone for gone, _ in plan])
        sockets: dict[int, int] = {}
        wires: dict[int, list[bytes]] = {}
        for index, (_, of_socket) in enumerate(plan):
            for number, chain in enumerate(of_socket):
                seed = 0 if alike else number  # with equal pieces, being one object, chains may be equal too
                sockets[len(wires)] = pairs.near[index].fileno()
                wires[len(wires)] = [made.setdefault((seed, size), bytes([seed]) * size) for size in chain]
        rest = send(wires, sockets)
        read = pairs.read()
        pairs.close()
        outcomes.append((rest, read))
        taken = dict(rest)
        whole = b"".join(
            joined[: taken.get(index, len(joined))] for index, joined in enumerate(map(b"".join, wires.values()))
        )
        assert len(whole) == sum(map(len, read))
        assert sorted(whole) == sorted(b"".join(read))

    assert outcomes[0] == outcomes[1]
