"""Plain HTTP on the public port: what a client may want to know before it opens a WebSocket."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

_TAKEN_S: Final = 10.0  # for a client to take its answer; else one that never reads would hold it for ever

Answer: TypeAlias = Callable[[], object]
"""Gives what is answered as JSON."""


class _Json(Resource):
    isLeaf = True

    def __init__(self, answer: Answer, status: int, origins: tuple[str, ...]) -> None:
        super().__init__()
        self._answer = answer
        self._status = status
        self._origins = origins

    def render(self, request: Request) -> bytes:
        status, answer = self._status, self._answer
        if status == 200 and request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            status, answer = 405, lambda: {"code": 405, "msg": "expected GET"}
        body = msgspec.json.encode(answer())
        request.setResponseCode(status)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        if "*" in self._origins:
            request.setHeader(b"access-control-allow-origin", b"*")
        elif (origin := request.getHeader(b"origin")) and origin.decode("latin-1") in self._origins:
            request.setHeader(b"access-control-allow-origin", origin)
            request.setHeader(b"vary", b"origin")
        request.setHeader(b"content-length", b"%d" % len(body))
        return b"" if request.method == b"HEAD" else body


class _Pages(Resource):
    def __init__(self, pages: Mapping[bytes, Answer], origins: tuple[str, ...]) -> None:
        super().__init__()
        self._pages = pages
        self._origins = origins

    def getChild(self, path: bytes, request: Request) -> IResource:
        whole = b"/" + b"/".join([path, *(request.postpath or ())])
        request.postpath = []
        answer = self._pages.get(whole)
        if answer is None:
            return _Json(lambda: {"code": 404, "msg": "no such page"}, 404, self._origins)
        return _Json(answer, 200, self._origins)


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
