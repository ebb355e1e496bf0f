"""Binance's language on real sockets: paths, control, streams, limits."""

import json
import zlib
from typing import Any

import pytest
import pytest_twisted

from exchange_push.wire.dialects.deflated import WINDOW_BITS
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import Running
from tests.wsclient import WsClient, connect, masked

T = 1_700_000_000_000
BOOK = ["book", "BTCUSDT", 7000, T, [["50000.00", "1.5"], ["49999.50", "2"]], [["50000.10", "0.75"]]]


class Client(WsClient):
    """Speaks it; `ask` passes over what is not the reply."""

    async def ask(self, message: Any) -> Any:
        self.send(message)
        while True:
            found = await self.next()
            if found.get("id", self) == message["id"]:
                return found

    async def streams(self, *names: str) -> dict[str, Any]:
        """The data of the first combined message of each stream, from now on."""
        heard: dict[str, Any] = {}
        for _ in range(50):
            found = await self.next()
            heard.setdefault(found["stream"], found["data"])
            if heard.keys() >= set(names):
                return {name: heard[name] for name in names}
        raise AssertionError(f"of {names} only {list(heard)}")

    async def stream(self, name: str) -> Any:
        return (await self.streams(name))[name]


async def open_market(running: Running) -> None:
    """The book is there, and published."""
    running.feed(BOOK)
    await running.until(lambda: bool((book := running.server.board.book("BTCUSDT")) and book.published_id == 7000))


async def visit(running: Running, path: str, **headers: str) -> Client:
    client = Client()
    running.callers.append(client)
    await connect(running.port("listen 1"), path, headers, client)
    assert client.head is not None
    assert client.head.startswith(b"HTTP/1.1 101"), client.head
    return client


@pytest_twisted.ensureDeferred
async def test_a_client_subscribes_to_depth_trades_klines_and_tickers(start: Start) -> None:
    running = start()
    await open_market(running)
    client = await visit(running, "/ws")
    streams = ["btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@ticker"]
    assert await client.ask({"method": "SUBSCRIBE", "params": streams, "id": 1}) == {"result": None, "id": 1}
    assert await client.ask({"method": "LIST_SUBSCRIPTIONS", "id": "x"}) == {"result": streams, "id": "x"}
    running.feed(
        ["depth", "BTCUSDT", 7001, 7003, T + 50, [["50000.00", "0"]], [["50000.20", "3.1"]]],
        ["trade", "BTCUSDT", 81, "50000.10", "0.250", "buy", T + 60, 9001],
        ["trade", "BTCUSDT", 82, "50000.10", "0.5", "buy", T + 61, 9001],
    )
    heard: dict[str, list[Any]] = {}
    while len(heard) < 5 or len(heard["trade"]) < 2:
        message = await client.next()
        heard.setdefault(message["e"], []).append(message)

    [depth] = heard["depthUpdate"]
    assert depth == {
        "e": "depthUpdate",
        "E": depth["E"],
        "s": "BTCUSDT",
        "U": 7001,
        "u": 7003,
        "b": [["50000.00000000", "0.00000000"]],
        "a": [["50000.20000000", "3.10000000"]],
    }
    assert [(trade["t"], trade["p"], trade["q"], trade["m"]) for trade in heard["trade"]] == [
        (81, "50000.10000000", "0.25000000", False),
        (82, "50000.10000000", "0.50000000", False),
    ]
    [together] = heard["aggTrade"]
    assert (together["a"], together["f"], together["l"], together["q"]) == (81, 81, 82, "0.75000000")
    assert heard["kline"][-1]["k"]["v"] == "0.75000000"
    assert heard["24hrTicker"][-1]["c"] == "50000.10000000"
    assert json.loads(json.dumps(heard)) == heard


def change(number: int) -> list[Any]:
    """One more update of the book."""
    return ["depth", "BTCUSDT", 7000 + number, 7000 + number, T + number, [["49999.00", str(number)]], []]


def trade(number: int, qty: str = "1") -> list[Any]:
    return ["trade", "BTCUSDT", number, "50000.10", qty, "buy", T + number, number]


# -- the way in


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/ws/btcusdt%40trade", "/market/ws/btcusdt@trade"])
@pytest_twisted.ensureDeferred
async def test_streams_of_the_path_come_raw_without_an_answer(start: Start, path: str) -> None:
    running = start()
    client = await visit(running, path)
    running.feed(trade(1))
    found = await client.next()
    assert (found["e"], found["s"], found["t"]) == ("trade", "BTCUSDT", 1)


