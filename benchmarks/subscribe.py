"""A burst of subscriptions: 10,000 clients ask for one book at the open.

    python -m benchmarks.subscribe [--clients 10000] [--levels 500]

Sessions without sockets. Printed: how often the snapshot was encoded, and the CPU for each client of its request, its
reply and its snapshot, until both lie joined as they go to the socket; while the book changes every 1,000 clients.
"""

import argparse
import random
from time import process_time

from twisted.internet.task import Clock

from exchange_push.catalog import COMPUTED
from exchange_push.errors import CloseCode
from exchange_push.pubsub.channel import Channel, Registry
from exchange_push.pubsub.hub import Hub
from exchange_push.pubsub.outbox import Budget
from exchange_push.pubsub.publication import Frame, Publication, View
from exchange_push.pubsub.session import Session
from exchange_push.pubsub.terms import Terms
from exchange_push.wire.dialects.plain import Plain

_REQUEST = b'{"op":"subscribe","channel":"BTCUSDT@depth"}'


class Counting(Plain):
    encoded = 0

    def event(self, publication: Publication, view: View) -> Frame:
        self.encoded += 1
        return super().event(publication, view)


class Nowhere:
    def wake(self) -> None: ...

    def close(self, code: CloseCode, reason: str) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--levels", type=int, default=500)
    options = parser.parse_args()
    rng = random.Random(1)

    def levels() -> list[list[str]]:
        return [[f"{50000 + rng.randrange(10**5) / 100:.2f}", f"{rng.random():.5f}"] for _ in range(options.levels)]

    registry = Registry(COMPUTED)
    channel = registry.for_client("BTCUSDT@depth", None)
    states: dict[Channel, Publication] = {}
    clock = Clock()
    hub = Hub(states.get, Budget(1 << 30), lambda: 0)
    terms = Terms(registry, hub, lambda token, done: None, lambda: 0, clock.callLater)
    dialect, changes, sent = Counting(), 0, 0
    begin_s = process_time()
    sessions = []
    for number in range(options.clients):
        if number % 1000 == 0:
            states[channel] = Publication(channel, {"type": "snapshot", "bids": levels(), "asks": levels()})
            changes += 1
        session = Session(str(number), "", dialect, Nowhere(), terms)
        session.received(_REQUEST, False)
        while portion := session.outbox.take():
            sent += len(portion)
        sessions.append(session)
    each_us = (process_time() - begin_s) / options.clients * 1e6
    print(
        f"{options.clients:,} clients, {changes} states of {sent / options.clients:,.0f} bytes: "
        f"encoded {dialect.encoded} times, {each_us:.0f} µs a client"
    )


if __name__ == "__main__":
    main()
