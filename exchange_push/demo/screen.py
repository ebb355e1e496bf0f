"""What the demo shows in the terminal: how to connect, and a few live lines as a client gets them.

The lines come the whole way: a real WebSocket client connects to the public port, logs in and subscribes. Only the
newest of a channel is kept, and two lines a second are written, however much is going on.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from exchange_push.demo.crowd import LISTINGS
from exchange_push.errors import quoted

_LINE_S: Final = 0.5
_RETRY_S: Final = 1.0
_MESSAGE_BYTES: Final = 1 << 20
_TOKEN: Final = "demo-alice"
_SYMBOLS: Final = [listing.instrument.symbol for listing in LISTINGS]
_PUBLIC: Final = [
    f"{symbol}@{kind}" for symbol in _SYMBOLS for kind in ("bookticker", "trades", "ticker", "markprice", "kline")
]
_PRIVATE: Final = ["@order", "@position", "@balance"]

# What a line shows of an event: pairs of label and key. More does not fit a terminal.
_SHOWN: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "bookticker": (("bid", "bid"), ("qty", "bidQty"), ("ask", "ask"), ("qty", "askQty")),
    "trades": (("side", "side"), ("price", "price"), ("qty", "qty")),
    "ticker": (("last", "last"), ("change", "changePercent"), ("volume", "volume"), ("count", "count")),
    "markprice": (("mark", "markPrice"), ("index", "indexPrice"), ("funding", "fundingRate")),
    "kline": (("open", "open"), ("high", "high"), ("low", "low"), ("close", "close")),
    "order": (("symbol", "symbol"), ("side", "side"), ("qty", "qty"), ("status", "status")),
    "position": (("symbol", "symbol"), ("qty", "qty"), ("entry", "entryPrice")),
    "balance": (("asset", "asset"), ("balance", "balance")),
}
_WIDTH: Final = 66  # of what is shown, after time and event


def introduction(public_url: str, api_url: str) -> str:
    """What to type to connect, in plain ASCII."""
    http = f"http://{urlsplit(public_url).netloc}"
    return f"""
exchange-push demo: a pretend exchange trades {", ".join(_SYMBOLS)}.

  Look at it in a browser:       {http}/
  Connect as a client does:      npx wscat -c {public_url}
  or, with Python:               pip install websockets
                                 python -m websockets {public_url}
  then paste, line by line:      {{"op":"subscribe","channel":"BTCUSDT@ticker"}}
                                 {{"op":"auth","token":"{_TOKEN}"}}
                                 {{"op":"subscribe","channels":["@order","@balance"]}}
  Push to that user yourself:    curl -d '{{"c":"ex:1001@balance","d":{{"asset":"USDT","balance":"1.23"}}}}' \\
                                   {api_url}/v1/mesh/publish

  Ask for what was:              curl "{http}/v1/klines?symbol=BTCUSDT&interval=1s&limit=3"

  demo-bob is the other user, 1002. Ctrl-C ends it. What follows is what a client gets, two lines a second of it:
"""


def line(event: str, data: Any, now_s: float) -> str:
    """One event, cut down to one line of columns."""
    if isinstance(data, dict) and isinstance(data.get("trades"), list) and data["trades"]:
        data = data["trades"][-1]
    shown = _SHOWN.get(event.partition("@")[2])
    if shown is None or not isinstance(data, dict):
        text = quoted(data)
    else:
        cells = (f"{label} {'-' if data.get(key) is None else data[key]}" for label, key in shown)
        text = " ".join(cell.ljust(_WIDTH // len(shown) - 1) for cell in cells)
    return f"{datetime.fromtimestamp(now_s, UTC):%H:%M:%S}  {event:<19}  {text}".rstrip()


class _Client(WebSocketClientProtocol):
    def onOpen(self) -> None:
        for request in (
            {"op": "auth", "token": _TOKEN},
            {"op": "subscribe", "channels": _PUBLIC},
            {"op": "subscribe", "channels": _PRIVATE},
        ):
            self.sendMessage(msgspec.json.encode(request))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.heard(msgspec.json.decode(payload))


class _Clients(WebSocketClientFactory):
    protocol = _Client
    noisy = False

    def __init__(self, reactor: Any, url: str, heard: Callable[[Any], None]) -> None:
        super().__init__(url, reactor=reactor)
        self.heard = heard
        self.setProtocolOptions(maxMessagePayloadSize=_MESSAGE_BYTES, openHandshakeTimeout=5)


class Screen(Service):
    """Shows what comes from `public_url`. `write` is given whole lines."""

    name = "demo-screen"
    log = Logger()

    def __init__(self, reactor: Any, public_url: str, api_url: str, write: Callable[[str], None] | None = None) -> None:
        self._reactor = reactor
        self._introduction = introduction(public_url, api_url)
        self._write = write or to_stdout
        self._newest: dict[str, Any] = {}  # by event name, in the order of their turns
        self._loop = LoopingCall(self._show)
        self._loop.clock = reactor
        address = urlsplit(public_url)
        self._client = ClientService(
            HostnameEndpoint(reactor, address.hostname or "127.0.0.1", address.port or 80),
            _Clients(reactor, public_url, self.heard),
            retryPolicy=lambda attempts: _RETRY_S,
            clock=reactor,
        )

    def startService(self) -> None:
        super().startService()
        self._client.startService()
        self._loop.start(_LINE_S, now=False)
        self._put(self._introduction)

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        stopped: Deferred[Any] = self._client.stopService()
        return stopped

    def heard(self, message: Any) -> None:
        """A message of the server, decoded."""
        if "event" in message:
            self._newest[message["event"]] = message["data"]
        elif "code" in message:
            self._put(f"the server answers {message['code']}: {message['msg']}")

    def _show(self) -> None:
        if self._newest:
            event = next(iter(self._newest))
            self._put(line(event, self._newest.pop(event), self._reactor.seconds()))

    def _put(self, text: str) -> None:
        try:
            self._write(text)
        except (OSError, ValueError):  # nobody reads any more (| head), or the terminal is gone
            if self._loop.running:
                self._loop.stop()


def to_stdout(text: str) -> None:
    """The stdout that the process was started with: twistd makes log lines of what sys.stdout is given."""
    if sys.__stdout__ is not None:
        print(text, file=sys.__stdout__, flush=True)
