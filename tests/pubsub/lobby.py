"""What the tests of sessions share: a catalogue of a few kinds, and a transport that keeps what it is told."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from exchange_push.errors import AuthError, CloseCode
from exchange_push.pubsub.channel import Channel, ChannelKind, Owner, Registry, SlowPolicy
from exchange_push.pubsub.hub import Hub
from exchange_push.pubsub.login import Login
from exchange_push.pubsub.outbox import Budget
from exchange_push.pubsub.publication import Publication
from exchange_push.pubsub.session import Session
from exchange_push.pubsub.terms import Dialect, Terms
from exchange_push.wire.dialects.plain import PLAIN

DEPTH = ChannelKind("depth", Owner.SYMBOL, SlowPolicy.RESYNC, 100, checksum=True, of_book=True)
TRADES = ChannelKind("trades", Owner.SYMBOL, SlowPolicy.QUEUE, 100)
TICKER = ChannelKind("ticker", Owner.SYMBOL, SlowPolicy.CONFLATE, 1000)
KLINE = ChannelKind("kline_1m", Owner.SYMBOL, SlowPolicy.CONFLATE, 250)
MARKPRICE = ChannelKind("markprice", Owner.SYMBOL, SlowPolicy.CONFLATE, 1000, of_index=True)
TICKERS = ChannelKind("ticker", Owner.EVERY, SlowPolicy.RESYNC, 1000)
BALANCE = ChannelKind("balance", Owner.USER, SlowPolicy.QUEUE)
ORDER = ChannelKind("order", Owner.USER, SlowPolicy.QUEUE)
SYSTEM = ChannelKind("system", Owner.NOBODY, SlowPolicy.QUEUE)
KINDS = (DEPTH, TRADES, TICKER, KLINE, MARKPRICE, TICKERS, BALANCE, ORDER, SYSTEM)


def unframe(wire: bytes) -> list[tuple[int, bytes]]:
    """The (opcode, payload) of each server frame in `wire`."""
    found = []
    while wire:
        size, at = wire[1], 2
        if size == 126:
            size, at = int.from_bytes(wire[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(wire[2:10], "big"), 10
        found.append((wire[0] & 0x0F, wire[at : at + size]))
        wire = wire[at + size :]
    return found


class Client:
    """A session with a transport that the test empties by hand, and a log-in that it answers by hand."""

    def __init__(self, lobby: "Lobby", dialect: Dialect = PLAIN) -> None:
        self.lobby = lobby
        self.closed: tuple[CloseCode, str] | None = None
        self.session = Session(lobby.next_id(), "192.0.2.1:1", dialect, self, lobby.terms)

    def wake(self) -> None: ...

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed = code, reason

    def stop_reading(self) -> None:
        self.lobby.hub.round.part(self.session)
        self.session.outbox.block()

    def say(self, message: object) -> None:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.session.received(payload, False)

    def raw(self) -> list[tuple[int, bytes]]:
        """What was sent since the last look, as (opcode, payload)."""
        wire = b""
        self.lobby.hub.round.part(self.session)
        while portion := self.session.outbox.take():
            wire += portion
        self.lobby.hub.round.rejoin(self.session)
        return unframe(wire)

    def heard(self) -> list[Any]:
        return [json.loads(payload) for _, payload in self.raw()]

    def ask(self, message: object) -> list[Any]:
        self.say(message)
        return self.heard()

    def codes(self) -> list[int | None]:
        return [message.get("code") for message in self.heard()]


class Lobby:
    """All that sessions share."""

    def __init__(self, *, symbols: tuple[str, ...] = (), total_bytes: int = 1 << 30, **terms: Any) -> None:
        self.clock = Clock()
        self.registry = Registry(KINDS, aliases={"kline": "kline_1m"}, symbols=symbols)
        self.states: dict[Channel, Publication] = {}
        self.hub = Hub(self.states.get, Budget(total_bytes), lambda: int(self.clock.seconds() * 1000))
        self.logins: list[tuple[str, Callable[[Login | AuthError], None]]] = []
        self.terms = Terms(
            registry=self.registry,
            hub=self.hub,
            look_up=lambda token, done: self.logins.append((token, done)),
            now_ms=lambda: int(self.clock.seconds() * 1000),
            call_later=self.clock.callLater,
            **terms,
        )
        self._ids = 0

    def next_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def client(self, uid: str | None = None) -> Client:
        """A client, logged in where a uid is given, with nothing unread."""
        client = Client(self)
        if uid is not None:
            client.say({"op": "auth", "token": uid})
            self.answer(Login(uid, None))
            client.heard()
        return client

    def answer(self, found: Login | AuthError) -> str:
        """Answer the oldest log-in; gives its token."""
        token, done = self.logins.pop(0)
        done(found)
        return token

    def publish(self, channel: Channel, data: object, **options: Any) -> tuple[int, int]:
        return self.hub.publish(Publication(channel, data, **options))
