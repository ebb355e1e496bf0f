"""How a client is pointed at the server is said in the words of the program that tests run."""

import ast
import re

import pytest

from tests.clients.world import NAMES, PROGRAMS
from tests.docs.documents import read

DOCUMENT = "docs/howto/use-binance-clients.md"
SHOWN = dict(re.findall(r"<!-- tests/clients/programs/(\w+)\.py -->\n```python\n(.*?)```\n", read(DOCUMENT), re.DOTALL))


def pointed(name: str) -> str:
    """The lines of a program by which its client is pointed at a server, and the imports that they need."""
    program = (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")
    _, _, rest = program.partition("# -- how it is pointed at exchange-push\n")
    lines, end, _ = rest.partition("# --\n")
    assert end
    imports = [
        ast.get_source_segment(program, node)
        for node in ast.parse(program).body
        if isinstance(node, ast.Import | ast.ImportFrom) and any(re.search(rf"\b{n.name}\b", lines) for n in node.names)
    ]
    assert imports
    return "\n".join(filter(None, imports)) + "\n\n" + lines


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_of_a_client_is_what_runs(name: str) -> None:
    assert SHOWN[name] == pointed(name)


def test_all_that_run_are_shown() -> None:
    assert set(SHOWN) == set(NAMES) == {path.stem for path in PROGRAMS.glob("*.py")} - {"report", "ccxt_watching"}
