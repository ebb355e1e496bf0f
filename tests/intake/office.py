"""What the tests of the internal ways share: a Desk over a real Hub with sessions."""

from typing import Any

from exchange_push.intake.desk import Desk
from exchange_push.wire.events import DecodedEvents
from tests.pubsub.lobby import Lobby

# The original system's own call, byte for byte.
CURL_MESSAGE = (
    rb'{"event":"@balance","data":{"uid":1001,"balance":[{"currency":" BTC","available":100,"unavailable":100}]}}'
)
CURL_BODY = b"""{
     "c": "ex:1001@balance",
     "d": "%b"
}""" % CURL_MESSAGE.replace(b'"', b'\\"')

SENT = {"E": None, "r": {"s": 1, "f": 0}}
NOBODY = {"E": None, "r": {"s": 0, "f": 0}}


class Broken(Exception):
    pass


class Office:
    """A Desk, who listens, and what it was told to apply."""

    def __init__(self) -> None:
        self.lobby = Lobby()
        self.now_ms = 0
        self.owned: set[str] = set()
        self.events: list[DecodedEvents] = []
        self.broken = False
        self.desk = Desk(
            self.lobby.registry,
            publish=self._publish,
            apply_events=self._apply,
            clients=self.lobby.hub,
            owns_book=self.owned.__contains__,
            clock_ms=lambda: self.now_ms,
        )

    def _publish(self, publication: Any) -> tuple[int, int]:
        if self.broken:
            raise Broken
        return self.lobby.hub.publish(publication)

    def _apply(self, decoded: DecodedEvents) -> tuple[int, int]:
        if self.broken:
            raise Broken
        self.events.append(decoded)
        return len(decoded.events), decoded.malformed

    def listener(self, channel: str, uid: str | None = None) -> Any:
        """A client that listens to a channel, with nothing unread."""
        client = self.lobby.client(uid)
        assert client.ask({"op": "subscribe", "channel": channel})[0] == {"result": True}
        return client
