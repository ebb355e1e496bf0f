"""What compression saves and costs: messages of the market, compressed once for all who agreed to it.

    python -m benchmarks.deflate

Printed: bytes of the payload, bytes compressed, and the µs of CPU it takes, for each publication and not for each
client. Left out: what the client spends to inflate, and what fewer bytes save in the network.
"""

import random
from time import process_time

from exchange_push.pubsub.channel import Channel, ChannelKind, Owner, SlowPolicy
from exchange_push.pubsub.publication import Publication, View
from exchange_push.wire.dialects.deflated import deflated
from exchange_push.wire.dialects.plain import PLAIN
from exchange_push.wire.frame import payload_of

_ROUNDS = 500
_TICKER = (
    "open high low last lastQty change changePercent weightedAvg prevClose volume quoteVolume bid bidQty ask askQty"
)


def _messages() -> dict[str, object]:
    rng = random.Random(1)

    def levels(count: int) -> list[list[str]]:
        return [[f"{50000 + rng.randrange(0, 1000) / 100:.2f}", f"{rng.random() * 3:.5f}"] for _ in range(count)]

    def ticker() -> dict[str, str]:
        return {name: f"{rng.random() * 50000:.2f}" for name in _TICKER.split()}

    return {
        "best bid and ask": {"bid": "50000.12", "bidQty": "0.12345", "ask": "50000.13", "askQty": "1.2345", "last": 1},
        "depth, 10 levels changed": {"bids": levels(5), "asks": levels(5), "first": 1, "last": 9, "prev": 0},
        "ticker": ticker(),
        "depth20": {"bids": levels(20), "asks": levels(20), "last": 9},
        "depth, 1,000 levels": {"bids": levels(500), "asks": levels(500), "last": 9},
        "ticker of 500 symbols": [ticker() for _ in range(500)],
    }


def main() -> None:
    print(f"{'':<26} {'bytes':>8} {'deflated':>9} {'µs':>8}")
    channel = Channel(ChannelKind("x", Owner.SYMBOL, SlowPolicy.QUEUE, deflate_bytes=0), "BTCUSDT")
    view = View(deflated(PLAIN), "BTCUSDT@x")
    for name, data in _messages().items():
        publications = [Publication(channel, data) for _ in range(_ROUNDS)]
        plain = [publication.frame(view._replace(dialect=PLAIN)).wire for publication in publications]
        begin_s = process_time()
        compressed = [publication.frame(view).wire for publication in publications]
        each_us = (process_time() - begin_s) / _ROUNDS * 1e6
        print(f"{name:<26} {len(payload_of(plain[0])):>8,} {len(payload_of(compressed[0])):>9,} {each_us:>8.1f}")


if __name__ == "__main__":
    main()
