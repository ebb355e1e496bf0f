"""The client protocol as an AsyncAPI 3.0 document: what the server hears of a client, and says to it."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from exchange_push.catalog import ALIASES, COMPUTED, PUSHED, configured
from exchange_push.config import Config
from exchange_push.market.payloads import payload_type
from exchange_push.pubsub.channel import ALL, SYMBOL, ChannelKind, Owner, SlowPolicy
from exchange_push.schema.parts import Schema, described, our_version, reference
from exchange_push.wire.described import NOT_BESIDE, REQUESTS, Error, SystemData

# A conversation is one WebSocket; the channels of the catalogue are what is heard on it.
_CONVERSATION: Final = "conversation"
_ANSWERS: Final = {
    SlowPolicy.CONFLATE: "the newest message takes the place of those that wait",
    SlowPolicy.RESYNC: "it gets the state of now for the changes that wait",
    SlowPolicy.QUEUE: "it is closed with 4008",
}
_ADDRESS: Final = {
    Owner.SYMBOL: "{{symbol}}@{}",
    Owner.EVERY: f"{ALL}@{{}}",
    Owner.USER: "@{}",
    Owner.NOBODY: "{}",
}


class _Row(NamedTuple):
    """A channel kind: what it is called here, and the type of its data."""

    kind: ChannelKind
    data: Any
    pushed: bool

    @property
    def key(self) -> str:
        return f"{self.kind.owner.name.lower()}_{self.kind.name}"

    @property
    def address(self) -> str:
        return _ADDRESS[self.kind.owner].format(self.kind.name)

    @property
    def event_name(self) -> Schema:
        names = [self.kind.name, *(alias for alias, name in ALIASES.items() if name == self.kind.name)]
        if self.kind.owner is Owner.SYMBOL:
            return {"type": "string", "pattern": f"^{SYMBOL.pattern}@({'|'.join(names)})$"}
        return {"type": "string", "enum": [_ADDRESS[self.kind.owner].format(name) for name in names]}


def asyncapi(config: Config) -> Schema:
    """The document, with what the operator configured: the path, and channels of his own."""
    rows = list(_rows(config))
    requests = [shape for shapes, _ in REQUESTS.values() for shape in shapes]
    answers = list(dict.fromkeys(answer for _, answer in REQUESTS.values()))
    data, schemas = described([*(row.data for row in rows), *requests, *answers, Error])
    for shape, key in NOT_BESIDE.items():
        schemas[shape.__name__]["not"] = {"required": [key]}
    for row, schema in zip(rows, data, strict=False):
        schemas[f"{row.key}_event"] = _event(row, schema)
    events = [f"{row.key}_event" for row in rows]
    schemas["ClientMessage"] = {
        "description": "All that a client can say.",
        "oneOf": [reference(shape.__name__) for shape in requests],
    }
    schemas["ServerMessage"] = {
        "description": "All that the server says by itself; a back end may have it say anything.",
        "anyOf": [reference(name) for name in [answer.__name__ for answer in answers] + ["Error", *events]],
    }
    names = [shape.__name__ for shape in (*requests, *answers)] + [Error.__name__]
    messages = {name: _message(name, schemas[name].get("description", "")) for name in names}
    messages |= {name: _message(name, "") for name in events}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "exchange-push: client protocol",
            "version": our_version(),
            "description": "What web, app and trading clients say and hear over a WebSocket. Messages are JSON in text "
            "frames; with the subprotocol `exchange-push.msgpack` the same objects as msgpack in binary frames.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "public": {"host": "127.0.0.1:6790", "pathname": config.clients.path, "protocol": "ws"},
        },
        "channels": {
            _CONVERSATION: {
                "address": None,
                "title": "requests and answers",
                "description": "Answers come in the order of the requests, each with the id of its request.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            },
            **{row.key: _channel(row) for row in rows},
        },
        "operations": {**_operations(), **{f"say_{row.key}": _saying(row) for row in rows}},
        "components": {"schemas": schemas, "messages": messages},
    }


def _rows(config: Config) -> Iterator[_Row]:
    for kind, feed in COMPUTED.items():
        yield _Row(kind, payload_type(feed), pushed=False)
    own = configured(config.channels.public, config.channels.private)
    for kind in (*PUSHED, *own):
        yield _Row(kind, SystemData if kind.owner is Owner.NOBODY else Any, pushed=True)


def _event(row: _Row, data: Schema) -> Schema:
    number = {"type": "integer", "minimum": 0}
    return {
        "type": "object",
        "properties": {"event": row.event_name, "data": data, "seq": number, "epoch": number},
        "required": ["event", "data"],
    }


def _message(name: str, summary: str) -> Schema:
    found: Schema = {"name": name, "payload": reference(name)}
    return {**found, "summary": summary} if summary else found


def _channel(row: _Row) -> Schema:
    kind = row.kind
    often = f"at most every {kind.every_ms} ms" if kind.computed else "when a back end or the engine pushes"
    found: Schema = {
        "address": row.address,
        "description": f"Comes {often}. A client that reads too slowly: {_ANSWERS[kind.slow]}.",
        "messages": {f"{row.key}_event": {"$ref": f"#/components/messages/{row.key}_event"}},
    }
    if kind.owner is Owner.SYMBOL:
        found["parameters"] = {"symbol": {"description": f"It matches {SYMBOL.pattern}.", "examples": ["BTCUSDT"]}}
    if kind.owner is Owner.USER:
        found["description"] += " It is the user's own: log in first."
    return found


def _saying(row: _Row) -> Schema:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{row.key}"},
        "messages": [{"$ref": f"#/channels/{row.key}/messages/{row.key}_event"}],
    }


def _operations() -> Schema:
    channel = {"$ref": f"#/channels/{_CONVERSATION}"}
    return {
        op: {
            "action": "receive",
            "channel": channel,
            "messages": _in_conversation(shape.__name__ for shape in shapes),
            "reply": {"channel": channel, "messages": _in_conversation([answer.__name__, Error.__name__])},
        }
        for op, (shapes, answer) in REQUESTS.items()
    }


def _in_conversation(names: Iterable[str]) -> list[Schema]:
    return [{"$ref": f"#/channels/{_CONVERSATION}/messages/{name}"} for name in names]
