"""exchange-push-rerun: repeats a run from its intake record, and prints what it published.

    exchange-push-rerun FILE [--channel NAME]…

Each publication is a line, as a JSON client that subscribed got it, without the replies between: `BTCUSDT@trades`,
tab, message. Nothing listens and no clock is read, so the same record always gives the same lines.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from exchange_push import catalog
from exchange_push.errors import WireError, quoted
from exchange_push.market.bars import Bar
from exchange_push.market.board import Board
from exchange_push.market.product import Product
from exchange_push.pubsub.channel import Registry, SlowPolicy, client_name
from exchange_push.pubsub.publication import Publication, View
from exchange_push.wire.dialects.plain import PLAIN
from exchange_push.wire.frame import payload_of
from exchange_push.wire.record import (
    VERSION,
    Applied,
    Begin,
    Item,
    Mended,
    Pushed,
    Recalled,
    Restored,
    Ticked,
    decode,
    events_of,
)

_PIECE_BYTES: Final = 1 << 20


class Rerun:
    """What a server computed and passed on, from its record."""

    def __init__(self) -> None:
        self._registry = Registry(())
        self._latest_ms = 0
        self._board: Board | None = None
        self._recalled: dict[tuple[str, int, int], Mapping[str, list[Bar]]] = {}

    def bars(self, interval: str, start: int, end: int) -> Mapping[str, list[Bar]] | None:
        """What the store gave back within the tick."""
        return self._recalled.pop((interval, start, end), None)

    def publications(self, items: Iterable[Item]) -> Iterator[Publication]:
        """In the order in which they were published. Raises WireError."""
        for item in _recalls_first(items):
            if isinstance(item, Begin):
                if item.version != VERSION:
                    raise WireError(f"record of version {item.version}, expected {VERSION}")
                kinds = [*catalog.COMPUTED, *catalog.PUSHED]
                kinds += catalog.configured(tuple(item.public), tuple(item.private))
                self._registry = Registry(kinds, prefix="")
                self._board = self._new_board(item)
            elif self._board is None:
                raise WireError("no begin, expected an intake record")
            elif isinstance(item, Applied):
                self._apply(self._board, item)
            elif isinstance(item, Restored):
                self._board.restore(item.kept)
            elif isinstance(item, Recalled):
                self._recalled[item.interval, item.start, item.end] = item.bars
            elif isinstance(item, Mended):
                for candle in item.candles:
                    yield from self._board.amend(*candle)
            elif isinstance(item, Ticked):
                self._latest_ms = item.latest_ms
                yield from self._board.flush(item.now_ms)
                self._board.changes()  # of no use here
            else:
                yield self._pushed(item)

    def _new_board(self, begin: Begin) -> Board:
        return Board(
            catalog.COMPUTED,
            wanted=lambda channel: True,
            products=_products(begin),
            close_grace_ms=begin.close_grace_ms,
            latest_ms=lambda: self._latest_ms,
            past=self if begin.store else None,
        )

    def _apply(self, board: Board, item: Applied) -> None:
        events = list(events_of(item))
        try:
            board.apply(events, item.now_ms)
        except Exception as error:
            # The server went on behind the event that it choked on; the record's next item begins there.
            print(f"an event was not applied, as in the server: {error!r}", file=sys.stderr)

    def _pushed(self, item: Pushed) -> Publication:
        channel = self._registry.for_push(item.channel)
        if channel is None:
            raise WireError(f"push to {quoted(item.channel)}, which is no channel")
        message = item.text if item.text is not None else item.binary
        data = None if item.json is None else msgspec.Raw(item.json.encode())
        return Publication(channel, data, message=message, slow=SlowPolicy.QUEUE)


def _recalls_first(items: Iterable[Item]) -> Iterator[Item]:
    """What the store gave back stands behind the tick within which it did."""
    tick: Ticked | None = None
    for item in items:
        if tick is not None and not isinstance(item, Recalled):
            yield tick
            tick = None
        if isinstance(item, Ticked):
            tick = item
        else:
            yield item
    if tick is not None:
        yield tick


def _products(begin: Begin) -> dict[str, Product]:
    try:
        return msgspec.convert(begin.products, dict[str, Product])
    except msgspec.ValidationError as error:
        raise WireError(f"products: {error}: a record of another version?") from None


def lines(publications: Iterable[Publication], wanted: frozenset[str]) -> Iterator[bytes]:
    """`channel`, tab, the message of a JSON client; of the channels `wanted`, empty: of all."""
    for publication in publications:
        name = str(publication.channel)
        if wanted and name not in wanted:
            continue
        wire = publication.frame(View(PLAIN, client_name(publication.channel))).wire
        yield b"%b\t%b\n" % (name.encode(), payload_of(wire))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="exchange-push-rerun", description="Print what a server published, from its intake record."
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--channel", action="append", default=[], metavar="NAME", help="only this one; may repeat")
    options = parser.parse_args(argv)
    try:
        for line in lines(Rerun().publications(decode(_pieces(options.file))), frozenset(options.channel)):
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except (WireError, OSError) as error:
        _exit_with(f"{options.file}: {getattr(error, 'strerror', None) or error}")


def _exit_with(line: str) -> NoReturn:
    print(f"exchange-push-rerun: {line}", file=sys.stderr)
    raise SystemExit(1)
