"""A client, as small as it gets: log in, subscribe, print what comes, over lost connections and restarts of the server.

python examples/client.py CHANNEL… [--url ws://127.0.0.1:6790/exchange-stream] [--token TOKEN] [--messages N]
"""

import argparse

import msgspec
from twisted.internet import reactor

from exchange_push.client import Client, Closed, Event, Notice


def main() -> None:
    options = argparse.ArgumentParser(description="Print what the server sends.")
    options.add_argument("channels", nargs="+", metavar="CHANNEL", help="BTCUSDT@ticker, @balance, …")
    options.add_argument("--url", default="ws://127.0.0.1:6790/exchange-stream")
    options.add_argument("--token", help="log in with this token")
    options.add_argument("--messages", type=int, default=0, help="leave after so many events; default: never")
    args = options.parse_args()
    left = args.messages

    def show(event: Event) -> None:
        nonlocal left
        print(event.channel, msgspec.json.encode(event.data).decode(), flush=True)
        left -= 1
        if left == 0:
            client.stopService()

    def tell(notice: Notice) -> None:
        print(notice, flush=True)
        if isinstance(notice, Closed) and notice.again_s is None:
            reactor.stop()

    client = Client(args.url, token=args.token, on_notice=tell)
    for channel in args.channels:
        client.subscribe(channel, show)
    client.startService()
    reactor.run()


if __name__ == "__main__":
    main()
