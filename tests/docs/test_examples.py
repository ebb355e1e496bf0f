"""The programs in examples/ and in the documents do what is said of them, against a whole server."""

import re
from pathlib import Path
from typing import get_args

import pytest
import pytest_twisted

import exchange_push.client
from examples.spread import SpreadData, SpreadFeed
from exchange_push.catalog import COMPUTED
from exchange_push.market.board import Board
from exchange_push.market.events import BookSnapshot, DepthChange
from exchange_push.pubsub.channel import Channel, ChannelKind, Owner, SlowPolicy
from tests.docs.documents import ROOT, blocks, read
from tests.docs.programs import run
from tests.docs.programs import start as start_program
from tests.end_to_end.conftest import Start

EXAMPLES = ROOT / "examples"


@pytest_twisted.ensureDeferred
async def test_the_engine_sends_a_book_that_joins_and_trades_at_its_prices(start: Start) -> None:
    running = start()
    client = await running.client("DEMOUSDT@depth", "DEMOUSDT@trades")
    program = start_program(EXAMPLES / "engine.py", "--to", f"127.0.0.1:{running.feed_port}", "--seconds", "1.5")
    snapshot = await client.event("DEMOUSDT@depth")
    update = await client.event("DEMOUSDT@depth")
    await program.ended
    line = running.server.feed.lines[0]
    await running.until(lambda: running.server.feed.intake.sequencer.ended)

    assert snapshot["type"] == "snapshot"
    assert update["prev"] == snapshot["last"]
    assert len(snapshot["bids"]) == len(snapshot["asks"]) == 10
    assert (line.malformed, line.malformed_events, line.gaps, running.server.board.book_gaps) == (0, 0, 0, 0)
    assert running.server.board.trades > 0
    assert program.text == ""


@pytest_twisted.ensureDeferred
async def test_a_back_end_pushes_a_line_to_the_client_who_logged_in(start: Start, tmp_path: Path) -> None:
    auth = start_program(EXAMPLES / "auth.py", "--port", "0")
    await auth.says("\n")
    running = start(auth__url=auth.text.strip(), internal__secret="geheim")
    url = f"ws://127.0.0.1:{running.port('listen 1')}/exchange-stream"
    client = start_program(EXAMPLES / "client.py", "@balance", "--url", url, "--token", "alice", "--messages", "1")
    await client.says("Subscribed(channel='@balance')\n")
    secret = tmp_path / "secret"
    secret.write_text("geheim\n")
    lines = f"127.0.0.1:{running.port('lines')}"
    push = ("1001@balance", '{"asset":"USDT"}', "--to", lines)
    refused = start_program(EXAMPLES / "push.py", *push)
    assert await refused.ended == 1

    assert await run(EXAMPLES / "push.py", *push, "--secret-file", str(secret)) == "handed to 1, failed 0\n"
    assert await client.ended == 0
    assert client.text.splitlines() == [
        "Connected()",
        "LoggedIn()",
        "Subscribed(channel='@balance')",
        '@balance {"asset":"USDT"}',
        "Closed(code=1000, reason='', again_s=None)",
    ]
    assert "refused: 403" in refused.text
    await auth.end()


@pytest_twisted.ensureDeferred
async def test_the_auth_service_does_not_know_another_token(start: Start) -> None:
    auth = start_program(EXAMPLES / "auth.py", "--port", "0")
    await auth.says("\n")
    client = await start(auth__url=auth.text.strip()).client()

    assert (await client.ask({"op": "auth", "token": "eve"}))["code"] == 8
    assert (await client.ask({"op": "auth", "token": "bob"})) == {"result": True}
    await auth.end()


@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
@pytest_twisted.ensureDeferred
async def test_the_first_engine_of_a_document_reaches_a_client(start: Start, document: str, tmp_path: Path) -> None:
    [program] = [block.text for block in blocks(document, "python")]
    running = start()
    client = await running.client("BTCUSDT@trades")
    assert "6791" in program
    (tmp_path / "first.py").write_text(program.replace("6791", str(running.feed_port)))
    assert await run(tmp_path / "first.py") == ""

    [trade] = (await client.event("BTCUSDT@trades"))["trades"]
    assert (trade["first"], trade["price"], trade["qty"], trade["side"]) == (1, "50000.10", "0.25", "buy")
    assert running.server.feed.lines[0].malformed_events == 0


