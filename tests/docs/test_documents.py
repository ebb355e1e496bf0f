"""What holds for all documents: links lead somewhere, code is that of the file, configurations can be loaded."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import pytest_twisted

from exchange_push.config import load
from tests.docs.documents import ROOT, blocks, documents, prose
from tests.docs.replay import Replay
from tests.end_to_end.conftest import Start

NAMES = [str(path.relative_to(ROOT)) for path in documents()]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    path = ROOT / name
    for link in LINK.findall(prose(path.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", NAMES)
def test_lines_of_text_wrap_at_120(name: str) -> None:
    text = prose((ROOT / name).read_text(encoding="utf-8"))

    assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("name", NAMES)
def test_code_of_an_example_is_the_example(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for file, shown in re.findall(r"<!-- (examples/\S+) -->\n```python\n(.*?)```\n", text, re.DOTALL):
        assert shown == (ROOT / file).read_text(encoding="utf-8"), file
    for file in re.findall(r"\bexamples/\w+\.py", text):
        assert (ROOT / file).exists(), file


def test_every_example_is_shown_or_named() -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in NAMES)

    for example in (ROOT / "examples").glob("*.py"):
        assert f"examples/{example.name}" in text, example


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_can_be_loaded(name: str, tmp_path: Path) -> None:
    for block in blocks(name, "toml"):
        (tmp_path / "config.toml").write_text(block.text)
        load({}, {}, str(tmp_path / "config.toml"))


@pytest.mark.parametrize("name", [name for name in NAMES if "curl" in (ROOT / name).read_text(encoding="utf-8")])
@pytest_twisted.ensureDeferred
async def test_every_curl_command_is_answered_without_an_error(start: Start, name: str) -> None:
    running = start()
    commands = re.findall(
        r"curl (?:-s )?(?:-X (\w+) )?http://127.0.0.1:(67\d\d)(/\S*)(?: -d '([^']*)')?", read_all(name)
    )
    for method, port, path, body in commands:
        if port == "6790":
            assert path.partition("?")[0] in {"/v1/symbols", "/v1/klines"}
        elif path == "/metrics":
            assert "exchange_push" in await running.get(path)
        else:
            answer = await (running.push(body.encode(), path=path) if method or body else running.get(path))
            assert answer.get("E") is None, path
    assert commands


def read_all(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest_twisted.ensureDeferred
async def test_a_pushed_channel_is_a_row_of_configuration(start: Start) -> None:
    document = "docs/howto/add-a-channel.md"
    [configuration], [conversation] = blocks(document, "toml"), blocks(document, "wire")
    channels = tomllib.loads(configuration.text)["channels"]

    running = start(channels__public=channels["public"], channels__private=channels["private"])
    await Replay(running).run(conversation)
    client = await running.client("@notice", token="***")
    assert await running.push({"c": "1001@notice", "d": []}) == {"E": None, "r": {"s": 1, "f": 0}}
    assert json.loads((await client.raw())[1]) == {"event": "@notice", "data": []}


def test_the_readmes_two_commands_are_targets_of_make() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert re.findall(r"^    make (\w+)$", read_all("README.md"), re.MULTILINE) == ["demo", "test"]
    assert {"demo", "test", "check"} <= set(targets)
