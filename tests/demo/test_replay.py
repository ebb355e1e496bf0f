import gzip
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import task
from twisted.internet.defer import ensureDeferred

from exchange_push.demo.replay import Destination, Recorded, Replay, Summary, main, read
from exchange_push.errors import ConfigError
from exchange_push.wire.packet import LIMIT_BYTES, Packet, decode, encode

AT = 1_626_992_741_000


def trade(number: int) -> list[object]:
    return ["trade", "BTCUSDT", number, "1", "1", "buy", 1_700_000_000_000]


def line(at: int, event: object) -> str:
    return json.dumps({"at": at, "event": event}) + "\n"


class Wire:
    """Notes what is sent and when, in ms since the beginning."""

    def __init__(self) -> None:
        self.clock = task.Clock()
        self.sent: list[tuple[int, Packet]] = []
        self.weights: list[tuple[float, int]] = []

    def send(self, datagram: bytes) -> None:
        self.sent.append((round(self.clock.seconds() * 1000), decode(datagram)))
        self.weights.append((self.clock.seconds(), max(2 * len(datagram), 1280)))

    def play(self, *events: tuple[int, list[object]], fails: Exception | None = None, **options: Any) -> Any:
        def recorded() -> Iterator[Recorded]:
            for number, (at, event) in enumerate(events, 1):
                yield Recorded(AT + at, event, number)
            if fails is not None:
                raise fails

        done: list[Any] = []
        ensureDeferred(Replay(self.clock, recorded(), self.send, session=7, **options).run()).addBoth(done.append)
        while not done:
            (call,) = self.clock.getDelayedCalls()
            self.clock.advance(call.getTime() - self.clock.seconds())
        return done[0]

    def events(self) -> list[tuple[int, list[object]]]:
        return [(at, packet.events) for at, packet in self.sent if packet.events]

    def beats(self) -> list[int]:
        return [at for at, packet in self.sent if packet.events == []]


def test_events_leave_at_the_pace_of_the_file() -> None:
    wire = Wire()
    wire.play((0, trade(1)), (250, trade(2)), (2400, trade(3)))
    assert wire.events() == [(0, [trade(1)]), (250, [trade(2)]), (2400, [trade(3)])]


def test_or_some_times_as_fast() -> None:
    wire = Wire()
    wire.play((0, trade(1)), (250, trade(2)), (2400, trade(3)), speed=10)
    assert wire.events() == [(0, [trade(1)]), (25, [trade(2)]), (240, [trade(3)])]


def test_or_slower() -> None:
    wire = Wire()
    wire.play((0, trade(1)), (100, trade(2)), speed=0.1)
    assert wire.events() == [(0, [trade(1)]), (1000, [trade(2)])]


def test_events_due_together_share_a_datagram_and_others_do_not() -> None:
    wire = Wire()
    wire.play((0, trade(1)), (0, trade(2)), (1, trade(3)), (1, trade(4)))
    assert [events for _, events in wire.events()] == [[trade(1), trade(2)], [trade(3), trade(4)]]


def test_a_time_that_goes_back_is_sent_at_once() -> None:
    wire = Wire()
    wire.play((100, trade(1)), (200, trade(2)), (50, trade(3)), (300, trade(4)))
    assert [at for at, _ in wire.events()] == [0, 100, 100, 200]


def test_batch_bounds_how_many_share_a_datagram() -> None:
    wire = Wire()
    wire.play(*[(0, trade(n)) for n in range(5)], batch=2)
    assert [len(events) for _, events in wire.events()] == [2, 2, 1]


