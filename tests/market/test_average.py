from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.market.average import AVERAGES, Average
from exchange_push.market.exact import WIDE


def _of(samples: dict[int, Decimal], formula: str) -> Average:
    average = Average(7)
    with localcontext(WIDE):
        for place, sample in sorted(samples.items()):
            average = average.add(place, sample, AVERAGES[formula])
    return average


def test_linear_weights_grow_with_the_place() -> None:
    # (1 * 1 + 2 * 4 + 4 * 2) / (1 + 2 + 4): the third place had no sample
    average = _of({1: Decimal(1), 2: Decimal(4), 4: Decimal(2)}, "linear")
    assert (average.place, average.total, average.weight) == (4, 17, 7)


def test_the_mean_weighs_all_the_same() -> None:
    average = _of({1: Decimal(1), 2: Decimal(4), 4: Decimal(2)}, "mean")
    assert average.total / average.weight == Decimal(7) / 3


def test_without_samples_there_is_no_value() -> None:
    assert Average(7).value is None


@given(
    st.dictionaries(st.integers(1, 5_760), st.integers(-(10**12), 10**12).map(lambda n: Decimal(n) / 7), max_size=20),
    st.sampled_from(sorted(AVERAGES)),
    st.integers(0, 20),
)
def test_a_second_average_on_fractions_agrees_wherever_it_was_stored_between(
    samples: dict[int, Decimal], formula: str, stored_at: int
) -> None:
    weights = {place: place if formula == "linear" else 1 for place in samples}
    average = Average(7, settled=Decimal("-0.0001"))
    with localcontext(WIDE):
        for number, (place, sample) in enumerate(sorted(samples.items())):
            if number == stored_at:
                average = msgspec.msgpack.decode(msgspec.msgpack.encode(average), type=Average)
            average = average.add(place, sample, AVERAGES[formula])
        value = average.value

    assert (average.start, average.settled) == (7, Decimal("-0.0001"))
    assert (value is None) == (not samples)
    if value is not None:
        expected = sum(Fraction(sample) * weights[place] for place, sample in samples.items()) / sum(weights.values())
        assert abs(Fraction(value) - expected) < Fraction(1, 10**60)
