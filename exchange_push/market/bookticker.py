"""`@bookticker`: best bid and ask, when they changed."""

import msgspec

from exchange_push.market.book import Book
from exchange_push.market.top import TopFeed


class BookTickerData(msgspec.Struct, frozen=True, rename="camel"):
    """An empty side is null. `id` and `time` are of the last update of the book."""

    bid: str | None
    bid_qty: str | None
    ask: str | None
    ask_qty: str | None
    id: int
    time: int


class BookTickerFeed(TopFeed[BookTickerData]):
    """The best bid and ask."""

    def _look(self, book: Book, last: BookTickerData | None) -> BookTickerData | None:
        quote = book.quote()
        if last is not None and quote == (last.bid, last.bid_qty, last.ask, last.ask_qty):
            return None
        return BookTickerData(*quote, book.id, book.time)
