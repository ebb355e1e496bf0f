import re

import pytest

from tests.docs.documents import ROOT, code, read, section, table

DOCUMENT = "docs/explanation/security.md"
NUMBERS = [f"S{number}" for number in range(1, 28)]


def rows() -> dict[str, list[str]]:
    """The tests of each attack, by its number."""
    found = table(section(DOCUMENT, "Attacks, defences, tests"))
    return {attack.split()[0]: code(tests) for attack, _, tests in found}


def test_every_attack_stands_there_once() -> None:
    assert list(rows()) == NUMBERS
    assert len(re.findall(r"^\| S\d+ ", read(DOCUMENT), re.MULTILINE)) == len(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_attack_has_tests_that_are_there(number: str) -> None:
    tests = rows()[number]

    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE), test
