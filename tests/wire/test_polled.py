import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.errors import WireError
from exchange_push.market.events import BookSnapshot
from exchange_push.wire.polled import decode_polled

T = 1_700_000_000_000


def test_an_answer_is_the_book_of_the_symbol_that_was_asked_for() -> None:
    body = b'{"E":1,"lastUpdateId":7,"bids":[["7.60","1"],["7.5","2"]],"asks":[]}'

    assert decode_polled(body, "BTCUSDT", T) == BookSnapshot("BTCUSDT", 7, T, [("7.60", "1"), ("7.5", "2")], [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff",
        b'{"lastUpdateId":7,"bids":[]}',
        b'{"lastUpdateId":"7","bids":[],"asks":[]}',
        b'{"lastUpdateId":-1,"bids":[],"asks":[]}',
        b'{"lastUpdateId":1.5,"bids":[],"asks":[]}',
        b'{"lastUpdateId":99999999999999999999,"bids":[],"asks":[]}',
        b'{"lastUpdateId":7,"bids":[["-1","2"]],"asks":[]}',
        b'{"lastUpdateId":7,"bids":[["NaN","2"]],"asks":[]}',
        b'{"lastUpdateId":7,"bids":[[7.5,2]],"asks":[]}',
        b'{"lastUpdateId":7,"bids":[["7.5","2","1"]],"asks":[]}',
        b'{"lastUpdateId":7,"bids":null,"asks":[]}',
        b'{"lastUpdateId":7,"bids":[],"asks":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_is_no_book_is_refused_with_a_line(body: bytes) -> None:
    with pytest.raises(WireError) as refused:
        decode_polled(body, "BTCUSDT", T)
    assert 0 < len(str(refused.value)) < 250
    assert str(refused.value).isprintable()


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)))
def test_nothing_but_lists_of_pairs_of_decimals_is_a_side(side: object) -> None:
    body = json.dumps({"lastUpdateId": 1, "bids": side, "asks": []}).encode()
    valid = isinstance(side, list) and all(
        isinstance(level, list)
        and len(level) == 2
        and all(isinstance(text, str) and text.isascii() and text.isdigit() for text in level)
        for level in side
    )
    try:
        found = [list(level) for level in decode_polled(body, "S", T).bids]
    except WireError:
        assert not valid
    else:
        assert found == side
