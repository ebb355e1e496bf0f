"""Desk: what an internal request means, whatever way it came. The intakes only carry bytes to it and back."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Raw
from twisted.logger import Logger

from exchange_push.errors import ClientError, CloseCode, Disconnect, MalformedPush, PushCode, quoted
from exchange_push.pubsub.channel import UID, Channel, Owner, Registry, SlowPolicy
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.events import DecodedEvents, decode_json_events
from exchange_push.wire.push import Answer, Auth, Call, Events, Payload, Push, Refused, Request, Send, refusal

KEYS: Final = 100_000
KEY_MS: Final = 300_000


class ClientHandle(Protocol):
    """What an operator can know of a connection and do to it."""

    @property
    def client_id(self) -> str: ...

    @property
    def uid(self) -> str | None: ...

    @property
    def peer(self) -> str: ...

    @property
    def since_ms(self) -> int: ...

    @property
    def waiting_bytes(self) -> int: ...

    def channel_names(self) -> list[str]: ...

    def send(self, message: str | bytes) -> bool: ...

    def subscribe_as_operator(self, names: list[str]) -> None: ...

    def unsubscribe_as_operator(self, names: list[str]) -> None: ...

    def set_context(self, context: dict[str, object]) -> None: ...

    def set_context_value(self, key: str, value: object) -> None: ...

    def logout(self, reason: str = "revoked") -> None: ...

    def disconnect(self, code: CloseCode, reason: str) -> None: ...


class Clients(Protocol):
    """Who is connected, and what they listen to. A Hub is one."""

    @property
    def sessions(self) -> Mapping[str, ClientHandle]:
        """By client_id."""
        ...

    def sessions_of(self, uid: str) -> Sequence[ClientHandle]: ...

    def channels(self) -> Iterable[tuple[Channel, int]]:
        """Every channel that somebody listens to, and how many do."""
        ...


class _Keys:
    """What was answered to the newest idempotency keys."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._answered: OrderedDict[str, tuple[int, object]] = OrderedDict()  # oldest first

    def answered(self, key: str) -> object | None:
        at_ms, result = self._answered.get(key, (0, None))
        return result if self._clock_ms() - at_ms < KEY_MS else None

    def remember(self, key: str, result: object) -> None:
        now_ms = self._clock_ms()
        self._answered[key] = now_ms, result
        self._answered.move_to_end(key)
        while len(self._answered) > KEYS or now_ms - next(iter(self._answered.values()))[0] >= KEY_MS:
            self._answered.popitem(last=False)


