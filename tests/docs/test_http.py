"""docs/reference/http.md is true: every example is played, the tables name all calls and statuses."""

import re

import pytest
import pytest_twisted

from exchange_push.config import Config
from exchange_push.intake import http
from tests.docs.documents import Block, blocks, code, section, table
from tests.docs.replay import Replay
from tests.end_to_end.conftest import Start

DOCUMENT = "docs/reference/http.md"


@pytest.mark.parametrize("block", blocks(DOCUMENT, "wire"), ids=str)
@pytest_twisted.ensureDeferred
async def test_the_conversation_goes_as_it_is_written(start: Start, block: Block) -> None:
    await Replay(start()).run(block)


@pytest_twisted.ensureDeferred
async def test_the_calls_are_those_that_the_api_answers(start: Start) -> None:
    routes = start().server.api._routes
    documented = [code(row[0])[0].split(" ") for row in table(section(DOCUMENT, "Internal API")) if "/" in row[0]]
    found = [
        next(route for route in routes if route.path.fullmatch(path.replace("<uid>", "1001"))) for _, path in documented
    ]

    assert found == routes
    assert [method for method, _ in documented] == [route.method.decode() for route in routes]
    assert Config().api.publish_path in [path for _, path in documented]


def test_the_statuses_are_those_that_a_code_is_answered_with() -> None:
    documented = {(int(row[1]), int(row[0])) for row in table(section(DOCUMENT, "Errors"))}

    assert {(code.value, status) for code, status in http._STATUS.items() if code.name != "CALL_FAILED"} <= documented
    assert {status for _, status in documented} - set(http._STATUS.values()) == {404, 405, 408, 500}


def test_the_limits_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", section(DOCUMENT, "Internal API"))

    assert f"more than {http.BODY_BYTES >> 20} MiB" in text
    assert f"within {http._REQUEST_S:g} s" in text
    assert f"`limit` is {http._LISTED:,} where" in text