@pytest_twisted.ensureDeferred
async def test_streams_of_the_query_come_under_their_names_and_in_microseconds(start: Start) -> None:
    running = start()
    client = await visit(running, "/stream?streams=btcusdt@trade/btcusdt@aggTrade&timeUnit=MICROSECOND")
    running.feed(trade(1))
    heard = await client.streams("btcusdt@trade", "btcusdt@aggTrade")
    assert [data["T"] for data in heard.values()] == [(T + 1) * 1000] * 2


@pytest.mark.parametrize("path", ["/wss", "/ws-api/v3x", "/public", "/stream/btcusdt@trade"])
@pytest_twisted.ensureDeferred
async def test_any_other_path_is_not_found(start: Start, path: str) -> None:
    running = start()
    client = Client()
    running.callers.append(client)
    await connect(running.port("listen 1"), path, {}, client)
    assert client.head is not None
    assert client.head.startswith(b"HTTP/1.1 404"), client.head


@pytest_twisted.ensureDeferred
async def test_where_it_is_turned_off_the_paths_are_not_there(start: Start) -> None:
    running = start(binance__enabled=False)
    client = Client()
    running.callers.append(client)
    await connect(running.port("listen 1"), "/ws", {}, client)
    assert client.head is not None
    assert client.head.startswith(b"HTTP/1.1 404")
    assert await (await running.client()).ask({"op": "list"}) == {"result": []}


@pytest_twisted.ensureDeferred
async def test_a_token_that_is_no_stream_is_passed_over(start: Start) -> None:
    running = start()
    for path in ("/ws/0", "/ws/17", "/ws/btcusdt@trade/0"):
        client = await visit(running, path)
        listed = await client.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert listed == {"result": ["btcusdt@trade"] if "@" in path else [], "id": 1}


@pytest_twisted.ensureDeferred
async def test_who_opens_a_stream_of_every_symbol_that_there_is_not_is_told(start: Start) -> None:
    client = await visit(start(), "/market/ws/!blockTrade")
    assert (await client.next())["error"]["msg"] == "Invalid request: invalid stream '!blockTrade'"


@pytest.mark.parametrize("path", ["/stream", "/stream?streams=", "/ws", "/ws/"])
@pytest_twisted.ensureDeferred
async def test_a_connection_may_begin_and_stay_without_a_stream(start: Start, path: str) -> None:
    running = start()
    client = await visit(running, path)
    assert await client.ask({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}) == {"result": None, "id": 1}
    assert await client.ask({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 2}) == {
        "result": None,
        "id": 2,
    }
    assert await client.ask({"method": "LIST_SUBSCRIPTIONS", "id": 0}) == {"result": [], "id": 0}
    assert await client.ask({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 3}) == {"result": None, "id": 3}
    running.feed(trade(1))
    found = await client.next()
    assert (found["data"] if path.startswith("/stream") else found)["t"] == 1


@pytest_twisted.ensureDeferred
async def test_a_stream_asked_for_twice_is_acknowledged_and_comes_once(start: Start) -> None:
    running = start()
    client = await visit(running, "/stream?streams=btcusdt@trade")
    for number in (1, 2):
        reply = await client.ask({"method": "SUBSCRIBE", "params": ["btcusdt@trade"] * 2, "id": number})
        assert reply == {"result": None, "id": number}
    running.feed(trade(1))
    assert (await client.stream("btcusdt@trade"))["t"] == 1
    running.feed(trade(2))
    assert (await client.stream("btcusdt@trade"))["t"] == 2
    assert client.frames == []


# -- requests


@pytest.mark.parametrize("request_id", [1, "1", "a4cd7a1d-5d7c-4a4e-9ea3-000000000001", "f" * 32, None])
@pytest_twisted.ensureDeferred
async def test_an_id_comes_back_in_its_type(start: Start, request_id: object) -> None:
    running = start()
    for path in ("/ws", "/stream"):
        client = await visit(running, path)
        reply = await client.ask({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": request_id})
        assert reply == {"result": None, "id": request_id}
        assert type(reply["id"]) is type(request_id)


@pytest_twisted.ensureDeferred
async def test_errors_are_nested_and_never_wrapped(start: Start) -> None:
    running = start()
    await open_market(running)
    for path in ("/ws", "/stream"):
        client = await visit(running, path)
        for params, msg in (
            (["btcusdt@nothing"], "Invalid request: invalid stream 'btcusdt@nothing'"),
            (["btcusdt@trade", "ethusdt@trade"], "Invalid request: unknown symbol 'ETHUSDT'"),
        ):
            reply = await client.ask({"method": "SUBSCRIBE", "params": params, "id": 9})
            assert reply == {"error": {"code": 2, "msg": msg}, "id": 9}
        assert await client.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1}) == {"result": [], "id": 1}


