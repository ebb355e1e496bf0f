"""Metrics: reads the counters that others keep as plain numbers, when it is asked; the text is Prometheus'.

Counting itself costs its owner one addition; nothing here runs between scrapes.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from twisted.logger import Logger

PREFIX: Final = "exchange_push_"

Reading: TypeAlias = float | Mapping[tuple[str, ...], float]
"""A number; or, of a metric with labels, a number for each of their values."""


class Buckets(NamedTuple):
    """A histogram, read: upper bounds, how many were at most each of these and then of all, and the sum of all."""

    bounds: tuple[float, ...]
    counts: list[int]
    sum: float


class _Histogram(NamedTuple):
    name: str
    documentation: str
    read: Callable[[], Mapping[tuple[str, ...], Buckets]]
    labels: tuple[str, ...]

    def family(self) -> Metric:
        family = HistogramMetricFamily(PREFIX + self.name, self.documentation, labels=self.labels)
        for values, (bounds, counts, sum_) in self.read().items():
            buckets = list(zip([*map(floatToGoString, bounds), "+Inf"], counts, strict=True))
            family.add_metric(values, buckets, sum_)
        return family


class _Metric(NamedTuple):
    name: str
    documentation: str
    kind: Literal["counter", "gauge"]
    read: Callable[[], Reading]
    labels: tuple[str, ...]

    def family(self) -> Metric:
        make = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = make(PREFIX + self.name, self.documentation, labels=self.labels)
        reading = self.read()
        for values, number in reading.items() if isinstance(reading, Mapping) else (((), reading),):
            family.add_metric(values, number)
        return family


class Metrics(Collector):
    """All that /metrics shows: what was added, and CPU, memory and file descriptors of this process."""

    log = Logger()

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric | _Histogram] = {}
        self._registry = CollectorRegistry()  # ours: the global one belongs to whoever shares the process
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self.faults = 0

    def add(
        self,
        name: str,
        documentation: str,
        kind: Literal["counter", "gauge"],
        read: Callable[[], Reading],
        labels: tuple[str, ...] = (),
    ) -> None:
        """Show a number that `read` gives, as `exchange_push_<name>`, of a counter with `_total` behind.

        Raises ValueError for a name that is taken.
        """
        if name in self._metrics:
            raise ValueError(f"metric {name} is there already")
        self._metrics[name] = _Metric(name, documentation, kind, read, labels)

    def add_histogram(
        self,
        name: str,
        documentation: str,
        read: Callable[[], Mapping[tuple[str, ...], Buckets]],
        labels: tuple[str, ...],
    ) -> None:
        """The same for a histogram of each of the labels' values."""
        if name in self._metrics:
            raise ValueError(f"metric {name} is there already")
        self._metrics[name] = _Histogram(name, documentation, read, labels)

    def collect(self) -> Iterator[Metric]:
        for metric in self._metrics.values():
            try:
                yield metric.family()
            except Exception:  # the border: one that cannot be read must not hide the others
                self.faults += 1
                self.log.failure("metric {name} cannot be read", name=metric.name)

    def text(self) -> bytes:
        """The answer to GET /metrics."""
        return generate_latest(self._registry)