@pytest_twisted.ensureDeferred
async def test_the_book_of_the_howto_is_the_servers(start: Start, tmp_path: Path) -> None:
    [_, program] = [block.text for block in blocks("docs/howto/write-a-client.md", "python")]
    running = start()
    assert ":6790/" in program
    (tmp_path / "book.py").write_text(program.replace(":6790/", f":{running.port('listen 1')}/"))
    client = start_program(tmp_path / "book.py")
    running.feed(["book", "BTCUSDT", 7, 1_700_000_000_000, [["50000.00", "1.5"]], [["50000.10", "0.75"]]])
    await client.says("[('50000.00', '1.5')]\n")

    quotes = "Quote(price=Decimal('50000.00'), quantity=Decimal('1.5')) Quote(price=Decimal('50000.10'),"
    assert client.text.startswith(f"7 {quotes}")
    await client.end()


@pytest.mark.parametrize("name", [name for name in exchange_push.client.__all__ if name[0].isupper()])
def test_the_howto_names_every_notice(name: str) -> None:
    kind = getattr(exchange_push.client, name)
    if kind in get_args(exchange_push.client.Notice):
        fields = f"({', '.join(kind.__struct_fields__)})" if kind.__struct_fields__ else ""
        assert f"`{name}{fields}`" in read("docs/howto/write-a-client.md")


SPREAD = ChannelKind("spread", Owner.SYMBOL, SlowPolicy.CONFLATE, 100)


def spread_board() -> Board:
    return Board({**COMPUTED, SPREAD: SpreadFeed}, wanted=lambda channel: channel.kind is SPREAD)


def book(update_id: int, bid: str, ask: str) -> BookSnapshot:
    return BookSnapshot("BTCUSDT", update_id, 1_700_000_000_000 + update_id, [(bid, "1")], [(ask, "2")])


def test_the_channel_of_the_howto_says_the_spread_when_it_changed() -> None:
    board = spread_board()
    board.apply([book(1, "50000.10", "50000.35")], 1_000)
    [first] = board.flush(1_000)
    board.apply([DepthChange("BTCUSDT", 2, 2, 1_700_000_000_002, [], [("50000.35", "5")])], 1_050)
    assert board.flush(1_100) == []  # another quantity, the same spread
    board.apply([DepthChange("BTCUSDT", 3, 3, 1_700_000_000_003, [("50000.20", "1")], [])], 1_150)
    assert board.flush(1_150) == []  # not due
    [second] = board.flush(1_200)

    assert first.channel == second.channel == Channel(SPREAD, "BTCUSDT")
    assert first.data == SpreadData("0.25", 1_700_000_000_001)
    assert second.data == SpreadData("0.15", 1_700_000_000_003)
    assert board.state(second.channel) is second


def test_the_channel_of_the_howto_is_silent_without_a_whole_book() -> None:
    board = spread_board()
    board.apply([book(1, "1", "2")], 1_000)
    board.flush(1_000)
    board.apply([DepthChange("BTCUSDT", 9, 9, 1_700_000_000_009, [("1.5", "1")], [])], 1_100)

    assert board.flush(1_100) == []
    assert board.state(Channel(SPREAD, "BTCUSDT")) is None


def test_the_row_of_the_howto_is_that_of_the_tested_kind() -> None:
    [row, payload] = [block.text for block in blocks("docs/howto/add-a-channel.md", "text")]
    found = re.fullmatch(r'\s*ChannelKind\("(\w+)",\s+_(\w+), _(\w+),\s+(\d+)\): (\w+),', row)

    assert found is not None
    assert found.groups() == (SPREAD.name, SPREAD.owner.name, SPREAD.slow.name, str(SPREAD.every_ms), "SpreadFeed")
    assert payload.strip() == f"{SpreadFeed.__name__}: {SpreadData.__name__},"
