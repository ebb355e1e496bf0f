"""The AsyncAPI document is one, and says what the code does: of requests, of answers, of every channel."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from exchange_push.catalog import COMPUTED, PUSHED
from exchange_push.config import Channels, Clients, Config
from exchange_push.demo.engine import Engine
from exchange_push.errors import ClientCode
from exchange_push.market.payloads import PAYLOADS, payload_type
from exchange_push.pubsub.channel import Channel, Owner, client_name
from exchange_push.pubsub.request import Refused, Subscribe, Unsubscribe
from exchange_push.schema.asyncapi import asyncapi
from exchange_push.wire.described import REQUESTS
from exchange_push.wire.dialects.plain import read_request
from tests.docs.documents import Block, blocks
from tests.docs.replay import CLIENTS, Replay
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK, reactor
from tests.schema.validators import of_messages, references, resolved
from tests.wsclient import WsClient

SPECS = "@asyncapi/specs@6.11.1"
PROTOCOL = "docs/reference/client-protocol.md"
# Names of the protocol as they stand: whoever changes one changes what clients rely on.
EVERY_KIND = [*COMPUTED, *PUSHED]


@pytest.mark.skipif(shutil.which("npm") is None, reason="the schema of AsyncAPI is published by npm only")
def test_the_document_is_valid_by_asyncapis_own_schema(tmp_path: Path) -> None:
    subprocess.run(
        ["npm", "pack", SPECS, "--pack-destination", str(tmp_path)], check=True, capture_output=True, cwd=tmp_path
    )
    [archive] = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as files:
        file = files.extractfile("package/schemas/3.0.0.json")
        assert file is not None
        schema = json.load(file)
    validator = Draft7Validator(schema)
    document = asyncapi(Config(channels=Channels(public=("announcement",), private=("notice",))))

    assert [error.message for error in validator.iter_errors(document)] == []
    document["operations"]["auth"]["action"] = "ask"
    assert not validator.is_valid(document)


def test_no_keyword_is_there_that_its_version_of_json_schema_does_not_know() -> None:
    assert "prefixItems" not in json.dumps(asyncapi(Config()))


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi(Config())
    found = references(document)

    assert len(found) > 100
    for pointer in found:
        assert resolved(document, pointer)


def test_every_kind_of_the_catalogue_has_its_channel_and_no_other_is_there() -> None:
    document = asyncapi(Config())
    addresses = {
        channel["address"].replace("{symbol}", "BTCUSDT")
        for channel in document["channels"].values()
        if channel["address"] is not None
    }
    owners = {Owner.SYMBOL: "BTCUSDT", Owner.EVERY: "*", Owner.USER: "1001", Owner.NOBODY: ""}

    assert addresses == {client_name(Channel(kind, owners[kind.owner])) for kind in EVERY_KIND}
    spoken = [operation for operation in document["operations"].values() if operation["action"] == "send"]
    assert len(spoken) == len(EVERY_KIND)


def test_channels_that_an_operator_adds_and_his_path_are_there() -> None:
    config = Config(channels=Channels(public=("announcement",), private=("notice",)), clients=Clients(path="/push"))
    document = asyncapi(config)
    addresses = {channel["address"] for channel in document["channels"].values()}

    assert {"{symbol}@announcement", "*@announcement", "@notice"} <= addresses
    assert document["servers"]["public"]["pathname"] == "/push"


def test_every_feed_of_the_catalogue_has_its_type() -> None:
    assert all(payload_type(feed) is not None for feed in COMPUTED.values())
    used = {getattr(feed, "func", feed) for feed in COMPUTED.values()}
    assert used == set(PAYLOADS)


# -- what clients say

VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 1.5, "", "x" * 64, "x" * 65, "token", "ä", [], {}]
    ),
    st.sampled_from([["BTCUSDT@depth"], ["BTCUSDT@depth", "@order"], [1], ["A@trades", None], "BTCUSDT@depth"]),
    st.sampled_from([{"epoch": 1, "seq": 2}, {"epoch": -1, "seq": 2}, {"epoch": 1}, {"epoch": 1, "seq": True}]),
)
MESSAGE = st.one_of(
    VALUE,
    st.fixed_dictionaries(
        {"op": st.sampled_from([*REQUESTS, *REQUESTS, *REQUESTS, "login", None, 1])},
        optional=dict.fromkeys(("id", "channel", "channels", "token", "checksum", "seq", "since", "more"), VALUE),
    ),
    st.fixed_dictionaries({}, optional={"op": VALUE, "id": VALUE, "channel": VALUE}),
)


def taken(message: object) -> bool:
    """Whether the code takes it for a request: the names of channels are looked at later, but for their type."""
    request = read_request(message)
    if isinstance(request, Refused):
        return False
    return not isinstance(request, Subscribe | Unsubscribe) or all(isinstance(name, str) for name in request.names)


def several(message: dict[str, Any]) -> bool:
    names = message.get("channels")
    return isinstance(names, list) and len(names) > 1


@given(MESSAGE)
@example({"op": "subscribe", "channel": None, "channels": ["BTCUSDT@depth"]})
@example({"op": "unsubscribe", "channel": "BTCUSDT@depth", "channels": None})
def test_a_message_is_a_request_for_the_document_if_it_is_one_for_the_code(message: Any) -> None:
    valid = of_messages("ClientMessage").is_valid(message)
    if isinstance(message, dict) and message.get("op") == "subscribe" and "since" in message and several(message):
        assert not taken(message)  # that it goes with one channel only is said in words
    else:
        assert valid == taken(message)


class Recorder(WsClient):
    """Keeps what is said and heard."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes] = []
        self.heard: list[bytes] = []

    def send(self, message: object) -> None:
        assert isinstance(message, bytes)
        self.said.append(message)
        super().send(message)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 1:
            self.heard.append(payload)
        super()._take(opcode, payload)


