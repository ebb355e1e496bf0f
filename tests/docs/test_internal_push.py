"""docs/reference/internal-push.md is true: every example is played, every table is compared with the code."""

import re

import pytest
import pytest_twisted

from exchange_push.errors import PushCode
from exchange_push.intake import desk, http, line
from exchange_push.wire import push
from tests.docs.documents import Block, blocks, code, read, section, table
from tests.docs.replay import Replay
from tests.end_to_end.conftest import Start

DOCUMENT = "docs/reference/internal-push.md"


@pytest.mark.parametrize("block", blocks(DOCUMENT, "wire"), ids=str)
@pytest_twisted.ensureDeferred
async def test_the_conversation_goes_as_it_is_written(start: Start, block: Block) -> None:
    await Replay(start()).run(block)


def test_the_codes_and_their_statuses_are_those_of_the_code() -> None:
    rows = table(section(DOCUMENT, "Answers"))

    assert [int(row[0]) for row in rows] == [code.value for code in PushCode]
    for number, _, status in rows:
        if status != "–":
            assert http._STATUS[PushCode(int(number))] == int(status)


def test_the_methods_and_functions_of_the_websocket_are_those_of_the_code(start: Start) -> None:
    names = [name for row in table(section(DOCUMENT, "WebSocket")) for name in code(row[0])]

    assert names == [*push._METHODS, *start().server.desk._calls]


def test_the_limits_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", read(DOCUMENT))

    for limit in (
        f"the newest {desk.KEYS:,} keys",
        f"within {desk.KEY_MS // 60_000} minutes",
        f"1 to {push._KEY_CHARS} characters",
        f"at most {push._DEPTH} deep",
        f"at most {push._REQUESTS:,} requests",
        f"at most {line.LINE_BYTES >> 20} MiB",
        f"does not end within {line._LINE_S:g} s of its first byte",
    ):
        assert limit in text, limit
