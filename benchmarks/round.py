"""What the work between publication and send() costs where everybody listens to something else.

    python -m benchmarks.round [--clients 5000]

500 symbols of 6 channels; each client has 1 to 50 subscriptions, symbols by Zipf's law. Each turn every fourth channel
publishes 300 bytes. Printed: the CPU for each delivery until all lies ready to be sent to each client. Left out: that.
"""

import argparse
import gc
import random
from itertools import accumulate
from time import process_time

from exchange_push.pubsub.channel import Channel, ChannelKind, Owner, SlowPolicy
from exchange_push.pubsub.outbox import Budget, Outbox
from exchange_push.pubsub.publication import Publication
from exchange_push.pubsub.round import Audience, Chain, Member, Round

SYMBOLS, KINDS = 500, 6
_TURNS = 40


def zipf(rng: random.Random, count: int, out_of: int = SYMBOLS) -> list[int]:
    """Numbers from 0, the n-th with a weight of 1/n."""
    weights = list(accumulate(1 / (number + 1) for number in range(out_of)))
    return rng.choices(range(out_of), cum_weights=weights, k=count)


def subscriptions(rng: random.Random) -> set[tuple[int, int]]:
    """What one client listens to: 1 to 50 pairs of symbol and kind."""
    return {(symbol, rng.randrange(KINDS)) for symbol in zipf(rng, rng.randint(1, 50))}


class Listener:
    def __init__(self) -> None:
        self.outbox = Outbox(1 << 20, Budget(1 << 30), lambda channel: None)
        self.chain: Chain = []

    def deliver(self, wire: bytes, publication: Publication) -> bool:
        return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=5000)
    options = parser.parse_args()
    rng = random.Random(1)
    kind = ChannelKind("x", Owner.SYMBOL, SlowPolicy.QUEUE)
    audiences: dict[tuple[int, int], Audience] = {}
    for _ in range(options.clients):
        listener = Listener()
        for pair in subscriptions(rng):
            audiences.setdefault(pair, {})[listener] = listener.chain
    publication = Publication(Channel(kind, "A"), None)
    round, deliveries, sends = Round(), 0, 0

    def count(together: dict[Member, Chain]) -> list[tuple[Member, int]]:
        nonlocal sends
        sends += len(together)
        return []

    gc.collect()
    begin_s = process_time()
    for _ in range(_TURNS):
        for audience in list(audiences.values())[:: rng.randint(3, 5)]:
            deliveries += round.add(audience, bytes(300), publication)[0]
        round.send(count)
    used_s = process_time() - begin_s
    print(
        f"{len(audiences):,} channels, {deliveries / _TURNS:,.0f} deliveries in {sends / _TURNS:,.0f} sends a turn: "
        f"{used_s / deliveries * 1e6:.2f} µs a delivery"
    )


if __name__ == "__main__":
    main()
