"""The client library against the whole server: kicked, robbed and restarted, its books are the server's."""

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
import pytest_twisted

from exchange_push.client import Book, Client, Closed, Event, Gap, LoggedIn, Lost, Stale, Subscribed
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import Running, reactor
from tests.end_to_end.test_lossy_feed import Market

Connect = Callable[..., Client]


@pytest_twisted.async_yield_fixture()
async def connect() -> AsyncIterator[Connect]:
    clients: list[Client] = []

    def start_one(running: Running, **options: Any) -> Client:
        url = f"ws://127.0.0.1:{running.port('listen 1')}/exchange-stream"
        # Half a second at most from a kick to the next attempt.
        clients.append(Client(url, reactor=reactor, random=lambda: 0.0, **options))
        clients[-1].startService()
        return clients[-1]

    yield start_one
    for client in clients:
        await client.stopService()


class Watcher:
    """Keeps a book and compares it with the engine's at each event."""

    def __init__(self, market: Market, client: Client) -> None:
        self.compared = 0
        self.same = True
        self.market = market
        found = client.subscribe("BTCUSDT@depth", self.look).book
        assert found is not None
        self.book: Book = found

    def look(self, event: Event) -> None:
        if self.book.in_sync:
            self.same &= (dict(self.book.bids()), dict(self.book.asks())) == self.market.was[self.book.last]
            self.compared += 1


@pytest.mark.parametrize("binary", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_book_is_the_engines_before_and_after_a_kick_a_gap_and_a_lost_message(
    start: Start, connect: Connect, binary: bool
) -> None:
    running = start(feed__grace_ms=0)
    market, notices = Market(), []
    client = connect(running, binary=binary, token="***", on_notice=notices.append)
    watcher = Watcher(market, client)
    running.feed(market.change(), market.whole())

    async def trade_on() -> None:
        """Let the market move until the client has followed it for a while."""
        for _ in range(5):
            running.feed(market.change())
            await running.until(lambda: watcher.book.in_sync and watcher.book.last == market.id)
        assert watcher.same

    await trade_on()
    await running.until(lambda: LoggedIn() in notices)
    assert await running.push({}, path="/v1/users/1001/disconnect") == {"E": None, "r": {"s": 1}}
    await running.until(lambda: isinstance(notices[-1], Closed))
    assert notices[-1] == Closed(4503, "logged out by the operator", None)
    assert not watcher.book.in_sync
    await client.stopService()
    client.startService()  # 4503 is for good: the program has to say that it may come back
    await running.until(lambda: watcher.book.in_sync)
    await trade_on()

    for session in list(running.server.hub.sessions.values()):
        session._transport.transport.abortConnection()  # type: ignore[attr-defined]
    await running.until(lambda: isinstance(notices[-1], Closed))
    assert notices[-1].again_s == 0.5
    await running.until(lambda: watcher.book.in_sync)
    await trade_on()

    market.change()  # the engine's datagram with this change is lost, and not asked for again
    running.seq += 1
    running.feed(market.change())
    await running.until(lambda: any(isinstance(notice, Stale) for notice in notices))
    running.feed(market.whole())
    await running.until(lambda: watcher.book.last == market.id)
    assert not any(isinstance(notice, Gap) for notice in notices)
    await trade_on()

    take = client._conversation._take_event
    robbed: list[object] = []

    def rob(subscription: Any, message: Any, now_ms: float) -> Any:
        if not robbed and message["data"]["type"] == "update":
            robbed.append(message)
            return []
        return take(subscription, message, now_ms)

    client._conversation._take_event = rob  # type: ignore[method-assign]
    running.feed(market.change())
    await running.until(lambda: bool(robbed))
    running.feed(market.change())
    await running.until(lambda: any(isinstance(notice, Gap) for notice in notices))
    await running.until(lambda: watcher.book.in_sync)
    await trade_on()
    server = running.server.board.book("BTCUSDT")
    assert server is not None
    assert watcher.compared > 25
    assert watcher.book.last == server.id
    assert watcher.book.bids() == server.bids.best(1_000)
    assert watcher.book.asks() == server.asks.best(1_000)


@pytest_twisted.ensureDeferred
async def test_a_trader_misses_no_event_of_its_own_over_kicks_and_is_told_when_the_server_forgot(
    start: Start, connect: Connect
) -> None:
    running = start()
    notices: list[Any] = []
    heard: list[int] = []
    client = connect(running, token=lambda: "***", on_notice=notices.append)
    client.subscribe("@order", lambda event: heard.append(event.data["n"]))
    await running.until(lambda: Subscribed("@order") in notices)
    random = Random(1)
    sent = 0
    for _ in range(2):
        for _ in range(random.randrange(1, 20)):
            sent += 1
            running.feed(["user", 1001, "order", {"n": sent}])
        await running.until(lambda sent=sent: running.server.feed.lines[0].events == sent)  # type: ignore[misc]
        for session in list(running.server.hub.sessions.values()):
            session._transport.transport.abortConnection()  # type: ignore[attr-defined]
        await running.until(lambda: not running.server.hub.sessions)
        sent += 1
        running.feed(["user", 1001, "order", {"n": sent}])
        await running.until(lambda sent=sent: heard[-1:] == [sent])  # type: ignore[misc]

    assert heard == list(range(1, sent + 1))
    assert Lost("@order") not in notices

    await running.stop_server()
    await running.until(lambda: isinstance(notices[-1], Closed) and notices[-1].code != 1001)  # nobody is there
    again = start(listen=[f"tcp:{client._factory.port}:interface=127.0.0.1"])
    await again.until(lambda: notices[-2:] == [Lost("@order"), Subscribed("@order")])
    again.feed(["user", 1001, "order", {"n": 0}])
    await again.until(lambda: heard[-1] == 0)


@pytest_twisted.ensureDeferred
async def test_a_login_that_ends_is_renewed_with_a_new_token(start: Start, connect: Connect) -> None:
    running = start()
    running.backend.answers |= {"short": {"uid": 1001, "expires_in": 0.2}, "long": {"uid": 1001}}
    tokens = ["short", "long"]
    notices: list[Any] = []
    heard: list[Event] = []
    client = connect(running, token=lambda: tokens.pop(0), on_notice=notices.append)
    client.subscribe("@balance", heard.append)
    await running.until(lambda: notices.count(Subscribed("@balance")) == 2)
    running.feed(["user", 1001, "balance", {"USDT": "1.50"}])
    await running.until(lambda: bool(heard))

    assert running.backend.asked == ["short", "long"]
    assert heard[0].data == {"USDT": "1.50"}
    assert notices.count(LoggedIn()) == 2
