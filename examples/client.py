"""A client, as small as it gets: log in, subscribe, print what comes. Needs Autobahn and Twisted, as the server does.

python examples/client.py CHANNEL… [--url ws://127.0.0.1:6790/exchange-stream] [--token TOKEN] [--messages N]
"""

import argparse
import json

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from twisted.internet import reactor
from twisted.python.failure import Failure


class Client(WebSocketClientProtocol):
    factory: "Clients"

    def onOpen(self) -> None:
        if self.factory.token is not None:
            # The subscriptions need not wait for the reply: requests are answered in their order.
            self.ask({"op": "auth", "token": self.factory.token})
        self.ask({"op": "subscribe", "channels": self.factory.channels})

    def ask(self, request: object) -> None:
        self.sendMessage(json.dumps(request).encode())

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode(), flush=True)
        self.factory.left -= 1
        if self.factory.left == 0:
            self.sendClose(1000)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"closed: {code} {reason or ''}".rstrip())
        # 4500 and above: come back only after a change. All else may connect again, after a pause.
        if reactor.running:
            reactor.stop()


class Clients(WebSocketClientFactory):
    protocol = Client  # type: ignore[assignment]  # Twisted types it as a maker of its own Protocol
    noisy = False

    def __init__(self, url: str, channels: list[str], token: str | None, messages: int) -> None:
        super().__init__(url)
        self.channels = channels
        self.token = token
        self.left = messages

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        print(f"not connected: {reason.value}")
        reactor.stop()


def main() -> None:
    options = argparse.ArgumentParser(description="Print what the server sends.")
    options.add_argument("channels", nargs="+", metavar="CHANNEL", help="BTCUSDT@ticker, @balance, …")
    options.add_argument("--url", default="ws://127.0.0.1:6790/exchange-stream")
    options.add_argument("--token", help="log in with this token first")
    options.add_argument("--messages", type=int, default=0, help="leave after so many; default: never")
    args = options.parse_args()
    connectWS(Clients(args.url, args.channels, args.token, args.messages))
    reactor.run()


if __name__ == "__main__":
    main()
