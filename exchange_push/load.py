"""exchange-push-import: loads trades or candles from CSV files, so that a deployment need not begin with an empty past.

    exchange-push-import FILE… --symbol BTCUSDT --kind trades|candles [--interval 1m] [--store FILE]

docs/howto/import-history.md says which files, and what becomes of them. Each is stored as a whole or not at all.
"""

import argparse
import csv
import gzip
import io
import os
import sqlite3
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, NoReturn

from exchange_push.config import load
from exchange_push.errors import ConfigError, WireError, quoted
from exchange_push.market.interval import INTERVALS
from exchange_push.pubsub.channel import SYMBOL
from exchange_push.store.filling import FillableStore
from exchange_push.store.past import Loading, Summary
from exchange_push.wire.rows import CANDLE, IGNORED, TRADE, CandleRows, Layout, TradeRows, layout, time_of

_END_BYTES: Final = 1 << 16  # that hold the last row


class Source:
    """A CSV file, plain, gzip or zip."""

    def __init__(self, path: Path, symbol: str, interval: str | None, columns: Sequence[str] | None) -> None:
        self.path = path
        self.interval = interval
        """Of candles; None: the rows are trades."""
        self._symbol = symbol
        self._columns = columns

    def load(self, store: FillableStore) -> Summary:
        """Raises ConfigError naming the line; then nothing of it is stored."""
        line = 0
        try:
            found = self._layout()
            newest = self._newest(found)
            with store.transaction(), _text(self.path) as text:
                loading = Loading(store, self._symbol, self.interval, has_ids=found.has_ids, newest=newest)
                rows = csv.reader(text)
                if found.header:
                    next(rows)
                try:
                    self._take(rows, found, loading)
                finally:
                    line = rows.line_num
                return loading.finish()
        except (WireError, csv.Error) as error:
            raise ConfigError(f"{self.path}, line {max(line, 1)}: {error}") from None
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise ConfigError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from None

    def _take(self, rows: Iterator[list[str]], found: Layout, loading: Loading) -> None:
        if self.interval is None:
            trade = TradeRows(self._symbol, found).decode
            for row in rows:
                if row:
                    loading.take_trade(*trade(row))
            return
        interval = INTERVALS[self.interval]
        candle = CandleRows(interval, found).decode
        for row in rows:
            if row:
                start, bar = candle(row)
                loading.take_candle(start, bar, interval.end(start))

    def _layout(self) -> Layout:
        with _text(self.path) as text:
            for row in csv.reader(text):
                if row:
                    return layout("trades" if self.interval is None else "candles", row, self._columns)
        raise WireError("no row, expected trades or candles")

    def _newest(self, found: Layout) -> int:
        """Time of the last row, in ms, as far as it can be told; what is wrong with it will be said in its turn."""
        with _opened(self.path) as file:
            if file.seekable() and not isinstance(file, gzip.GzipFile | zipfile.ZipExtFile):
                file.seek(0, io.SEEK_END)
                file.seek(max(0, file.tell() - _END_BYTES))
            end = b""
            while block := file.read(_END_BYTES):
                end = (end + block)[-_END_BYTES:]
        try:
            row = next(csv.reader([end.rstrip().rpartition(b"\n")[2].decode(errors="replace")]))
            return time_of(row[found.places["time"]])
        except (WireError, IndexError, StopIteration, csv.Error):
            return 0


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
        yield text  # what is no UTF-8 is a wrong field of its line


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == b"\x1f\x8b":
        with gzip.open(path, "rb") as file:
            yield file  # type: ignore[misc]
    elif head == b"PK\x03\x04":
        with zipfile.ZipFile(path) as folder:
            names = [name for name in folder.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise ConfigError(f"{path}: a zip file of {len(names)} files, expected one")
            try:
                member = folder.open(names[0])
            except RuntimeError as error:  # encrypted, or packed in a way that zipfile does not know
                raise ConfigError(f"{path}: {error}") from None
            with member:
                yield member
    else:
        with path.open("rb") as file:
            yield file


def told(source: Source, summary: Summary, took_s: float) -> str:
    """A file's line for the operator."""
    unit = "trades" if source.interval is None else f"candles of {source.interval}"
    left = [
        f"{count} {what}"
        for count, what in (
            (summary.empty, "without trades"),
            (summary.repeated, "repeated"),
            (summary.stored, "of time that is stored already"),
        )
        if count
    ]
    text = f"{source.path}: {summary.loaded} {unit} loaded"
    if summary.begin is not None:
        text += f", {_utc(summary.begin)} to {_utc(summary.end)}"
    if left:
        text += f"; left out: {', '.join(left)}"
    if not summary.whole:
        text += "; incomplete where it meets what was stored before"
    return f"{text} ({summary.rows} rows in {took_s:.1f} s)"


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def main(argv: Sequence[str] | None = None) -> None:
    """The console command. Raises SystemExit: 1 after one line that says what is wrong."""
    options = _parse(argv)
    try:
        flags = {} if options.store is None else {"store": options.store}
        config = load(flags, os.environ, options.config)
        if config.store == "none":
            raise ConfigError("store is none, expected a file to load into")
        store = FillableStore(config.store.removeprefix("sqlite:"), config.keep_ms)
        try:
            for path in options.files:
                began = time.monotonic()
                source = Source(path, options.symbol, options.interval, options.columns)
                print(told(source, source.load(store), time.monotonic() - began), flush=True)
        finally:
            store.close()
    except (ConfigError, sqlite3.Error) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="exchange-push-import", description="Load trades or candles from CSV into a store.")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="plain, gzip or zip; one after the other")
    parser.add_argument("--symbol", type=_symbol, required=True, help="whose they are, as the engine calls it")
    parser.add_argument("--kind", choices=("trades", "candles"), required=True)
    parser.add_argument("--interval", choices=list(INTERVALS), help="of the candles")
    parser.add_argument("--columns", type=_columns, metavar="NAME,…", help="what the fields are, - for none of these")
    parser.add_argument("--store", metavar="FILE", help="default: as the configuration says")
    parser.add_argument("--config", metavar="FILE", help="the server's: its store, how long it keeps what")
    options = parser.parse_args(argv)
    if (options.interval is None) is (options.kind == "candles"):
        parser.error(f"--kind {options.kind} {'without' if options.interval is None else 'with'} --interval")
    for name in options.columns or ():
        known = TRADE if options.kind == "trades" else CANDLE
        if name not in (*known, IGNORED):
            parser.error(f"--columns: {quoted(name)}, expected {IGNORED} or some of {', '.join(known)}")
    return options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(message)


def _fail(message: str) -> NoReturn:
    print(f"exchange-push-import: {message}", file=sys.stderr)
    raise SystemExit(1)


def _symbol(text: str) -> str:
    if SYMBOL.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{quoted(text)}, expected {SYMBOL.pattern}")
    return text


def _columns(text: str) -> list[str]:
    return text.split(",")
