"""docs/reference/mark-price.md names the formulas that there are, and its example can be read."""

import re
from pathlib import Path

import pytest

from exchange_push.config import load
from exchange_push.market.average import AVERAGES
from exchange_push.market.funding import PREMIUMS
from exchange_push.market.index import OUTLIERS
from exchange_push.market.mark import MARKS
from exchange_push.market.product import Product
from tests.docs.documents import blocks, code, prose, read

DOCUMENT = "docs/reference/mark-price.md"
TEXT = prose(read(DOCUMENT))


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    [example] = blocks(DOCUMENT, "toml")
    (tmp_path / "exchange-push.toml").write_text(example.text)
    symbols = load({}, {}, str(tmp_path / "exchange-push.toml")).symbols

    assert symbols.keys() == {"BTCUSDT", "BTC-261225"}
    assert all(product != Product() for product in symbols.values())


@pytest.mark.parametrize(
    ("key", "formulas"),
    [
        ("index_outliers", OUTLIERS),
        ("mark", MARKS),
        ("premium", PREMIUMS),
        ("premium_average", AVERAGES),
    ],
)
def test_every_formula_is_explained(key: str, formulas: dict[str, object]) -> None:
    named = [name for name in code(TEXT) if name.startswith(('"', f"{key} = "))]

    assert {f'"{name}"' for name in formulas} <= {name.rpartition(" ")[2] for name in named}
    assert {name.rpartition(" ")[2].strip('"') for name in named if name.startswith(f"{key} = ")} <= formulas.keys()


def test_every_key_that_is_named_is_one_of_a_product() -> None:
    keys = {name.partition(" = ")[0] for name in code(TEXT) if re.fullmatch(r"[a-z]+(_[a-z]+)+( = .*)?", name)}

    assert len(keys) > 10
    assert keys <= set(Product.__struct_fields__)
