"""A pretend matching engine: four symbols, a crowd, two demo users, and a feed of numbered datagrams as a real one's.

The same seed and the same clock give the same datagrams, byte for byte.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, Final, cast

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from exchange_push.demo.accounts import Account, order_data
from exchange_push.demo.crowd import LISTINGS, Crowd
from exchange_push.demo.matching import Fill, Order, Side
from exchange_push.demo.sender import Address, Faults, Sender
from exchange_push.errors import ConfigError
from exchange_push.market.events import FeedEvent, UserEvent

USERS: Final = {"alice": 1001, "bob": 1002}

_STEP_MS: Final = 50
_PACKET_EVENTS: Final = 20
# Counted in steps, of which there are 20 in a second.
_HEARTBEAT: Final = 10  # the feed promises one a second; a busy machine makes long seconds
_INDEX: Final = 20
_FUNDING: Final = 200
_SNAPSHOT: Final = 100
_USER_ACTS: Final = 0.04  # the chance in a step that a demo user does something: about every 1.25 s
_USER_ORDERS: Final = 3


class Engine(Service):
    """Trades from startService to stopService, and tells all `feeds`, (host, port), by UDP.

    `port` is where it sends from and can be asked for events again; 0: any, `listening` is told it at the start.
    """

    name = "demo-engine"
    log = Logger()

    def __init__(
        self,
        reactor: Any,
        feeds: Sequence[Address],
        seed: int,
        *,
        faults: Faults = Faults(),  # noqa: B008  # a value: it cannot change
        key: bytes | None = None,
        port: int = 0,
        listening: Callable[[Address], None] = lambda address: None,
    ) -> None:
        self.sender = Sender(reactor, feeds, 0)
        """Of the running session, or the last."""
        self._reactor = reactor
        self._feeds = tuple(feeds)
        self._seed = seed
        self._faults = faults
        self._key = key
        self._number = port
        self._listening = listening
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self._port: IListeningPort | None = None
        self._now_ms = 0
        self._steps = 0

    def startService(self) -> None:
        super().startService()
        self._now_ms = max(1, int(self._reactor.seconds() * 1000))
        self._steps = 0
        session = self._now_ms
        self.sender = Sender(
            self._reactor, self._feeds, session, faults=self._faults, seed=self._seed, key=self._key
        )  # good for one port only
        # Bound to the loopback where the feed is: nobody else need reach this port.
        hosts = {host for host, _ in self._feeds}
        own = hosts.pop() if len(hosts) == 1 else ""
        interface = own if own == "::1" or own.startswith("127.") else ""
        try:
            self._port = self._reactor.listenUDP(self._number, self.sender, interface=interface, maxPacketSize=512)
        except CannotListenError as error:
            raise ConfigError(f"feed.rerequest: cannot listen on {self._number}: {error.socketError}") from None
        own_address: Any = self._port.getHost()
        self._listening((interface or "127.0.0.1", own_address.port))
        self._random = Random(self._seed)
        # Ids belong to a symbol for ever: begun at the time, they never come a second time after a restart.
        self._order_ids = count(session)
        self._crowds = [Crowd(listing, self._random, self._order_ids, session) for listing in LISTINGS]
        self._accounts = {uid: Account(uid, Decimal(100_000)) for uid in USERS.values()}
        # Not now: the first snapshots should find the server listening, wherever in the order it starts.
        trading = self._loop.start(_STEP_MS / 1000, now=False)
        trading.addErrback(lambda failure: self.log.failure("the demo engine has failed", failure))

    def stopService(self) -> Deferred[None]:
        super().stopService()
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        if self._loop.running:
            self._loop.stop()
        self.sender.end()
        return cast("Deferred[None]", maybeDeferred(port.stopListening))

    def _tick(self) -> None:
        # Never back, even if the clock of the machine is set back.
        self._now_ms = max(self._now_ms, int(self._reactor.seconds() * 1000))
        events = list(self._step(self._now_ms))
        self._steps += 1
        for first in range(0, len(events), _PACKET_EVENTS):
            self.sender.send([msgspec.to_builtins(event) for event in events[first : first + _PACKET_EVENTS]])
        if self._steps % _HEARTBEAT == 0:
            self.sender.send([])

    def _step(self, now_ms: int) -> Iterator[FeedEvent]:
        """Everything that happens in one step, in order."""
        for crowd in self._crowds:
            for order, fills in crowd.step():
                yield from self._settle(crowd, order, fills, now_ms)
        if self._random.random() < _USER_ACTS:
            yield from self._user_acts(now_ms)
        for number, crowd in enumerate(self._crowds):
            depth = crowd.depth(now_ms)
            if depth is not None:
                yield depth
            due = self._steps + number * _SNAPSHOT // len(self._crowds)  # not all in the same step
            if self._steps == 0 or due % _SNAPSHOT == 0:
                yield crowd.snapshot(now_ms)
            if self._steps % _INDEX == 0:
                yield from crowd.index(now_ms)
            if self._steps % _FUNDING == 0:
                yield crowd.funding(now_ms)

    def _user_acts(self, now_ms: int) -> Iterator[FeedEvent]:
        """One of the demo users trades at the market, or makes an offer; takes an old one back when there are many."""
        account = self._accounts[self._random.choice(sorted(self._accounts))]
        crowd = self._random.choice(self._crowds)
        waiting = [order for order in crowd.matching.orders.values() if order.owner == account.uid]
        if len(waiting) >= _USER_ORDERS:
            crowd.matching.cancel(waiting[0].id)
            yield self._order_event(crowd, waiting[0], now_ms)
            return
        held = account.positions.get(crowd.instrument.symbol)
        side: Side = "sell" if held is not None and held.qty > 0 else "buy"  # what is held is sold again
        price = None if self._random.random() < 0.5 else crowd.matching.best(side)
        order = crowd.order(side, price, account.uid)
        yield from self._settle(crowd, order, crowd.matching.place(order), now_ms)

    def _settle(self, crowd: Crowd, order: Order, fills: list[Fill], now_ms: int) -> Iterator[FeedEvent]:
        """The trades of an order just placed, and what its demo users are told of it."""
        for fill in fills:
            yield crowd.trade(fill, now_ms)
        traders: dict[int, Account] = {}
        for fill in fills:
            qty = Decimal(crowd.instrument.qty(fill.qty))
            price = Decimal(crowd.instrument.price(fill.price))
            for side in (fill.maker, fill.taker):
                if side.owner is not None:
                    traders[side.owner] = account = self._accounts[side.owner]
                    account.fill(crowd.instrument.symbol, qty if side.side == "buy" else -qty, price)
        filled = 0
        for fill in fills:
            filled += fill.qty
            if fill.maker.owner is not None:
                yield self._order_event(crowd, fill.maker, now_ms, fill)
            if order.owner is not None:
                yield self._order_event(crowd, order, now_ms, fill, filled)
        rests = not fills or (order.left and order.id not in crowd.matching.orders)
        if order.owner is not None and rests:
            yield self._order_event(crowd, order, now_ms)
        for account in traders.values():
            symbol = crowd.instrument.symbol
            yield UserEvent(account.uid, "position", account.position_data(symbol, now_ms))
            yield UserEvent(account.uid, "balance", account.balance_data(now_ms))

    def _order_event(
        self, crowd: Crowd, order: Order, now_ms: int, fill: Fill | None = None, filled: int | None = None
    ) -> UserEvent:
        assert order.owner is not None
        ended = fill is None and order.id not in crowd.matching.orders
        return UserEvent(order.owner, "order", order_data(crowd.instrument, order, ended, now_ms, fill, filled))
