import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.errors import CloseCode, Disconnect
from exchange_push.pubsub.channel import Channel, SlowPolicy
from exchange_push.pubsub.outbox import Budget, Outbox
from tests.pubsub.lobby import DEPTH, TICKER, TRADES, Lobby

CONFLATE, QUEUE, RESYNC = SlowPolicy.CONFLATE, SlowPolicy.QUEUE, SlowPolicy.RESYNC
A, B = Channel(TICKER, "A"), Channel(TICKER, "B")
BOOK = Channel(DEPTH, "A")


def outbox(limit_bytes: int = 100_000, budget: Budget | None = None) -> Outbox:
    return Outbox(limit_bytes, budget or Budget(1 << 40), lambda channel: b"<%s now>" % str(channel).encode())


def everything(box: Outbox) -> bytes:
    return b"".join(iter(box.take, b""))


def test_what_must_all_arrive_leaves_in_order_and_at_once() -> None:
    box = outbox()
    for wire in (b"1", b"2", b"3"):
        box.put(wire)

    assert box.take() == b"123"
    assert box.take() == b""
    assert box.held_bytes == 0


def test_the_newest_of_a_channel_replaces_what_waits_and_moves_to_the_end() -> None:
    box = outbox()
    box.put(b"A1", A, CONFLATE)
    box.put(b"B1", B, CONFLATE)
    box.put(b"A2", A, CONFLATE)

    assert everything(box) == b"B1A2"


def test_a_closed_candle_is_not_replaced_and_stays_before_the_next_running_one() -> None:
    box = outbox()
    box.put(b"running1", A, CONFLATE)
    box.put(b"closed1", A, QUEUE)
    box.put(b"running2", A, CONFLATE)

    assert everything(box) == b"closed1running2"


def test_a_portion_is_bounded_so_that_the_transport_can_say_stop() -> None:
    box = outbox(limit_bytes=1 << 30)
    for _ in range(10):
        box.put(bytes(20_000))

    assert box.full_portion
    assert len(box.take()) == 40_000
    assert box.held_bytes == 160_000


def test_updates_of_a_slow_client_become_one_fresh_snapshot() -> None:
    box = outbox(limit_bytes=1000)
    box.put(b"first", BOOK, RESYNC)
    box.block()
    for _ in range(50):
        box.put(b"update" * 10, BOOK, RESYNC)
    assert box.held_bytes <= 250
    box.unblock()

    assert everything(box) == b"<A@depth now>"


def test_an_update_that_the_due_state_holds_is_not_sent_beside_it() -> None:
    box = outbox()
    box.put_current(BOOK)
    box.put(b"update", BOOK, RESYNC)
    assert box.take() == b"<A@depth now>"
    box.put(b"next", BOOK, RESYNC)

    assert box.take() == b"next"


def test_what_must_all_arrive_closes_a_client_past_the_bound_and_never_holds_more() -> None:
    box = outbox(limit_bytes=1000)
    box.block()
    for _ in range(10):
        box.put(bytes(100), Channel(TRADES, "A"), QUEUE)
    assert box.held_bytes == 1000

    with pytest.raises(Disconnect) as caught:
        box.put(b"x", Channel(TRADES, "A"), QUEUE)
    assert caught.value.code is CloseCode.TOO_SLOW
    assert "1000" in caught.value.reason
    assert box.held_bytes == 0


def test_a_client_that_is_not_blocked_is_not_closed() -> None:
    box = outbox(limit_bytes=1000)
    box.put(bytes(5000))

    assert len(box.take()) == 5000


def test_the_budget_counts_what_blocked_clients_hold() -> None:
    budget = Budget(1000)
    one, other = outbox(budget=budget), outbox(budget=budget)
    one.put(bytes(600))
    assert budget.held_bytes == 0
    one.block()
    other.block()
    other.put(bytes(600))
    assert budget.held_bytes == 1200
    assert budget.exceeded
    one.unblock()
    assert budget.held_bytes == 600
    other.take()
    assert budget.held_bytes == 0


def test_when_all_together_hold_too_much_the_largest_goes() -> None:
    lobby = Lobby(total_bytes=10_000)
    small, large, fast = lobby.client(), lobby.client(), lobby.client()
    for client in (small, large, fast):
        client.ask({"op": "subscribe", "channel": "A@trades"})
    for client in (small, large):
        client.stop_reading()
    large.session.send("x" * 7000)
    lobby.publish(Channel(TRADES, "A"), "y" * 2000)

    assert large.closed is not None
    assert large.closed[0] is CloseCode.TOO_SLOW
    assert small.closed is None
    assert fast.closed is None
    assert lobby.hub.budget.held_bytes < 10_000


def test_a_frame_that_gives_way_to_the_current_state_is_held_no_more() -> None:
    box = outbox(limit_bytes=1000)
    box.put(bytes(250), BOOK, SlowPolicy.RESYNC)
    box.block()
    box.put(b"x", BOOK, SlowPolicy.CONFLATE)

    assert box.held_bytes == 0
    assert len(box) == 1


actions = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 300), st.sampled_from([A, B, BOOK]), st.sampled_from(SlowPolicy)),
        st.tuples(st.just("current"), st.sampled_from([A, BOOK])),
        st.just(("take",)),
        st.just(("block",)),
        st.just(("unblock",)),
        st.tuples(st.just("drop"), st.sampled_from([A, B, BOOK])),
    ),
    max_size=60,
)


@given(actions)
def test_the_bytes_held_are_always_those_that_wait(steps: list[tuple[object, ...]]) -> None:
    budget = Budget(1 << 40)
    box = outbox(limit_bytes=1000, budget=budget)
    for step in steps:
        match step:
            case ("put", int(size), Channel() as channel, SlowPolicy() as slow):
                try:
                    box.put(bytes(size), channel, slow)
                except Disconnect:
                    assert not len(box)
            case ("current", Channel() as channel):
                box.put_current(channel)
            case ("take",):
                box.take()
            case ("block",):
                box.block()
            case ("unblock",):
                box.unblock()
            case ("drop", Channel() as channel):
                box.drop(channel)
        waiting = sum(len(wire) for wire in box._items.values() if wire is not None)
        assert box.held_bytes == waiting
        assert budget.held_bytes == (waiting if box.blocked else 0)
        assert box._updates == sum(type(key) is tuple for key in box._items)
        assert not box.blocked or box.held_bytes <= 1000 or step[0] == "block"
