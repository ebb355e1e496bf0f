"""Silence of the engine's feed, as clients and the operator see it."""

import pytest_twisted

from tests.end_to_end.conftest import Start

T = 1_700_000_000_000
BOOK = ["book", "BTCUSDT", 100, T, [["50000", "1"]], [["50001", "2"]]]


@pytest_twisted.ensureDeferred
async def test_a_silent_feed_is_told_to_clients_and_to_the_operator_until_it_is_back(start: Start) -> None:
    running = start(feed__stale_ms=200)
    client = await running.client("system", "BTCUSDT@depth", "BTCUSDT@kline", "@order", token="***")
    assert await running.get("/readyz") == {"status": "ok"}  # never heard from: absent, not silent
    running.feed(BOOK)
    first = await client.event("system")
    second = await client.event("system")
    assert await running.get("/readyz") == {"status": "the feed is silent"}
    late = await running.client("system", "BTCUSDT@depth")
    assert await late.event("system") == {"type": "stale", "channel": "BTCUSDT@depth", "since": first["since"]}
    running.feed()  # a heartbeat
    third, fourth = await client.event("system"), await client.event("system")
    assert await running.get("/readyz") == {"status": "ok"}

    since = first.pop("since")
    assert abs(since - running.server.terms.now_ms()) < 10_000
    assert second.pop("since") == since
    assert [first, second] == [{"type": "stale", "channel": name} for name in ("BTCUSDT@depth", "BTCUSDT@kline")]
    assert [third, fourth] == [{"type": "live", "channel": name} for name in ("BTCUSDT@depth", "BTCUSDT@kline")]


@pytest_twisted.ensureDeferred
async def test_a_book_that_lost_its_chain_is_stale_until_its_new_snapshot_has_come(start: Start) -> None:
    running = start()
    client = await running.client("system", "BTCUSDT@depth", "BTCUSDT@trades")
    running.feed(BOOK)
    assert (await client.event("BTCUSDT@depth"))["type"] == "snapshot"
    running.feed(["depth", "BTCUSDT", 105, 105, T + 10, [["50000", "3"]], []])
    told = await client.event("system")
    assert (told["type"], told["channel"]) == ("stale", "BTCUSDT@depth")
    running.feed(["book", "BTCUSDT", 105, T + 20, [["50000", "3"]], [["50001", "2"]]])
    snapshot, told = await client.next(), await client.next()

    assert (snapshot["event"], snapshot["data"]["type"]) == ("BTCUSDT@depth", "snapshot")
    assert told == {"event": "system", "data": {"type": "live", "channel": "BTCUSDT@depth"}}


@pytest_twisted.ensureDeferred
async def test_the_operator_sees_how_long_each_kind_of_channel_took(start: Start) -> None:
    running = start()
    clients = [await running.client("BTCUSDT@depth", "BTCUSDT@bookticker") for _ in range(3)]
    engine_time = running.server.terms.now_ms() - 700
    running.feed(["book", "BTCUSDT", 100, engine_time, [["50000", "1"]], []])
    for client in clients:
        await client.event("BTCUSDT@depth")
        await client.event("BTCUSDT@bookticker")
    text = await running.get("/metrics")
    found = {
        line.split(" ")[0].removeprefix("exchange_push_"): float(line.split(" ")[1])
        for line in text.splitlines()
        if "_seconds_" in line and 'kind="' in line
    }

    for kind in ("depth", "bookticker"):
        received, written = (
            f'{name}_seconds_%s{{kind="{kind}"}}' for name in ("engine_to_received", "received_to_written")
        )
        assert (found[received % "count"], found[written % "count"]) == (1, 1)  # however many clients
        assert 0.69 <= found[received % "sum"] < 5
        assert found[written % "sum"] < 5
    assert found['engine_to_received_seconds_count{kind="kline"}'] == 0


@pytest_twisted.ensureDeferred
async def test_a_mark_price_without_an_index_is_stale_until_a_source_is_heard_again(start: Start) -> None:
    running = start(symbols__BTCUSDT__index_stale_ms=1_000)
    client = await running.client("system", "BTCUSDT@markprice")
    running.feed(["index", "BTCUSDT", "one", "50000", "1", T])
    assert (await client.event("BTCUSDT@markprice"))["indexPrice"] == "50000.00000000"
    running.feed(["trade", "BTCUSDT", 1, "50000", "1", "buy", T + 10_000, None])
    told = await client.event("system")
    assert (told["type"], told["channel"]) == ("stale", "BTCUSDT@markprice")
    late = await running.client("system", "BTCUSDT@markprice")
    assert (await late.event("BTCUSDT@markprice"))["time"] <= T + 1_000
    assert await late.event("system") == told
    assert "exchange_push_unpriced_symbols 1.0" in await running.get("/metrics")
    running.feed(["index", "BTCUSDT", "one", "50001", "1", T + 12_000])
    fresh, told = await client.next(), await client.next()

    assert (fresh["event"], fresh["data"]["indexPrice"]) == ("BTCUSDT@markprice", "50001.00000000")
    assert told == {"event": "system", "data": {"type": "live", "channel": "BTCUSDT@markprice"}}


@pytest_twisted.ensureDeferred
async def test_a_crossed_book_is_published_and_stale_until_it_has_uncrossed(start: Start) -> None:
    running = start()
    client = await running.client("system", "BTCUSDT@depth", "BTCUSDT@trades")
    running.feed(BOOK)
    assert (await client.event("BTCUSDT@depth"))["type"] == "snapshot"
    running.feed(["depth", "BTCUSDT", 101, 101, T + 10, [["50001", "3"]], []])
    both = [await client.next(), await client.next()]  # in this order or the other, by the tick that it fell into
    heard = {message["event"]: message["data"] for message in both}
    assert heard["BTCUSDT@depth"]["bids"] == [["50001", "3"]]
    assert (heard["system"]["type"], heard["system"]["channel"]) == ("stale", "BTCUSDT@depth")
    running.feed(["depth", "BTCUSDT", 102, 102, T + 20, [["50001", "0"]], []])
    update, told = await client.next(), await client.next()

    assert (update["event"], update["data"]["last"]) == ("BTCUSDT@depth", 102)
    assert told == {"event": "system", "data": {"type": "live", "channel": "BTCUSDT@depth"}}
    assert "exchange_push_crossed_books_total 1.0" in await running.get("/metrics")
