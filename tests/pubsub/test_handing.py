"""The loop over the members, compiled and in Python: one outcome."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.pubsub.handing import hand_each, hand_each_in_python

members = st.one_of(st.lists(st.integers(0, 5)), st.dictionaries(st.integers(0, 5), st.none()))


@given(st.lists(st.tuples(members, st.lists(st.text(max_size=2), max_size=3))))
def test_compiled_or_not_the_same_waits_for_each_member(steps: list[tuple[dict[int, None], list[str]]]) -> None:
    outcomes = []
    for hand in (hand_each, hand_each_in_python):
        waiting: defaultdict[int, list[str]] = defaultdict(list)
        expected: dict[int, list[str]] = {}
        for some, pieces in steps:
            hand(some, pieces, waiting)
            for member in some:
                expected[member] = expected.get(member, []) + pieces
        assert waiting == expected
        outcomes.append(list(waiting))

    assert outcomes[0] == outcomes[1]


def test_no_list_is_shared() -> None:
    for hand in (hand_each, hand_each_in_python):
        waiting: defaultdict[str, list[int]] = defaultdict(list)
        pieces = [1]
        hand(["a", "b"], pieces, waiting)
        waiting["a"].append(2)

        assert (waiting["b"], pieces) == ([1], [1])


@pytest.mark.parametrize("arguments", [(), ((), [], {}), ([], (), {}), ([], [], []), ([], [], {}, 1)])
def test_what_is_none_of_these_is_an_error(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        hand_each(*arguments)  # type: ignore[call-arg, arg-type]
