"""Client: keeps a connection to a server, and calls a handler for what comes. Autobahn carries the messages."""

import random
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from twisted.python.failure import Failure

from exchange_push.client.conversation import Conversation
from exchange_push.client.pauses import back_off, comes_back
from exchange_push.client.subscription import Subscription
from exchange_push.client.updates import Closed, Connected, Event, Notice

Token: TypeAlias = str | Callable[[], str | Coroutine[Any, Any, str] | Deferred[str]]

MSGPACK: Final = "exchange-push.msgpack"
_MESSAGE_BYTES: Final = 16 << 20  # a book of 100,000 levels has 3 MiB
_TURN_S: Final = 0.25  # how late a ping may be, or a request that had to wait
_CONNECT_S: Final = 10.0  # with the handshake
_TOKEN_S: Final = 30.0
_CLOSE_S: Final = 3.0  # for a server that does not answer a close
_STEADY_S: Final = 10.0  # a connection that stood so long was a success: the next pause is short again
_FIRST_S: Final = 1.0
_MOST_S: Final = 30.0
_NORMAL: Final = 1000
_NO_CODE: Final = 1005
_BROKEN: Final = 1006

_decode_json = msgspec.json.Decoder(float_hook=Decimal).decode
_decode_msgpack = msgspec.msgpack.Decoder().decode


