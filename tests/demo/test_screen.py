import json
import re

import pytest
from twisted.internet.testing import MemoryReactorClock

from exchange_push.demo.screen import Screen, introduction, line

PUBLIC = "ws://127.0.0.1:6790/exchange-stream"
API = "http://127.0.0.1:6789"
TICKER = {"symbol": "BTCUSDT", "last": "64000.1", "changePercent": "-1.250", "volume": "12.500", "count": 7}


class Terminal(list):
    """Keeps what is written; `gone`: nobody reads it any more."""

    gone = False

    def write(self, text):
        if self.gone:
            raise BrokenPipeError
        self.append(text)


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def clock():
    return MemoryReactorClock()


@pytest.fixture
def screen(clock, terminal):
    screen = Screen(clock, PUBLIC, API, terminal.write)
    screen.startService()
    return screen


def event(name, data):
    return {"event": name, "data": data}


def test_it_begins_with_what_to_type(screen, terminal):
    assert terminal == [introduction(PUBLIC, API)]
    assert f"npx wscat -c {PUBLIC}\n" in terminal[0]
    assert f"python -m websockets {PUBLIC}\n" in terminal[0]
    assert terminal[0].isascii()


def test_what_is_to_be_pasted_is_what_the_protocol_understands():
    pasted = [json.loads(text) for text in re.findall(r'\{"op".*\}', introduction(PUBLIC, API))]
    assert [request["op"] for request in pasted] == ["subscribe", "auth", "subscribe"]


def test_the_curl_command_holds_a_push(screen):
    text = introduction(PUBLIC, API).replace("\\\n", " ")
    body, url = re.search(r"curl -d '(.*)' +(\S+)", text).groups()
    assert json.loads(body)["c"] == "ex:1001@balance"
    assert url == "http://127.0.0.1:6789/v1/mesh/publish"


def test_it_dials_the_public_port(screen, clock):
    assert [client[:2] for client in clock.tcpClients] == [("127.0.0.1", 6790)]


def test_two_lines_a_second_are_written_however_much_is_heard(screen, clock, terminal):
    for number in range(10_000):
        screen.heard(event(f"S{number % 50}@ticker", TICKER))
    clock.pump([0.125] * 80)
    assert len(terminal) - 1 == 20


def test_every_channel_has_its_turn_with_its_newest_event(screen, clock, terminal):
    for last in ("1.0", "2.0"):
        for symbol in "ABC":
            screen.heard(event(f"{symbol}@ticker", {**TICKER, "last": last}))
    clock.pump([0.5] * 10)
    assert [text.split()[1:4] for text in terminal[1:]] == [[f"{symbol}@ticker", "last", "2.0"] for symbol in "ABC"]


def test_it_is_silent_when_there_is_nothing_new(screen, clock, terminal):
    clock.pump([0.5] * 10)
    assert len(terminal) == 1


def test_an_error_answer_is_shown_at_once(screen, terminal):
    screen.heard({"code": 8, "msg": "login refused"})
    assert terminal[-1] == "the server answers 8: login refused"


def test_replies_are_not_shown(screen, clock, terminal):
    screen.heard({"result": True})
    clock.advance(1)
    assert len(terminal) == 1


def test_a_line_fits_a_terminal():
    long = {"markPrice": "64000.59000000", "indexPrice": "64000.59000000", "fundingRate": "-0.00008449"}
    text = line("DOGEUSDT@markprice", long, 0)
    assert "mark 64000.59000000 " in text
    assert len(text) <= 100


def test_columns_stand_under_each_other():
    first = line("BTCUSDT@ticker", TICKER, 0)
    second = line("DOGEUSDT@ticker", {**TICKER, "last": "0.16"}, 86_399)
    assert first.startswith("00:00:00  BTCUSDT@ticker       last 64000.1")
    assert second.startswith("23:59:59  DOGEUSDT@ticker      last 0.16")
    assert first.index("change") == second.index("change")


@pytest.mark.parametrize(
    ("name", "data", "shown"),
    [
        ("BTCUSDT@bookticker", {"bid": "1", "bidQty": "2", "ask": None, "askQty": None}, ["bid 1", "ask -"]),
        (
            "BTCUSDT@trades",
            {"trades": [{"price": "1"}, {"price": "2", "qty": "3", "side": "buy"}]},
            ["side buy", "price 2", "qty 3"],
        ),
        ("@order", {"symbol": "BTCUSDT", "side": "buy", "qty": "1", "status": "NEW"}, ["status NEW"]),
        ("@notice", {"text": "\x1b[31mred"}, ["\\x1b[31mred"]),
        ("BTCUSDT@ticker", "anything", ["anything"]),
        ("BTCUSDT@trades", {"trades": []}, ["side -"]),
    ],
)
def test_a_line_shows_what_matters_of_any_event(name, data, shown):
    text = line(name, data, 0)
    for part in shown:
        assert part in text
    assert "\n" not in text
    assert "\x1b" not in text


def test_a_terminal_that_is_gone_ends_the_showing_and_nothing_else(screen, clock, terminal):
    screen.heard(event("A@ticker", TICKER))
    terminal.gone = True
    clock.advance(0.5)
    terminal.gone = False
    screen.heard(event("A@ticker", TICKER))
    clock.advance(5)
    assert len(terminal) == 1


def test_a_stop_leaves_no_timer(screen, clock):
    screen.stopService()
    assert clock.getDelayedCalls() == []
