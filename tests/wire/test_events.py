import json
import re
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exchange_push.errors import WireError
from exchange_push.market.events import (
    BookSnapshot,
    DepthChange,
    Funding,
    IndexPrice,
    Trade,
    UserEvent,
)
from exchange_push.wire.events import decode_event, decode_events, decode_json_events

T = 1_700_000_000_000
TRADE = ["trade", "BTCUSDT", 1, "50000.1", "0.5", "buy", T, 77]
BOOK = ["book", "BTCUSDT", 5, T, [["1.0", "2"]], [["3", "0.4"], ["4", "5"]]]
DEPTH = ["depth", "BTCUSDT", 6, 8, T, [["1.0", "0"]], []]
INDEX = ["index", "BTCUSDT", "binance", "50000", "0.25", T]
FUNDING = ["funding", "BTCUSDT", "-0.0001", T + 1, T]
USER = ["user", 1001, "balance", {"BTC": "1", "list": [1, 2.5, None, True, "é"]}]
ALL = [TRADE, BOOK, DEPTH, INDEX, FUNDING, USER]


def put(event: list[Any], at: int, value: object) -> list[Any]:
    return [*event[:at], value, *event[at + 1 :]]


def test_every_event_becomes_its_value() -> None:
    assert decode_events(ALL).events == [
        Trade("BTCUSDT", 1, "50000.1", "0.5", "buy", T, 77),
        BookSnapshot("BTCUSDT", 5, T, [("1.0", "2")], [("3", "0.4"), ("4", "5")]),
        DepthChange("BTCUSDT", 6, 8, T, [("1.0", "0")], []),
        IndexPrice("BTCUSDT", "binance", "50000", "0.25", T),
        Funding("BTCUSDT", "-0.0001", T + 1, T),
        UserEvent("1001", "balance", {"BTC": "1", "list": [1, 2.5, None, True, "é"]}),
    ]


GOOD = [
    put(TRADE, 7, None),
    put(TRADE, 7, "order-é-1"),
    put(TRADE, 7, -1),
    TRADE[:7],
    put(TRADE, 1, "A"),
    put(TRADE, 1, "9_-" + "Z" * 29),
    put(TRADE, 2, 0),
    put(TRADE, 2, 2**63 - 1),
    put(TRADE, 3, "0"),
    put(TRADE, 3, "00012.50"),
    put(TRADE, 3, "9" * 20 + "." + "9" * 18),
    put(TRADE, 6, 1),
    put(TRADE, 6, 253_402_300_799_999),
    put(BOOK, 4, []),
    put(DEPTH, 2, 8),
    put(INDEX, 2, "币安 spot"),
    put(FUNDING, 2, "0.0001"),
    put(USER, 1, 1),
    put(USER, 1, 2**53 - 1),
    put(USER, 1, "a-Z_9"),
    put(USER, 3, {}),
    put(USER, 3, {"n": 2**64 - 1}),
    put(USER, 2, "account"),
]

BAD_DECIMALS = [
    *("", " ", "1 ", " 1", "1\n", "-1", "+1", "1.", ".1", "1e3", "1_000", "1,5", "NaN", "Infinity", "0x1"),
    *("1" * 21, "1." + "1" * 19, "1.2.3", "١٢", "１", "²", "1\x00", "1 2", "\udc80"),
    *(1, 1.5, None, True, b"1", ["1"], {"a": 1}),
]
BAD_SYMBOLS = ["", "btc", "-A", "_A", "A" * 33, "A B", "A@B", "A\n", "Α", "*", "É", "\udc80", 1, None, b"BTC"]
BAD_TIMES = [0, -1, 253_402_300_800_000, 1_700_000_000_000_000, 2**70, 1.7e12, True, "1700000000000", None]
BAD_IDS = [-1, 2**63, 1.0, True, "1", None]
BAD_SIDES = [None, {}, "12", [["1"]], [["1", "2", "3"]], [["1", 2]], ["12"], [["1", "x"]], [["1 2", "3"]]]
BAD_UIDS = [0, -1, 2**53, 1.0, True, None, "", " ", "a b", "a@b", "1001 ", "é", "a" * 65, "a\n", [], b"1001"]
BAD_DATA = [
    *(None, [], "x", 1, {5: 1}, {"a": b"x"}, {"a": {"b": [msgpack.Timestamp(1)]}}, {"a": msgpack.ExtType(1, b"")}),
    *({"a": float("nan")}, {"a": float("inf")}, {"a": "\udc80"}, {"\udc80": 1}, {"a": {1: 2}}),
]