def test_a_datagram_is_filled_to_one_frame_and_a_larger_event_goes_alone() -> None:
    wire = Wire()
    book = ["book", "BTCUSDT", 1, 1_700_000_000_000, [["50000.12345678", "1.2345"]] * 2846, []]
    assert LIMIT_BYTES - 20 < len(encode(7, 1, [book])) <= LIMIT_BYTES  # and with a trade it would be too large
    wire.play(*[(0, trade(n)) for n in range(100)], (0, book), (0, trade(1)))
    counts = [len(events) for _, events in wire.events()]
    assert sum(counts) == 102
    assert counts[-2:] == [1, 1]
    assert min(counts[:-3]) > 20


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 30)), max_size=40), st.sampled_from([0, 0.5, 1, 20]))
def test_the_packets_are_numbered_without_a_gap_and_hold_every_event_in_order(
    rows: list[tuple[int, int]], speed: float
) -> None:
    wire = Wire()
    sent = [(at, trade(n)) for n, (at, count) in enumerate(rows) for _ in range(count)]
    summary = wire.play(*sent, speed=speed)
    expected = 1
    for _, packet in wire.sent:
        assert packet.session == 7
        assert packet.seq == expected
        expected += len(packet.events or [])
    assert [event for _, events in wire.events() for event in events] == [event for _, event in sent]
    assert wire.sent[0][1].events == []
    assert wire.sent[-1][1].events is None
    assert summary.events == len(sent)
    assert summary.datagrams == len(wire.events())
    # However fast: never more at once than a small receive buffer bears.
    for at_s, _ in wire.weights:
        within = sum(weight for other_s, weight in wire.weights if at_s <= other_s < at_s + 0.05)
        assert within < 300_000


def test_heartbeats_go_out_each_second_in_pauses_too() -> None:
    wire = Wire()
    wire.play(*[(at, trade(at)) for at in range(0, 3000, 100)], (6500, trade(1)))
    assert wire.beats()[0] == 0
    assert len(wire.beats()) == 7
    assert all(999 <= later - earlier <= 1010 for earlier, later in zip(wire.beats(), wire.beats()[1:], strict=False))


def test_a_file_that_fails_is_played_up_to_there_and_the_session_ended() -> None:
    wire = Wire()
    failure = wire.play((0, trade(1)), (0, trade(2)), (5, trade(3)), fails=ConfigError("line 4: bad"))
    assert failure.check(ConfigError)
    assert wire.events() == [(0, [trade(1), trade(2)]), (5, [trade(3)])]
    assert wire.sent[-1][1] == Packet(7, 4, None)


def test_an_event_larger_than_a_datagram_names_its_line() -> None:
    wire = Wire()
    book = ["book", "BTCUSDT", 1, 1_700_000_000_000, [["50000.123456789", "1.123456789"]] * 3000, []]
    failure = wire.play((0, trade(1)), (0, book))
    assert failure.check(ConfigError)
    assert "line 2: 1 events make" in failure.getErrorMessage()
    assert wire.events() == [(0, [trade(1)])]


def test_an_empty_file_is_a_session_of_no_events() -> None:
    wire = Wire()
    assert str(wire.play()) == str(Summary(heartbeats=1))
    assert [packet.events for _, packet in wire.sent] == [[], None]


@pytest.mark.parametrize("name", ["feed.jsonl", "feed.jsonl.gz"])
def test_a_file_is_read_plain_or_compressed(tmp_path: Path, name: str) -> None:
    text = line(5, trade(1)) + '{"at":6,"answer":{"kind":"kline"}}\n\n{"answer":1}\n' + line(7, ["new", 1])
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert list(read(path)) == [Recorded(5, trade(1), 1), Recorded(7, ["new", 1], 5)]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"at":1}',
        '{"at":1,"event":null}',
        '{"at":1,"event":{}}',
        '{"event":["new"]}',
        '{"at":-1,"event":["new"]}',
        '{"at":1.5,"event":["new"]}',
        '{"at":true,"event":["new"]}',
        '{"at":1e20,"event":["new"]}',
        '{"at":1,"event":[]}',
        '{"at":1,"event":["trade"]}',
        '{"at":1,"event":["trade","BTCUSDT",1,1.5,"1","buy",1700000000000]}',
        '{"at":1,"event":["new"]} x',
        '{"at":1,"event":["new' + "\udcff" + '"]}',
        "[" * 100_000,
    ],
    ids=lambda text: ascii(text)[:60],
)
def test_a_bad_line_is_named_after_the_good_ones(tmp_path: Path, text: str) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_bytes((line(1, trade(1)) + text + "\n").encode(errors="surrogateescape"))
    events = read(path)
    assert next(events).event == trade(1)
    with pytest.raises(ConfigError, match="line 2: ") as refused:
        next(events)
    assert "\n" not in str(refused.value)


