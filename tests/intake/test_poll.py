"""Polling of books on a reactor in memory: real Agent and pool, a clock of ours, a board of the real house."""

import json
from typing import Any

import pytest
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, eventAsText
from twisted.python.failure import Failure

from exchange_push.intake.poll import BookPoll
from exchange_push.market.events import BookSnapshot, DepthChange, Restart
from tests.fakes import LoggedFailures
from tests.market.exchange import Exchange

T = 1_700_000_000_000
INTERVAL_MS, STALE_MS = 1000, 3000


class Engine:
    """An engine whose books are asked for, and a board that takes them. `asked` are the calls that wait."""

    def __init__(self, *in_use: str, **options: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.exchange = Exchange()
        self.in_use = set(in_use)
        self.time = T
        self.applied: list[BookSnapshot] = []
        self._connections: dict[int, Any] = {}
        self.poll = BookPoll(
            self.reactor,
            options.get("url", "http://engine.example:8080/depth?symbol={symbol}&key=canary"),
            interval_ms=INTERVAL_MS,
            stale_ms=STALE_MS,
            in_use=lambda: self.in_use | set(self.exchange.board.books_out_of_sync()),
            book=self.exchange.board.book,
            apply=options.get("apply", self._apply),
            now_ms=lambda: int(self.reactor.seconds() * 1000),
            time_ms=lambda: self.time,
        )
        self.poll.startService()

    def _apply(self, event: BookSnapshot) -> None:
        self.applied.append(event)
        self.exchange.apply(event)

    def feed(self, *events: Any) -> None:
        self.exchange.apply(*events)

    def advance(self, ms: int) -> None:
        for _ in range(ms // 50):
            self.reactor.advance(0.05)

    def calls(self) -> list[tuple[str, Any]]:
        """What was asked since the last look: (symbol, connection)."""
        for index, client in enumerate(self.reactor.tcpClients):
            if index not in self._connections:
                connection = self._connections[index] = client[2].buildProtocol(None)
                connection.makeConnection(StringTransport())
        found = []
        for connection in self._connections.values():
            request = connection.transport.value().decode()
            if request:
                connection.transport.clear()
                assert request.startswith("GET /depth?symbol=")
                found.append((request.partition("symbol=")[2].partition("&")[0], connection))
        return found

    def asked(self) -> list[str]:
        return [symbol for symbol, _ in self.calls()]

    def serve(self, id: int, bid: str = "7") -> list[str]:
        """Answer all that wait with a book as of update `id`."""
        served = []
        while calls := self.calls():
            for symbol, connection in calls:
                answer(connection, id, bid)
                served.append(symbol)
        return served

    @property
    def bids(self) -> Any:
        book = self.exchange.board.book("S")
        assert book is not None
        return book.bids.best(9) if book.in_sync else None


def answer(connection: Any, id: int, bid: str = "7") -> None:
    respond(connection, json.dumps({"lastUpdateId": id, "bids": [[bid, "1"]], "asks": []}).encode())


def respond(connection: Any, body: bytes, status: int = 200, headers: str = "") -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    connection.dataReceived(head.encode() + body)


def test_a_book_in_use_is_asked_for_at_once_and_then_each_interval() -> None:
    engine = Engine("S")
    assert engine.serve(5) == ["S"]
    assert engine.bids == [("7", "1")]
    engine.advance(900)
    assert engine.asked() == []
    engine.advance(150)
    assert engine.serve(6, "8") == ["S"]
    assert engine.bids == [("8", "1")]
    assert [event.time for event in engine.applied] == [T, T]


def test_nobody_asks_for_a_book_that_is_not_in_use() -> None:
    engine = Engine()
    engine.advance(5000)
    assert engine.poll.calls == 0
    engine.in_use = {"S"}
    engine.advance(250)
    assert engine.serve(5) == ["S"]
    engine.in_use = set()
    engine.advance(5000)
    assert engine.poll.calls == 1


def test_without_a_url_nothing_runs() -> None:
    engine = Engine("S", url=None)
    engine.advance(5000)
    assert engine.poll.calls == 0
    assert engine.reactor.getDelayedCalls() == []


def test_a_symbol_is_not_asked_for_again_before_its_answer_has_come() -> None:
    engine = Engine("S")
    (call,) = engine.calls()
    engine.advance(4500)
    assert engine.poll.calls == 1
    answer(call[1], 5)
    engine.advance(300)
    assert engine.asked() == ["S"]


def test_a_book_that_the_feed_changes_is_not_asked_for() -> None:
    engine = Engine("S")
    engine.serve(1)
    for number in range(2, 40):
        engine.advance(200)
        engine.feed(DepthChange("S", number, number, T, [("7", str(number))], []))
    assert engine.poll.calls == 1
    engine.advance(1300)
    assert engine.asked() == ["S"]


def test_a_broken_chain_heals_by_a_poll_whoever_listens() -> None:
    engine = Engine()
    engine.feed(BookSnapshot("S", 10, T, [("7", "1")], []))
    engine.advance(2000)
    assert engine.poll.calls == 0
    engine.feed(DepthChange("S", 13, 13, T, [("6", "3")], []), DepthChange("S", 14, 14, T, [("6", "4")], []))
    engine.advance(250)
    assert engine.serve(11) == ["S"]  # too old to be joined by what came since
    assert engine.bids is None
    engine.advance(1250)
    assert engine.serve(12) == ["S"]
    assert engine.bids == [("7", "1"), ("6", "4")]
    engine.advance(5000)
    assert engine.poll.calls == 2


def test_an_answer_that_tells_nothing_new_is_not_given_on() -> None:
    engine = Engine("S")
    engine.serve(5)
    engine.advance(1000)
    assert engine.serve(5, "7.0") == ["S"]
    assert len(engine.applied) == 1
    assert engine.bids == [("7", "1")]


def test_an_answer_unlike_the_book_held_at_its_id_puts_it_right() -> None:
    engine = Engine("S")
    engine.serve(5)
    engine.advance(1000)
    assert engine.serve(5, "9") == ["S"]
    assert engine.bids == [("9", "1")]
    assert engine.exchange.board.inconsistent_books == 1


def test_a_slow_answer_never_takes_a_book_back() -> None:
    engine = Engine("S")
    (call,) = engine.calls()
    engine.feed(BookSnapshot("S", 50, T - 60_000, [("9", "1")], []))
    engine.time = T + 60_000
    answer(call[1], 40)
    assert engine.bids == [("9", "1")]
    assert (engine.poll.behind, engine.exchange.board.restarted_books) == (1, 0)


def test_a_slow_answer_never_looks_like_new_ids_to_a_book_out_of_sync() -> None:
    engine = Engine("S")
    (call,) = engine.calls()
    engine.feed(BookSnapshot("S", 50, T - 60_000, [], []), DepthChange("S", 60, 60, T - 50_000, [], []))
    answer(call[1], 40)
    assert engine.bids is None
    assert engine.exchange.board.restarted_books == 0


def test_ids_that_stay_behind_for_ten_seconds_have_begun_anew() -> None:
    engine = Engine("S")
    engine.serve(5000)
    for _ in range(10):
        engine.advance(1000)
        engine.serve(3, "3")
        assert engine.bids == [("7", "1")]
    engine.advance(1500)
    engine.serve(4, "4")
    assert engine.bids == [("4", "1")]
    assert engine.exchange.board.restarted_books == 1
    engine.advance(1000)
    engine.serve(5, "5")
    assert engine.bids == [("5", "1")]


def test_a_copy_that_lags_now_and_then_restarts_nothing() -> None:
    engine = Engine("S")
    for number in range(30):
        engine.serve(100 + number if number % 2 else 50, str(number + 1))
        engine.advance(1000)
    assert engine.exchange.board.restarted_books == 0
    assert engine.bids == [("30", "1")]


def test_the_engine_starting_over_is_no_answer_behind() -> None:
    engine = Engine("S")
    engine.serve(5000)
    engine.feed(Restart(9))
    engine.advance(250)
    assert engine.serve(3, "3") == ["S"]
    assert engine.bids == [("3", "1")]


def test_failures_back_off_up_to_a_minute_and_a_good_answer_ends_it() -> None:
    engine = Engine("S")
    gaps, since = [], 0
    for _ in range(100_000 // 50):
        for _, connection in engine.calls():
            gaps.append(since)
            since = 0
            respond(connection, b"", 503)
        engine.advance(50)
        since += 50
    assert gaps[0] == 0
    assert [round(gap / 1000) for gap in gaps[1:]] == [2, 4, 8, 16, 32]
    while not (calls := engine.calls()):
        engine.advance(50)
    answer(calls[0][1], 5)
    engine.advance(1000)
    assert engine.asked() == ["S"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"no book"),
        (500, b""),
        (404, b""),
        (302, b""),
        (204, b""),
        (200, b'{"lastUpdateId":1,"bids":[["x","1"]],"asks":[]}'),
    ],
)
def test_what_is_no_book_counts_as_a_failure(status: int, body: bytes) -> None:
    engine = Engine("S")
    respond(engine.calls()[0][1], body, status, "Location: http://engine.example:8080/elsewhere\r\n")
    assert (engine.poll.failed, engine.poll.faults, engine.poll.in_flight) == (1, 0, 0)
    assert engine.applied == []
    assert len(engine.reactor.tcpClients) == 1


def test_a_body_too_long_is_cut_off() -> None:
    engine = Engine("S")
    connection = engine.calls()[0][1]
    connection.dataReceived(b"HTTP/1.1 200 X\r\nContent-Length: 100000000\r\n\r\n")
    for _ in range(9):
        connection.dataReceived(b" " * (1 << 20))
    assert engine.poll.failed == 1
    assert connection.transport.disconnecting


def test_a_call_has_a_deadline() -> None:
    engine = Engine("S")
    engine.calls()[0][1].dataReceived(b"HTTP/1.1 200 X\r\nContent-Length: 50\r\n\r\n{")
    engine.advance(4900)
    assert engine.poll.failed == 0
    engine.advance(200)
    assert engine.poll.failed == 1


def test_a_cause_is_logged_once_a_minute_without_the_url() -> None:
    engine = Engine("S", "Q")
    with capturedLogs() as events:
        for _ in range(3 * 60_000 // 50):
            for index, client in enumerate(engine.reactor.tcpClients):
                if index not in engine._connections:
                    engine._connections[index] = None
                    client[2].clientConnectionFailed(None, Failure(ConnectionRefusedError("canary")))
            engine.advance(50)
    lines = [eventAsText(event, includeTimestamp=False, includeSystem=False) for event in events]
    assert 2 <= len(lines) <= 4 < engine.poll.failed
    assert all("ConnectionRefusedError" in line for line in lines)
    assert "canary" not in "".join(lines)


def test_few_are_asked_at_once_and_each_in_its_turn() -> None:
    names = {f"S{number}" for number in range(40)}
    engine = Engine(*names)
    served = []
    while calls := engine.calls():
        assert engine.poll.in_flight <= 6
        for symbol, connection in calls:
            answer(connection, 1)
            served.append(symbol)
    assert sorted(served) == sorted(names)


def test_names_that_clients_made_up_do_not_slow_those_that_are_there() -> None:
    engine = Engine("S")
    engine.serve(1)
    engine.in_use |= {f"NONE{number}" for number in range(1000)}
    served = []
    for number in range(10_000 // 50):
        for symbol, connection in engine.calls():  # the made-up ones hang
            if symbol == "S":
                served.append(number)
                answer(connection, 2 + number)
        engine.advance(50)
    assert len(served) >= 8


def test_made_up_names_leave_nothing_behind() -> None:
    engine = Engine(*(f"NONE{number}" for number in range(1000)))
    engine.advance(300)
    engine.in_use = set()
    for _ in range(20_000 // 50):
        for _, connection in engine.calls():
            respond(connection, b"", 404)
        engine.advance(50)
    assert engine.poll._symbols == {}
    assert engine.poll.calls < 20  # those that were answered before the next look


def test_what_was_polled_is_current_and_then_overdue() -> None:
    engine = Engine("S")
    assert (engine.poll.current, engine.poll.overdue) == (set(), set())
    engine.serve(1)
    engine.advance(250)
    assert (engine.poll.current, engine.poll.overdue) == ({"S"}, set())
    engine.advance(STALE_MS)  # the next call hangs
    assert (engine.poll.current, engine.poll.overdue) == (set(), {"S"})
    engine.serve(2)
    engine.advance(250)
    assert (engine.poll.current, engine.poll.overdue) == ({"S"}, set())


def test_a_book_that_the_feed_goes_on_with_is_not_overdue() -> None:
    engine = Engine("S")
    engine.serve(1)
    engine.feed(DepthChange("S", 2, 2, T, [("7", "2")], []))
    engine.in_use = set()
    engine.advance(STALE_MS + 500)
    assert engine.poll.overdue == set()


def test_a_defect_in_what_takes_books_stops_no_polling(logged_failures: LoggedFailures) -> None:
    def broken(event: BookSnapshot) -> None:
        raise ZeroDivisionError

    engine = Engine("S", apply=broken)
    engine.serve(1)
    engine.advance(1250)
    engine.serve(2)
    assert (engine.poll.calls, engine.poll.faults) == (2, 2)
    assert len(logged_failures.flush(ZeroDivisionError)) == 2


def test_a_stop_ends_all_and_leaves_nothing_behind() -> None:
    engine = Engine("S", "Q")
    engine.calls()
    engine.poll.stopService()
    assert engine.poll.in_flight == 0
    assert engine.applied == []
    assert engine.reactor.getDelayedCalls() == []
