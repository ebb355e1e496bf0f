import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.outbox import Budget, Outbox
from exchange_push.pubsub.publication import Publication
from exchange_push.pubsub.round import ROUND_BYTES, RUN_BYTES, Audience, Chain, Member, Round
from tests.pubsub.lobby import TRADES, Lobby

NEWS = Publication(Channel(TRADES, "A"), None)


class Listener:
    def __init__(self) -> None:
        self.outbox = Outbox(1 << 40, Budget(1 << 40), lambda channel: None)
        self.chain: Chain = []
        self.got = b""

    def deliver(self, wire: bytes, publication: Publication) -> bool:
        self.outbox.put(wire, publication.channel, publication.slow)
        return True


def all_of(*listeners: Listener) -> Audience:
    return {listener: listener.chain for listener in listeners}


def end(round: Round, *listeners: Listener) -> dict[Member, Chain]:
    """What the end of a turn does: all that waits, together or apart, is sent. Gives what was sent together."""
    sent: dict[Member, Chain] = {}
    whole: dict[int, Chain] = {}

    def send(together: dict[Member, Chain]) -> list[tuple[Member, int]]:
        for member, chain in together.items():
            assert isinstance(member, Listener)
            member.got += b"".join(chain)
            sent[member] = whole.setdefault(id(chain), list(chain))  # what is one object stays one
        return []

    assert round.send(send) == []
    for listener in listeners:
        assert listener.chain == []
        while portion := listener.outbox.take():
            listener.got += portion
        round.rejoin(listener)
    return sent


def test_what_one_audience_gets_in_a_turn_is_one_chain_for_all_of_it() -> None:
    round = Round()
    ann, bob = Listener(), Listener()
    both = all_of(ann, bob)
    for wire in (b"1", b"2"):
        round.add(both, wire, NEWS)
    together = end(round, ann, bob)

    assert (ann.got, bob.got) == (b"12", b"12")
    assert together[ann] is together[bob]
    assert end(round, ann) == {}


def test_of_several_audiences_each_member_gets_the_pieces_in_order() -> None:
    round = Round()
    ann, bob, cid = Listener(), Listener(), Listener()
    round.add(all_of(ann, bob, cid), b"1", NEWS)
    round.add(all_of(cid), b"2", NEWS)
    round.add(all_of(ann, bob), b"3", NEWS)
    together = end(round, ann, bob, cid)

    assert (ann.got, bob.got, cid.got) == (b"13", b"13", b"12")
    assert all(one is other for one, other in zip(together[ann], together[bob], strict=True))


def test_what_is_said_to_one_comes_after_what_was_published_before_and_before_what_comes_after() -> None:
    round, ann, bob = Round(), Listener(), Listener()
    both = all_of(ann, bob)
    round.add(both, b"1", NEWS)
    round.part(ann)
    ann.outbox.put(b"ann")
    round.add(both, b"2", NEWS)
    end(round, ann, bob)

    assert (ann.got, bob.got) == (b"1ann2", b"12")


def test_who_has_nothing_of_its_own_waiting_any_more_is_together_with_the_others_again() -> None:
    round, ann, bob = Round(), Listener(), Listener()
    both = all_of(ann, bob)
    round.part(ann)
    end(round, ann, bob)
    round.add(both, b"1", NEWS)
    together = end(round, ann, bob)

    assert together[ann] is together[bob]


def test_what_was_sent_to_one_alone_is_not_sent_again_when_it_rejoins_in_the_same_turn() -> None:
    round, ann, bob = Round(), Listener(), Listener()
    both = all_of(ann, bob)
    round.part(ann)
    round.add(both, b"1", NEWS)
    ann.got += ann.outbox.take()
    round.rejoin(ann)
    round.add(both, b"2", NEWS)
    end(round, ann, bob)

    assert (ann.got, bob.got) == (b"12", b"12")


def test_who_comes_hears_nothing_of_before_and_who_goes_nothing_of_after() -> None:
    round, ann, bob = Round(), Listener(), Listener()
    audience = all_of(ann)
    round.add(audience, b"1", NEWS)
    round.changing(audience)
    audience[bob] = bob.chain
    round.add(audience, b"2", NEWS)
    round.changing(audience)
    del audience[ann]
    round.add(audience, b"3", NEWS)
    end(round, ann, bob)

    assert (ann.got, bob.got) == (b"12", b"23")


