"""Plain HTTP on the public port: what a client may want to know before it opens a WebSocket."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import NOT_MODIFIED, HTTPChannel
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from exchange_push.edge.front import behind_proxies, one_spelling
from exchange_push.errors import PageError, StoreUnavailable, quoted

_TAKEN_S: Final = 10.0  # for a client to take its answer; else one that never reads would hold it for ever

Query: TypeAlias = Mapping[str, str]
"""What stands behind the `?`."""


class Asked(NamedTuple):
    """A request for a page."""

    path: str
    args: Mapping[str, Sequence[str]]
    """What stands behind the `?`; of each name all that is given."""
    header: Callable[[str], str | None]
    """Gives a header of the request by its name; None: it has none of that name."""
    address: str | None
    """Of who asks, also behind a listed proxy; None: it came by a UNIX socket."""
    method: str = "GET"

    @property
    def query(self) -> Query:
        """The same, each name once. Raises PageError."""
        for name, values in self.args.items():
            if len(values) > 1:
                raise PageError(400, f"{quoted(name)} stands there {len(values)} times, expected once")
        return {name: values[0] for name, values in self.args.items()}


class Reply(NamedTuple):
    """An answer that is not just an object in JSON, with status 200."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})
    """Beside those that every answer has; of the same name, instead of them."""


Answer: TypeAlias = Callable[[Asked], object]
"""Gives a Reply, or what is answered as JSON, or a Deferred of either. Raises, or fails with, PageError."""


class AnyRequest(NamedTuple):
    """An answer that is given requests of all methods, and says by itself what is wrong with them."""

    answer: Answer


def as_json(answer: object, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})) -> Reply:
    return Reply(msgspec.json.encode(answer), status=status, headers=headers)


class _Page(Resource):
    """`answer` None: there is none."""

    isLeaf = True
    log = Logger()

    def __init__(self, answer: Answer | AnyRequest | None, origins: tuple[str, ...], proxies: frozenset[str]) -> None:
        super().__init__()
        self._answer = answer
        self._origins = origins
        self._proxies = proxies

    def render(self, request: Request) -> bytes | int:
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        answer = maybeDeferred(self._find, request)
        answer.addErrback(self._refusal)
        answer.addCallback(lambda found: None if gone else self._send(request, found))
        return NOT_DONE_YET

    def _find(self, request: Request) -> Any:
        if self._answer is None:
            raise PageError(404, "no such page")
        if isinstance(self._answer, AnyRequest):
            return self._answer.answer(self._asked(request))
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            raise PageError(405, "expected GET")
        return self._answer(self._asked(request))

    def _asked(self, request: Request) -> Asked:
        args = {
            name.decode("latin-1"): [value.decode("latin-1") for value in values]
            for name, values in (request.args or {}).items()
        }
        host: str | None = getattr(request.client, "host", None)
        address = None
        if host is not None:
            forwarded_for = ",".join(request.requestHeaders.getRawHeaders("x-forwarded-for", ()))
            address = behind_proxies(host, forwarded_for, self._proxies) or one_spelling(host)
        method = request.method.decode("latin-1")
        return Asked(request.path.decode("latin-1"), args, request.getHeader, address, method)

    def _refusal(self, failure: Failure) -> Reply:
        if failure.check(PageError):
            error = failure.value
            assert isinstance(error, PageError)
            return as_json({"code": error.status, "msg": error.msg}, error.status)
        if failure.check(StoreUnavailable):
            return as_json({"code": 503, "msg": failure.getErrorMessage()}, 503)
        self.log.failure("a page failed", failure)
        return as_json({"code": 500, "msg": "internal error"}, 500)

    def _send(self, request: Request, answer: object) -> None:
        reply = answer if isinstance(answer, Reply) else as_json(answer)
        request.setResponseCode(reply.status)
        request.setHeader("content-type", reply.content_type)
        request.setHeader("cache-control", "no-store")
        if "*" in self._origins:
            request.setHeader("access-control-allow-origin", "*")
        elif (origin := request.getHeader("origin")) and origin in self._origins:
            request.setHeader("access-control-allow-origin", origin)
            request.setHeader("vary", "origin")
        for name, value in reply.headers.items():
            request.setHeader(name, value)
        if reply.status != NOT_MODIFIED:  # else it would tell of the whole body, which is not here
            request.setHeader("content-length", str(len(reply.body)))
        if request.method != b"HEAD":
            request.write(reply.body)
        request.finish()


class _Pages(Resource):
    def __init__(
        self, pages: Mapping[bytes, Answer | AnyRequest], origins: tuple[str, ...], proxies: frozenset[str]
    ) -> None:
        super().__init__()
        self._pages = pages
        self._origins = origins
        self._proxies = proxies

    def getChild(self, path: bytes, request: Request) -> IResource:
        whole = b"/" + b"/".join([path, *(request.postpath or ())])
        request.postpath = []
        return _Page(self._answer(whole), self._origins, self._proxies)

    def _answer(self, path: bytes) -> Answer | AnyRequest | None:
        if path in self._pages:
            return self._pages[path]
        folder = path
        while folder:
            folder = folder.rpartition(b"/")[0]
            if folder + b"/*" in self._pages:
                return self._pages[folder + b"/*"]
        return None


class _OneRequest(HTTPChannel):
    """Closes after its request: the head of a next one would not pass the Front and its limits.

    It says so: clients that keep connections would send their next request into the closed one.
    """

    transport: Any

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        request.setHeader("connection", "close")
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


def public_site(
    clock: Any,
    pages: Mapping[bytes, Answer | AnyRequest],
    origins: tuple[str, ...],
    proxies: frozenset[str] = frozenset(),
) -> Site:
    """The Site of the public port; `pages` maps a path to what answers it, `/folder/*` all in there without a page."""
    site = _QuietSite(_Pages(pages, origins, proxies), timeout=10, reactor=clock)
    site.displayTracebacks = False
    site.noisy = False
    return site
