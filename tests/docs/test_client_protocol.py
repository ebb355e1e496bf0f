"""docs/reference/client-protocol.md is true: every example is played, every table is compared with the code."""

import re

import pytest
import pytest_twisted

from exchange_push import catalog
from exchange_push.errors import ClientCode, CloseCode
from exchange_push.market.clock import LATE_MS, LEAP_MS, PATIENCE_MS
from exchange_push.market.interval import INTERVALS
from exchange_push.pubsub.channel import ChannelKind, Owner, SlowPolicy
from tests.docs.documents import Block, blocks, code, section, table
from tests.docs.replay import Replay, steps
from tests.end_to_end.conftest import Start

DOCUMENT = "docs/reference/client-protocol.md"
POLICIES = {
    "the newest": SlowPolicy.CONFLATE,
    "a snapshot": SlowPolicy.RESYNC,
    "closed (4008)": SlowPolicy.QUEUE,
}


@pytest.mark.parametrize("block", blocks(DOCUMENT, "wire"), ids=str)
@pytest_twisted.ensureDeferred
async def test_the_conversation_goes_as_it_is_written(start: Start, block: Block) -> None:
    await Replay(start()).run(block)


def test_the_codes_of_errors_are_those_of_the_code() -> None:
    assert [int(row[0]) for row in table(section(DOCUMENT, "Errors"))] == [code.value for code in ClientCode]


def test_the_close_codes_are_those_of_the_code() -> None:
    rows = table(section(DOCUMENT, "Close codes"))

    assert [int(row[0]) for row in rows] == [code.value for code in CloseCode]
    for row in rows:
        if row[0] >= "4500":
            assert "yes" not in row[2]
        elif row[0] >= "4000":
            assert row[2].startswith("yes")


def test_the_channels_are_those_of_the_catalogue() -> None:
    text = section(DOCUMENT, "Channels")
    intervals = code(re.sub(r"\s+", " ", text.partition("Intervals:")[2].partition(". The operator")[0]))
    assert intervals == list(INTERVALS)
    documented = set()
    for name, _, every, slow in table(text):
        owner, _, kind = code(name)[0].rpartition("@")
        kinds = [f"kline_{interval}" for interval in intervals] if kind == "kline_<interval>" else [kind]
        every_ms = 0 if every == "pushed" else int(every.removesuffix(" ms"))
        documented |= {(owner, kind, every_ms, POLICIES[slow]) for kind in kinds}

    assert documented == {_row(kind) for kind in (*catalog.COMPUTED, *catalog.PUSHED)}


def _row(kind: ChannelKind) -> tuple[str, str, int, SlowPolicy]:
    owner = {Owner.SYMBOL: "<symbol>", Owner.EVERY: "*", Owner.USER: "", Owner.NOBODY: ""}[kind.owner]
    return owner, kind.name, kind.every_ms, kind.slow


def test_the_subprotocols_are_those_of_the_catalogue() -> None:
    offered = [name for name in code(section(DOCUMENT, "msgpack")) if name.startswith("exchange-push")]

    assert offered == [name for name in catalog.DIALECTS if name is not None]


@pytest.mark.parametrize("heading", ["depth", "kline", "ticker", "markprice"])
def test_every_key_of_an_event_is_explained_once(heading: str) -> None:
    shown: set[str] = set()
    for block in blocks(DOCUMENT, "wire"):
        events = [what for _, arrow, what in steps(block) if arrow == "←" and what.startswith('{"event"')]
        if block.heading == heading:
            shown.update(*(re.findall(r'"(\w+)":', event) for event in events))
    explained = [key for row in table(section(DOCUMENT, heading)) for key in row[0].split(", ")]

    assert sorted(shown - {"event", "data"}) == sorted(explained)


def test_the_bounds_of_market_time_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", section(DOCUMENT, "Market time"))

    assert f"more than {LATE_MS // 1_000} s ahead" in text
    assert f"more than {LEAP_MS // 60_000} minutes behind" in text
    assert f"after {PATIENCE_MS // 1_000} s of nothing" in text
