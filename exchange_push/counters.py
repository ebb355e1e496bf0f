"""What /metrics shows of a running server: a row a number, read from who counts it."""

from collections.abc import Callable, Mapping

from exchange_push.edge.auth import AuthService
from exchange_push.edge.binance.asking import Asking
from exchange_push.edge.front import Front
from exchange_push.edge.websocket import ClientFactory
from exchange_push.intake.desk import Desk
from exchange_push.intake.gate import Gate
from exchange_push.intake.http import Api
from exchange_push.intake.line import PushLines
from exchange_push.intake.poll import BookPoll
from exchange_push.intake.udp import FeedService
from exchange_push.intake.websocket import PushFactory
from exchange_push.market.board import Board
from exchange_push.market.latency import BOUNDS_MS, Histogram, Latency
from exchange_push.metrics import Buckets, Metrics
from exchange_push.pubsub.hub import Hub
from exchange_push.pubsub.liveness import Liveness
from exchange_push.store.keeper import Keeper
from exchange_push.wire.sequence import COUNTERS


def feed_counters(metrics: Metrics, feed: FeedService) -> None:
    for name, documentation in COUNTERS.items():
        metrics.add(f"feed_{name}", documentation, "counter", _by_line(feed, name), ("line",))
    metrics.add(
        "feed_requests_unsent", "Requests for missing events that could not be sent", "counter", lambda: feed.unsent
    )
    metrics.add("feed_silent_seconds", "Since the last packet; -1: none yet", "gauge", lambda: _silent_s(feed))


def _by_line(feed: FeedService, name: str) -> Callable[[], Mapping[tuple[str, ...], float]]:
    def read() -> Mapping[tuple[str, ...], float]:
        if name == "kernel_dropped":
            feed.read_kernel_drops()
        return {(line.name,): getattr(line, name) for line in feed.lines}

    return read


def _silent_s(feed: FeedService) -> float:
    silent_ms = feed.silent_ms()
    return -1 if silent_ms is None else silent_ms / 1000


def market_counters(metrics: Metrics, board: Board) -> None:
    metrics.add("trades", "Trades taken", "counter", lambda: board.trades)
    metrics.add("duplicate_trades", "Trades whose id had come before", "counter", lambda: board.duplicate_trades)
    metrics.add("late_trades", "Trades of a second that had ended", "counter", lambda: board.late_trades)
    metrics.add(
        "late_trades_dropped", "Trades too late to correct a candle", "counter", lambda: board.late_trades_dropped
    )
    metrics.add("repaired_trades", "Trades lost once and taken after all", "counter", lambda: board.repaired_trades)
    metrics.add("restarted_trade_ids", "Trade ids begun anew", "counter", lambda: board.restarted_ids)
    metrics.add("book_gaps", "Books that went out of sync", "counter", lambda: board.book_gaps)
    metrics.add("old_book_events", "Book and depth events passed over as old", "counter", lambda: board.old_book_events)
    metrics.add("restarted_books", "Update ids of a book begun anew", "counter", lambda: board.restarted_books)
    metrics.add("crossed_books", "Books whose best bid reached the best ask", "counter", lambda: board.crossed_books)
    metrics.add(
        "inconsistent_books", "Whole books unlike the one held at their id", "counter", lambda: board.inconsistent_books
    )
    metrics.add("disbelieved_events", "Events far ahead of all others", "counter", lambda: board.disbelieved)
    metrics.add("set_backs", "Market time set back to an older feed", "counter", lambda: board.set_backs)
    metrics.add("stale_sources", "Index sources that are too old to count", "gauge", lambda: board.marks.stale_sources)
    metrics.add("outlying_sources", "Index sources far from the others", "gauge", lambda: board.marks.outlying_sources)
    metrics.add("unpriced_symbols", "Symbols whose index is lost", "gauge", lambda: len(board.marks.unpriced))
    metrics.add("symbols", "Symbols heard of", "gauge", lambda: len(board.symbols()))
    metrics.add("market_time_ms", "Market time, ms since the epoch", "gauge", lambda: board.market_time)


def latency_histograms(metrics: Metrics, latency: Latency) -> None:
    metrics.add_histogram(
        "engine_to_received_seconds",
        "From the engine's time of an event to its arrival",
        lambda: _buckets(latency.received),
        ("kind",),
    )
    metrics.add_histogram(
        "received_to_written_seconds",
        "From an event's arrival to the writing of what was made of it",
        lambda: _buckets(latency.written),
        ("kind",),
    )


def _buckets(histograms: Mapping[str, Histogram]) -> Mapping[tuple[str, ...], Buckets]:
    bounds_s = tuple(bound_ms / 1000 for bound_ms in BOUNDS_MS)
    return {
        (label,): Buckets(bounds_s, histogram.counts(), histogram.sum_ms / 1000)
        for label, histogram in histograms.items()
    }


def poll_counters(metrics: Metrics, poll: BookPoll) -> None:
    metrics.add("book_polls", "Books asked for over HTTP", "counter", lambda: poll.calls)
    metrics.add("book_polls_failed", "Books asked for that did not come", "counter", lambda: poll.failed)
    metrics.add("book_polls_behind", "Books that were older than the one held", "counter", lambda: poll.behind)
    metrics.add("book_poll_faults", "Books that failed inside", "counter", lambda: poll.faults)
    metrics.add("book_polls_in_flight", "Books being asked for", "gauge", lambda: poll.in_flight)


