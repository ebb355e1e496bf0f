"""The loop over the members, compiled and in Python: one outcome."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.pubsub.handing import hand_each, hand_each_in_python

audiences = st.lists(st.integers(0, 5), unique=True)


@given(st.lists(st.tuples(audiences, st.lists(st.text(max_size=2), min_size=1, max_size=3))))
def test_compiled_or_not_the_same_waits_for_each_member(steps: list[tuple[list[int], list[str]]]) -> None:
    outcomes = []
    for hand in (hand_each, hand_each_in_python):
        chains: dict[int, list[str]] = {member: [] for member in range(6)}
        waiting: dict[int, list[str]] = {}
        expected: dict[int, list[str]] = {}
        for members, pieces in steps:
            hand({member: chains[member] for member in members}, pieces, waiting)
            for member in members:
                expected[member] = expected.get(member, []) + pieces
        assert waiting == expected
        assert all(waiting[member] is chains[member] for member in waiting)
        assert all(not chain for member, chain in chains.items() if member not in waiting)
        outcomes.append(list(waiting))

    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "arguments", [(), ((), [], {}), ({}, (), {}), ({}, [], []), ({1: ()}, [1], {}), ({}, [], {}, 1)]
)
def test_what_is_none_of_these_is_an_error(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        hand_each(*arguments)  # type: ignore[call-arg, arg-type]
