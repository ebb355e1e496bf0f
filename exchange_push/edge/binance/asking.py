"""Who asks what of Binance's endpoints: over HTTP by path, over the WebSocket API by name; and the weight of it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from msgspec.structs import asdict
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from exchange_push.edge.binance.endpoints import FOLDERS, Endpoint
from exchange_push.edge.binance.venue import Venue
from exchange_push.edge.pages import AnyRequest, Asked, Reply, as_json
from exchange_push.edge.weights import Used, Weights
from exchange_push.errors import ClientError, StoreUnavailable
from exchange_push.wire.dialects.binance import params as read
from exchange_push.wire.dialects.binance.api import Weighed
from exchange_push.wire.dialects.binance.errors import BinanceError, Code, unsupported
from exchange_push.wire.dialects.binance.info import UsedLimit, rate_limits
from exchange_push.wire.dialects.binance.params import Params

_WRONG_WEIGHT: Final = 1  # of a request that cannot be answered


class Ready(NamedTuple):
    """A question that can be answered."""

    endpoint: Endpoint
    params: Params


class Found(NamedTuple):
    """An answer, and what the address of who asked has used by then."""

    body: object
    used: Used


class Asking:
    """Answers of a venue, each weighed."""

    log = Logger()

    def __init__(self, venue: Venue, weights: Weights) -> None:
        self._venue = venue
        self.weights = weights
        self.faults = 0

    # -- over HTTP

    def pages(self) -> Mapping[bytes, AnyRequest]:
        return {f"{folder}*".encode(): AnyRequest(self._page) for folder in FOLDERS}

    def _page(self, asked: Asked) -> Deferred[Reply]:
        return self._answer(asked.address, lambda: _find(asked)).addCallback(_reply)

    # -- over a WebSocket

    def ask(self, address: str | None, path: str, params: Params, done: Callable[[object | ClientError], None]) -> None:
        """Answer a question by the path of its endpoint; what Terms.ask is for who comes from an address."""

        def tell(found: Found) -> None:
            limits = [
                UsedLimit(**asdict(limit), count=found.used.weight) for limit in rate_limits(self.weights.per_minute)
            ]
            if isinstance(found.body, BinanceError):
                found.body.limits = limits
                done(found.body)
            else:
                done(Weighed(found.body, limits))

        answered = self._answer(address, lambda: _ready(_endpoint(path), params)).addCallback(tell)
        answered.addErrback(lambda failure: self.log.failure("an answer could not be sent", failure))

    # -- both

    def _answer(self, address: str | None, find: Callable[[], Ready]) -> "Deferred[Found]":
        found: Ready | BinanceError
        weight = _WRONG_WEIGHT
        try:
            found = find()
            weight = found.endpoint.weight(found.params)
        except BinanceError as error:
            found = error
        used = self.weights.use(address, weight, self._venue.now_ms())
        if used.retry_s:
            found = _too_many(used, self.weights.per_minute)
        answer = maybeDeferred(self._ask, found)
        answer.addErrback(self._refusal)
        return answer.addCallback(lambda body: Found(body, used))

    def _ask(self, found: Ready | BinanceError) -> Any:
        if isinstance(found, BinanceError):
            return found
        answer = found.endpoint.answer(self._venue, found.params)
        return ensureDeferred(answer) if hasattr(answer, "send") else answer

    def _refusal(self, failure: Failure) -> BinanceError:
        error = failure.value
        if isinstance(error, BinanceError):
            return error
        if isinstance(error, StoreUnavailable):
            return BinanceError(Code.BUSY, f"The server is busy: {error}. Try again later.", 503)
        self.faults += 1
        self.log.failure("an endpoint failed", failure)
        return BinanceError(Code.UNKNOWN, "An unknown error occurred while processing the request.", 500)


def _reply(found: Found) -> Reply:
    used = found.used
    headers = {"X-MBX-USED-WEIGHT": str(used.weight), "X-MBX-USED-WEIGHT-1M": str(used.weight)}
    if used.retry_s:
        headers["Retry-After"] = str(used.retry_s)
    if isinstance(found.body, BinanceError):
        return as_json(found.body.body, found.body.status, headers)
    return as_json(found.body, 200, headers)


def _find(asked: Asked) -> Ready:
    """Raises BinanceError."""
    endpoint = _endpoint(asked.path)
    if asked.method not in ("GET", "HEAD"):
        raise unsupported(f"{asked.method} {asked.path}")
    return _ready(endpoint, read.from_query(asked.args))


def _endpoint(path: str) -> Endpoint:
    """Raises BinanceError."""
    folder = next(folder for folder in FOLDERS if path.startswith(folder))
    endpoint = FOLDERS[folder].get(path.removeprefix(folder))
    if endpoint is None:
        raise unsupported(path)
    return endpoint


def _ready(endpoint: Endpoint, params: Params) -> Ready:
    read.expect_only(params, endpoint.names)
    return Ready(endpoint, params)


def _too_many(used: Used, per_minute: int) -> BinanceError:
    if used.banned:
        return BinanceError(
            Code.TOO_MANY_REQUESTS, f"Way too much request weight used; banned for {used.retry_s} s.", 418
        )
    return BinanceError(
        Code.TOO_MANY_REQUESTS,
        f"Too much request weight used; current limit is {per_minute} request weight per 1 MINUTE.",
        429,
    )