def store_counters(metrics: Metrics, keeper: Keeper) -> None:
    metrics.add("store_up", "Whether the store is written", "gauge", lambda: int(keeper.up))
    metrics.add("store_writes", "Transactions written", "counter", lambda: keeper.writes)
    metrics.add("store_failed", "Transactions that could not be written", "counter", lambda: keeper.failed)
    metrics.add("store_reads", "Questions of clients to the store", "counter", lambda: keeper.reads)
    metrics.add("store_reading", "Questions being answered", "gauge", lambda: keeper.reading)
    metrics.add("store_faults", "What could not be read, or failed inside", "counter", lambda: keeper.faults)


def liveness_counters(metrics: Metrics, liveness: Liveness) -> None:
    metrics.add("feed_silences", "Times that the feed fell silent", "counter", lambda: liveness.silences)
    metrics.add("stale_channels", "Channels listened to that may be old", "gauge", lambda: liveness.stale)


def client_counters(metrics: Metrics, hub: Hub, clients: ClientFactory, front: Front, auth: AuthService) -> None:
    metrics.add("clients", "Connections of clients", "gauge", lambda: len(clients.connected))
    metrics.add("handshakes", "WebSocket handshakes completed", "counter", lambda: clients.handshakes)
    metrics.add("sockets_accepted", "Sockets accepted on the public ports", "counter", lambda: front.accepted)
    metrics.add("sockets_refused", "Requests refused for their head or body", "counter", lambda: front.refused)
    metrics.add("sockets_timed_out", "Sockets whose request did not come in time", "counter", lambda: front.timed_out)
    metrics.add("sockets_over_limit", "Sockets refused for their address", "counter", lambda: front.over_limit)
    metrics.add(
        "client_faults",
        "Messages of clients that failed inside",
        "counter",
        lambda: clients.faults + clients.turn.faults,
    )
    metrics.add(
        "closes",
        "Connections that the server closed, by code",
        "counter",
        lambda: {(str(code),): closed for code, closed in clients.closes.items()},
        ("code",),
    )
    metrics.add("channels", "Channels that somebody listens to", "gauge", lambda: sum(1 for _ in hub.channels()))
    metrics.add("publications", "Publications that somebody listened to", "counter", lambda: hub.publications)
    metrics.add("deliveries", "Publications handed to a client", "counter", lambda: hub.deliveries)
    metrics.add("slow_bytes", "Bytes held for slow clients", "gauge", lambda: hub.budget.held_bytes)
    metrics.add("evicted", "Slow clients closed for the memory of all", "counter", lambda: hub.evicted)
    metrics.add("auth_calls", "Calls to the auth service", "counter", lambda: auth.calls)
    metrics.add("auth_shared", "Look-ups that shared a call", "counter", lambda: auth.shared)
    metrics.add("auth_retried", "Calls sent again", "counter", lambda: auth.retried)
    metrics.add("auth_refused", "Logins refused", "counter", lambda: auth.refused)
    metrics.add("auth_unavailable", "Logins that the auth service did not answer", "counter", lambda: auth.unavailable)
    metrics.add("auth_waiting", "Logins that wait for a call to end", "gauge", lambda: auth.waiting)
    metrics.add("auth_in_flight", "Calls to the auth service under way", "gauge", lambda: auth.in_flight)


def intake_counters(metrics: Metrics, desk: Desk, gate: Gate, api: Api, lines: PushLines, pushes: PushFactory) -> None:
    metrics.add("pushes", "Internal pushes taken", "counter", lambda: desk.pushes)
    metrics.add("push_repeats", "Pushes whose key had come before", "counter", lambda: desk.repeats)
    metrics.add("push_refused", "Internal requests refused", "counter", lambda: desk.refused)
    metrics.add("push_faults", "Internal requests that failed inside", "counter", lambda: desk.faults)
    metrics.add("sends", "Messages sent to one connection", "counter", lambda: desk.sends)
    metrics.add("calls", "Calls on a connection carried out", "counter", lambda: desk.calls)
    metrics.add("pushed_events", "Events taken by HTTP and lines", "counter", lambda: desk.events)
    metrics.add("api_requests", "Requests to the internal API", "counter", lambda: api.requests)
    metrics.add("api_connections", "Connections to the internal API", "gauge", lambda: api.connected)
    metrics.add("api_late", "Requests that did not come in time", "counter", lambda: api.late)
    metrics.add("api_faults", "Requests that failed inside", "counter", lambda: api.faults)
    metrics.add("push_websockets", "Connections to the internal WebSocket", "gauge", lambda: len(pushes.connected))
    metrics.add("push_messages", "Messages of the internal WebSocket", "counter", lambda: pushes.messages)
    metrics.add("push_message_faults", "Messages that failed inside", "counter", lambda: pushes.faults)
    metrics.add("line_connections", "Connections to the push line", "gauge", lambda: len(lines.connected))
    metrics.add("push_lines", "Lines taken", "counter", lambda: lines.lines)
    metrics.add("push_lines_too_long", "Lines too long", "counter", lambda: lines.too_long)
    metrics.add("push_lines_unended", "Connections closed for a line without end", "counter", lambda: lines.unended)
    metrics.add("push_lines_strange", "Lines sent without the secret", "counter", lambda: lines.strange)
    metrics.add(
        "push_lines_browsers", "Connections that spoke HTTP to the push line", "counter", lambda: lines.browsers
    )
    metrics.add("not_authorised", "Internal requests turned away", "counter", lambda: gate.refused)


def weight_counters(metrics: Metrics, asking: Asking) -> None:
    metrics.add(
        "weight_refused", "Requests of Binance's clients beyond their weight", "counter", lambda: asking.weights.refused
    )
    metrics.add("weight_bans", "Addresses banned for having gone on", "counter", lambda: asking.weights.bans)
    metrics.add("question_faults", "Requests of Binance's clients that failed inside", "counter", lambda: asking.faults)
