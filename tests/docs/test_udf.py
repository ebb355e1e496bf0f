"""docs/reference/udf.md is true: its examples are played, its numbers are those of the code."""

import pytest
import pytest_twisted

from exchange_push.edge.udf import Udf
from exchange_push.wire.dialects import udf
from tests.docs.documents import Block, blocks, code, section, table
from tests.docs.replay import Replay
from tests.end_to_end.conftest import Start

DOCUMENT = "docs/reference/udf.md"


@pytest.mark.parametrize("block", blocks(DOCUMENT, "wire"), ids=str)
@pytest_twisted.ensureDeferred
async def test_the_conversation_goes_as_it_is_written(start: Start, block: Block) -> None:
    await Replay(start()).run(block)


@pytest_twisted.ensureDeferred
async def test_the_pages_are_those_that_are_answered(start: Start) -> None:
    server = start().server
    pages = Udf(server.history, server._symbol_names, "EX", {}, server.terms.now_ms).pages()
    documented = [
        code(row[0])[0].removeprefix("GET ").partition("?")[0] for row in table(section(DOCUMENT, "Charts: UDF"))
    ]

    assert {path.encode() for path in documented} == set(pages) - {b"/udf/*"}


def test_the_resolutions_and_bounds_are_those_of_the_code() -> None:
    text = section(DOCUMENT, "Bars")
    [line] = [line for line in text.splitlines() if line.startswith("- Resolutions:")]

    assert code(line.partition(";")[0]) == list(udf.RESOLUTIONS)
    assert f"at most {udf.MOST:,}" in text.replace("\n", " ")
    assert f"maxResponseLength: {udf.MOST}," in section(DOCUMENT, "Charts: UDF")
    assert f"{udf.FOUND} where no `limit` is given" in section(DOCUMENT, "Charts: UDF")