@pytest_twisted.ensureDeferred
async def test_of_a_path_with_a_wrong_stream_the_others_come(start: Start) -> None:
    running = start()
    client = await visit(running, "/ws/btcusdt@nothing/btcusdt@trade")
    assert await client.next() == {
        "error": {"code": 2, "msg": "Invalid request: invalid stream 'btcusdt@nothing'"},
        "id": None,
    }
    running.feed(trade(1))
    assert (await client.next())["t"] == 1


@pytest_twisted.ensureDeferred
async def test_a_symbol_that_is_not_known_may_be_accepted_in_silence(start: Start) -> None:
    running = start(binance__reject_unknown=False, market__symbols=["BTCUSDT"])
    client = await visit(running, "/ws")
    assert await client.ask({"method": "SUBSCRIBE", "params": ["ethusdt@trade"], "id": 1}) == {"result": None, "id": 1}


@pytest_twisted.ensureDeferred
async def test_the_symbols_that_the_operator_lists_are_known_and_no_others(start: Start) -> None:
    running = start(market__symbols=["BTCUSDT"])
    client = await visit(running, "/ws")
    assert await client.ask({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}) == {"result": None, "id": 1}
    refused = await client.ask({"method": "SUBSCRIBE", "params": ["ethusdt@trade"], "id": 2})
    assert refused["error"]["code"] == 2


@pytest_twisted.ensureDeferred
async def test_a_client_goes_over_to_combined_messages(start: Start) -> None:
    running = start()
    client = await visit(running, "/ws/btcusdt@trade")
    running.feed(trade(1))
    assert (await client.next())["t"] == 1
    assert await client.ask({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1}) == {
        "result": None,
        "id": 1,
    }
    running.feed(trade(2))
    assert (await client.stream("btcusdt@trade"))["t"] == 2
    assert await client.ask({"method": "GET_PROPERTY", "params": ["combined"], "id": 2}) == {"result": True, "id": 2}


# -- streams


@pytest_twisted.ensureDeferred
async def test_a_removed_level_has_the_quantity_that_clients_compare_with(start: Start) -> None:
    running = start()
    await open_market(running)
    client = await visit(running, "/ws/btcusdt@depth@100ms")
    running.feed(["depth", "BTCUSDT", 7001, 7001, T, [["50000.00", "0.000"], ["49999.50", "0"]], []])
    assert (await client.next())["b"] == [["50000.00000000", "0.00000000"], ["49999.50000000", "0.00000000"]]


@pytest_twisted.ensureDeferred
async def test_best_bid_and_ask_of_spot_have_no_event_type(start: Start) -> None:
    running = start()
    await open_market(running)
    spot, futures = (
        await visit(running, "/ws/btcusdt@bookTicker"),
        await visit(running, "/public/ws/btcusdt@bookTicker"),
    )
    found = await spot.next()
    assert list(found) == ["u", "s", "b", "B", "a", "A", "E"]
    assert (found["u"], found["b"], found["A"]) == (7000, "50000.00000000", "0.75000000")
    assert (await futures.next())["e"] == "bookTicker"
    best = await (await visit(running, "/ws/btcusdt@depth5@100ms")).next()
    assert list(best) == ["lastUpdateId", "bids", "asks"]


@pytest.mark.parametrize(
    "path",
    [
        "/ws/btcusdt@depth@100ms",
        "/ws/btcusdt@depth",
        "/public/ws/btcusdt@depth",
        "/public/ws/btcusdt@depth@500ms",
    ],
)
@pytest_twisted.ensureDeferred
async def test_each_depth_stream_is_one_chain(start: Start, path: str) -> None:
    running = start()
    await open_market(running)
    book = running.server.board.book("BTCUSDT")
    assert book is not None
    client = await visit(running, path)
    number, last, events = 7000, 7000, 0
    while events < 3:
        number += 1
        running.feed(change(number - 7000))
        await running.until(lambda number=number: book.id == number)  # type: ignore[misc]  # mypy knows no defaults
        while client.frames:
            event = await client.next()
            assert event["U"] == last + 1
            assert event.get("pu", last) == last
            assert len(event["b"]) == 1  # one price, however often it changed
            last, events = event["u"], events + 1


