"""docs/reference/binance.md is true: its examples are played, its tables compared with the code."""

import re

import pytest
import pytest_twisted

from exchange_push.wire.dialects.binance.streams import FUTURES, SPOT, channel_name
from tests.docs.documents import ROOT, Block, blocks, code, section, table
from tests.docs.replay import Replay
from tests.end_to_end.conftest import Start

DOCUMENT = "docs/reference/binance.md"


@pytest.mark.parametrize("block", blocks(DOCUMENT, "wire"), ids=str)
@pytest_twisted.ensureDeferred
async def test_the_conversation_goes_as_it_is_written(start: Start, block: Block) -> None:
    await Replay(start()).run(block)


def test_the_streams_of_the_table_are_channels() -> None:
    shown = set()
    for row in table(section(DOCUMENT, "Which streams")):
        for stream in code(row[0]):
            name = stream.replace("<symbol>", "btcusdt").replace("<interval>", "1m")
            if "@" in name and not name.startswith("@"):
                assert channel_name(name, SPOT)
                shown.add(_family(name.removeprefix("btcusdt@").removeprefix("!")))
    assert shown == {_family(name) for kinds in (SPOT, FUTURES) for name in kinds}


def _family(name: str) -> str:
    """`kline` of `kline_1m`."""
    found = re.match("[A-Za-z]+", name)
    assert found is not None
    return found[0]


def test_every_trap_has_tests_that_are_there() -> None:
    rows = table(section(DOCUMENT, "Traps"))
    assert [row[0].split()[0] for row in rows] == [str(number) for number in range(1, 16)]
    for _, _, tests in rows:
        assert code(tests)
        for test in code(tests):
            file, _, name = test.partition("::")
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE), test