class _Protocol(WebSocketClientProtocol):
    """One connection; what happens to it goes to the client."""

    factory: "_Factory"
    transport: Any

    def onOpen(self) -> None:
        self.factory.client._opened(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.client._received(self, payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        ours = self.closedByMe or self.failedByMe
        self.factory.client._lost(self, _NO_CODE if code is None else code, reason or "", ours)


class _Factory(WebSocketClientFactory):
    protocol = _Protocol  # type: ignore[assignment]  # Twisted types it as a maker of its own Protocol
    noisy = False

    def __init__(self, client: "Client", url: str, reactor: Any, protocols: list[str]) -> None:
        super().__init__(url, protocols=protocols, reactor=reactor)
        self.client = client
        # Time is kept by the client: Autobahn's timers know no other clock than the global reactor's.
        self.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            failByDrop=False,
            tcpNoDelay=True,
            maxFramePayloadSize=_MESSAGE_BYTES,
            maxMessagePayloadSize=_MESSAGE_BYTES,
        )


class Client(Service):
    """A client of the server at `url` (`ws://` or `wss://`).

    It connects when it is started, comes back by itself when the connection is lost, logs in and subscribes again, and
    goes on where numbered channels were left. `on_notice` is called for what is no event of a channel.

    `token` is one, or a function that gives one, or a Deferred or coroutine of one: it is asked at each login.
    `binary`: speak msgpack. `endpoint`: connect by this one, whatever host the URL names. `random` gives [0, 1).
    """

    log = Logger()

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        on_notice: Callable[[Notice], object] | None = None,
        binary: bool = False,
        endpoint: IStreamClientEndpoint | None = None,
        reactor: Any = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self._reactor = reactor
        self._random = random
        self._token = token
        self._on_notice = on_notice
        self._handlers: dict[str, Callable[[Event], object]] = {}
        self._conversation = Conversation(random=random, logs_in=token is not None, renews=callable(token))
        self._factory = _Factory(self, url, reactor, [MSGPACK] if binary else [])
        self._endpoint = _endpoint(reactor, self._factory) if endpoint is None else endpoint
        self._connecting: Deferred[Any] | None = None
        self._protocol: _Protocol | None = None
        self._open_since_s: float | None = None
        self._attempts = 0
        self._retry: IDelayedCall | None = None
        self._turn_call: IDelayedCall | None = None
        self._abort_call: IDelayedCall | None = None
        self._fetching: Deferred[Any] | None = None
        self._stopped: list[Deferred[None]] = []

    # -- what a program uses

    def subscribe(
        self, channel: str, handler: Callable[[Event], object], *, numbered: bool | None = None
    ) -> Subscription:
        """Call `handler` for each event of the channel, from now on and over all connections.

        `numbered`: what comes while the connection is down is got afterwards, as far back as the server has it; else
        the current state comes. Where nothing is said, private channels are; a book never is. A channel has one
        handler: who subscribes again replaces it.
        """
        found = self._conversation.subscribe(channel, numbered=numbered)
        self._handlers[channel] = handler
        self._soon()
        return found

    def unsubscribe(self, channel: str) -> None:
        """Hear no more of it."""
        self._handlers.pop(channel, None)
        self._conversation.unsubscribe(channel)
        self._soon()

    def log_in(self, token: Token | None = None) -> None:
        """Log in now: with another token, or again with the one there is, after a login that was refused or ended."""
        if token is not None:
            self._token = token
        self._conversation.log_in(renews=callable(self._token))
        self._soon()

    @property
    def latency_ms(self) -> float | None:
        """From the last ping to its answer; None without a connection."""
        return self._conversation.latency_ms

    def startService(self) -> None:
        """Connect."""
        super().startService()
        if self._protocol is None:  # else it comes back once that one is closed
            self._dial()

    def stopService(self) -> Deferred[None]:
        """Close the connection; the Deferred fires when it is gone."""
        super().stopService()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._connecting is not None:
            self._connecting.cancel()
        if self._protocol is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if self._open_since_s is None:
            self._protocol.transport.abortConnection()
        else:
            self._protocol.sendClose(_NORMAL)
            self._abort_in(_CLOSE_S)
        return stopped

    # -- the connection

    def _dial(self) -> None:
        self._retry = None
        self._connecting = self._endpoint.connect(self._factory)
        self._connecting.addTimeout(_CONNECT_S, self._reactor)
        self._connecting.addCallbacks(self._reached, self._unreached)

    def _reached(self, protocol: _Protocol) -> None:
        self._connecting = None
        self._protocol = protocol
        self._abort_in(_CONNECT_S)

    def _unreached(self, failure: Failure) -> None:
        self._connecting = None
        self._come_back(_BROKEN, f"not connected: {failure.getErrorMessage()}", again=True)

    def _opened(self, protocol: _Protocol) -> None:
        self._stay()
        self._open_since_s = self._reactor.seconds()
        self._conversation.opened(self._now_ms())
        self._tell(Connected())
        self._turn()

    def _lost(self, protocol: _Protocol, code: int, reason: str, ours: bool) -> None:
        self._stay()
        self._protocol = None
        if self._open_since_s is not None and self._reactor.seconds() - self._open_since_s >= _STEADY_S:
            self._attempts = 0
        self._open_since_s = None
        if self._turn_call is not None:
            self._turn_call.cancel()
            self._turn_call = None
        self._conversation.closed()
        if self._fetching is not None:
            self._fetching.cancel()
        self._come_back(code, reason, again=comes_back(code, ours=ours))

    def _come_back(self, code: int, reason: str, *, again: bool) -> None:
        again_s = None
        if again and self.running:
            self._attempts += 1
            again_s = back_off(self._attempts, self._random, _FIRST_S, _MOST_S)
            self._retry = self._reactor.callLater(again_s, self._dial)
        self._tell(Closed(code, reason, again_s))
        while self._stopped:
            self._stopped.pop().callback(None)

    def _abort_in(self, seconds: float) -> None:
        self._stay()
        self._abort_call = self._reactor.callLater(seconds, self._abort)

    def _stay(self) -> None:
        if self._abort_call is not None:
            self._abort_call.cancel()
            self._abort_call = None

    def _abort(self) -> None:
        self._abort_call = None
        if self._protocol is not None:
            self._protocol.transport.abortConnection()

    # -- what is said over it

    def _now_ms(self) -> float:
        return float(self._reactor.seconds()) * 1000

    def _soon(self) -> None:
        """Send what is wanted at the end of this turn, so that many subscriptions become one request."""
        if self._turn_call is not None:
            self._turn_call.reset(0)

    def _turn(self) -> None:
        """Send what is due, now and then again."""
        self._turn_call = self._reactor.callLater(_TURN_S, self._turn)
        now_ms = self._now_ms()
        if self._conversation.is_dead(now_ms):
            self._abort()
            return
        if self._conversation.wants_token(now_ms):
            self._fetch_token()
        self._send()

    def _send(self) -> None:
        protocol = self._protocol
        if protocol is None or not self.running:
            return
        binary = protocol.websocket_protocol_in_use == MSGPACK
        for request in self._conversation.requests(self._now_ms()):
            encode = msgspec.msgpack.encode if binary else msgspec.json.encode
            protocol.sendMessage(encode(request), isBinary=binary)

    def _received(self, protocol: _Protocol, payload: bytes, binary: bool) -> None:
        if not self.running:
            return
        now_ms = self._now_ms()
        for update in self._conversation.received(_decoded(payload, binary), now_ms):
            if isinstance(update, Event):
                handler = self._handlers.get(update.channel)
                if handler is not None:
                    self._call(handler, update)
            else:
                self._tell(update)
        if self._conversation.wants_token(now_ms):
            self._fetch_token()
        self._send()

    def _fetch_token(self) -> None:
        token = self._token
        if isinstance(token, str):
            self._conversation.token(token)
            return
        assert token is not None
        self._fetching = fetching = maybeDeferred(token)
        fetching.addTimeout(_TOKEN_S, self._reactor)
        fetching.addCallbacks(self._got_token, self._got_none)

    def _got_token(self, token: str) -> None:
        self._fetching = None
        self._conversation.token(token)
        self._soon()

    def _got_none(self, failure: Failure) -> None:
        self._fetching = None
        for notice in self._conversation.no_token(f"no token: {failure.getErrorMessage()}", self._now_ms()):
            self._tell(notice)

    def _tell(self, notice: Notice) -> None:
        if self._on_notice is not None:
            self._call(self._on_notice, notice)

    def _call(self, handler: Callable[[Any], object], update: Event | Notice) -> None:
        try:
            handler(update)
        except Exception:  # the border: the program's fault, and the other handlers shall hear on
            self.log.failure("a handler of {channel} failed", channel=getattr(update, "channel", type(update).__name__))


def _endpoint(reactor: Any, factory: _Factory) -> IStreamClientEndpoint:
    endpoint = HostnameEndpoint(reactor, factory.host, factory.port)
    return wrapClientTLS(optionsForClientTLS(factory.host), endpoint) if factory.isSecure else endpoint


def _decoded(payload: bytes, binary: bool) -> object:
    """A message as values; what is neither JSON nor msgpack is text, or bytes."""
    try:
        return _decode_msgpack(payload) if binary else _decode_json(payload)
    except (ValueError, RecursionError):
        return payload if binary else payload.decode()