def test_a_compressed_file_that_is_cut_says_after_which_line(tmp_path: Path) -> None:
    path = tmp_path / "feed.gz"
    whole = gzip.compress("".join(line(n, trade(n * 7919)) for n in range(5000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"after line [1-9][0-9]*: Compressed file ended"):
        list(read(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: No such file"):
        list(read(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "udp", "udp:127.0.0.1", "tcp:127.0.0.1:6791", "127.0.0.1:6791", "udp::6791", "udp:127.0.0.1:x"),
        *("udp:127.0.0.1:0", "udp:127.0.0.1:65536", "udp:::1:6791", "udp:127.0.0.1:1:multicast=1.2.3.4"),
        "udp:239.1.1.1:6791:interface=1.2.3",
    ],
)
def test_a_bad_destination_is_one_line_that_names_it(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Destination(text)
    assert str(refused.value).startswith("--to ")
    assert str(refused.value).isprintable()


def test_datagrams_that_nobody_takes_are_counted() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
        skt.bind(("127.0.0.1", 0))
        destination = Destination(f"udp:127.0.0.1:{skt.getsockname()[1]}")
        destination.send(b"taken")
        assert skt.recv(100) == b"taken"
    for _ in range(3):
        destination.send(b"lost")
    destination.close()
    assert destination.refused > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "required: FILE, --to"),
        (["x"], "required: --to"),
        (["x", "--to", "udp:127.0.0.1:1", "--speed", "-1"], "--speed: '-1', expected"),
        (["x", "--to", "udp:127.0.0.1:1", "--speed", "nan"], "--speed: 'nan', expected"),
        (["x", "--to", "udp:127.0.0.1:1", "--session", "0"], "--session: '0', expected"),
        (["x", "--to", "udp:127.0.0.1:1", "--batch", "1.5"], "--batch: '1.5', expected"),
        (["x", "--to", "udp:127.0.0.1:1", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_1(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(options)
    assert left.value.code == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def command(*options: str) -> "subprocess.CompletedProcess[str]":
    code = "from exchange_push.demo.replay import main; main()"
    return subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True, timeout=60)


def test_the_command_plays_a_file_to_a_socket_and_says_what_it_sent(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text("".join(line(AT + n, trade(n)) for n in range(50)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
        skt.bind(("127.0.0.1", 0))
        skt.settimeout(10)
        done = command(str(path), "--to", f"udp:127.0.0.1:{skt.getsockname()[1]}", "--speed", "0", "--session", "9")
        packets = []
        while not packets or packets[-1].events is not None:
            packets.append(decode(skt.recv(65_536)))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"sent 50 events in \d+ datagrams, \d+ bytes, and \d+ heartbeats in [\d.]+ s\n", done.stdout)
    assert [event for packet in packets for event in packet.events or []] == [trade(n) for n in range(50)]
    assert {packet.session for packet in packets} == {9}


def test_a_loop_ends_by_an_interrupt_and_says_what_it_sent(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text("".join(line(AT + 10 * n, trade(n)) for n in range(5)))
    code = "from exchange_push.demo.replay import main; main()"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
        skt.bind(("127.0.0.1", 0))
        skt.settimeout(10)
        to = f"udp:127.0.0.1:{skt.getsockname()[1]}"
        playing = subprocess.Popen(
            [sys.executable, "-c", code, str(path), "--to", to, "--loop"], stdout=subprocess.PIPE, text=True
        )
        events: list[Any] = []
        while len(events) < 12:
            events += decode(skt.recv(65_536)).events or []
        playing.send_signal(signal.SIGINT)
        out, _ = playing.communicate(timeout=10)
        packet = decode(skt.recv(65_536))
        while packet.events is not None:
            packet = decode(skt.recv(65_536))
    assert [event[2] for event in events] == list(range(len(events)))
    assert playing.returncode in (0, -signal.SIGINT)
    assert re.fullmatch(r"sent \d+ events in .* s\n", out)


def test_the_command_names_a_bad_line_and_leaves_with_1(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text("nothing\n")
    done = command(str(path), "--to", "udp:127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith(f"exchange-push-replay: {path}, line 1: ")
    assert done.stderr.count("\n") == 1


def test_the_command_says_when_nobody_listened(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text(line(AT, trade(1)))
    done = command(str(path), "--to", "udp:127.0.0.1:1")
    assert done.returncode == 1
    assert "nobody listens on udp:127.0.0.1:1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_examples_of_the_reference_can_be_played(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/recorded-feed.md").read_text(encoding="utf-8")
    path = tmp_path / "feed.jsonl"
    path.write_text("".join(re.findall(r"```json\n(.*?)```", page, re.S)))
    assert [recorded.event[0] for recorded in read(path)] == ["trade"]
