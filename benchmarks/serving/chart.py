"""The chart of the results: requests per second, p99 latency and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.serving.comparison import Record
from benchmarks.serving.loads import SMALL
from benchmarks.serving.measurement import Measurement
from benchmarks.serving.servers import OURS

PANELS: tuple[tuple[str, Callable[[Measurement], float]], ...] = (
    ("requests/s", lambda each: each.requests_per_second),
    ("p99 latency in ms", lambda each: each.p99_ms),
    ("memory in MB", lambda each: each.memory_bytes / 1e6),
)

WHOLE_NUMBERS_FROM = 10
"""Smaller values are labeled with one decimal."""


def draw(records: Sequence[Record], path: Path) -> None:
    """Write a bar chart as SVG, of all servers with results for `SMALL`."""
    medians = [(record.server, record.median_over_rounds(SMALL)) for record in records]
    measured = [(server, measurement) for server, measurement in medians if measurement]
    figure = Figure(figsize=(12, 1.2 + 0.3 * len(measured)), layout="constrained")
    figure.suptitle(f"{SMALL.model} model, {SMALL.rows} row per request, c={SMALL.connections}")
    for position, (title, value) in enumerate(PANELS, start=1):
        axes = figure.add_subplot(1, len(PANELS), position)
        _draw_bars(axes, title, {server: value(each) for server, each in measured})
    figure.savefig(path, metadata={"Date": None})


def _draw_bars(axes: Any, title: str, bars: dict[str, float]) -> None:
    colors = ["tab:orange" if server == OURS else "tab:blue" for server in bars]
    drawn = axes.barh(list(bars), list(bars.values()), color=colors)
    labels = [
        f" {value:,.0f}" if value >= WHOLE_NUMBERS_FROM else f" {value:.1f}"
        for value in bars.values()
    ]
    axes.bar_label(drawn, labels=labels)
    axes.set(title=title)
    axes.margins(x=0.25)
    axes.invert_yaxis()
