"""How much each address has asked for, against a second count of it."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.edge import weights as module
from exchange_push.edge.weights import Used, Weights

MINUTE = 60_000
A, B, PROXY = "192.0.2.1", "192.0.2.2", "192.0.2.9"


def weights(per_minute: int = 100, refusals: int = 3, ban_s: int = 120) -> Weights:
    return Weights(per_minute, refusals=refusals, ban_s=ban_s, proxies=frozenset({PROXY}))


def test_what_an_address_used_adds_up_until_the_minute_ends() -> None:
    found = weights()

    assert found.use(A, 5, 0) == Used(5)
    assert found.use(B, 1, 0) == Used(1)
    assert found.use(A, 20, MINUTE - 1) == Used(25)
    assert found.use(A, 2, MINUTE) == Used(2)


def test_beyond_it_an_address_waits_for_the_next_minute() -> None:
    found = weights()
    found.use(A, 98, 10_000)

    assert found.use(A, 3, 10_000) == Used(98, retry_s=50)
    assert found.use(A, 2, 10_500) == Used(100)  # what fits is served
    assert found.use(A, 1, 59_999) == Used(100, retry_s=1)
    assert found.use(B, 3, 59_999) == Used(3)
    assert found.use(A, 3, MINUTE) == Used(3)
    assert found.refused == 2


def test_who_goes_on_is_banned_and_twice_as_long_the_next_time() -> None:
    found = weights()

    def go_on(now_ms: int) -> Used:
        found.use(A, 100, now_ms)
        for _ in range(3):
            assert not found.use(A, 1, now_ms).banned
        return found.use(A, 1, now_ms)

    assert go_on(0) == Used(100, retry_s=120, banned=True)
    assert found.use(A, 1, 119_001) == Used(0, retry_s=1, banned=True)
    assert found.use(B, 1, 119_001) == Used(1)
    assert go_on(120_000).retry_s == 240
    assert go_on(360_000).retry_s == 480
    assert go_on(360_000 + 2 * 480_000).retry_s == 120  # as long as the ban was, and nothing happened
    assert found.bans == 4


def test_no_ban_is_longer_than_three_days() -> None:
    found = weights(refusals=1, ban_s=200_000)
    now_ms, longest = 0, 0
    for _ in range(3):
        found.use(A, 100, now_ms)
        found.use(A, 1, now_ms)
        used = found.use(A, 1, now_ms)
        longest = max(longest, used.retry_s)
        now_ms += used.retry_s * 1_000

    assert longest == 3 * 86_400


@pytest.mark.parametrize(
    ("per_minute", "address"), [(0, A), (100, None), (100, "127.0.0.1"), (100, "::1"), (100, PROXY)]
)
def test_without_a_limit_or_an_address_it_is_counted_and_never_refused(per_minute: int, address: str | None) -> None:
    found = weights(per_minute)

    assert [found.use(address, 90, 0) for _ in range(3)] == [Used(90), Used(180), Used(270)]


def test_addresses_of_one_network_of_ipv6_are_one() -> None:
    found = weights()
    found.use("2001:db8::1", 60, 0)

    assert found.use("2001:db8::2", 60, 0).retry_s == 60
    assert found.use("2001:db8:1::2", 60, 0) == Used(60)


def test_what_is_held_of_addresses_is_bounded() -> None:
    found = weights()
    for number in range(module._ADDRESSES + 10):
        found.use(str(ip_address(number + 1)), 1, 0)

    assert len(found._used) == module._ADDRESSES
    assert found.use("0.0.0.1", 1, 0) == Used(1)  # forgotten, and counted anew


@given(
    st.lists(
        st.tuples(st.sampled_from([A, B, "2001:db8::1"]), st.integers(1, 60), st.integers(0, 30_000)), max_size=60
    ),
)
def test_no_address_gets_more_than_its_weight_in_a_minute(requests: list[tuple[str, int, int]]) -> None:
    found = weights(refusals=5)
    served: dict[tuple[str, int], int] = {}
    now_ms = 0
    for address, weight, later_ms in requests:
        now_ms += later_ms
        key = address, now_ms // MINUTE
        used = found.use(address, weight, now_ms)
        if not used.retry_s:
            served[key] = served.get(key, 0) + weight
            assert used.weight == served[key] <= 100
        elif not used.banned:
            assert served.get(key, 0) + weight > 100
            assert used.retry_s == -(-(MINUTE - now_ms % MINUTE) // 1_000)
        assert used.weight == served.get(key, 0)
