"""The JavaScript client in node, against a whole server: books and orders through kicks and gaps."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from exchange_push.errors import CloseCode
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import PATIENCE_S, Running

SCRIPT = Path(__file__).parent.parent / "web" / "follow.mjs"
T = 1_700_000_000_000


class Node(ProcessProtocol):
    """Runs tests/web/follow.mjs; `said` is what it told."""

    def __init__(self, *arguments: str) -> None:
        from twisted.internet import reactor

        self.said: list[list[Any]] = []
        self.errors = ""
        self.ended: Deferred[None] = Deferred()
        self._rest = ""
        node = shutil.which("node")
        assert node is not None, "no node on this machine: install Node.js 20 or later"
        # Of node 20 a WebSocket has to be asked for; later ones have it.
        command = [node, "--experimental-websocket", "--no-warnings", str(SCRIPT), *arguments]
        reactor.spawnProcess(self, node, command, env=None)  # type: ignore[attr-defined]

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data.decode()).split("\n")
        self.said += map(json.loads, lines)

    def errReceived(self, data: bytes) -> None:
        self.errors += data.decode()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)

    async def end(self) -> None:
        transport: Any = self.transport
        transport.signalProcess("KILL")
        await self.ended

    def all(self, what: str) -> list[Any]:
        return [detail for said, detail in self.said if said == what]


def book(running: Running) -> list[Any]:
    found = running.server.board.book("BTCUSDT")
    assert found is not None
    return [
        found.id,
        [list(level) for level in found.bids.published()],
        [list(level) for level in found.asks.published()],
    ]


@pytest_twisted.ensureDeferred
async def test_book_and_orders_survive_kicks_and_gaps(start: Start) -> None:
    running = start()
    running.feed(["book", "BTCUSDT", 1, T, [["100.5", "1"], ["100.0", "2"]], [["101.0", "3"]]])
    node = Node(f"ws://127.0.0.1:{running.port('listen 1')}/exchange-stream", "***")
    try:
        await until(running, lambda: bool(node.all("book")) and "@order" in node.all("subscribed"), node)
        for number in range(1, 31):
            level = [f"{90 + number % 11}.{number % 3}", str(number % 4)]
            if number != 24:
                running.feed(["depth", "BTCUSDT", number + 1, number + 1, T + number, [level], []])
            running.feed(["user", 1001, "order", {"id": number}])
            if number in (10, 20):
                [session] = running.server.hub.sessions.values()
                session.disconnect(CloseCode.TOO_SLOW, "kicked by the test")
            if number == 25:  # the update of 24 was lost: a whole book makes it good
                running.feed(["book", "BTCUSDT", 26, T + number, [["99", "1"]], [["101.0", "3"]]])
            if number % 3 == 0:
                await until(running, partial(heard, node, number), node)
        await until(running, lambda: node.all("book")[-1] == book(running), node)
    finally:
        await node.end()

    assert [order["id"] for order in node.all("order")] == list(range(1, 31))
    assert len(node.all("closed")) == 2
    assert node.all("gap") == node.all("lost") == node.all("refused") == []
    assert node.errors == ""


def heard(node: Node, number: int) -> bool:
    return len(node.all("order")) >= number


async def until(running: Running, condition: Callable[[], bool], node: Node) -> None:
    try:
        await running.until(condition)
    except AssertionError:
        raise AssertionError(f"after {PATIENCE_S} s: {node.said[-5:]} {node.errors}") from None
