"""Plain HTTP on the public port: what a client may want to know before it opens a WebSocket."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from exchange_push.errors import PageError, StoreUnavailable, quoted

_TAKEN_S: Final = 10.0  # for a client to take its answer; else one that never reads would hold it for ever

Query: TypeAlias = Mapping[str, str]
"""What stands behind the `?`."""
Answer: TypeAlias = Callable[[Query], object]
"""Gives what is answered as JSON, or a Deferred of it. Raises, or fails with, PageError."""


class _Json(Resource):
    """`answer` None: there is no such page."""

    isLeaf = True
    log = Logger()

    def __init__(self, answer: Answer | None, origins: tuple[str, ...]) -> None:
        super().__init__()
        self._answer = answer
        self._origins = origins

    def render(self, request: Request) -> bytes | int:
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        answer = maybeDeferred(self._find, request)
        answer.addErrback(self._refusal)
        answer.addCallback(lambda found: None if gone else self._send(request, *found))
        return NOT_DONE_YET

    def _find(self, request: Request) -> Any:
        if self._answer is None:
            raise PageError(404, "no such page")
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            raise PageError(405, "expected GET")
        answer = maybeDeferred(self._answer, _query(request))
        answer.addCallback(lambda found: (200, found))
        return answer

    def _refusal(self, failure: Failure) -> tuple[int, object]:
        if failure.check(PageError):
            error = failure.value
            assert isinstance(error, PageError)
            return error.status, {"code": error.status, "msg": error.msg}
        if failure.check(StoreUnavailable):
            return 503, {"code": 503, "msg": failure.getErrorMessage()}
        self.log.failure("a page failed", failure)
        return 500, {"code": 500, "msg": "internal error"}

    def _send(self, request: Request, status: int, answer: object) -> None:
        body = msgspec.json.encode(answer)
        request.setResponseCode(status)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        if "*" in self._origins:
            request.setHeader(b"access-control-allow-origin", b"*")
        elif (origin := request.getHeader(b"origin")) and origin.decode("latin-1") in self._origins:
            request.setHeader(b"access-control-allow-origin", origin)
            request.setHeader(b"vary", b"origin")
        request.setHeader(b"content-length", b"%d" % len(body))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()


def _query(request: Request) -> Query:
    found: dict[str, str] = {}
    for name, values in (request.args or {}).items():
        if len(values) > 1:
            raise PageError(400, f"{quoted(name.decode('latin-1'))} stands there {len(values)} times, expected once")
        found[name.decode("latin-1")] = values[0].decode("latin-1")
    return found


class _Pages(Resource):
    def __init__(self, pages: Mapping[bytes, Answer], origins: tuple[str, ...]) -> None:
        super().__init__()
        self._pages = pages
        self._origins = origins

    def getChild(self, path: bytes, request: Request) -> IResource:
        whole = b"/" + b"/".join([path, *(request.postpath or ())])
        request.postpath = []
        return _Json(self._pages.get(whole), self._origins)


class _OneRequest(HTTPChannel):
    """Closes after its request: the head of a next one would not pass the Front and its limits."""

    transport: Any

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        return False

    def requestDone(self, request: Request) -> None:
        super().requestDone(request)
        self.setTimeout(_TAKEN_S)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()


class _QuietSite(Site):
    """Keeps no access log: requests are counted by the Front."""

    protocol = _OneRequest  # type: ignore[assignment]  # Twisted types it as a maker of its own Protocol

    def log(self, request: object) -> None:
        """Nothing per request."""


def public_site(clock: Any, pages: Mapping[bytes, Answer], origins: tuple[str, ...]) -> Site:
    """The Site of the public port; `pages` maps a path to what answers it."""
    site = _QuietSite(_Pages(pages, origins), timeout=10, reactor=clock)
    site.displayTracebacks = False
    site.noisy = False
    return site
