"""The chart of the results: scores against seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.quality.methods import OURS
from benchmarks.quality.summary import Summary

PANELS = (("accuracy", "accuracy, more is better"), ("log_loss", "log loss, less is better"))


def draw(summaries: Sequence[Summary], splits: int, path: Path) -> None:
    """Write a scatter plot of accuracy and log loss against mean seconds, as SVG.

    Args:
        summaries: one per method.
        splits: number of splits in the summaries, by which seconds are divided.
        path: file to write.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, (score, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for summary in summaries:
            ours = summary.label.split()[0] == OURS
            x, y = summary.seconds / splits, getattr(summary, score)
            axes.scatter(x, y, color="tab:orange" if ours else "tab:blue")
            axes.annotate(summary.label, (x, y), xytext=(5, 4), textcoords="offset points", size=8)
        axes.set(xscale="log", xlabel="mean seconds of the whole process", title=title)
        axes.margins(x=0.25, y=0.15)
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
