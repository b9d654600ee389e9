"""The chart of the results: seconds per epoch and per fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.trainer.epochs import OURS, EpochTimes
from benchmarks.trainer.fits import FitTimes


def draw(epochs: Sequence[EpochTimes], fits: Sequence[FitTimes], path: Path) -> None:
    """Write a bar chart per architecture and per table, as SVG."""
    architectures = list(dict.fromkeys(each.hidden for each in epochs))
    tables = list(dict.fromkeys(each.table for each in fits))
    panels: list[tuple[str, list[tuple[str, float]]]] = [
        (
            f"epoch, {'-'.join(map(str, hidden))}",
            [(each.library, each.seconds) for each in epochs if each.hidden == hidden],
        )
        for hidden in architectures
    ]
    panels += [
        (f"fit, {name}", [(each.label, each.seconds) for each in fits if each.table == name])
        for name in tables
    ]
    figure = Figure(figsize=(3.6 * max(len(panels), 1), 3.2), layout="constrained")
    for position, (title, bars) in enumerate(panels, start=1):
        _draw_bars(figure.add_subplot(1, len(panels), position), title, bars)
    figure.savefig(path, metadata={"Date": None})


def _draw_bars(axes: Any, title: str, bars: Sequence[tuple[str, float]]) -> None:
    labels, seconds = zip(*bars, strict=True)
    colors = ["tab:orange" if label == OURS else "tab:blue" for label in labels]
    drawn = axes.barh(labels, seconds, color=colors)
    axes.bar_label(drawn, fmt=" %.3g")
    axes.set(title=title, xlabel="seconds")
    axes.margins(x=0.2)
    axes.invert_yaxis()
