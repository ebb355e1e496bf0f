"""The feed of a matching engine, as small as it gets: a book and trades of one symbol by UDP. Needs only msgpack.

python examples/engine.py [--to HOST:PORT] [--seconds N]
"""

import argparse
import contextlib
import random
import socket
import time

import msgpack

SYMBOL = "DEMOUSDT"
STEP_S = 0.1
BOOK_EVERY = 50  # steps; a server that starts later, or lost a datagram, has its book by then

Side = dict[str, str]  # price -> quantity, both as text


class Feed:
    """Numbers the events and sends them: a datagram is [1, session, number of its first event, events]."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._session = now_ms()  # larger at each start, so that a server knows the newer numbering
        self._seq = 1

    def send(self, *events: list[object]) -> None:
        """Without events: a heartbeat. One is due each second in which nothing else is sent."""
        self._packet(list(events))
        self._seq += len(events)

    def end(self) -> None:
        self._packet(None)
        self._socket.close()

    def _packet(self, events: list[list[object]] | None) -> None:
        self._socket.sendto(msgpack.packb([1, self._session, self._seq, events]), self._address)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def price(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def side(mid: int, direction: int) -> Side:
    """Ten levels below (-1) or above (1) the middle, the best first."""
    return {price(mid + direction * step): f"0.{random.randint(1, 9)}" for step in range(1, 11)}


def levels(book_side: Side) -> list[list[str]]:
    return [[price, qty] for price, qty in book_side.items()]


def changes(old: Side, new: Side) -> list[list[str]]:
    """What turns one into the other; quantity "0" removes a level."""
    return [[price, new.get(price, "0")] for price in {**old, **new} if old.get(price) != new.get(price)]


def main() -> None:
    options = argparse.ArgumentParser(description="Send the feed of a pretend matching engine.")
    options.add_argument("--to", default="127.0.0.1:6791", help="host:port of the server's feed")
    options.add_argument("--seconds", type=float, default=float("inf"), help="how long; default: until Ctrl-C")
    args = options.parse_args()
    host, _, port = args.to.rpartition(":")
    feed = Feed(host, int(port))
    ends_s = time.monotonic() + args.seconds

    mid = 10_000_000
    bids, asks = side(mid, -1), side(mid, 1)
    update_id, trade_id = 1, now_ms()  # trade ids belong to the symbol for ever: a restart must not begin anew
    feed.send(["book", SYMBOL, update_id, now_ms(), levels(bids), levels(asks)])
    step = 0
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < ends_s:
            time.sleep(STEP_S)
            step += 1
            taker = random.choice(["buy", "sell"])
            best, qty = next(iter((asks if taker == "buy" else bids).items()))
            trade_id += 1
            mid += random.randint(-3, 3)
            old_bids, bids, old_asks, asks = bids, side(mid, -1), asks, side(mid, 1)
            update_id += 1
            feed.send(
                ["trade", SYMBOL, trade_id, best, qty, taker, now_ms(), None],
                ["depth", SYMBOL, update_id, update_id, now_ms(), changes(old_bids, bids), changes(old_asks, asks)],
            )
            if step % BOOK_EVERY == 0:
                feed.send(["book", SYMBOL, update_id, now_ms(), levels(bids), levels(asks)])
    feed.end()


if __name__ == "__main__":
    main()
