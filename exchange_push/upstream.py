"""Upstream: an HTTP service that we ask, through treq, within bounds.

No redirects, no cookies, no gzip, no more of an answer than fits the limit; connections are kept and reused.
Not here: what is asked, what an answer means, how many ask at once, and the deadline: cancel `get` or `post`.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseNeverReceived,
    _HTTP11ClientFactory,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

_CONNECT_TIMEOUT_S: Final = 1
_JSON: Final = b"application/json"
_KEPT_S: Final = 30  # below the keep-alive of the usual HTTP servers, so that we close first


class Answer(NamedTuple):
    status: int
    body: bytes | None
    """None: longer than the limit, or cut off before its end."""


class Upstream:
    """Keeps at most `connections` between calls; reads at most `limit_bytes` of an answer."""

    def __init__(self, reactor: Any, *, connections: int, limit_bytes: int) -> None:
        self._reactor = reactor
        self._limit_bytes = limit_bytes
        self._pool = _Pool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = connections
        self._pool.cachedConnectionTimeout = _KEPT_S
        self._agent = _PlainAgent(Agent(reactor, connectTimeout=_CONNECT_TIMEOUT_S, pool=self._pool))
        # Always on a new connection: where a kept one has died, so have others.
        fresh = _Pool(reactor, persistent=False)
        self._fresh_agent = _PlainAgent(Agent(reactor, connectTimeout=_CONNECT_TIMEOUT_S, pool=fresh))
        self.retried = 0
        """Asked again because a kept connection had died."""

    def close(self) -> Deferred[None]:
        """Close the connections that wait for another call; those in use end with their calls."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    async def get(self, url: str) -> Answer:
        """Ask once; raises what treq and Twisted raise, whose messages may quote anything of the request."""
        return await self._ask("GET", url, Headers({b"Accept": [_JSON]}), None)

    async def post(self, url: str, data: bytes, content_type: bytes) -> Answer:
        """The same with a body."""
        return await self._ask("POST", url, Headers({b"Content-Type": [content_type], b"Accept": [_JSON]}), data)

    async def _ask(self, method: str, url: str, headers: Headers, data: bytes | None) -> Answer:
        asked = self._request(self._agent, method, url, headers, data)
        kept = self._pool.gave_kept
        try:
            response = await asked
        except (ResponseNeverReceived, RequestTransmissionFailed) as died:
            # The service closed the connection just as we used it again: nothing was wrong with the question.
            if not kept or any(reason.check(CancelledError) for reason in died.reasons):
                raise
            self.retried += 1
            response = await self._request(self._fresh_agent, method, url, headers, data)
        body = _Body(self._limit_bytes)
        response.deliverBody(body)
        return Answer(response.code, await body.whole)

    def _request(
        self, agent: "_PlainAgent", method: str, url: str, headers: Headers, data: bytes | None
    ) -> Deferred[IResponse]:
        # A client of its own for every call: it would keep the cookies of one user for the next.
        client = HTTPClient(cast(IAgent, agent), data_to_body_producer=cast(Any, _Question))
        response = client.request(
            method,
            url,
            data=data,
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )
        return cast("Deferred[IResponse]", response)


def why(failure: Failure) -> str:
    """What went wrong with a call, by its class and no more: the messages of others may hold a token."""
    reasons = [reason.value for reason in getattr(failure.value, "reasons", (failure,))]
    if any(isinstance(reason, CancelledError | TimeoutError) for reason in reasons):
        return "no whole answer in time"
    return ", ".join(sorted({type(reason).__name__ for reason in reasons}))


class _Connections(_HTTP11ClientFactory):
    """Keeps connections for the pool, but for those being closed because their answer was too long."""

    noisy = False  # a line in the log for each connection

    def __init__(self, keep: Callable[[Any], None], metadata: str) -> None:
        def keep_open(connection: Any) -> None:
            if not connection.transport.disconnecting:
                keep(connection)

        super().__init__(keep_open, metadata)


class _Pool(HTTPConnectionPool):
    """Tells whether the connection it gave last was a kept one."""

    _factory = _Connections
    gave_kept = False

    def getConnection(self, key: Any, endpoint: Any) -> Any:
        connection = super().getConnection(key, endpoint)
        # A new one still has to connect: its Deferred waits, if only for another.
        self.gave_kept = bool(connection.called and not connection.paused)
        return connection


@implementer(IAgent)
class _PlainAgent:
    """Keeps treq from asking for gzip and unpacking it: 50 kB become 50 MB before a limit sees them."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        if headers is not None:
            headers.removeHeader(b"Accept-Encoding")
        return self._agent.request(method, uri, headers, bodyProducer).addCallback(self._as_it_is)

    def _as_it_is(self, response: IResponse) -> IResponse:
        response.headers.removeHeader(b"Content-Encoding")
        return response


@implementer(IBodyProducer)
class _Question:
    """A request body, written at once: treq's own producer needs the global reactor and a turn of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


class _Body(Protocol):
    """Collects an answer. `whole` gives it, or None where it is too long or cut off; cancel to cut it off."""

    def __init__(self, limit_bytes: int) -> None:
        self.whole: Deferred[bytes | None] = Deferred(lambda _: self._cut())
        self._limit_bytes = limit_bytes
        self._received = bytearray()

    def dataReceived(self, data: bytes) -> None:
        if self.whole.called:  # cut, and the rest of what was read still comes
            return
        self._received += data
        if len(self._received) > self._limit_bytes:
            self._cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # PotentialDataLoss: neither length nor chunks, the way of old HTTP servers; JSON shows its own end.
        whole = isinstance(reason.value, ResponseDone | PotentialDataLoss)
        self._end(bytes(self._received) if whole else None)

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
        self._end(None)

    def _end(self, body: bytes | None) -> None:
        if not self.whole.called:
            self.whole.callback(body)
