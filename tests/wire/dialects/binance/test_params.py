from collections.abc import Callable
from typing import Any

import pytest

from exchange_push.wire.dialects.binance import params as read
from exchange_push.wire.dialects.binance.errors import BinanceError, Code


def known(symbol: str) -> bool:
    return symbol in ("BTCUSDT", "ETHUSDT")


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(BinanceError) as caught:
        call()
    return caught.value.number.value, caught.value.msg


@pytest.mark.parametrize(
    ("params", "code", "msg"),
    [
        ({}, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ({"symbol": ""}, -1105, "Parameter 'symbol' was empty."),
        (
            {"symbol": "btcusdt"},
            -1100,
            "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9][A-Z0-9_-]{0,31}$'.",
        ),
        ({"symbol": "BTCUSDT\n"}, -1100, "Illegal characters found in parameter 'symbol'; legal range is"),
        ({"symbol": "XRPUSDT"}, -1121, "Invalid symbol."),
    ],
)
def test_a_symbol_is_one_that_is_known(params: dict[str, str], code: int, msg: str) -> None:
    found, text = refusal(lambda: read.symbol(params, known))

    assert found == code
    assert text.startswith(msg)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbols": '["BTCUSDT"]', "symbol": "BTCUSDT"}, -1128),
        ({"symbols": "BTCUSDT"}, -1100),
        ({"symbols": '["BTCUSDT",1]'}, -1100),
        ({"symbols": '["btcusdt"]'}, -1100),
        ({"symbols": "[]"}, -1102),
        ({"symbols": ""}, -1105),
        ({"symbols": '["BTCUSDT","BTCUSDT"]'}, -1151),
        ({"symbols": '["BTCUSDT","XRPUSDT"]'}, -1121),
    ],
)
def test_symbols_are_an_array_of_known_ones_each_once(params: dict[str, str], code: int) -> None:
    assert refusal(lambda: read.symbols(params, known))[0] == code


def test_symbols_keep_their_order() -> None:
    assert read.symbols({"symbols": '["ETHUSDT","BTCUSDT"]'}, known) == ["ETHUSDT", "BTCUSDT"]
    assert read.symbols({}, known) is None


def test_a_limit_above_what_there_is_is_cut_and_none_is_the_usual() -> None:
    assert read.limit({"limit": "5001"}, 100, 5000) == 5000
    assert read.limit({"limit": "7"}, 100, 5000) == 7
    assert read.limit({}, 100, 5000) == 100


@pytest.mark.parametrize(
    ("text", "code"),
    [("0", -1130), ("-1", -1100), ("1.5", -1100), ("", -1105), ("x", -1100), ("9" * 21, -1100), ("٣", -1100)],
)
def test_a_limit_is_a_number_above_0(text: str, code: int) -> None:
    assert refusal(lambda: read.limit({"limit": text}, 100, 5000))[0] == code


def test_times_are_a_span() -> None:
    assert read.span({"startTime": "5", "endTime": "5"}) == (5, 5)
    assert read.span({"endTime": "5"}) == (None, 5)
    assert refusal(lambda: read.span({"startTime": "6", "endTime": "5"}))[0] == -1130


@pytest.mark.parametrize(
    ("names", "sent", "code"),
    [
        ((), {"x": "1"}, -1101),
        (("symbol",), {"symbol": "BTCUSDT", "x": "1"}, -1104),
        (("symbol",), {"Symbol": "1"}, -1104),
    ],
)
def test_what_is_not_read_may_not_be_sent(names: tuple[str, ...], sent: dict[str, str], code: int) -> None:
    assert refusal(lambda: read.expect_only(sent, names))[0] == code
    read.expect_only({"symbol": "BTCUSDT"}, ("symbol", "limit"))


def test_a_parameter_is_sent_once() -> None:
    assert read.from_query({"a": ["1"], "b": [""]}) == {"a": "1", "b": ""}
    assert refusal(lambda: read.from_query({"a": ["1", "1"]})) == (
        -1101,
        "Duplicate values for parameter 'a' detected.",
    )


def test_parameters_of_a_message_read_as_those_of_a_query() -> None:
    message: dict[str, Any] = {"limit": 5, "symbols": ["BTCUSDT"], "symbol": "X", "flag": True, "none": None}

    assert read.from_json(message) == {"limit": "5", "symbols": '["BTCUSDT"]', "symbol": "X", "flag": "true"}
    assert read.from_json(None) == {}
    assert refusal(lambda: read.from_json([1]))[0] == Code.VALUE
    assert refusal(lambda: read.from_json({"limit": 1.5}))[0] == Code.VALUE
    assert refusal(lambda: read.from_json({"limit": {}}))[0] == Code.VALUE


@pytest.mark.parametrize(
    ("text", "minutes"), [("0", 0), ("8", 480), ("-1:00", -60), ("05:45", 345), ("+14:00", 840), ("-12", -720)]
)
def test_a_time_zone_is_hours_and_minutes(text: str, minutes: int) -> None:
    assert read.zone_minutes({"timeZone": text}) == minutes


@pytest.mark.parametrize("text", ["15", "-12:01", "1:60", "UTC", "8:0", "1:000"])
def test_a_time_zone_that_is_none_is_refused(text: str) -> None:
    assert refusal(lambda: read.zone_minutes({"timeZone": text}))[0] == -1130


@pytest.mark.parametrize(("name", "length_s"), [("1m", 60), ("59m", 3540), ("23h", 82_800), ("7d", 604_800)])
def test_a_window_is_minutes_hours_or_days(name: str, length_s: int) -> None:
    assert read.window_s(name) == length_s


@pytest.mark.parametrize("name", ["60m", "24h", "8d", "0m", "1w", "1", "m", "01m"])
def test_a_window_of_another_length_is_refused(name: str) -> None:
    assert refusal(lambda: read.window_s(name))[0] == -1130
