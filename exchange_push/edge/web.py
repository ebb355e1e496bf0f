"""The page at / of the public port, and the files it is made of: read once, at the start, from the package."""

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from exchange_push.edge.pages import Answer, Asked, Reply

FOLDER: Final = Path(__file__).parent.parent / "web"
CHART: Final = "chart/lightweight-charts.js"
"""Not there where the package was built without npm."""
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",
}
_NOT_MODIFIED: Final = 304
# Nothing but what we serve ourselves; the WebSocket of the same origin is in 'self'.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # asked for each time, answered in a line where nothing changed
    "vary": "accept-encoding, origin",
}


class _File(NamedTuple):
    body: bytes
    packed: bytes
    content_type: str
    etag: str

    def answer(self, asked: Asked) -> Reply:
        headers = {**_HEADERS, "etag": self.etag}
        if _has(asked.header("if-none-match"), self.etag):
            return Reply(b"", self.content_type, _NOT_MODIFIED, headers)
        if _has(asked.header("accept-encoding"), "gzip"):
            return Reply(self.packed, self.content_type, headers={**headers, "content-encoding": "gzip"})
        return Reply(self.body, self.content_type, headers=headers)


def web_pages(stream: str, tokens: Sequence[str] = (), folder: Path = FOLDER) -> Mapping[bytes, Answer]:
    """`stream`: path of the clients' WebSocket; `tokens`: those of a demo, which the page offers for the login."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    page = files.pop("index.html").decode()
    chart = f'<script src="web/{CHART}" defer></script>' if CHART in files else ""
    for name, value in (("stream", escape(stream)), ("tokens", escape(" ".join(tokens))), ("chart", chart)):
        page = page.replace(f"<!--{name}-->", value)
    pages: dict[bytes, Answer] = {b"/": _file("index.html", page.encode()).answer}
    for name, body in files.items():
        pages[b"/web/" + name.encode()] = _file(name, body).answer
    return pages


def _file(name: str, body: bytes) -> _File:
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    return _File(body, gzip.compress(body, mtime=0), _TYPES[Path(name).suffix], etag)


def _has(header: str | None, wanted: str) -> bool:
    """Is it one of the values of a header?"""
    return any(value.partition(";")[0].strip().removeprefix("W/") == wanted for value in (header or "").split(","))
