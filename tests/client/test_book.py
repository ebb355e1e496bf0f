"""A book of a client: chain, checksum, and what it says of its levels."""

from decimal import Decimal
from typing import Any
from zlib import crc32

import pytest

from exchange_push.client import Book, Quote
from exchange_push.client.book import Broken


def message(type: str, last: int, bids: list[Any], asks: list[Any], **others: Any) -> dict[str, Any]:
    prev = None if type == "snapshot" else last - 1
    found = {"type": type, "bids": bids, "asks": asks, "first": last, "last": last, "prev": prev}
    return {**found, "epoch": 7, "time": 1_700_000_000_000 + last, **others}


def signed_crc(text: str) -> int:
    crc = crc32(text.encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


SNAPSHOT = message("snapshot", 10, [["50000.00", "1.5"], ["49999.5", "2"]], [["50000.10", "0.75"]])


def test_levels_are_the_engines_text_and_the_best_are_numbers() -> None:
    book = Book()
    assert book.apply(SNAPSHOT)

    assert book.bids() == [("50000.00", "1.5"), ("49999.5", "2")]
    assert book.bids(1) == [("50000.00", "1.5")]
    assert book.best_bid == Quote(Decimal("50000"), Decimal("1.5"))
    assert book.best_ask == Quote(Decimal("50000.1"), Decimal("0.75"))
    assert (book.in_sync, book.last, book.epoch, book.time) == (True, 10, 7, 1_700_000_000_010)


def test_an_update_replaces_adds_and_removes() -> None:
    book = Book()
    book.apply(SNAPSHOT)
    book.apply(message("update", 11, [["50000.00", "0"], ["49999.5", "3"]], [["50000.05", "1"], ["50000.10", "0"]]))

    assert (book.bids(), book.asks()) == ([("49999.5", "3")], [("50000.05", "1")])
    book.apply(message("update", 12, [], [["50000.05", "0"]]))
    assert book.best_ask is None


def test_updates_before_a_snapshot_are_passed_over() -> None:
    book = Book()

    assert not book.apply(message("update", 11, [["1", "1"]], []))
    assert (book.bids(), book.in_sync) == ([], False)


@pytest.mark.parametrize(
    "wrong",
    [
        message("update", 12, [], []),
        message("update", 10, [], []),
        message("update", 11, [], [], epoch=8),
        message("update", 11, [], [], checksum=1),
        message("update", 11, [["50000.00", "NaN"]], []),
        message("update", 11, [["-1", "1"]], []),
        message("update", 11, [["1", "1", "1"]], []),
        message("other", 11, [], []),
        {"type": "update"},
        "hello",
        None,
    ],
)
def test_what_does_not_go_with_the_book_breaks_it_until_the_next_snapshot(wrong: Any) -> None:
    book = Book()
    book.apply(SNAPSHOT)
    with pytest.raises(Broken):
        book.apply(wrong)

    assert not book.in_sync
    assert not book.apply(message("update", 11, [], []))
    assert book.apply(message("snapshot", 20, [["1", "1"]], []))
    assert (book.in_sync, book.bids(), book.asks()) == (True, [("1", "1")], [])


def test_the_checksum_is_that_of_the_protocol() -> None:
    right = signed_crc("50000.00:1.5:50000.10:0.75:49999.5:2")
    book = Book()
    assert book.apply({**SNAPSHOT, "checksum": right})
    assert book.apply(message("update", 11, [["49999.5", "0"]], [], checksum=signed_crc("50000.00:1.5:50000.10:0.75")))

    with pytest.raises(Broken, match="checksum"):
        book.apply({**SNAPSHOT, "checksum": right + 1})
