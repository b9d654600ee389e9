"""The results as a picture: how good against how long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.quality.methods import OURS
from benchmarks.quality.summary import Line


def draw(lines: Sequence[Line], splits: int, path: Path) -> None:
    """Accuracy and log loss of each method against its mean seconds, as SVG.

    Args:
        lines: the methods.
        splits: over how many splits, to make means of the totals.
        path: the file to write.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name, title in (
        (panels[0], "accuracy", "accuracy, more is better"),
        (panels[1], "log_loss", "log loss, less is better"),
    ):
        for line in lines:
            ours = line.label.split()[0] == OURS
            x, y = line.seconds / splits, getattr(line, name)
            axes.scatter(x, y, color="tab:orange" if ours else "tab:blue")
            axes.annotate(line.label, (x, y), xytext=(5, 4), textcoords="offset points", size=8)
        axes.set(xscale="log", xlabel="mean seconds of the whole process", title=title)
        axes.margins(x=0.25, y=0.15)
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
