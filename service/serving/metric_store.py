"""Counters and gauges in the shared map.

A counter outlives its worker: the worker's successor continues it. A gauge ends with its worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .shared_state import METRICS, SharedState, WorkerSlot

COUNTER, GAUGE = "counter", "gauge"

DETAIL_SHARE = 0.75
"""Part of the room that details may fill: a model may have any number of labels and features."""


@dataclass(frozen=True)
class Series:
    """One series as a scrape sees it.

    Attributes:
        kind: ``COUNTER`` or ``GAUGE``.
        metric: the metric's name.
        labels: the label values.
        values: one value, or several for a histogram.
    """

    kind: str
    metric: str
    labels: tuple[str, ...]
    values: tuple[float, ...]


class MetricStore:
    """Reads the series of all workers.

    Args:
        shared: the map.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared

    def read(self) -> Iterator[Series]:
        """Yield every series of every slot, except gauges of workers that ended."""
        for (kind, metric, *labels), values in self._shared.entries(METRICS):
            yield Series(kind, metric, tuple(labels), values)

    def rejected(self) -> int:
        """Return the number of series that found no room, over all slots."""
        return self._shared.rejected(METRICS)


class WorkerMetrics:
    """One worker's series, to write to. Safe between threads of that worker.

    Args:
        slot: the worker's slot.
    """

    def __init__(self, slot: WorkerSlot) -> None:
        self._table = slot.tables[METRICS]
        self._values, self._lock = self._table.values, self._table.lock

    def series(
        self,
        kind: str,
        metric: str,
        labels: Sequence[str],
        width: int = 1,
        *,
        detail: bool = False,
    ) -> int | None:
        """Return where a series' first value is; add the series if it is new.

        Args:
            kind: ``COUNTER`` or ``GAUGE``.
            metric: the metric's name.
            labels: the label values.
            width: number of values.
            detail: whether the series is one of many, which must leave room for the others.

        Returns:
            An index for `add` and `set`; None where there is no room. They ignore None.
        """
        return self._table.find_or_add(
            (kind, metric, *labels),
            width,
            is_transient=kind == GAUGE,
            share=DETAIL_SHARE if detail else 1.0,
        )

    def add(self, index: int | None, amount: float = 1.0) -> None:
        """Add to one value."""
        if index is not None:
            with self._lock:
                self._values[index] += amount

    def add_all(self, changes: Sequence[tuple[int | None, float]]) -> None:
        """Add to several values, given as (index, amount), under one lock."""
        values = self._values
        with self._lock:
            for index, amount in changes:
                if index is not None:
                    values[index] += amount

    def set(self, index: int | None, value: float) -> None:
        """Set one value."""
        if index is not None:
            self._values[index] = value

    def raise_to(self, index: int | None, value: float) -> None:
        """Set one value unless it is greater already."""
        if index is not None:
            with self._lock:
                self._values[index] = max(self._values[index], value)
