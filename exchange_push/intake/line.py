"""The TCP push line: requests as lines of JSON, an answer line for each, in order.

A line that is too long or no JSON is answered and the connection lives on. What is held of a peer is bounded: of its
lines by the limit, of its answers by not reading more lines until it has taken them.
"""

import re
from typing import Any, Final

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from exchange_push.errors import MalformedPush, PushCode
from exchange_push.intake.desk import Desk
from exchange_push.intake.gate import Gate
from exchange_push.wire.push import Answer, Auth, Request, decode_line, encode, refusal

LINE_BYTES: Final = 1 << 20
_LINE_S: Final = 30.0  # for a line from its first byte to its end, and for the secret
_LATE_S: Final = 1.0  # of silence in a line that is too long; with its end, the answer can tell how long it was
_STRANGE_LINES: Final = 3  # before a peer without the secret is sent away
_ABORT_S: Final = 3.0  # for a peer that does not take its last answers
_START_BYTES: Final = 64
# A browser can be made to send any lines to any port, but a request line comes first.
_HTTP: Final = re.compile(rb"\s*(?:(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT|PRI) |.* HTTP/[0-9])")


@implementer(IPushProducer, IHalfCloseableProtocol)
class PushLine(Protocol):
    """A connection of an exchange's back end."""

    factory: "PushLines"
    transport: Any

    def __init__(self) -> None:
        self._line = bytearray()  # as far as it has come; empty when it is too long
        self._line_bytes = 0
        self._told = False  # that the line is too long
        self._first = True
        self._strange_lines = 0
        self._closing = False
        self._paused = False
        self._ends_s: float | None = None  # when the line that has begun, or the secret, must be there
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self.factory.connected[self] = None
        self._admitted = self.factory.gate.open
        if not self._admitted:
            self._give_time()
            self._set_timer()
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)

    # -- lines

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        answers: list[bytes] = []
        *ends, rest = data.split(b"\n")
        for end in ends:  # once it is closing, they come to nothing
            self._add(end)
            self._end_line(answers)
        self._add(rest)
        self._write(answers)
        self._set_timer()

    def _add(self, piece: bytes) -> None:
        if piece and self._ends_s is None:
            self._give_time()
        fitted = not self._too_long
        self._line_bytes += len(piece)
        if not self._too_long:
            self._line += piece
        elif fitted:
            # It is forgotten; but a browser, too, can send a long first line.
            if self._first and _HTTP.match(self._line + piece[:_START_BYTES]):
                self._refuse_http()
            self._line = bytearray()

    @property
    def _too_long(self) -> bool:
        # one byte more may be the \r of the line's end
        return self._line_bytes > self.factory.limit_bytes + 1

    def _end_line(self, answers: list[bytes]) -> None:
        line, size, told = bytes(self._line).removesuffix(b"\r"), self._line_bytes, self._told
        too_long = self._too_long or len(line) > self.factory.limit_bytes
        self._line, self._line_bytes, self._told = bytearray(), 0, False
        if self._admitted:
            self._ends_s = None
        if self._closing:
            return
        if too_long:
            self._first = False
            if not told:
                answers.append(self._answer_too_long(f"line of {size} bytes"))
        elif not line.isspace() and line:
            if self._first and _HTTP.match(line):
                self._refuse_http()
                return
            self._first = False
            self.factory.lines += 1
            answers.append(encode(self._answer(decode_line(line))))

    def _answer(self, requests: Request | list[Request]) -> Answer | list[Answer]:
        if isinstance(requests, Auth):
            if self.factory.gate.knows(requests.secret):
                self._admitted = True
                self._ends_s = None
                return Answer(None, {"s": True}, requests.id)
            return self._strange("wrong secret", requests)
        if not self._admitted:
            return self._strange('not authorised, expected {"auth":"<secret>"} first', requests)
        return self.factory.desk.answer_all(requests)

    def _strange(self, msg: str, requests: Request | list[Request]) -> Answer:
        self.factory.strange += 1
        self._strange_lines += 1
        if self._strange_lines >= _STRANGE_LINES:
            self._close()
        error = MalformedPush(msg, PushCode.NOT_AUTHORISED)
        return refusal(error) if isinstance(requests, list) else refusal(error, requests.id)

    def _answer_too_long(self, found: str) -> bytes:
        self.factory.too_long += 1
        msg = f"{found}, expected at most {self.factory.limit_bytes}"
        return encode(refusal(MalformedPush(msg, PushCode.TOO_LARGE)))

    def _refuse_http(self) -> None:
        self._first = False
        self.factory.browsers += 1
        self._close()

    def _write(self, answers: list[bytes]) -> None:
        if answers:
            self.transport.write(b"\n".join(answers) + b"\n")
        if self._closing:
            # A registered producer that is paused would keep the transport from closing.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def leave(self) -> None:
        """The server is stopping: what was answered still arrives, no more lines are taken."""
        if not self._closing:
            self._close()
            self._write([])
            self._set_timer()

    def _close(self) -> None:
        """Close as soon as the answers so far are written."""
        self._closing = True

    # -- what waits

    def _give_time(self) -> None:
        self._ends_s = self.factory.clock.seconds() + self.factory.line_s

    def _set_timer(self) -> None:
        """A line must end, however it drips; one that is too long is answered soon; a closing connection ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        clock = self.factory.clock
        if self._closing:
            self._timer = clock.callLater(_ABORT_S, self._abort)
        elif self._ends_s is not None and not self._paused:
            left_s = max(0.0, self._ends_s - clock.seconds())
            if self._too_long and not self._told:
                self._timer = clock.callLater(min(_LATE_S, left_s), self._tell_too_long)
            else:
                self._timer = clock.callLater(left_s, self._too_late)

    def _tell_too_long(self) -> None:
        self._timer = None
        self._told = True
        self._write([self._answer_too_long(f"line of {self._line_bytes} bytes so far")])
        self._set_timer()

    def _too_late(self) -> None:
        self._timer = None
        self.factory.unended += 1
        self._close()
        error = MalformedPush(f"line not ended within {self.factory.line_s:g} s: {self._line_bytes} bytes so far")
        if not self._line_bytes:
            error = MalformedPush(f"no secret within {self.factory.line_s:g} s", PushCode.NOT_AUTHORISED)
        self._write([] if self._told else [encode(refusal(error))])
        self._set_timer()

    def _abort(self) -> None:
        self._timer = None
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """Answers pile up: read no more until they are taken."""
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
            if self._ends_s is not None:
                self._give_time()  # it could not send on: we did not read
            self._set_timer()

    def stopProducing(self) -> None:
        self._closing = True

    # -- the end

    def readConnectionLost(self) -> None:
        """The peer sends no more, and may still read: `printf … | nc` does so. Its last line needs no end."""
        answers: list[bytes] = []
        if not self._closing:
            self._end_line(answers)
            self._close()
            self._write(answers)
            self._set_timer()

    def writeConnectionLost(self) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.factory.connected.pop(self, None)


class PushLines(Factory[PushLine]):
    """Makes the connections of the push line. A line has `limit_bytes`, and `line_s` from its first byte to its end."""

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        desk: Desk,
        gate: Gate,
        *,
        limit_bytes: int = LINE_BYTES,
        line_s: float = _LINE_S,
    ) -> None:
        self.clock = clock
        self.desk = desk
        self.gate = gate
        self.limit_bytes = limit_bytes
        self.line_s = line_s
        self.connected: dict[PushLine, None] = {}
        self.lines = 0
        self.too_long = 0
        self.strange = 0
        self.browsers = 0
        self.unended = 0

    def buildProtocol(self, addr: IAddress | None) -> PushLine:
        line = PushLine()
        line.factory = self
        return line