@pytest_twisted.ensureDeferred
async def test_books_of_an_engine_that_begins_anew_go_on_with_higher_ids(start: Start) -> None:
    running = start()
    await open_market(running)
    client = await visit(running, "/ws/btcusdt@depth@100ms/btcusdt@bookTicker")
    running.feed(change(1))
    heard = [await client.next(), await client.next()]
    while not any("e" in event for event in heard):
        heard.append(await client.next())
    before = max(event["u"] for event in heard)
    assert before == 7001

    running.session, running.seq = 2, 1
    running.feed(["book", "BTCUSDT", 5, T + 50, [["50000.00", "1"]], []])
    quote = await client.next()
    assert (quote["b"], quote["u"]) == ("50000.00000000", before + 1)
    await running.until(lambda: bool((book := running.server.board.book("BTCUSDT")) and book.published_id == 5))
    running.feed(["depth", "BTCUSDT", 6, 6, T + 60, [["49000.00", "1"]], []])
    event = await client.next()
    assert (event["U"], event["u"]) == (before + 2, before + 2)


@pytest_twisted.ensureDeferred
async def test_streams_of_all_symbols_and_of_marks(start: Start) -> None:
    running = start()
    client = await visit(running, "/market/stream?streams=!miniTicker@arr/!ticker_1h@arr/!markPrice@arr@1s")
    running.feed(
        trade(1),
        ["trade", "ETHUSDT", 1, "2000", "1", "sell", T, None],
        ["index", "BTCUSDT", "venue-a", "50000", "1", T],
    )
    minis, tickers, marks = (await client.streams("!miniTicker@arr", "!ticker_1h@arr", "!markPrice@arr@1s")).values()
    assert {mini["s"]: mini["c"] for mini in minis} == {"BTCUSDT": "50000.10000000", "ETHUSDT": "2000.00000000"}
    assert {one["e"] for one in tickers} == {"1hTicker"}
    assert marks[0]["i"] == "50000.00000000"
    assert await client.ask({"method": "SUBSCRIBE", "params": ["btcusdt@markPrice", "ethusdt@avgPrice"], "id": 1})
    mark, average = (await client.streams("btcusdt@markPrice", "ethusdt@avgPrice")).values()
    assert (mark["e"], average["w"]) == ("markPriceUpdate", "2000.00000000")


@pytest_twisted.ensureDeferred
async def test_best_bids_and_asks_of_all_symbols_come_symbol_by_symbol(start: Start) -> None:
    running = start()
    client = await visit(running, "/ws/!bookTicker")
    running.feed(BOOK, ["book", "ETHUSDT", 5, T, [["2000", "1"]], []])
    first = [await client.next(), await client.next()]
    assert [(quote["s"], quote["u"], quote["b"]) for quote in first] == [
        ("BTCUSDT", 7000, "50000.00000000"),
        ("ETHUSDT", 5, "2000.00000000"),
    ]
    running.feed(["depth", "ETHUSDT", 6, 6, T + 9, [["2001", "1"]], []])
    quote = await client.next()
    assert (quote["s"], quote["u"], quote["b"], quote["a"]) == ("ETHUSDT", 6, "2001.00000000", "0.00000000")
    late = await visit(running, "/stream?streams=!bookTicker")
    assert [(message["stream"], message["data"]["u"]) for message in [await late.next(), await late.next()]] == [
        ("!bookTicker", 7000),
        ("!bookTicker", 6),
    ]


@pytest_twisted.ensureDeferred
async def test_compressed_messages_are_those_of_who_asked_for_none(start: Start) -> None:
    running = start()
    await open_market(running)
    path = "/stream?streams=btcusdt@ticker/btcusdt@trade"
    plain = await visit(running, path)
    small = await visit(running, path, **{"Sec-WebSocket-Extensions": "permessage-deflate"})
    assert small.head is not None
    assert b"permessage-deflate" in small.head
    running.feed(trade(1))
    heard, compressed = [], 0
    for client in (plain, small):
        messages = []
        while len(messages) < 2:
            _, payload = await client.raw()
            if not payload.startswith(b"{"):
                payload = zlib.decompressobj(-WINDOW_BITS).decompress(payload + b"\x00\x00\xff\xff")
                compressed += 1
            messages.append(json.loads(payload))
        heard.append(messages)
    assert heard[0] == heard[1]
    assert [message["stream"] for message in heard[0]] == ["btcusdt@trade", "btcusdt@ticker"]
    assert compressed == 1


