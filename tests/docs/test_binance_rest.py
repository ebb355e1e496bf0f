"""docs/reference/binance.md says of REST and the WebSocket API what the code does."""

import re

from exchange_push.edge.binance.endpoints import FUTURES, SPOT
from exchange_push.wire.dialects.binance.api import _METHODS, FUTURES_QUESTIONS, QUESTIONS
from exchange_push.wire.dialects.binance.errors import Code
from exchange_push.wire.dialects.binance.user import EVENTS, NAMES
from tests.docs.documents import code, section, table

DOCUMENT = "docs/reference/binance.md"


def test_the_endpoints_are_those_that_are_answered_with_their_parameters() -> None:
    rows = {}
    for row in table(section(DOCUMENT, "Endpoints")):
        name = code(row[0])[0] if row[0].startswith("`") else ""
        rows.setdefault(name, []).append(row)

    assert set(rows) - {""} == {*SPOT, *FUTURES}
    for name in SPOT:
        if name != "uiKlines":
            documented = {found for found in code(rows[name][0][2]) if found.isalpha()}
            assert documented == set(SPOT[name].names), name
    for name in FUTURES:
        documented = {found for found in code(rows[name][-1][2]) if found.isalpha()}
        assert documented == set(FUTURES[name].names), name


def test_the_fixed_weights_are_those_of_the_code() -> None:
    for rows, endpoints in zip(_tables(), (SPOT, FUTURES), strict=True):
        fixed = {code(row[0])[0]: int(row[1]) for row in rows if row[1].isdecimal()}
        assert fixed == {name: endpoints[name].weight({"symbol": "X"}) for name in fixed}
        for row in rows:
            first = re.match(r"(\d+)", row[1])
            assert first is not None
            parameters = {"symbol": "X", "limit": "1"} if "limit" in row[1] else {"symbol": "X"}
            assert endpoints[code(row[0])[0]].weight(parameters) == int(first[1]), row


def _tables() -> list[list[list[str]]]:
    rows = [row for row in table(section(DOCUMENT, "Endpoints")) if row[0].startswith("`")]
    return [rows[: len(SPOT)], rows[len(SPOT) :]]


def test_the_numbers_of_errors_are_those_of_the_code() -> None:
    assert {
        int(row[0]) for row in table(section(DOCUMENT, "Errors")) if row[0].startswith("-1") or row[0].startswith("-2")
    } == {number.value for number in Code}


def test_the_methods_are_those_that_are_answered() -> None:
    text = section(DOCUMENT, "WebSocket API").partition("### ")[0]
    documented = {code(row[0])[0] for row in table(text) if row[0].startswith("`")}

    assert documented == set(_METHODS)
    assert set(QUESTIONS) | set(FUTURES_QUESTIONS) <= set(code(text))


def test_the_names_that_are_read_of_a_push_are_those_of_the_code() -> None:
    text = section(DOCUMENT, "User data")
    documented = {row[0]: tuple(code(row[1])) for row in table(text) if row[0] != "of"}

    assert documented == NAMES
    assert set(code(text)) >= EVENTS
