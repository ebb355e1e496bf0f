"""A session against a naive second implementation that answers one request after the other, logins at once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exchange_push.errors import AuthError, AuthRefused, AuthUnavailable
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.login import Login
from tests.pubsub.lobby import BALANCE, ORDER, TICKER, Lobby

ANSWERS: dict[str, Login | AuthError] = {
    "a": Login("A", None),
    "b": Login("B", None),
    "bad": AuthRefused(""),
    "down": AuthUnavailable(""),
}
NAMES = ("X@ticker", "Y@ticker", "@balance", "@order", "A@balance", "Z@nonsense", "system")


class Naive:
    def __init__(self) -> None:
        self.uid: str | None = None
        self.names: list[str] = []
        self.refused = 0
        self.closed = False

    def code(self, name: str) -> int | None:
        if name in ("A@balance", "Z@nonsense"):
            return 4
        return 1 if name.startswith("@") and self.uid is None else None

    def ask(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """The reply, with `code` alone of an error; None once closed."""
        if self.closed:
            return None
        match message["op"]:
            case "auth":
                found = ANSWERS[message["token"]]
                if isinstance(found, Login):
                    if found.uid != self.uid:
                        self.names = [name for name in self.names if not name.startswith("@")]
                    self.uid = found.uid
                    return {"result": True}
                if isinstance(found, AuthUnavailable):
                    return {"code": 9}
                self.refused += 1
                self.closed = self.refused == 3
                return {"code": 8}
            case "list":
                return {"result": list(self.names)}
            case op:
                codes = [code for name in message["channels"] if (code := self.code(name)) is not None]
                if codes:
                    return {"code": codes[0]}
                for name in message["channels"]:
                    if op == "subscribe" and name not in self.names:
                        self.names.append(name)
                    if op == "unsubscribe" and name in self.names:
                        self.names.remove(name)
                return {"result": True}


Requests = st.one_of(
    st.builds(lambda token: {"op": "auth", "token": token}, st.sampled_from(sorted(ANSWERS))),
    st.builds(
        lambda op, names: {"op": op, "channels": names},
        st.sampled_from(["subscribe", "unsubscribe"]),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    ),
    st.just({"op": "list"}),
)


@given(st.lists(st.tuples(Requests, st.booleans()), max_size=30))
def test_however_late_logins_are_answered_replies_are_those_of_one_request_after_the_other(
    steps: list[tuple[dict[str, Any], bool]],
) -> None:
    lobby, naive = Lobby(requests_per_s=1e9, requests_burst=10**9), Naive()
    client = lobby.client()

    def answer_login() -> None:
        token, done = lobby.logins.pop(0)
        done(ANSWERS[token])

    expected = []
    for number, (request, answer_now) in enumerate(steps):
        client.say({**request, "id": number})
        reply = naive.ask(request)
        if reply is not None:
            expected.append({**reply, "id": number})
        if answer_now and lobby.logins:
            answer_login()
    while lobby.logins:
        assert len(lobby.logins) == 1, "a request overtook a login"
        answer_login()
    replies = [message for message in client.heard() if "id" in message]
    for reply in replies:
        reply.pop("msg", None)

    assert replies == expected
    assert (client.closed is not None) == naive.closed
    if not naive.closed:
        assert client.session.uid == naive.uid
        for kind, owner, name in ((BALANCE, "A", "@balance"), (BALANCE, "B", "@balance"), (ORDER, "A", "@order")):
            heard = int(naive.uid == owner and name in naive.names)
            assert lobby.publish(Channel(kind, owner), 1) == (heard, 0)
        assert lobby.publish(Channel(TICKER, "X"), 1) == (int("X@ticker" in naive.names), 0)