def deep(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"a": data}
    return data


BAD = [
    *(None, 1, "trade", b"trade", {}, {"trade": 1}, [], [None], [1], [["trade"]], [b"trade"]),
    *(event[:length] for event in [TRADE[:7], *ALL[1:]] for length in range(1, len(event))),
    *(put(TRADE, at, value) for at in (3, 4) for value in BAD_DECIMALS),
    *(put(INDEX, at, value) for at in (3, 4) for value in BAD_DECIMALS),
    *(put(FUNDING, 2, value) for value in BAD_DECIMALS if value != "-1"),
    *(put(DEPTH, 5, [[value, "1"]]) for value in BAD_DECIMALS),
    *(put(BOOK, 5, [["1", "1"], ["1", value]]) for value in BAD_DECIMALS),
    *(put(event, 1, value) for event in ALL[:-1] for value in BAD_SYMBOLS),
    *(put(event, at, value) for event, at in ((TRADE, 6), (BOOK, 3), (DEPTH, 4)) for value in BAD_TIMES),
    *(put(event, at, value) for event, at in ((INDEX, 5), (FUNDING, 3), (FUNDING, 4)) for value in BAD_TIMES),
    *(put(event, at, value) for event, at in ((TRADE, 2), (BOOK, 2), (DEPTH, 2), (DEPTH, 3)) for value in BAD_IDS),
    *(put(event, at, value) for event, at in ((BOOK, 4), (BOOK, 5), (DEPTH, 5), (DEPTH, 6)) for value in BAD_SIDES),
    *(put(USER, 1, value) for value in BAD_UIDS),
    *(put(USER, 3, value) for value in [*BAD_DATA, deep(33)]),
    *(put(USER, 2, value) for value in ("", "Balance", "trade", 1, None)),
    *(put(TRADE, 5, value) for value in ("", "BUY", "b", 1, None)),
    *(put(TRADE, 7, value) for value in (1.5, True, "", "a\nb", "a" * 129, "\udc80", 2**63, [])),
    *(put(INDEX, 2, value) for value in ("", "a\nb", "a" * 129, "\udc80", 1, None)),
    put(DEPTH, 2, 9),
]


@pytest.mark.parametrize("event", GOOD, ids=ascii)
def test_what_the_specification_allows_is_taken(event: list[Any]) -> None:
    assert len(decode_events([event]).events) == 1
    assert decode_event(event) == decode_events([event]).events[0]


@pytest.mark.parametrize("event", BAD, ids=lambda event: ascii(event)[:60])
def test_a_bad_event_is_counted_and_takes_no_neighbour_with_it(event: object) -> None:
    decoded = decode_events([TRADE, event, USER])
    assert decoded.malformed == 1
    assert decoded.unknown == 0
    assert decoded.events == decode_events([TRADE, USER]).events
    with pytest.raises(WireError) as refused:
        decode_event(event)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


def test_nesting_is_allowed_up_to_32() -> None:
    assert decode_events([put(USER, 3, deep(32))]).malformed == 0
    assert decode_events([put(USER, 3, deep(900))]).malformed == 1


def test_types_that_we_do_not_know_are_skipped_and_counted() -> None:
    decoded = decode_events([["liquidation", "BTCUSDT", 1], TRADE, ["Trade"]])
    assert (len(decoded.events), decoded.malformed, decoded.unknown) == (1, 0, 2)
    assert decode_event(["liquidation"]) is None


def test_trailing_fields_are_skipped_and_counted() -> None:
    longer = [[*event, {"new": 1}] for event in [put(TRADE, 7, None), *ALL[1:]]]
    decoded = decode_events([TRADE, *longer])
    assert decoded.extended == 6
    assert decoded.events[1:] == decode_events([put(TRADE, 7, None), *ALL[1:]]).events
    assert decode_events([None, *longer]).extended == 6  # beside a bad one too


def test_an_empty_packet_has_no_events() -> None:
    assert decode_events([]) == ([], 0, 0, 0)


texts = st.text(alphabet="0123456789. -+eA\n\udc80", max_size=6) | st.sampled_from(["1", "2.50", "0.1", "BTC"])


