"""The one place where parts meet: what a running server is made of, and how it starts and stops."""

import gc
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from exchange_push import catalog
from exchange_push.beside import demo_beside, demo_products
from exchange_push.config import Config
from exchange_push.counters import (
    client_counters,
    feed_counters,
    intake_counters,
    latency_histograms,
    liveness_counters,
    market_counters,
    poll_counters,
    store_counters,
    weight_counters,
)
from exchange_push.demo.auth import TOKENS
from exchange_push.edge.auth import AuthService
from exchange_push.edge.binance.asking import Asking
from exchange_push.edge.binance.venue import Venue
from exchange_push.edge.front import Front, one_spelling
from exchange_push.edge.history import History
from exchange_push.edge.pages import Answer, AnyRequest, public_site
from exchange_push.edge.udf import Udf
from exchange_push.edge.web import web_pages
from exchange_push.edge.websocket import ClientFactory, ClientOptions, ClientProtocol, Door, client_ids
from exchange_push.edge.weights import Weights
from exchange_push.errors import CloseCode, ConfigError
from exchange_push.intake.desk import Desk
from exchange_push.intake.feed_port import Sources, parse_feed, parse_rerequest
from exchange_push.intake.gate import Gate
from exchange_push.intake.http import Api, head_error
from exchange_push.intake.line import PushLines
from exchange_push.intake.poll import BookPoll
from exchange_push.intake.record import Recorder
from exchange_push.intake.rerequest import Asker
from exchange_push.intake.udp import Apply, FeedService
from exchange_push.intake.websocket import PushFactory
from exchange_push.lifecycle import Listener, Ticks
from exchange_push.limits import binance_options, binance_terms, client_options
from exchange_push.market.board import TICK_MS, Board
from exchange_push.market.changes import Amended
from exchange_push.market.events import Gap, UserEvent
from exchange_push.market.kept import Kept
from exchange_push.metrics import Metrics
from exchange_push.options import Options, exit_with
from exchange_push.pubsub.channel import Channel, Owner, Registry
from exchange_push.pubsub.hub import Hub
from exchange_push.pubsub.liveness import Liveness
from exchange_push.pubsub.outbox import Budget
from exchange_push.pubsub.publication import Publication
from exchange_push.pubsub.session import Session
from exchange_push.pubsub.terms import Terms
from exchange_push.schema.pages import schema_pages
from exchange_push.store.keeper import Keeper
from exchange_push.wire.dialects.deflated import deflated
from exchange_push.wire.events import DecodedEvents
from exchange_push.wire.record import VERSION, Begin

log = Logger()

_AHEAD_MS: Final = 86_400_000  # of our wall clock: that far no engine's is off

_FAREWELL_S: Final = 3.0  # the closes of a stop are spread over at most this
_FAREWELL_STEPS: Final = 30
_GONE_S: Final = 4.0  # then whoever answered no close has been aborted


