"""The WebSocket of the internal API: the same pushes, many in flight on one connection, and calls on connections."""

from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.util import encode_truncate
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.web.http import RESPONSES
from zope.interface import implementer

from exchange_push.errors import CloseCode, MalformedPush, PushCode
from exchange_push.intake.desk import Desk
from exchange_push.intake.gate import Gate
from exchange_push.wire.push import Answer, Fault, decode_message, encode

MESSAGE_BYTES: Final = 1 << 20
PATH: Final = "/ws/v1"
_ABORT_S: Final = 3.0  # for a peer that does not answer a close
_REASON_BYTES: Final = 123  # what a close frame holds beside the code


class _Quiet:
    """Autobahn's own log lines quote what a peer sent, and cost more than a push."""

    def debug(self, *args: object, **fields: object) -> None: ...

    trace = info = warn = debug
    error = Logger("autobahn").error


@implementer(IPushProducer)
class PushProtocol(WebSocketServerProtocol):
    """A connection of an exchange's back end."""

    log = _Quiet()
    factory: "PushFactory"
    transport: Any

    def connectionMade(self) -> None:
        super().connectionMade()
        self._paused = False
        self._abort: IDelayedCall | None = None

    # -- handshake

    def onConnect(self, request: ConnectionRequest) -> None:
        try:
            self.factory.gate.check(request.headers)
        except MalformedPush as error:
            raise ConnectionDeny(ConnectionDeny.FORBIDDEN, error.msg) from None
        if request.path != PATH:
            raise ConnectionDeny(ConnectionDeny.NOT_FOUND, f"no such path, expected {PATH}")

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Autobahn's own would put the reason, and with it what the peer sent, into the status line."""
        fault = PushCode.NOT_AUTHORISED if code == ConnectionDeny.FORBIDDEN else PushCode.INVALID_ARGUMENT
        body = encode(Answer(Fault(fault.value, reason)))
        fields = [
            ("Server", "exchange-push"),
            ("Connection", "close"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *(responseHeaders or ()),
        ]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.sendData(b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (code, RESPONSES.get(code, b"Error"), head.encode(), body))
        self.dropConnection(abort=False)
        self._abort_later()

    def onOpen(self) -> None:
        self.factory.connected[self] = None
        # A transport that came through another protocol (TLS, a Site) may still have its producer.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    # -- messages

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.messages += 1
        try:
            self._reply(b"pong" if payload == b"ping" else encode(self.factory.desk.answer(decode_message(payload))))
        except Exception:  # the border: Autobahn would log the message itself, and drop the connection
            self.factory.faults += 1
            self.factory.log.failure("a message of the internal WebSocket could not be handled")
            self.close(CloseCode.INTERNAL_ERROR, "internal error")

    def _reply(self, answer: bytes) -> None:
        if self.state == self.STATE_OPEN:
            self.sendMessage(answer)

    def pauseProducing(self) -> None:
        """Answers pile up: read no more until they are taken."""
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()

    def stopProducing(self) -> None: ...

    # -- the end

    def close(self, code: CloseCode, reason: str) -> None:
        if self.state == self.STATE_OPEN:
            # Not sendClose: it refuses 1001 and 1011.
            self.sendCloseFrame(int(code), encode_truncate(reason, _REASON_BYTES))

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        super().sendCloseFrame(code, reasonUtf8, isReply)
        # Whoever began: a peer that does not read would keep the connection for ever.
        self._abort_later()

    def _abort_later(self) -> None:
        if self._abort is None:
            self._abort = self.factory.clock.callLater(_ABORT_S, self._abort_now)

    def _abort_now(self) -> None:
        self._abort = None
        self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        if self._abort is not None:
            self._abort.cancel()
            self._abort = None
        self.factory.connected.pop(self, None)
        super().connectionLost(reason)


class PushFactory(WebSocketServerFactory):
    """Makes the connections of the internal WebSocket."""

    protocol = PushProtocol  # type: ignore[assignment]  # Twisted types it as a maker of its own Protocol
    log = Logger()
    noisy = False

    def __init__(self, clock: IReactorTime, desk: Desk, gate: Gate, *, message_bytes: int = MESSAGE_BYTES) -> None:
        # Autobahn only keeps its reactor for itself; the fallback would install one.
        super().__init__(server="exchange-push", reactor=clock)
        self.clock = clock
        self.desk = desk
        self.gate = gate
        self.connected: dict[PushProtocol, None] = {}
        self.messages = 0
        self.faults = 0
        self.setProtocolOptions(
            webStatus=False,  # its default is an open redirect
            failByDrop=False,
            maxFramePayloadSize=message_bytes,
            maxMessagePayloadSize=message_bytes,
            openHandshakeTimeout=5,
            closeHandshakeTimeout=0,  # ours covers the closes that the peer begins, too
            autoPingInterval=20,
            autoPingTimeout=10,
            autoPingRestartOnAnyTraffic=False,
            allowNullOrigin=True,  # origins are the Gate's
            tcpNoDelay=True,
        )
