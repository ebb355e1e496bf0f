"""The command that loads a past: its files, and the one line for what is wrong with them."""

import gzip
import random
import re
import sqlite3
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from exchange_push.load import main
from exchange_push.store.filling import FillableStore

T = 1_704_067_200_000
ROWS = [f"{number},{number}.5,0.10,1,{T + number * 500},{number % 2 == 0},True\n" for number in range(1, 1_001)]
TRADES = ["--symbol", "S", "--kind", "trades"]
CANDLES = ["--symbol", "S", "--kind", "candles", "--interval", "1m"]
CANDLE = f"{T},10,12.5,9.00,11,100,{T + 59_999},1050.5,25,60,630,0\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def counts(name: str = "exchange-push.sqlite") -> list[tuple[str, int, int]]:
    db = sqlite3.connect(name)
    found = db.execute("SELECT interval, count(*), sum(count) FROM candle GROUP BY interval").fetchall()
    db.close()
    return found


@pytest.mark.parametrize("kind", ["plain", "gzip", "zip", "CRLF", "BOM", "blank lines"])
def test_a_file_is_loaded_and_a_line_says_what_of_it(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data, path = "".join(ROWS).encode(), folder / "S-trades"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("S-trades.csv", data)
    else:
        path.write_bytes(
            {
                "plain": data,
                "gzip": gzip.compress(data),
                "CRLF": data.replace(b"\n", b"\r\n"),
                "BOM": b"\xef\xbb\xbf" + data,
                "blank lines": data.replace(b"\n", b"\n\n"),
            }[kind]
        )
    main([*TRADES, "S-trades"])
    told = capsys.readouterr().out
    assert re.fullmatch(
        r"S-trades: 1000 trades loaded, 2024-01-01 00:00:00 to 2024-01-01 00:08:20 \(1000 rows in [\d.]+ s\)\n", told
    )
    assert {(total, name) for name, _, total in counts() if name in ("1m", "1M")} == {(1_000, "1m"), (1_000, "1M")}


def test_what_was_left_out_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a").write_text("".join(ROWS[500:]))
    (folder / "b").write_text("".join(ROWS[:400] + ROWS[350:600]))
    main([*TRADES, "a", "b"])
    told = capsys.readouterr().out.splitlines()[1]
    assert told.startswith("b: 500 trades loaded, 2024-01-01 00:00:00 to 2024-01-01 00:04:10; left out: ")
    assert "left out: 50 repeated, 100 of time that is stored already (650 rows in" in told


def test_candles_are_rolled_up_to_all_longer_intervals(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [CANDLE.replace(f"{T},", f"{T + minute * 60_000},") for minute in range(1_440)]
    (folder / "c").write_text("".join(rows) + f"{T + 86_400_000},1,1,1,1,0,0,0,0,0,0,0\n")
    main([*CANDLES, "c", "--store", "there"])
    assert "1440 candles of 1m loaded, 2024-01-01 00:00:00 to 2024-01-02 00:01:00; left out: 1 without trades" in (
        capsys.readouterr().out
    )
    assert len(counts("there")) == 15
    assert ("5m", 288, 36_000) in counts("there")


@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        (TRADES, "".join([*ROWS[:700], "x,1\n"]), "f, line 701: 2 fields, expected at least 6"),
        (TRADES, "".join([*ROWS[:6_00], ROWS[599].replace("600.5", "1e5")]), "f, line 601: price is '1e5', expected a"),
        (TRADES, ROWS[5] + ROWS[3], "f, line 2: id 4 after id 6, expected rows in order of their ids"),
        (TRADES, ROWS[1] + ROWS[5] + ROWS[3], "f, line 3: id 4 after id 6, expected rows in order"),
        (TRADES, "", "f, line 1: no row, expected trades or candles"),
        (TRADES, "id,price\n", "f, line 1: no column of qty, time, side or maker; found id, price"),
        (TRADES, "1,2,3\n", "f, line 1: 3 fields and no header, expected --columns to say what they are"),
        ([*TRADES, "--columns", "price,qty,time,side"], f"1,1,{T},buy\n1,1,{T - 1},buy\n", "f, line 2: time"),
        (CANDLES, CANDLE + "\n" + CANDLE.replace("10,", "13,"), "f, line 3: open 13 and close 11 lie outside"),
        (CANDLES, CANDLE + CANDLE.replace(f"{T},", f"{T - 60_000},"), "f, line 2: time 1704067140000 after 1704067"),
        ([*CANDLES[:-1], "5m"], CANDLE, "--interval 5m: nothing is stored yet"),
        (TRADES, b"\x1f\x8b\x08\x00nonsense", "f: "),
        (TRADES, gzip.compress("".join(ROWS).encode())[:-20], "f: Compressed file ended"),
        (TRADES, b"PK\x03\x04nonsense", "f: File is not a zip file"),
        (TRADES, "".join(ROWS[:700]).encode() + b"\xc3\x28,1,1,1,1,1\n", "f, line 701: id is '\\udcc3(', expected a"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_and_nothing_of_it_is_stored(
    folder: Path, options: list[str], content: str | bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "f").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SystemExit) as left:
        main([*options, "f"])
    assert left.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith(f"exchange-push-import: {message}")
    assert err.count("\n") == 1
    store = FillableStore("exchange-push.sqlite", {})
    assert (store.load(), store.taken(), counts()) == (None, {}, [])
    store.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the following arguments are required: FILE, --symbol, --kind"),
        (["f", "--symbol", "s s", "--kind", "trades"], "argument --symbol: 's s', expected "),
        (["f", "--symbol", "S", "--kind", "books"], "argument --kind: invalid choice: 'books'"),
        (["f", "--symbol", "S", "--kind", "candles"], "--kind candles without --interval"),
        (["f", *TRADES, "--interval", "1m"], "--kind trades with --interval"),
        (["f", *CANDLES[:-1], "7m"], "argument --interval: invalid choice: '7m'"),
        (["f", *TRADES, "--columns", "id,prize"], "--columns: 'prize', expected - or some of id, price, qty, time"),
        (["missing", *TRADES], "missing: No such file or directory"),
        (["f", *TRADES, "--store", "none"], "store is none, expected a file to load into"),
        (["f", *TRADES, "--store", "no/such/folder"], "store: no/such/folder: No such file or directory"),
        (["f", *TRADES, "--config", "missing.toml"], "--config missing.toml: No such file or directory"),
    ],
)
def test_a_wrong_option_is_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(options)
    assert left.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith(f"exchange-push-import: {message}")
    assert err.count("\n") == 1


def test_a_store_that_a_server_uses_is_left_alone(folder: Path) -> None:
    (folder / "f").write_text("".join(ROWS))
    store = FillableStore("exchange-push.sqlite", {})
    code = "from exchange_push.load import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "f", *TRADES], capture_output=True, text=True, timeout=60)
    store.close()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("exchange-push-import: store: exchange-push.sqlite is in use by another exchange-push\n")


def test_the_configuration_says_where_and_for_how_long(folder: Path) -> None:
    (folder / "c.toml").write_text('store = "kept"\n[retention]\n"5m" = "1h"\n"1h" = "forever"\n')
    (folder / "f").write_text("".join(f"{n},1,1,1,{T + n * 60_000},True\n" for n in range(1, 200)))
    main(["f", *TRADES, "--config", "c.toml"])
    assert {name: total for name, _, total in counts("kept") if name in ("5m", "1h")} == {"1h": 199, "5m": 60}


def test_files_may_be_larger_than_memory(folder: Path) -> None:
    random.seed(1)
    with (folder / "f").open("w") as file:
        for number in range(60_000):
            file.write(f"{number},{random.randrange(10**6)}.5,0.1,1,{T + number * 2_000},True,True\n")
    tracemalloc.start()
    main(["f", *TRADES])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000