class Desk:
    """Does what requests ask and gives their answers.

    `publish` gives (connections handed to, failed), `apply_events` (applied, malformed). `owns_book` tells whether the
    engine's feed owns the book of a symbol. `clock_ms` need only go forward.
    """

    log = Logger()

    def __init__(
        self,
        registry: Registry,
        *,
        publish: Callable[[Publication], tuple[int, int]],
        apply_events: Callable[[DecodedEvents], tuple[int, int]],
        clients: Clients,
        owns_book: Callable[[str], bool],
        clock_ms: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._publish = publish
        self._apply_events = apply_events
        self._clients = clients
        self._owns_book = owns_book
        self._keys = _Keys(clock_ms)
        self._calls: dict[str, Callable[[ClientHandle, list[Any]], None]] = {
            "subscribe": lambda client, args: client.subscribe_as_operator(_names(args)),
            "unsubscribe": lambda client, args: client.unsubscribe_as_operator(_names(args)),
            "set_context": _set_context,
            "set_context_value": _set_context_value,
        }
        self.pushes = 0
        self.repeats = 0
        self.sends = 0
        self.calls = 0
        self.events = 0
        self.refused = 0
        self.faults = 0

    def answer(self, request: Request) -> Answer:
        """Do what is asked. The border: an error of ours is logged and answered, and whoever asked lives on."""
        try:
            return Answer(None, self._result(request), request.id)
        except MalformedPush as error:
            self.refused += 1
            return refusal(error, request.id)
        except Exception:
            self.faults += 1
            self.log.failure("an internal {kind} failed", kind=type(request).__name__)
            code = PushCode.CALL_FAILED if isinstance(request, Call) else PushCode.SEND_FAILED
            return refusal(MalformedPush("internal error", code), request.id)

    def answer_all(self, requests: Request | list[Request]) -> Answer | list[Answer]:
        return [self.answer(request) for request in requests] if isinstance(requests, list) else self.answer(requests)

    def _result(self, request: Request) -> object:
        match request:
            case Push():
                return self._once(request.key, lambda: self._push(request))
            case Send():
                return self._once(request.key, lambda: self._send(request))
            case Events():
                return self._take(request)
            case Call():
                return self._call(request)
            case Refused():
                raise request.error
            case Auth():
                raise MalformedPush("auth, expected alone on the first line")

    def _once(self, key: str | None, do: Callable[[], object]) -> object:
        if key is None:
            return do()
        result = self._keys.answered(key)
        if result is not None:
            self.repeats += 1
            return result
        result = do()  # what is refused is not remembered: it may be tried again
        self._keys.remember(key, result)
        return result

    def _push(self, push: Push) -> dict[str, int]:
        channel = self._registry.for_push(push.channel)
        if channel is None:
            raise MalformedPush(f"invalid channel {quoted(push.channel)}, expected <symbol>@<type> or <uid>@<type>")
        kind = channel.kind
        if kind.name == "depth" and kind.owner is Owner.SYMBOL and self._owns_book(channel.owner):
            raise MalformedPush(f"invalid channel {quoted(push.channel)}: the engine's feed owns this book")
        # QUEUE whatever the kind: what was pushed is a message of its own, and no newer one replaces it.
        publication = _publication(channel, push.payload)
        handed, failed = self._publish(publication)
        self.pushes += 1
        return {"s": handed, "f": failed}

    def _send(self, send: Send) -> dict[str, bool]:
        client = self._clients.sessions.get(send.client_id)
        if client is None:
            raise MalformedPush(f"no connection {quoted(send.client_id)}", PushCode.SEND_FAILED)
        payload = send.payload
        if not client.send(bytes(payload).decode() if isinstance(payload, Raw) else payload):
            raise MalformedPush(f"connection {quoted(send.client_id)} is closing or too slow", PushCode.SEND_FAILED)
        self.sends += 1
        return {"s": True}

    def _take(self, request: Events) -> dict[str, int]:
        applied, malformed = self._apply_events(decode_json_events(request.events))
        self.events += applied
        return {"s": applied, "f": malformed}

    def _call(self, call: Call) -> dict[str, bool]:
        client = self._clients.sessions.get(call.client_id)
        if client is None:
            raise MalformedPush(f"no connection {quoted(call.client_id)}", PushCode.CALL_FAILED)
        do = self._calls.get(call.function)
        if do is None:
            expected = ", ".join(self._calls)
            raise MalformedPush(f"f is {quoted(call.function)}, expected one of {expected}", PushCode.CALL_FAILED)
        try:
            do(client, call.args)
        except ClientError as error:
            raise MalformedPush(error.msg, PushCode.CALL_FAILED) from None
        except Disconnect as error:
            client.disconnect(error.code, error.reason)
            raise MalformedPush(f"connection closed: {error.reason}", PushCode.CALL_FAILED) from None
        self.calls += 1
        return {"s": True}

    # -- what only the HTTP API asks

    def log_out(self, uid: str) -> int:
        """End the logins of a user; how many there were. Raises MalformedPush, as all below, for what is no uid."""
        clients = list(self._clients.sessions_of(_checked(uid)))
        for client in clients:
            client.logout("revoked")
        return len(clients)

    def disconnect(self, uid: str) -> int:
        """Close the connections of a user (4503); how many there were."""
        clients = list(self._clients.sessions_of(_checked(uid)))
        for client in clients:
            client.disconnect(CloseCode.LOGGED_OUT, "logged out by the operator")
        return len(clients)

    def channels(self, prefix: str, limit: int) -> dict[str, int]:
        """Subscribers by channel, as channels are named inside; the first `limit` in the order of their names."""
        prefix = prefix.removeprefix(self._registry.prefix)
        found = ((str(channel), subscribers) for channel, subscribers in self._clients.channels())
        return dict(sorted(item for item in found if item[0].startswith(prefix))[:limit])

    def clients(self, uid: str | None, limit: int) -> list[dict[str, object]]:
        """The first `limit` connections, of one user or of all."""
        sessions = self._clients.sessions.values() if uid is None else self._clients.sessions_of(_checked(uid))
        return [
            {
                "client_id": client.client_id,
                "uid": client.uid,
                "peer": client.peer,
                "since": client.since_ms,
                "channels": client.channel_names(),
                "waiting": client.waiting_bytes,
            }
            for client, _ in zip(sessions, range(limit), strict=False)
        ]


def _publication(channel: Channel, payload: Payload) -> Publication:
    if isinstance(payload, Raw):
        return Publication(channel, payload, slow=SlowPolicy.QUEUE)
    return Publication(channel, message=payload, slow=SlowPolicy.QUEUE)


def _checked(uid: str) -> str:
    if not UID.fullmatch(uid):
        raise MalformedPush(f"uid is {quoted(uid)}, expected {UID.pattern}")
    return uid


def _names(args: list[Any]) -> list[str]:
    names = [name for name in args if isinstance(name, str)]
    if len(names) != len(args):
        raise MalformedPush("a holds what is no string, expected channels")
    return names


def _set_context(client: ClientHandle, args: list[Any]) -> None:
    if len(args) != 1 or not isinstance(args[0], dict):
        raise MalformedPush("a of set_context, expected one object")
    client.set_context(args[0])


def _set_context_value(client: ClientHandle, args: list[Any]) -> None:
    if len(args) != 2 or not isinstance(args[0], str):
        raise MalformedPush("a of set_context_value, expected a key and its value")
    client.set_context_value(args[0], args[1])
