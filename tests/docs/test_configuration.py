"""docs/reference/configuration.md names every key, flag and default, and no other."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from exchange_push.config import PREFIX, RETENTION, Config, keys, load, variables
from exchange_push.market.product import Product
from exchange_push.options import Options
from tests.docs.documents import ROOT, blocks, code, documents, prose, section, table

DOCUMENT = "docs/reference/configuration.md"
ROWS = [row for row in table(section(DOCUMENT, "Keys")) if row[0].startswith("`")]


def default(cell: str) -> object:
    return None if cell == "none" else tomllib.loads(f"value = {code(cell)[0]}")["value"]


def test_every_key_stands_there_once_with_its_default() -> None:
    documented = {code(row[0])[0]: default(row[1]) for row in ROWS if "<SYMBOL>" not in row[0]}

    assert documented == msgspec.json.decode(msgspec.json.encode(keys()))
    assert len(documented) == len([row for row in ROWS if "<SYMBOL>" not in row[0]])


def test_every_key_of_a_symbol_stands_there_with_its_default() -> None:
    documented = {code(row[0])[0].rpartition(".")[2]: default(row[1]) for row in ROWS if "<SYMBOL>" in row[0]}

    assert documented == msgspec.to_builtins(Product())


def test_every_flag_stands_there_and_sets_the_key_that_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    rows = {code(row[0])[0]: row[1] for row in table(section(DOCUMENT, "Flags"))}
    known = {f"--{name.rstrip('=').replace('_', '-')}" for name in Options().longOpt}
    assert {flag.split(" ")[0] for flag in rows} == known

    file = tmp_path / "there"
    file.write_text("what a key looks like\n")
    values = {
        "FILE": str(file),
        "HOST:PORT": "there:1",
        "ENDPOINT": "unix:/tmp/there",
        "ADDRESS": "udp:4321:interface=127.0.0.1",
        "URL": "http://127.0.0.1:1/there",
        "TEMPLATE": "http://127.0.0.1:1/there?symbol={symbol}",
    }
    for flag, key in rows.items():
        if key:
            name, placeholder = flag.split(" ")
            options = Options()
            options.parseOptions([name, values[placeholder]])
            found: object = options.config
            for part in code(key)[0].split("."):
                found = getattr(found, part)
            assert found in (values[placeholder], (values[placeholder],))


def test_the_example_is_a_configuration_that_sets_what_it_says(tmp_path: Path) -> None:
    [example] = blocks(DOCUMENT, "toml")
    (tmp_path / "exchange-push.toml").write_text(example.text)
    config = load({}, {}, str(tmp_path / "exchange-push.toml"))

    assert config != Config()
    assert config.channels.public == ("announcement",)
    assert config.symbols == {"BTCUSDT": Product(funding_hours=4)}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_document_names_a_key_variable_or_flag_that_is_not_there(document: Path) -> None:
    text = prose(document.read_text(encoding="utf-8"))
    tables = {key.partition(".")[0] for key in keys() if "." in key}
    known = {*keys(), *(f"{table}.py" for table in tables), "feed.md"}
    flags = {f"--{name.rstrip('=').replace('_', '-')}" for name in Options().longOpt}
    for name in code(text):
        if name.partition(".")[0] in tables and name.replace(".", "").replace("_", "").isalpha() and "." in name:
            assert name in known, name
        if name.startswith(PREFIX) and name != PREFIX:
            assert name.partition("=")[0] in {*variables(), f"{PREFIX}CONFIG"}, name
        if name.startswith("--") and document.stem not in ("recorded-feed", "intake-record", "import-history"):
            assert name.split(" ")[0].rstrip(",") in flags, name


def test_the_retention_that_stands_there_is_the_default() -> None:
    [example] = blocks("docs/reference/store.md", "toml")

    assert tomllib.loads(example.text) == {"retention": RETENTION}
