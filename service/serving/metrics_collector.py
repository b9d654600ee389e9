"""How a scrape reads the metrics: summed over all workers, in prometheus_client's types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from .connection_share import connection_counts
from .metric_specs import (
    BUCKETS_S,
    BUILD,
    CONNECTIONS,
    HISTOGRAM,
    MEASURED,
    SERIES_REJECTED,
    STORED,
    WORKERS,
    MetricSpec,
)
from .metric_store import COUNTER, MetricStore
from .shared_state import SharedState


class MetricsCollector:
    """Reads every metric for a scrape, summed over all workers (prometheus_client's Collector).

    Args:
        shared: the shared map.
        version: the service's version.
        measure: returns the `MEASURED` metrics.
    """

    def __init__(
        self,
        shared: SharedState,
        version: str,
        measure: Callable[[], Mapping[MetricSpec, float]] = dict,
    ) -> None:
        self._shared, self._version, self._measure = shared, version, measure

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once, including metrics without a series."""
        measured = self._measure()
        store = MetricStore(self._shared)
        stored: dict[str, dict[tuple[str, ...], list[tuple[float, ...]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for series in store.read():
            stored[series.metric][series.labels].append(series.values)
        for spec in STORED:
            yield _family(spec, stored[spec.metric])
        for spec in MEASURED:
            yield _family(spec, {(): [(measured[spec],)]} if spec in measured else {})
        single: list[tuple[MetricSpec, tuple[str, ...], float]] = [
            (CONNECTIONS, (), sum(connection_counts(self._shared))),
            (WORKERS, (), self._shared.workers_alive()),
            (SERIES_REJECTED, (), store.rejected()),
            (BUILD, (self._version,), 1),
        ]
        for spec, labels, value in single:
            yield _family(spec, {labels: [(float(value),)]})


def _family(spec: MetricSpec, series: dict[tuple[str, ...], list[tuple[float, ...]]]) -> Metric:
    """Return one metric with its samples; ``series`` holds each worker's values by labels."""
    if spec.kind == HISTOGRAM:
        return _histogram(spec, series)
    make_family = CounterMetricFamily if spec.kind == COUNTER else GaugeMetricFamily
    family = make_family(spec.metric, spec.help, labels=spec.labels)
    for labels, workers in sorted(series.items()):
        family.add_metric(labels, spec.combine([value for (value,) in workers]))
    return family


def _histogram(
    spec: MetricSpec, series: dict[tuple[str, ...], list[tuple[float, ...]]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(spec.metric, spec.help, labels=spec.labels)
    for labels, workers in sorted(series.items()):
        *counts, total_s = (sum(values) for values in zip(*workers, strict=True))
        buckets, cumulative = [], 0.0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
            cumulative += count
            buckets.append((bound, cumulative))
        family.add_metric(labels, buckets, total_s)
    return family
