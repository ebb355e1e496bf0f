from hypothesis import given
from hypothesis import strategies as st

from exchange_push.wire.frame import BINARY, COMPRESSED, TEXT, frame, payload_of, split

_sizes = st.sampled_from([0, 1, 125, 126, 65_535, 65_536, 70_000])
_frames = st.lists(st.tuples(_sizes, st.sampled_from([TEXT, BINARY, TEXT | COMPRESSED])), max_size=5)


@given(_frames)
def test_frames_in_a_row_are_told_apart_again(frames: list[tuple[int, int]]) -> None:
    wires = [frame(bytes([number]) * size, opcode).wire for number, (size, opcode) in enumerate(frames)]

    assert split(b"".join(wires)) == wires
    assert [payload_of(wire) for wire in wires] == [bytes([number]) * size for number, (size, _) in enumerate(frames)]
