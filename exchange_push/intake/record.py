"""Writes the intake record while the server runs: all that comes in, and the ticks, as wire/record.py has it.

It is for finding out afterwards; a record that cannot be written ends with one line in the log, and the server goes on.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO, Final, TypeAlias

import msgspec
from twisted.application.service import Service
from twisted.logger import Logger

from exchange_push.errors import ConfigError
from exchange_push.market.bars import Bar
from exchange_push.market.changes import Amended
from exchange_push.market.events import Gap, MarketEvent, Restart
from exchange_push.market.feed import Past
from exchange_push.market.kept import Kept
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.record import Begin, Item, Mended, Pushed, Recalled, Restored, Ticked, applied, encode

_SYNC_TICKS: Final = 20  # a second's worth may be lost with the process

Event: TypeAlias = MarketEvent | Restart | Gap


class Recorder(Service):
    """Appends to `path`, for the operator's eyes only: it holds what was pushed to users."""

    name = "record"
    log = Logger()

    def __init__(self, path: str, begin: Begin) -> None:
        self._path = path
        self._begin = begin
        self._file: BinaryIO | None = None
        self._ticks = 0
        self.items = 0
        self.written_bytes = 0

    def privilegedStartService(self) -> None:
        """Raises ConfigError where the file cannot be written."""
        if self._file is None:
            try:
                self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
            except OSError as error:
                raise ConfigError(f"record: {self._path}: {error.strerror}") from None
            self._write(self._begin)

    def startService(self) -> None:
        self.privilegedStartService()
        super().startService()

    def stopService(self) -> None:
        super().stopService()
        self._flush()
        self._close()

    def apply(self, apply: Callable[[Iterable[Event], int], None]) -> Callable[[Iterable[Event], int], None]:
        """Like `apply`, recorded. An event is taken to be applied as soon as it is looked at, whatever it led to."""

        def recorded(events: Iterable[Event], now_ms: int) -> None:
            seen: list[Event] = []
            try:
                apply(_looked_at(events, seen), now_ms)
            finally:
                self._write(applied(now_ms, seen))

        return recorded

    def publish(self, publish: Callable[[Publication], tuple[int, int]]) -> Callable[[Publication], tuple[int, int]]:
        """Like `publish`, recorded."""

        def recorded(publication: Publication) -> tuple[int, int]:
            message = publication.message
            if message is None:
                item = Pushed(str(publication.channel), json=msgspec.json.encode(publication.data).decode())
            elif isinstance(message, str):
                item = Pushed(str(publication.channel), text=message)
            else:
                item = Pushed(str(publication.channel), binary=message)
            self._write(item)
            return publish(publication)

        return recorded

    def past(self, past: Past) -> Past:
        """Like `past`, recorded."""
        return _RecordedPast(past, self._write)

    def restored(self, kept: Kept) -> None:
        self._write(Restored(kept))

    def amended(self, amended: list[Amended]) -> None:
        self._write(Mended(amended))

    def ticked(self, now_ms: int, latest_ms: int) -> None:
        """Call before the tick."""
        self._write(Ticked(now_ms, latest_ms))
        self._ticks += 1
        if self._ticks % _SYNC_TICKS == 0:
            self._flush()

    def _write(self, item: Item) -> None:
        if self._file is None:
            return
        data = encode(item)
        try:
            self._file.write(data)
        except OSError as error:
            self._give_up(error)
        else:
            self.items += 1
            self.written_bytes += len(data)

    def _flush(self) -> None:
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.log.error("the intake record ends: {path}: {error}", path=self._path, error=error)
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # It closes whatever this raises; why what is left cannot be written is in the log.
            with suppress(OSError):
                file.close()


class _RecordedPast:
    def __init__(self, past: Past, write: Callable[[Item], None]) -> None:
        self._past = past
        self._write = write

    def bars(self, interval: str, start: int, end: int) -> Mapping[str, list[Bar]] | None:
        bars = self._past.bars(interval, start, end)
        if bars is not None:
            self._write(Recalled(interval, start, end, dict(bars)))
        return bars


def _looked_at(events: Iterable[Event], seen: list[Event]) -> Iterator[Event]:
    for event in events:
        seen.append(event)
        yield event