@given(st.lists(st.tuples(texts, texts, texts), max_size=4))
@example([("A 1", "2", "")])
@example([("A", "1 2", "")])
def test_one_match_for_all_texts_of_a_trade_is_as_strict_as_one_each(rows: list[tuple[str, str, str]]) -> None:
    def fits(symbol: str, price: str, qty: str) -> bool:
        decimal = r"\A[0-9]{1,20}(\.[0-9]{1,18})?\Z"
        symbols = r"\A[A-Z0-9][A-Z0-9_-]{0,31}\Z"
        return bool(re.match(symbols, symbol) and re.match(decimal, price) and re.match(decimal, qty))

    decoded = decode_events([["trade", symbol, 1, price, qty, "buy", T] for symbol, price, qty in rows])
    assert len(decoded.events) == sum(fits(*row) for row in rows)


@given(st.lists(st.tuples(texts, texts), max_size=4))
@example([("1 2", "3")])
@example([("", "1"), ("2 3", "")])
def test_one_match_for_a_side_is_as_strict_as_one_for_each_level(levels: list[tuple[str, str]]) -> None:
    decimal = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?")
    fits = all(decimal.fullmatch(text) for level in levels for text in level)
    assert bool(decode_events([put(BOOK, 4, levels)]).events) == fits


def raws(*texts: bytes) -> list[msgspec.Raw]:
    return [msgspec.Raw(text) for text in texts]


def test_json_gives_the_same_values_as_msgpack() -> None:
    decoded = decode_json_events(raws(*(json.dumps(event).encode() for event in ALL[:-1])))
    assert decoded == decode_events(ALL[:-1])


def test_a_user_event_from_json_keeps_its_data_byte_for_byte() -> None:
    data = b'{ "a" : 1.50, "b":"\\u00e9", "a":12345678901234567890123 }'
    (event,) = decode_json_events(raws(b'["user",1001,"order", ' + data + b" ]")).events
    assert isinstance(event, UserEvent)
    assert event.uid == "1001"
    assert isinstance(event.data, msgspec.Raw)
    assert bytes(event.data) == data


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nul",
        b"[",
        b"{}",
        b"null",
        b'["trade"]',
        b'["trade","BTCUSDT",1.0,"1","1","buy",1700000000000]',
        b'["trade","BTCUSDT",1e0,"1","1","buy",1700000000000]',
        b'["trade","BTCUSDT",1,"1","1","buy",1700000000000] 1',
        b'["trade","BTC\xffT",1,"1","1","buy",1700000000000]',
        b'["user",1e3,"order",{}]',
        b'["user",true,"order",{}]',
        b'["user",1,"order",[]]',
        b'["user",1,"order","{}"]',
        b'["user",1,"order",null]',
        b'["user",1,"order",{"a":NaN}]',
        b'["user",1,"order",{"a":1e999}]',
        b'["user",1,"order",{"a":"\xff"}]',
        b'["user",1,"order",{"a":"\\ud800"}]',
        b'["user",1,"order",{"a":' + b"9" * 5000 + b"}]",
        b'["user",1,"order",{"a":' + b"[" * 40 + b"]" * 40 + b"}]",
        b"[" * 100_000,
        b'["user",1,"order",{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
    ],
    ids=lambda text: ascii(text)[:60],
)
def test_bad_json_events_are_counted_and_the_others_taken(text: bytes) -> None:
    good = b'["trade","BTCUSDT",1,"1","1","buy",1700000000000]'
    decoded = decode_json_events(raws(good, text, good))
    assert (len(decoded.events), decoded.malformed, decoded.unknown) == (2, 1, 0)


def test_json_events_of_unknown_type_or_with_more_fields_are_counted() -> None:
    decoded = decode_json_events(raws(b'["new",1]', b'["user","bob","order",{},1]'))
    assert (len(decoded.events), decoded.malformed, decoded.unknown, decoded.extended) == (1, 0, 1, 1)


@given(st.binary(max_size=60))
def test_no_bytes_make_the_json_entry_raise(text: bytes) -> None:
    decoded = decode_json_events([msgspec.Raw(text)])
    assert len(decoded.events) + decoded.malformed + decoded.unknown == 1


def test_the_examples_of_the_reference_are_events_as_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/engine-feed.md").read_text(encoding="utf-8")
    examples = [
        json.loads(line) for block in re.findall(r"```json\n(.*?)```", page, re.S) for line in block.splitlines()
    ]
    kinds = [decode_event(example) for example in examples]
    assert {type(event) for event in kinds} == {Trade, BookSnapshot, DepthChange, IndexPrice, Funding, UserEvent}
