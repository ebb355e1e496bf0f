"""docs/explanation/architecture.md is the map of the tree as it is."""

import re
import tomllib

import pytest

from tests.docs.documents import ROOT, blocks, read, section

DOCUMENT = "docs/explanation/architecture.md"
MAP = blocks(DOCUMENT)[0].text
ROOMS = sorted(path.name for path in (ROOT / "exchange_push").iterdir() if (path / "__init__.py").exists())


def of(room: str) -> str:
    """What the map says of a room; of "" what stands beside the rooms."""
    package = MAP.partition("exchange_push/\n")[2].partition("\ntests/")[0]
    rooms = re.split(r"^  (\w+)/.*$", package, flags=re.MULTILINE)
    return dict(zip(["", *rooms[1::2]], rooms[::2], strict=True))[room]


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_every_file_of_a_room_stands_on_the_map_and_no_other(room: str) -> None:
    folder = ROOT / "exchange_push" / room
    files = {str(path.relative_to(folder)) for path in (folder.rglob("*.py") if room else folder.glob("*.py"))}
    shown = re.findall(r"^\s+((?:[\w/]+\.py ?)+)", of(room), re.MULTILINE)

    assert sorted(" ".join(shown).split()) == sorted(file for file in files if not file.endswith("__init__.py"))


def test_the_order_of_imports_is_that_which_is_held() -> None:
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    shown = re.search(r"service > .*errors", section(DOCUMENT, "The house"), re.DOTALL)

    assert shown is not None
    assert re.sub(r"\s+", " ", shown[0]) == " > ".join(layers)


def test_every_noun_is_explained_once() -> None:
    nouns = re.findall(r"\*\*([^*]+)\*\*", section(DOCUMENT, "Nouns"))

    assert len(nouns) == len(set(nouns)) > 20