class ExchangePush(MultiService):
    """A running server. `now_ms` is a monotonic clock."""

    def __init__(self, config: Config, reactor: Any, now_ms: Callable[[], int], *, demo: bool = False) -> None:
        super().__init__()
        if demo:
            config = msgspec.structs.replace(config, symbols=demo_products(config))
        self.config = config
        self._reactor = reactor
        self._now_ms = now_ms
        self.pidfile: str | None = None
        self.in_background = False

        self._latest_ms = 0
        self.keeper: Keeper | None = None
        if config.store != "none":
            self.keeper = Keeper(
                reactor,
                lambda: catalog.open_store(config.store, config.keep_ms),
                restore=self._go_on,
                amended=self._publish_amended,
                now_ms=now_ms,
            )
            self.keeper.setServiceParent(self)  # before all else: what was kept comes before what is new
        self._recorder = None if config.record is None else Recorder(config.record, _begin(config))
        past = self.keeper
        self.board = Board(
            catalog.COMPUTED,
            wanted=lambda channel: self.hub.wanted(channel),
            any_wanted=lambda kind: self.hub.any_wanted(kind),
            products=config.symbols,
            close_grace_ms=config.market.close_grace_ms,
            latest_ms=lambda: self._latest_ms,
            past=past if past is None or self._recorder is None else self._recorder.past(past),
        )
        self.hub = Hub(
            self.board.state, Budget(config.clients.outbox_total_bytes), lambda: int(reactor.seconds() * 1000)
        )
        self.registry = registry(config)
        self._apply: Apply = self.board.apply
        self._publish: Callable[[Publication], tuple[int, int]] = self.hub.publish
        if self._recorder is not None:
            self._apply, self._publish = self._recorder.apply(self._apply), self._recorder.publish(self._publish)
            self._recorder.setServiceParent(self)
        self.auth = AuthService(
            reactor,
            config.auth.url,
            format=config.auth.format,
            timeout_s=config.auth.timeout_s,
            in_flight=config.auth.in_flight,
        )
        system = self.registry.kind(Owner.NOBODY, "system")
        assert system is not None
        self._system = Channel(system, "")
        self.liveness = Liveness(self.hub, self._system, stale_ms=config.feed.stale_ms)
        self.terms = Terms(
            registry=self.registry,
            hub=self.hub,
            look_up=self.auth.look_up,
            now_ms=lambda: int(reactor.seconds() * 1000),
            call_later=reactor.callLater,
            stale=self.liveness.notice,
            max_subscriptions=config.clients.max_subscriptions,
            requests_per_s=config.clients.requests_per_s,
            requests_burst=config.clients.requests_burst,
            outbox_bytes=config.clients.outbox_bytes,
        )
        options = client_options(config)
        self.history = History(self.board, self.keeper, lambda name: self.registry.for_client(name, None))
        weights = Weights(
            config.binance.weight_per_minute,
            refusals=config.binance.refusals,
            ban_s=config.binance.ban_s,
            proxies=options.proxies,
        )
        self.asking = Asking(self._venue(), weights)
        self._next_client_id = client_ids(int(reactor.seconds() * 1000))
        self.clients = ClientFactory(reactor, self._doors(options), options, self.hub.round)
        self.asker = _asker(config, demo)
        self.feed = FeedService(
            reactor,
            [parse_feed(address) for address in config.feed.listen],
            apply=self._apply,
            user=self._publish_user_event,
            now_ms=now_ms,
            asker=self.asker,
            key=config.feed_key,
            sources=Sources(config.feed.sources) if config.feed.sources else None,
            grace_ms=config.feed.grace_ms,
            deadline_ms=config.feed.deadline_ms,
            waiting_limit=config.feed.waiting,
        )
        self.book_poll = BookPoll(
            reactor,
            config.book.url,
            interval_ms=config.book.interval_ms,
            stale_ms=config.feed.stale_ms,
            in_use=self._symbols_in_use,
            book=self.board.book,
            apply=lambda event: self._apply([event], now_ms()),
            now_ms=now_ms,
            time_ms=self._polled_time,
        )
        # In this order: what comes in is heard before clients and back ends find an open port.
        self.feed.setServiceParent(self)
        self.auth.setServiceParent(self)
        self.ticks = Ticks(reactor, TICK_MS / 1000, self._tick)
        self.ticks.setServiceParent(self)
        self.book_poll.setServiceParent(self)
        self._take_pushes()
        self._let_clients_in(tuple(TOKENS) if demo else ())
        self._count()
        if demo:
            assert self.asker is not None  # the demo always has one
            demo_beside(config, reactor, self.asker).setServiceParent(self)

    def _venue(self) -> Venue:
        listed = frozenset(self.config.market.symbols)
        return Venue(
            self.board,
            self.history,
            channel=lambda name: self.registry.for_client(name, None),
            symbols=lambda: listed or self.board.symbols(),
            knows=lambda symbol: symbol in listed if listed else self.board.knows(symbol),
            products=self.config.symbols,
            now_ms=self.terms.now_ms,
            weight_per_minute=self.config.binance.weight_per_minute,
        )

    def _take_pushes(self) -> None:
        config, reactor = self.config, self._reactor
        self.metrics = Metrics()
        self.gate = Gate(config.secret, origins=config.internal.origins, hosts=config.internal.hosts)
        self.desk = Desk(
            self.registry,
            publish=self._publish,
            apply_events=self._apply_events,
            clients=self.hub,
            owns_book=self.board.owns_book,
            clock_ms=self._now_ms,
        )
        self.lines = PushLines(reactor, self.desk, self.gate, limit_bytes=config.lines.line_bytes)
        self.api = Api(
            reactor,
            self.desk,
            self.gate,
            metrics=self.metrics.text,
            ready=self._missing,
            publish_path=config.api.publish_path,
        )
        self.pushes = PushFactory(reactor, self.desk, self.gate)
        front = Front(reactor, web=self.api, websocket=self.pushes, bodies=True, error=head_error)
        Listener("lines", reactor, config.lines.listen, self.lines).setServiceParent(self)
        Listener("api", reactor, config.api.listen, front).setServiceParent(self)

    def _let_clients_in(self, tokens: tuple[str, ...]) -> None:
        clients = self.config.clients
        udf = Udf(self.history, self._symbol_names, self.config.market.exchange, self.config.symbols, self.terms.now_ms)
        pages: dict[bytes, Answer | AnyRequest] = {
            b"/v1/symbols": lambda asked: self._symbols(),
            **self.history.pages(),
            **schema_pages(self.config),
            **udf.pages(),
        }
        if clients.page:
            pages |= web_pages(clients.path, tokens)
        if self.config.binance.enabled:
            pages |= self.asking.pages()
        proxies = frozenset(map(one_spelling, clients.proxies))
        site = public_site(self._reactor, pages, clients.origins, proxies)
        self.front = Front(
            self._reactor,
            web=site,
            websocket=self.clients,
            max_per_address=clients.max_per_address,
            proxies=proxies,
        )
        for index, endpoint in enumerate(self.config.listen):
            listener = Listener(f"listen {index + 1}", self._reactor, endpoint, self.front)
            listener.setServiceParent(self)
            if endpoint.startswith("tcp:") and "interface=127." not in endpoint:
                log.warn("{endpoint} speaks ws:// without TLS: use ssl:, or a proxy in front", endpoint=endpoint)

    def _count(self) -> None:
        feed_counters(self.metrics, self.feed)
        latency_histograms(self.metrics, self.board.latency)
        liveness_counters(self.metrics, self.liveness)
        poll_counters(self.metrics, self.book_poll)
        market_counters(self.metrics, self.board)
        if self.keeper is not None:
            store_counters(self.metrics, self.keeper)
        client_counters(self.metrics, self.hub, self.clients, self.front, self.auth)
        weight_counters(self.metrics, self.asking)
        intake_counters(self.metrics, self.desk, self.gate, self.api, self.lines, self.pushes)
        self.metrics.add("tick_faults", "Ticks that failed inside", "counter", lambda: self.ticks.faults)

    # -- what happens on the way

    def _go_on(self, kept: Kept | None, place: tuple[int, int] | None) -> None:
        """Go on where an earlier run stopped."""
        if kept is None:
            return
        if self._recorder is not None:
            self._recorder.restored(kept)
        self.board.restore(kept)
        if place is not None:
            self.feed.resume(*place)
        else:
            self._apply([Gap(0)], self._now_ms())  # nobody knows what came since

    def _publish_amended(self, amended: list[Amended]) -> None:
        if self._recorder is not None:
            self._recorder.amended(amended)
        for candle in amended:
            for publication in self.board.amend(*candle):
                self.hub.publish(publication)

    def _tick(self) -> None:
        now_ms = self._now_ms()
        sequencer = self.feed.intake.sequencer
        if self.board.standing and sequencer.caught_up:
            self._apply([], now_ms)
        self._latest_ms = int(self._reactor.seconds() * 1000) + _AHEAD_MS
        if self._recorder is not None:
            self._recorder.ticked(now_ms, self._latest_ms)
        publications = self.board.flush(now_ms)
        if self.keeper is not None:
            self.keeper.ticked(self.board, sequencer.place)
        for publication in publications:
            self.hub.publish(publication)
        self._time(publications)
        unsure = self.board.unsure_books() | self.book_poll.overdue
        # After what is published: who hears that a book is live again has its snapshot by then.
        self.liveness.look(
            self.terms.now_ms(), self.feed.silent_ms(), unsure, self.book_poll.current, self.board.unpriced()
        )

    def _time(self, publications: list[Publication]) -> None:
        """Count how long it took; by the next turn the sockets were written to."""
        latency = self.board.latency
        found = latency.flush(publications)
        if found:
            latency.count_received(found, self.terms.now_ms() - self._now_ms())
            self._reactor.callLater(0, lambda: latency.count_written(found, self._now_ms()))

    def _symbols_in_use(self) -> list[str]:
        """Symbols whose book somebody needs."""
        listened = [channel.owner for channel, _ in self.hub.channels() if channel.kind in catalog.POLLED]
        return listened + self.board.books_out_of_sync()

    def _polled_time(self) -> int:
        """The time of a book that is asked for now: never later than an event's, or polling would drive market time."""
        alone = self.feed.silent_ms() is None and not self.desk.events
        return self.terms.now_ms() if alone else self.board.heard_time or self.terms.now_ms()

    def _doors(self, options: ClientOptions) -> list[Door]:
        """By which paths clients come in, and what holds for them there."""
        config = self.config
        doors = [Door(catalog.own_path(config.clients.path), self._conversing(self.terms), options)]
        if config.binance.enabled:
            terms = binance_terms(config, self.terms, self._is_listed)
            limits = binance_options(config, options)
            doors.append(Door(catalog.PATHS["binance"], self._conversing(terms), limits))
            # What is asked there is weighed, so that frames are not counted as those of streams are.
            limits = replace(limits, frames_per_s=options.frames_per_s, frames_burst=options.frames_burst)
            doors.append(Door(catalog.PATHS["binance_api"], self._conversing(self.terms, asks=True), limits))
        return doors

    def _conversing(self, terms: Terms, *, asks: bool = False) -> Callable[[ClientProtocol], Session]:
        """`asks`: who comes in there may ask questions, which are weighed by address."""

        def converse(protocol: ClientProtocol) -> Session:
            dialect = protocol.opening.dialect
            assert protocol.peer is not None  # known since the handshake
            return Session(
                self._next_client_id(),
                protocol.peer,
                deflated(dialect) if protocol.deflates else dialect,
                protocol,
                replace(terms, ask=partial(self.asking.ask, protocol.host)) if asks else terms,
            )

        return converse

    def _is_listed(self, symbol: str) -> bool:
        """Whether a symbol is known; any is where none was heard of yet, so that a start turns nobody away."""
        return self.board.knows(symbol) or not self.board.has_symbols

    def _publish_user_event(self, event: UserEvent) -> None:
        kind = self.registry.kind(Owner.USER, event.kind)
        if kind is not None:
            self._publish(Publication(Channel(kind, str(event.uid)), event.data))

    def _apply_events(self, decoded: DecodedEvents) -> tuple[int, int]:
        """Events that came acknowledged, by HTTP or lines: the same road as the feed's, without numbers."""
        self._apply([event for event in decoded.events if not isinstance(event, UserEvent)], self._now_ms())
        for event in decoded.events:
            if isinstance(event, UserEvent):
                self._publish_user_event(event)
        return len(decoded.events), decoded.malformed

    def _missing(self) -> str | None:
        """What the server is not ready for, None when it is."""
        listeners = [service for service in self if isinstance(service, Listener)]
        if not all(listener.port for listener in listeners):
            return "not listening yet"
        if self.feed.silent_ms() is not None and self.feed.is_stale(self.config.feed.stale_ms):
            return "the feed is silent"
        return None

    def _symbols(self) -> list[dict[str, str]]:
        return [{"symbol": symbol} for symbol in self._symbol_names()]

    def _symbol_names(self) -> list[str]:
        return sorted({*self.board.symbols(), *self.config.market.symbols})

    # -- start and stop

    def privilegedStartService(self) -> None:
        self._starting(super().privilegedStartService)

    def startService(self) -> None:
        self._starting(super().startService)

    def _starting(self, start: Callable[[], None]) -> None:
        try:
            start()
        except ConfigError as error:
            if self.in_background:
                # twistd tells it to the terminal, which waits for an exception or a success and for nothing else.
                log.critical("{error}", error=error)
                raise
            if self.pidfile:
                Path(self.pidfile).unlink(missing_ok=True)
            exit_with(str(error))

    async def _farewell(self) -> None:
        """Tell all who are connected, close them with 1001, and wait until they are gone."""
        self.clients.stopping = True
        for pusher in list(self.pushes.connected):
            pusher.close(CloseCode.GOING_AWAY, "server stopping")
        for line in list(self.lines.connected):
            line.leave()
        sessions = list(self.hub.sessions.values())
        spread_s = _FAREWELL_S if len(sessions) > 1000 else 0.0
        self.hub.publish(Publication(self._system, {"type": "shutdown", "inMs": int(spread_s * 1000)}))
        for step in range(_FAREWELL_STEPS):
            for session in sessions[step::_FAREWELL_STEPS]:
                session.dismiss()
            if spread_s:
                await deferLater(self._reactor, spread_s / _FAREWELL_STEPS)
        ends_s = self._reactor.seconds() + _GONE_S
        callers = (self.clients.connected, self.pushes.connected, self.lines.connected)
        while any(callers) and self._reactor.seconds() < ends_s:
            await deferLater(self._reactor, 0.05)

    def stopService(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in self:
            if isinstance(service, Listener):
                await service.stopService()  # nobody new from now on
        await self._farewell()
        if self.keeper is not None:
            self.board.flush(self._now_ms(), last=True)
            self.keeper.ticked_last(self.board, self.feed.intake.sequencer.place)
        await maybeDeferred(super().stopService)


def _begin(config: Config) -> Begin:
    """What a record of a server of this configuration begins with."""
    return Begin(
        VERSION,
        config.market.close_grace_ms,
        {name: msgspec.to_builtins(product) for name, product in config.symbols.items()},
        list(config.channels.public),
        list(config.channels.private),
        config.store != "none",
    )


def _asker(config: Config, demo: bool) -> Asker | None:
    """None where there is nobody to ask for missing events. The demo's engine can be asked: it tells where."""
    if config.feed.rerequest is not None:
        return Asker(parse_rerequest(config.feed.rerequest))
    return Asker() if demo else None


def registry(config: Config) -> Registry:
    return Registry(
        [*catalog.COMPUTED, *catalog.PUSHED, *catalog.configured(config.channels.public, config.channels.private)],
        aliases=catalog.ALIASES,
        symbols=config.market.symbols,
        prefix=config.channels.prefix,
    )


# -- launch


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _stop_cleanly(reactor: Any) -> None:
    """A stop asked for is no failure: `twistd -n` would exit as if killed by the signal. SIGHUP ends nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(_stop, reactor))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _stop(reactor: Any) -> None:
    if reactor.running:  # a second signal while stopping changes nothing
        reactor.stop()


def makeService(options: Options) -> ExchangePush:
    """What twistd asks for."""
    from twisted.internet import reactor

    try:
        server = ExchangePush(options.config, reactor, monotonic_ms, demo=bool(options["demo"]))
    except ConfigError as error:
        exit_with(str(error))
    twistd = dict(options.parent or ())  # twist has neither
    server.pidfile = twistd.get("pidfile")
    server.in_background = not twistd.get("nodaemon", True)
    reactor.callWhenRunning(_stop_cleanly, reactor)
    # A full collection looks at all that clients hold: 0.25 s for 5,500. Connections leave nothing for it to find.
    gc.set_threshold(50_000, 10, 20)
    return server


def main() -> None:
    """The command `exchange-push`: twistd in the foreground, without a pid file."""
    from twisted.scripts.twistd import run

    sys.argv[1:1] = ["-n", "--pidfile=", "exchange-push"]
    run()