# -- limits and ends


@pytest.mark.parametrize("opcode", [1, 9, 10])
@pytest_twisted.ensureDeferred
async def test_more_than_five_frames_a_second_close_with_1008(start: Start, opcode: int) -> None:
    running = start()
    client = await visit(running, "/ws")
    client.transport.write(masked(opcode, b'{"method":"LIST_SUBSCRIPTIONS"}') * 4)
    client.send({"method": "LIST_SUBSCRIPTIONS", "id": 5})
    while (await client.raw())[1] != b'{"result":[],"id":5}':
        pass
    client.transport.write(masked(opcode, b'{"method":"LIST_SUBSCRIPTIONS"}'))
    assert await client.close_code() == 1008


@pytest_twisted.ensureDeferred
async def test_our_own_clients_may_send_as_much_as_ever(start: Start) -> None:
    client = await start().client()
    for _ in range(20):
        assert await client.ask({"op": "list"}) == {"result": []}


@pytest_twisted.ensureDeferred
async def test_a_connection_has_at_most_so_many_streams(start: Start) -> None:
    running = start()
    client = await visit(running, "/ws")
    streams = [f"s{number}usdt@trade" for number in range(1025)]
    refused = await client.ask({"method": "SUBSCRIBE", "params": streams, "id": 1})
    assert refused["error"] == {
        "code": 2,
        "msg": "Invalid request: too many subscriptions: 1025, expected at most 1024",
    }
    assert await client.ask({"method": "SUBSCRIBE", "params": streams[:1024], "id": 2}) == {"result": None, "id": 2}


@pytest_twisted.ensureDeferred
async def test_an_address_may_try_to_connect_only_so_often(start: Start) -> None:
    running = start(binance__attempts=2, clients__proxies=["127.0.0.1"])

    async def attempt(path: str, address: str) -> bytes:
        client = Client()
        running.callers.append(client)
        await connect(running.port("listen 1"), path, {"X-Forwarded-For": address}, client)
        return (client.head or b"")[:12]

    heads = [await attempt("/ws", "192.0.2.1") for _ in range(3)]
    assert heads == [b"HTTP/1.1 101", b"HTTP/1.1 101", b"HTTP/1.1 429"]
    assert await attempt("/ws", "192.0.2.2") == b"HTTP/1.1 101"
    assert await attempt("/exchange-stream", "192.0.2.1") == b"HTTP/1.1 101"


@pytest_twisted.ensureDeferred
async def test_a_connection_lives_only_so_long(start: Start) -> None:
    running = start(binance__life_s=0.5)
    client, own = await visit(running, "/ws"), await running.client()
    assert await client.close_code() == 1001
    assert client.closed == (1001, "open for 0.5 s, connect again")
    assert await own.ask({"op": "list"}) == {"result": []}


@pytest_twisted.ensureDeferred
async def test_who_answers_no_ping_is_dropped_after_the_time_that_its_language_has(start: Start) -> None:
    running = start(binance__ping_s=1, binance__pong_s=1)
    deaf = Client()
    deaf.answers_ping = False
    running.callers.append(deaf)
    await connect(running.port("listen 1"), "/ws", {}, deaf)
    hearing = await visit(running, "/ws")
    await deaf.gone()
    assert await hearing.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1}) == {"result": [], "id": 1}


@pytest_twisted.ensureDeferred
async def test_a_stop_is_told_to_all_and_closes_them(start: Start) -> None:
    running = start()
    raw, combined = await visit(running, "/ws"), await visit(running, "/stream")
    await running.stop_server()
    told = await raw.next()
    assert (told["e"], type(told["E"])) == ("serverShutdown", int)
    assert (await combined.stream("!serverShutdown"))["e"] == "serverShutdown"
    for client in (raw, combined):
        assert await client.close_code() == 1001
        assert client.frames == []


@pytest_twisted.ensureDeferred
async def test_a_feed_that_falls_silent_is_told_to_our_own_clients_only(start: Start) -> None:
    running = start(feed__stale_ms=200)
    await open_market(running)
    own = await running.client("system", "BTCUSDT@trades")
    client = await visit(running, "/ws/btcusdt@trade")
    assert (await own.event("system"))["type"] == "stale"
    assert await client.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1}) == {"result": ["btcusdt@trade"], "id": 1}
    assert client.frames == []
