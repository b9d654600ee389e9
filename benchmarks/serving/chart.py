"""The results as a picture: requests a second, slowest answers, memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.serving.comparison import Record
from benchmarks.serving.loads import SMALL
from benchmarks.serving.measurement import Measured
from benchmarks.serving.servers import OURS

PANELS: tuple[tuple[str, Callable[[Measured], float]], ...] = (
    ("requests a second", lambda each: each.requests_per_second),
    ("p99 in ms", lambda each: each.p99_ms),
    ("memory in MB", lambda each: each.memory_bytes / 1e6),
)


def draw(records: Sequence[Record], path: Path) -> None:
    """Bars for every server that answered one row of the small model at c=64, as SVG."""
    found = [(record.server, record.over_rounds(SMALL)) for record in records]
    answered = [(name, measured) for name, measured in found if measured]
    figure = Figure(figsize=(12, 1.2 + 0.3 * len(answered)), layout="constrained")
    figure.suptitle(f"{SMALL.model} model, {SMALL.rows} row a request, c={SMALL.connections}")
    for place, (title, value) in enumerate(PANELS, start=1):
        axes = figure.add_subplot(1, len(PANELS), place)
        _bars(axes, title, [(name, value(measured)) for name, measured in answered])
    figure.savefig(path, metadata={"Date": None})


def _bars(axes: Any, title: str, bars: Sequence[tuple[str, float]]) -> None:
    names, values = [name for name, _ in bars], [value for _, value in bars]
    colors = ["tab:orange" if name == OURS else "tab:blue" for name in names]
    drawn = axes.barh(names, values, color=colors)
    axes.bar_label(drawn, labels=[f" {value:,.{0 if value >= 10 else 1}f}" for value in values])  # noqa: PLR2004 - two digits
    axes.set(title=title)
    axes.margins(x=0.25)
    axes.invert_yaxis()
