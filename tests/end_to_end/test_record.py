"""The intake record of a whole server, and its rerun: the same publications, byte for byte."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.utils import getProcessOutputAndValue

from exchange_push.errors import ConfigError, WireError
from exchange_push.intake.record import Recorder
from exchange_push.market.events import Gap, Restart, Trade
from exchange_push.market.index import OUTLIERS
from exchange_push.market.mark import MARKS
from exchange_push.market.product import Product
from exchange_push.rerun import Rerun, lines
from exchange_push.wire.record import Applied, Begin, Item, Pushed, Ticked, applied, decode, encode, events_of
from tests.end_to_end.conftest import Start
from tests.end_to_end.test_capture import CAPTURE, Capture, capture

__all__ = ["capture"]

_KINDS = ("depth", "depth5", "trades", "ticker", "kline_1m", "kline_1s", "bookticker", "markprice")


def rerun(items: list[Item]) -> dict[str, list[bytes]]:
    """The messages of each channel."""
    found: dict[str, list[bytes]] = {}
    for line in lines(Rerun().publications(items), frozenset()):
        channel, _, message = line.rstrip(b"\n").partition(b"\t")
        found.setdefault(channel.decode(), []).append(message)
    return found


@pytest_twisted.ensureDeferred
async def test_a_rerun_of_the_record_gives_every_publication_byte_for_byte(
    start: Start, capture: Capture, tmp_path: Path
) -> None:
    record = tmp_path / "intake.record"
    symbols = sorted({event[1] for event in capture.events})
    product = {"mark": "basis", "premium": "mid", "premium_sample_s": 1, "index_stale_ms": 0, "funding_clamp": 0.0001}
    running = start(record=str(record), symbols={symbols[0]: product})
    first = next(event for event in capture.events if event[:2] == ["trade", symbols[0]])
    await running.push([["index", symbols[0], "venue", first[3], "1", first[6]]], path="/v1/events")
    names = [f"{symbol}@{kind}" for symbol in symbols for kind in _KINDS]
    client = await running.client(*names, "@order", token="***")
    code = "import sys; from exchange_push.demo.replay import main; main()"
    replay = [str(CAPTURE), "--to", f"udp:127.0.0.1:{running.feed_port}", "--speed", "10", "--session", "1"]
    await getProcessOutputAndValue(sys.executable, ["-c", code, *replay], env={})
    running.seq = len(capture.events) + 1
    running.feed(["user", 1001, "order", {"price": "1.10", "n": 1}])
    await running.push({"c": "1001@order", "d": "a text"})
    await running.push({"c": f"{symbols[0]}@ticker", "d": {"note": 1.50}})
    ends = {event[1]: event[3] for event in capture.events if event[0] == "depth"}
    depth = {symbol: running.server.registry.for_push(f"{symbol}@depth") for symbol in ends}
    await running.until(
        lambda: all(_last(running.server.board.state(depth[symbol])) == ends[symbol] for symbol in ends)
    )
    heard: dict[str, list[bytes]] = {}
    await client.leave()
    await running.stop_server()
    for _, message in client.frames:
        name = message.split(b'"', 4)[3].decode() if message.startswith(b'{"event"') else "1001@order"
        heard.setdefault({"@order": "1001@order"}.get(name, name), []).append(message)

    again = rerun(list(decode([record.read_bytes()])))

    assert set(heard) >= {"1001@order", f"{symbols[0]}@ticker", f"{symbols[0]}@markprice"}
    assert any(b'"fundingRate":"' in message for message in heard[f"{symbols[0]}@markprice"])
    assert sum(map(len, heard.values())) > 500
    for name, messages in heard.items():
        assert messages == again[name][: len(messages)], name
        assert len(again[name]) - len(messages) <= 5  # of the moment between the client's end and the server's
    assert record.stat().st_mode & 0o077 == 0


@pytest_twisted.ensureDeferred
async def test_a_rerun_needs_no_store_to_repeat_what_a_server_made_of_one(start: Start, tmp_path: Path) -> None:
    record, store = tmp_path / "intake.record", str(tmp_path / "store")
    at = 1_700_000_000_000

    def trade(number: int, time: int) -> list[Any]:
        return ["trade", "A", number, f"{100 + number % 9}.5", "0.25", "buy", time, None]

    first = start(store=store)
    for number in range(1, 300):
        first.feed(trade(number, at + 30_000 * number))
    await first.until(lambda: first.server.board.trades == 299)
    await first.stop_server()
    running = start(store=store, record=str(record))
    running.seq = first.seq
    names = ["A@kline_1m", "A@kline_1h", "A@ticker", "A@trades"]
    client = await running.client(*names)
    for number in range(300, 330):
        running.feed(trade(number, at + 30_000 * number))
    running.feed(trade(330, at + 30_000 * 200))  # long closed: only the store has its candles
    # A day on: old ends of windows are split by what the store gives back.
    for number in range(331, 334):
        running.feed(trade(number, at + 86_400_000 + 30_000 * number - 9_000_000))
    await running.until(lambda: running.server.board.trades == 34)
    heard: dict[str, list[bytes]] = {}

    async def event(name: str) -> Any:
        while True:
            _, message = await client.raw()
            found = msgspec.json.decode(message)
            heard.setdefault(found["event"], []).append(message)
            if found["event"] == name:
                return found["data"]

    candle = await event("A@kline_1m")
    while (candle["start"], candle["rev"]) != (at + 30_000 * 200 - 20_000, 1):
        candle = await event("A@kline_1m")
    ticker = await event("A@ticker")
    while ticker["closeTime"] < at + 86_400_000 + 30_000 * 333 - 9_000_000:
        ticker = await event("A@ticker")
    await client.leave()
    await running.stop_server()

    again = rerun(list(decode([record.read_bytes()])))

    assert ticker["complete"]
    assert candle["count"] == 3
    assert sum(map(len, heard.values())) > 30
    for name, messages in heard.items():
        if len(messages) == 1:
            continue
        # The first is the state on subscribing, which is no publication of its own.
        begin = again[name].index(messages[1])
        assert again[name][begin : begin + len(messages) - 1] == messages[1:], name


_amount = st.integers(1, 10**20).map(lambda number: Decimal(number) / 10**7)
_share = st.integers(1, 10**18 - 1).map(lambda number: Decimal(number) / 10**18)


@st.composite
def products(draw: st.DrawFn) -> Product:
    perpetual = draw(st.booleans())
    times = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
    return Product(
        product="perpetual" if perpetual else "future",
        halted=draw(st.booleans()),
        index_weights=draw(st.dictionaries(st.text(min_size=1), _amount, max_size=3)),
        index_stale_ms=draw(st.integers(0, 10**9)),
        index_outliers=draw(st.sampled_from(sorted(OUTLIERS))),
        index_band=draw(_share),
        mark=draw(st.none() | st.sampled_from(sorted(MARKS))),
        interest=draw(_share) * draw(st.sampled_from([-1, 1])),
        funding_cap=draw(st.none() | _share),
        impact_notional=draw(_amount),
        delivery=None if perpetual else draw(st.none() | times),
    )


def _last(publication: Any) -> int | None:
    return None if publication is None else publication.data.last


BEGIN = Begin(1, 250, {}, [], [])
ITEMS: list[Item] = [
    Begin(
        1,
        250,
        {"BTCUSDT": {"funding_hours": 4, "basis_samples": 30, "product": "perpetual"}},
        ["announcement"],
        ["notice"],
    ),
    applied(5, [Restart(7), Trade("BTCUSDT", 1, "10", "2", "buy", 1_700_000_000_000), Gap(3)]),
    Ticked(50, 1_800_000_000_000),
    Pushed("1001@balance", text="hello"),
    Pushed("1001@balance", binary=b"\x00"),
    Pushed("1001@balance", json='{"a":1.10}'),
]


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_items_come_back_as_they_went_whatever_the_pieces(piece: int) -> None:
    data = b"".join(map(encode, ITEMS))
    found = list(decode([data[at : at + piece] for at in range(0, len(data), piece)]))

    assert found == ITEMS
    assert isinstance(found[1], Applied)
    assert [type(event) for event in events_of(found[1])] == [Restart, Trade, Gap]


def test_an_item_that_the_end_cuts_off_is_left_out() -> None:
    data = b"".join(map(encode, ITEMS))

    assert list(decode([data[:-1]])) == ITEMS[:-1]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x02\x91\x01"])
def test_what_is_no_record_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(WireError, match="item 1"):
        list(decode([data]))


def test_a_record_without_begin_or_of_another_version_cannot_be_repeated() -> None:
    with pytest.raises(WireError, match="no begin"):
        rerun(ITEMS[1:])
    with pytest.raises(WireError, match="version 2"):
        rerun([Begin(2, 250, {}, [], [])])


@given(products())
def test_a_product_comes_back_from_a_record_as_it_went(product: Product) -> None:
    begin = Begin(1, 250, {"S": msgspec.to_builtins(product)}, [], [])
    [found] = decode([encode(begin)])

    assert isinstance(found, Begin)
    assert msgspec.convert(found.products["S"], Product) == product


@pytest.mark.parametrize("fields", [{"perpetual": True}, {"mark": "magic"}, {"index_band": "x"}])
def test_a_product_of_another_version_is_said_to_be_one(fields: dict[str, object]) -> None:
    with pytest.raises(WireError, match="another version"):
        rerun([Begin(1, 250, {"S": fields}, [], [])])


def test_each_start_of_a_server_begins_anew_in_the_same_file() -> None:
    once = rerun(ITEMS)
    twice = rerun(ITEMS + ITEMS)

    assert {name: messages * 2 for name, messages in once.items()} == twice


def test_a_file_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path / "no folder" / "x"), BEGIN)
    with pytest.raises(ConfigError, match="no folder"):
        recorder.startService()


@pytest.mark.parametrize("ticks", [1, 100])
def test_a_disk_that_is_full_ends_the_record_and_not_the_server(ticks: int) -> None:
    recorder = Recorder("/dev/full", BEGIN)
    recorder.startService()
    for now_ms in range(ticks):
        recorder.ticked(now_ms, now_ms)
    items = recorder.items
    recorder.stopService()
    recorder.ticked(ticks, ticks)

    assert items < 22  # begin and a second's ticks, of which none arrived
    assert recorder.items == items


def test_channels_that_the_operator_added_are_named_as_their_clients_knew_them() -> None:
    pushes: list[Item] = [Pushed(name, json="1") for name in ("A@announcement", "*@announcement", "7@notice")]

    assert rerun(ITEMS[:1] + pushes) == {
        "A@announcement": [b'{"event":"A@announcement","data":1}'],
        "*@announcement": [b'{"event":"*@announcement","data":1}'],
        "7@notice": [b'{"event":"@notice","data":1}'],
    }
    with pytest.raises(WireError, match="no channel"):
        rerun([BEGIN, Pushed("A@announcement", json="1")])


def test_the_command_prints_the_lines_of_a_channel(tmp_path: Path) -> None:
    file = tmp_path / "record"
    file.write_bytes(b"".join(map(encode, ITEMS)))
    command = [sys.executable, "-c", "from exchange_push.rerun import main; main()"]
    done = subprocess.run([*command, str(file), "--channel", "1001@balance"], capture_output=True)
    missing = subprocess.run([*command, str(tmp_path / "none")], capture_output=True, text=True)

    assert (
        done.stdout
        == b'1001@balance\thello\n1001@balance\t\x00\n1001@balance\t{"event":"@balance","data":{"a":1.10}}\n'
    )
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
