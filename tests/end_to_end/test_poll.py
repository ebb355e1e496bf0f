"""An engine that tells its books over HTTP, and one whose chain of changes breaks."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest_twisted
from twisted.internet import reactor as imported_reactor
from twisted.internet.defer import maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from exchange_push.wire.record import decode
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK
from tests.end_to_end.test_record import rerun
from tests.wsclient import WsClient

reactor: Any = imported_reactor
T = 1_700_000_000_000


class BookPages(Resource):
    """The engine's HTTP side: `books` by symbol, 404 for any other."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.books: dict[str, Any] = {}
        self.asked: list[str] = []
        site = Site(self)
        site.noisy = False
        self.port = reactor.listenTCP(0, site, interface=LOOPBACK)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port.getHost().port}/depth?symbol={{symbol}}&limit=1000"

    def set(self, symbol: str, id: int, bids: dict[str, str], asks: dict[str, str]) -> None:
        self.books[symbol] = {"lastUpdateId": id, "bids": list(bids.items()), "asks": list(asks.items())}

    def render_GET(self, request: Request) -> bytes:
        symbol = request.args[b"symbol"][0].decode()
        self.asked.append(symbol)
        if symbol not in self.books:
            request.setResponseCode(404)
            return b""
        return msgspec.json.encode(self.books[symbol])


@pytest_twisted.async_yield_fixture()
async def engine() -> AsyncIterator[BookPages]:
    pages = BookPages()
    yield pages
    await maybeDeferred(pages.port.stopListening)


async def follow(client: WsClient, book: dict[str, dict[str, str]], last: int) -> None:
    """Keep a book by the messages of a depth channel, as a client does, until update `last`."""
    at = -1
    while at != last:
        data = await client.event("BTCUSDT@depth")
        assert data["type"] == "snapshot" or data["prev"] == at
        for name in ("bids", "asks"):
            if data["type"] == "snapshot":
                book[name] = {}
            for price, qty in data[name]:
                book[name][price] = qty
                if qty == "0":
                    del book[name][price]
        at = data["last"]


@pytest_twisted.ensureDeferred
async def test_a_clients_book_follows_an_engine_that_tells_no_changes(engine: BookPages, start: Start) -> None:
    running = start(book__url=engine.url, book__interval_ms=100)
    engine.set("BTCUSDT", 100, {"50000": "1", "49999": "2"}, {"50001": "3"})
    client = await running.client("BTCUSDT@depth")
    book: dict[str, dict[str, str]] = {}
    await follow(client, book, 100)
    assert book == {"bids": {"50000": "1", "49999": "2"}, "asks": {"50001": "3"}}
    for number in range(1, 5):
        bids, asks = {"50000": str(number), f"4999{number}": "2"}, {"50001.5": "3"}
        engine.set("BTCUSDT", 100 + number, bids, asks)
        at_most = len(engine.asked) + 1
        data = await client.event("BTCUSDT@depth")
        assert (data["type"], data["prev"], data["last"]) == ("update", 99 + number, 100 + number)
        assert len(engine.asked) >= at_most
        for name in ("bids", "asks"):
            book[name].update(data[name])
            book[name] = {price: qty for price, qty in book[name].items() if qty != "0"}
        assert book == {"bids": bids, "asks": asks}
    assert set(engine.asked) == {"BTCUSDT"}
    await client.leave()
    await running.until(lambda: not running.server.hub.sessions)
    asked = len(engine.asked)
    running.feed(["trade", "BTCUSDT", 1, "50000", "1", "buy", T, None])
    late = await running.client("BTCUSDT@kline")
    await late.event("BTCUSDT@kline")
    assert len(engine.asked) <= asked + 1


@pytest_twisted.ensureDeferred
async def test_a_broken_chain_of_changes_heals_by_a_poll(engine: BookPages, start: Start) -> None:
    running = start(book__url=engine.url, book__interval_ms=100)
    client = await running.client("system", "BTCUSDT@depth")
    book: dict[str, dict[str, str]] = {}
    running.feed(["book", "BTCUSDT", 100, T, [["50000", "1"]], [["50001", "2"]]])
    await follow(client, book, 100)
    running.feed(["depth", "BTCUSDT", 105, 106, T + 10, [["49999", "7"]], []])  # 101 to 104 are lost
    told = await client.event("system")
    assert (told["type"], told["channel"]) == ("stale", "BTCUSDT@depth")
    engine.set("BTCUSDT", 104, {"50000": "5"}, {"50001": "6"})
    await follow(client, book, 106)

    assert book == {"bids": {"50000": "5", "49999": "7"}, "asks": {"50001": "6"}}
    assert await client.event("system") == {"type": "live", "channel": "BTCUSDT@depth"}
    assert running.server.board.market_time < T + 60_000  # asking does not drive it


@pytest_twisted.ensureDeferred
async def test_a_book_that_is_polled_in_vain_goes_stale_and_one_that_is_polled_outlives_the_feed(
    engine: BookPages, start: Start
) -> None:
    running = start(book__url=engine.url, book__interval_ms=50, feed__stale_ms=300)
    engine.set("BTCUSDT", 100, {"50000": "1"}, {})
    client = await running.client("system", "BTCUSDT@depth", "BTCUSDT@trades")
    running.feed()  # one heartbeat, and silence
    told = await client.event("system")
    assert (told["type"], told["channel"]) == ("stale", "BTCUSDT@trades")
    del engine.books["BTCUSDT"]
    told = await client.event("system")
    assert (told["type"], told["channel"]) == ("stale", "BTCUSDT@depth")
    engine.set("BTCUSDT", 101, {"50000": "2"}, {})
    assert await client.event("system") == {"type": "live", "channel": "BTCUSDT@depth"}


@pytest_twisted.ensureDeferred
async def test_a_rerun_repeats_polled_books_byte_for_byte(engine: BookPages, start: Start, tmp_path: Path) -> None:
    running = start(book__url=engine.url, book__interval_ms=50, record=str(tmp_path / "intake.record"))
    client = await running.client("BTCUSDT@depth")
    heard: list[bytes] = []
    for number in range(1, 6):
        engine.set("BTCUSDT", number, {"50000": str(number)}, {"50001": "3"})
        heard.append((await client.raw())[1])
        assert b'"last":%d' % number in heard[-1]
    await client.leave()
    await running.stop_server()
    again = rerun(list(decode([(tmp_path / "intake.record").read_bytes()])))

    assert again["BTCUSDT@depth"] == heard
