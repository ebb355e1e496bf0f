"""The loop over the sockets, compiled and in Python: one outcome."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.edge.sending import send_each, send_each_in_python
from exchange_push.edge.transport import SendEach

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

    assert send([number, number], [b"a", b"b"]) == []
    assert pair.read() == [b"ab"]
    assert send([], []) == []


@BOTH
def test_where_there_is_no_socket_nothing_is_taken(send: SendEach, pair: Pairs) -> None:
    assert send((-1, pair.near[0].fileno()), (b"a", b"b")) == [(0, 0)]


@BOTH
def test_as_many_sockets_as_wires_are_expected(send: SendEach) -> None:
    with pytest.raises(ValueError, match=r"as many|argument"):
        send([-1], [])


@BOTH
@pytest.mark.parametrize(("sockets", "wires"), [([None], [b""]), ([1 << 80], [b""]), ([-1], [None]), (None, [])])
def test_what_is_no_socket_or_no_bytes_is_an_error_and_sends_nothing(
    send: SendEach, sockets: list[int], wires: list[bytes]
) -> None:
    with pytest.raises((TypeError, OverflowError)):
        send(sockets, wires)


@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.one_of(st.integers(0, 300), st.integers(0, 30_000)), max_size=5)),
        max_size=4,
    )
)
def test_compiled_or_not_the_sockets_take_the_same_bytes(plan: list[tuple[bool, list[int]]]) -> None:
    outcomes = []
    for send in (send_each, send_each_in_python):
        pairs = Pairs([gone for gone, _ in plan])
        wires = [
            (pairs.near[index].fileno(), bytes([number]) * size)
            for index, (_, sizes) in enumerate(plan)
            for number, size in enumerate(sizes)
        ]
        rest = send([number for number, _ in wires], [wire for _, wire in wires])
        read = pairs.read()
        pairs.close()
        outcomes.append((rest, read))
        taken = dict(rest)
        whole = b"".join(wire[: taken.get(index, len(wire))] for index, (_, wire) in enumerate(wires))
        assert len(whole) == sum(map(len, read))

    assert outcomes[0] == outcomes[1]