class RecordedReplay(Replay):
    def recorders(self) -> list[Recorder]:
        return [client for client in self._clients.values() if isinstance(client, Recorder)]

    async def _client(self, name: str) -> WsClient:
        if name not in self._clients:
            self._clients[name] = await self._running.client(client=Recorder())
        return self._clients[name]


@pytest.mark.parametrize("block", blocks(PROTOCOL, "wire"), ids=str)
@pytest_twisted.ensureDeferred
async def test_what_the_examples_say_and_hear_is_as_the_document_has_it(start: Start, block: Block) -> None:
    replay = RecordedReplay(start())
    await replay.run(block)
    assert replay.recorders() or not any(who in block.text for who in CLIENTS)
    for client in replay.recorders():
        messages = [json.loads(payload) for payload in client.heard]
        for message in messages:
            of_messages("ServerMessage").validate(message)
        answers = [message for message in messages if "event" not in message]
        for said, answer in zip(client.said, answers, strict=False):
            try:
                valid = of_messages("ClientMessage").is_valid(json.loads(said))
            except ValueError:
                valid = False
            assert valid == (answer.get("code") not in (ClientCode.MALFORMED, ClientCode.UNKNOWN_OP)), said


# -- what the server says


def event_schema(name: str) -> str:
    """The schema of the events of a channel, by the name that a client has for it."""
    owner, at, kind = name.partition("@")
    return (
        f"{'every' if owner == '*' else 'symbol' if owner and at else 'user' if at else 'nobody'}_{kind or owner}_event"
    )


@pytest_twisted.ensureDeferred
async def test_every_message_of_the_demos_market_is_as_the_document_has_it_and_spoilt_ones_are_not(
    start: Start,
) -> None:
    running = start()
    running.backend.answers["alice"] = {"uid": 1001}
    engine = Engine(reactor, [(LOOPBACK, running.feed_port)], seed=7)
    engine.startService()
    names = [
        client_name(Channel(kind, {Owner.SYMBOL: "BTCUSDT", Owner.EVERY: "*"}.get(kind.owner, "1001")))
        for kind in EVERY_KIND
    ]
    client = await running.client(token="alice")
    checked: dict[str, int] = dict.fromkeys(names, 0)
    assert await client.ask({"op": "subscribe", "channels": names, "seq": True, "checksum": True, "id": "all"})
    computed = {name for name, kind in zip(names, EVERY_KIND, strict=True) if kind.computed}
    spoilt = 0
    while not all(checked[name] for name in computed) or not checked["@order"]:
        message = await client.next()
        name = message["event"]
        of_messages("ServerMessage").validate(message)
        validator = of_messages(event_schema(name))
        validator.validate(message)
        if name in computed and not checked[name]:
            for wrong in spoil(message):
                assert not validator.is_valid(wrong), wrong
                spoilt += 1
        checked[name] += 1
    assert spoilt > 200
    # What the market did not do by itself.
    for data in ({"type": "logout", "reason": "bored"}, {"type": "nap"}, {}, None, {"type": "stale", "channel": "x"}):
        assert not of_messages("nobody_system_event").is_valid({"event": "system", "data": data})
    await engine.stopService()


def spoil(message: Any) -> list[Any]:
    """The message with each of its fields left out or of another type."""
    data = message["data"]
    fields = data[0] if isinstance(data, list) else data
    found = [{**message, "event": "BTCUSDT@nothing"}, {**message, "data": 17}, {"event": message["event"]}]
    for key, value in fields.items():
        if key != "checksum":
            less = {name: value for name, value in fields.items() if name != key}
            found.append({**message, "data": [less] if isinstance(data, list) else less})
        wrong = {**fields, key: {"a": 1} if not isinstance(value, dict) else 1}
        found.append({**message, "data": [wrong] if isinstance(data, list) else wrong})
    return found


@pytest_twisted.ensureDeferred
async def test_the_page_is_the_document(start: Start) -> None:
    import treq

    running = start()
    url = f"http://{LOOPBACK}:{running.port('listen 1')}/asyncapi.json"
    response = await treq.get(url, persistent=False)

    assert msgspec.json.decode(await response.content()) == asyncapi(running.server.config)
    assert response.headers.getRawHeaders("content-type") == ["application/json"]