def test_for_who_has_left_nothing_waits() -> None:
    round, ann = Round(), Listener()
    round.add(all_of(ann), b"1", NEWS)
    round.leave(ann)

    assert end(round, ann) == {}
    assert not round.apart


def test_who_does_not_take_all_is_told_with_what_it_was_to_take_and_nothing_waits_any_more() -> None:
    round, ann, bob = Round(), Listener(), Listener()
    for audiences in ([all_of(ann, bob)], [all_of(ann, bob), all_of(bob)]):
        for audience in audiences:
            round.add(audience, b"news", NEWS)
        found = round.send(lambda together: [(bob, 3)])

        assert [(member, b"".join(chain), taken) for member, chain, taken in found] == [
            (bob, b"news" * len(audiences), 3)
        ]
        assert end(round, ann, bob) == {}


def test_a_fault_while_sending_leaves_nothing_to_be_sent_twice() -> None:
    round, ann, bob = Round(), Listener(), Listener()
    round.add(all_of(ann, bob), b"1", NEWS)
    round.add(all_of(ann), b"2", NEWS)
    with pytest.raises(ZeroDivisionError):
        round.send(lambda together: [(ann, 1 // 0)])
    round.add(all_of(ann), b"3", NEWS)
    end(round, ann, bob)

    assert (ann.got, bob.got) == (b"3", b"")


def test_a_turn_begins_with_its_first_frame_and_is_full_at_a_bound_of_all_its_frames() -> None:
    round, ann, bob = Round(), Listener(), Listener()
    calls: list[str] = []
    round.begin = lambda: calls.append("begin")
    round.full = lambda: calls.append("full")
    round.add(all_of(ann), b"1", NEWS)
    both = all_of(ann, bob)
    round.add(both, bytes(RUN_BYTES - 1), NEWS)
    assert calls == ["begin"]
    round.add(both, b"1", NEWS)
    assert calls == ["begin", "full"]
    end(round, ann, bob)
    for _ in range(ROUND_BYTES // (RUN_BYTES - 1)):
        round.add(dict(both), bytes(RUN_BYTES - 1), NEWS)
    assert calls == ["begin", "full", "begin"]
    round.add(both, bytes(RUN_BYTES - 1), NEWS)

    assert calls == ["begin", "full", "begin", "full"]


def test_what_many_sessions_get_is_encoded_once() -> None:
    lobby = Lobby()
    clients = [lobby.client() for _ in range(100)]
    for client in clients:
        client.ask({"op": "subscribe", "channels": ["A@trades", "B@trades"]})
    for number in range(8):
        assert lobby.publish(Channel(TRADES, "AB"[number % 2]), number) == (100, 0)
    together: dict[Member, Chain] = {}
    lobby.hub.round.send(
        lambda chains: together.update({member: list(chain) for member, chain in chains.items()}) or []
    )

    assert len(together) == 100
    assert {len(chain) for chain in together.values()} == {8}
    assert len({id(piece) for chain in together.values() for piece in chain}) == 8


members = st.integers(0, 4)
groups = st.integers(0, 2)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), groups),
        st.tuples(st.just("publish"), groups),
        st.tuples(st.just("say"), members),
        st.tuples(st.just("come"), members, groups),
        st.tuples(st.just("go"), members, groups),
        st.tuples(st.just("end"), st.just(0)),
    ),
    max_size=60,
)


@given(actions)
def test_everybody_gets_what_it_would_get_alone_in_the_same_order(steps: list[tuple[str, ...]]) -> None:
    round = Round()
    listeners = [Listener() for _ in range(5)]
    audiences = [all_of(*listeners[: 2 * size]) for size in range(3)]
    expected = dict.fromkeys(listeners, b"")
    for number, step in enumerate(steps):
        wire = b"<%d>" % number
        match step:
            case ("publish", int(group)):
                handed = round.add(audiences[group], wire, NEWS)
                assert handed == (len(audiences[group]), 0)
                for listener in audiences[group]:
                    assert isinstance(listener, Listener)
                    expected[listener] += wire
            case ("say", int(member)):
                round.part(listeners[member])
                listeners[member].outbox.put(wire)
                expected[listeners[member]] += wire
            case ("come", int(member), int(group)):
                round.changing(audiences[group])
                audiences[group][listeners[member]] = listeners[member].chain
            case ("go", int(member), int(group)):
                round.changing(audiences[group])
                audiences[group].pop(listeners[member], None)
            case _:
                end(round, *listeners)
    end(round, *listeners)

    assert {listener: listener.got for listener in listeners} == expected
