import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exchange_push.edge.pages import Asked, Reply
from exchange_push.edge.web import CHART, FOLDER, web_pages

PAGES = web_pages("/exchange-stream", ["demo-alice"])


def ask(path: bytes, pages: Any = PAGES, **headers: str) -> Reply:
    header: Callable[[str], str | None] = lambda name: headers.get(name.replace("-", "_"))  # noqa: E731
    answer: Reply = pages[path](Asked(path.decode(), {}, header, "127.0.0.1"))
    return answer


def test_every_file_that_the_page_names_is_served_with_its_type() -> None:
    page = ask(b"/").body.decode()
    names = re.findall(r'(?:href|src)="(web/[^"]+)"', page)
    types = {"mjs": "text/javascript", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

    assert len(names) > 10
    for name in names:
        assert ask(b"/" + name.encode()).content_type.startswith(types[name.rpartition(".")[2]]), name


def test_every_module_that_a_module_imports_is_there_and_asked_for_early() -> None:
    page = ask(b"/").body.decode()
    for path in FOLDER.glob("*.mjs"):
        for name in re.findall(r'from "\./([\w.-]+)"', path.read_text()):
            assert f'href="web/{name}"' in page, name
            assert b"/web/" + name.encode() in PAGES


@pytest.mark.parametrize("path", sorted(PAGES))
def test_all_that_is_served_has_a_policy_and_a_tag_and_can_be_packed(path: bytes) -> None:
    plain = ask(path)
    packed = ask(path, accept_encoding="br;q=1, gzip")
    again = ask(path, if_none_match=f'"other", W/{plain.headers["etag"]}', accept_encoding="gzip")

    policy = plain.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert (plain.headers["x-content-type-options"], plain.headers["cache-control"]) == ("nosniff", "no-cache")
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert (again.status, again.body) == (304, b"")
    assert ask(path, if_none_match='"other"').body == plain.body


def test_the_page_keeps_to_its_own_policy() -> None:
    page = ask(b"/").body.decode()

    assert re.findall(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|javascript:", page) == []
    for path in FOLDER.glob("*.*js"):
        text = path.read_text()
        assert (
            re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) == []
        ), path


def test_the_page_knows_its_stream_and_a_demo_its_tokens(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<html data-stream="<!--stream-->" data-tokens="<!--tokens-->"><!--chart-->')

    assert (
        ask(b"/", web_pages('/a"b', ["x", "y"], tmp_path)).body == b'<html data-stream="/a&quot;b" data-tokens="x y">'
    )
    (tmp_path / "chart").mkdir()
    (tmp_path / CHART).write_text("library")
    assert f'<script src="web/{CHART}" defer>'.encode() in ask(b"/", web_pages("/", (), tmp_path)).body


def test_nothing_but_the_files_of_the_package_is_served() -> None:
    assert {path.decode().removeprefix("/web/") for path in PAGES} - {"/"} == {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*")
        if path.is_file() and path.name != "index.html"
    }
