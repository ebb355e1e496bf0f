import pytest
from prometheus_client.parser import text_string_to_metric_families

from exchange_push.metrics import Buckets, Metrics
from tests.fakes import LoggedFailures


class Owner:
    """Somebody who counts."""

    trades = 0


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_counters_and_gauges_are_read_when_they_are_asked_for() -> None:
    owner, metrics = Owner(), Metrics()
    metrics.add("trades", "Trades applied.", "counter", lambda: owner.trades)
    metrics.add("symbols", "Symbols ever heard of.", "gauge", lambda: owner.trades * 2.5)
    for trades in (0, 3):
        owner.trades = trades
        found = samples(metrics)
        assert found["exchange_push_trades_total", ()] == trades
        assert found["exchange_push_symbols", ()] == trades * 2.5


def test_labels_have_a_number_each_and_any_text() -> None:
    metrics = Metrics()
    counts = {("a",): 1, ('b"\n\\\x1b',): 2}
    metrics.add("packets", "Datagrams.", "counter", lambda: counts, ("line",))
    found = samples(metrics)
    assert found["exchange_push_packets_total", (("line", "a"),)] == 1
    assert found["exchange_push_packets_total", (("line", 'b"\n\\\x1b'),)] == 2


def test_the_text_is_prometheus_own() -> None:
    metrics = Metrics()
    metrics.add("trades", "Trades applied.", "counter", lambda: 5)
    assert (
        b"# HELP exchange_push_trades_total Trades applied.\n"
        b"# TYPE exchange_push_trades_total counter\n"
        b"exchange_push_trades_total 5.0\n"
    ) in metrics.text()


def test_a_histogram_has_its_buckets_its_count_and_its_sum() -> None:
    metrics = Metrics()
    waits = {("depth",): Buckets((0.001, 0.5), [1, 3, 4], 7.25)}
    metrics.add_histogram("waits_seconds", "Waits.", lambda: waits, ("kind",))
    found = samples(metrics)
    name, kind = "exchange_push_waits_seconds", ("kind", "depth")
    assert {le: found[f"{name}_bucket", (kind, ("le", le))] for le in ("0.001", "0.5", "+Inf")} == {
        "0.001": 1,
        "0.5": 3,
        "+Inf": 4,
    }
    assert (found[f"{name}_count", (kind,)], found[f"{name}_sum", (kind,)]) == (4, 7.25)
    with pytest.raises(ValueError, match="waits"):
        metrics.add_histogram("waits_seconds", "Others.", lambda: waits, ("kind",))


def test_one_metric_that_cannot_be_read_hides_no_other(logged_failures: LoggedFailures) -> None:
    metrics = Metrics()
    metrics.add("broken", "Broken.", "gauge", lambda: 1 / 0)
    metrics.add("whole", "Whole.", "gauge", lambda: 1)
    found = samples(metrics)
    assert found["exchange_push_whole", ()] == 1
    assert ("exchange_push_broken", ()) not in found
    assert metrics.faults == 1
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_a_name_is_given_once() -> None:
    metrics = Metrics()
    metrics.add("trades", "Trades.", "counter", lambda: 1)
    with pytest.raises(ValueError, match="trades"):
        metrics.add("trades", "Others.", "gauge", lambda: 2)


def test_two_servers_in_one_process_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.add("trades", "Trades.", "counter", lambda: 1)
    assert b"trades" not in other.text()
    assert b"process_resident_memory_bytes" in other.text()
