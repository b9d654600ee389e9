"""Charts of the scores: accuracy beside the baselines, reliability, ROC and precision-recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from ...evaluation.calibration import Reliability
from ...evaluation.intervals import Interval
from ..analysis import ClassCurves
from ..drawing import (
    CARD,
    DASHES,
    LEGEND_ROW,
    MARKERS,
    QUIET,
    SERIES,
    Chart,
    axes,
    figure,
    heading,
    legend,
    percent_axis,
    svg,
)
from ..formatting import decimal, fit_width, percent, percent_range

METHOD_HEIGHT = 46
"""Pixels of a method with its interval."""

SQUARE_HEIGHT = 272
"""Pixels of a square chart, without its legend."""


def accuracies(figures: Mapping[str, tuple[float, Interval]]) -> Chart:
    """Return the accuracies of all methods with their intervals.

    Args:
        figures: accuracy and interval by method, the model first.
    """
    drawn = figure(METHOD_HEIGHT * len(figures) + 44)
    plot = axes(drawn, left=12, top=4, bottom=34)
    places = range(len(figures))
    for place, (name, (accuracy, interval)) in enumerate(figures.items()):
        color, marker = (SERIES[0], MARKERS[0]) if place == 0 else (QUIET, MARKERS[1])
        plot.plot([interval.lower, interval.upper], [place, place], color=color, linewidth=3)
        fill = color if place == 0 else CARD
        plot.plot([accuracy], [place], marker, color=color, markersize=9, markerfacecolor=fill)
        text = f"{fit_width(name)}: {percent(accuracy)}"
        plot.annotate(
            text,
            (0, place),
            (0, 11),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            weight="bold" if place == 0 else "normal",
        )
    plot.set_ylim(len(figures) - 0.55, -0.85)
    plot.set_yticks(list(places), [""] * len(figures))
    plot.grid(visible=False)
    plot.grid(visible=True, axis="x")
    low = min(interval.lower for _, interval in figures.values())
    high = max(interval.upper for _, interval in figures.values())
    margin = max((high - low) * 0.06, 0.01)
    plot.set_xlim(low - margin, high + margin)
    plot.locator_params(axis="x", nbins=5)
    percent_axis(plot.xaxis)
    texts = "; ".join(
        f"{fit_width(name)} {percent(accuracy)}, interval {percent_range(interval)}"
        for name, (accuracy, interval) in figures.items()
    )
    return Chart(
        "Accuracy, with 95 % intervals",
        svg(drawn, "accuracies", f"Accuracy of each method: {texts}."),
        "If intervals overlap, other rows may change the order.",
    )


def reliability_diagram(reliability: Reliability, error: float) -> Chart:
    """Return the accuracy by confidence, above a histogram of the confidence.

    Args:
        reliability: the figures of each bin.
        error: the expected calibration error.
    """
    drawn = figure(350)
    plot = axes(drawn, bottom=126)
    plot.plot([0, 1], [0, 1], color=QUIET, linestyle=DASHES[2], linewidth=1.5)
    filled = reliability.counts > 0
    plot.plot(
        *(reliability.confidence[filled], reliability.accuracy[filled]),
        marker=MARKERS[0],
        color=SERIES[0],
        clip_on=False,
    )
    plot.set(xlim=(0, 1), ylim=(0, 1))
    percent_axis(plot.yaxis)
    plot.set_xticks(np.linspace(0, 1, 6), [""] * 6)
    heading(plot, "accuracy")
    below = axes(drawn, top=260)
    edges = np.linspace(0, 1, len(reliability.counts) + 1)
    shares = reliability.counts / reliability.counts.sum()
    most = float(shares.max())
    below.bar(edges[:-1], shares, edges[1] * 0.86, align="edge", color=SERIES[0])
    below.set(xlim=(0, 1), ylim=(0, most), xlabel="probability of the predicted class")
    below.set_yticks([most])
    below.set_xticks(np.linspace(0, 1, 6))
    percent_axis(below.xaxis)
    percent_axis(below.yaxis)
    heading(below, "share of the rows")
    fullest = int(reliability.counts.argmax())
    alt = (
        f"Reliability in {len(reliability.counts)} bins: expected calibration error {decimal(error)}. "
        f"The fullest bin has {percent(float(shares[fullest]))} of the rows, with a mean probability "
        f"of {percent(float(reliability.confidence[fullest]))} and an accuracy of "
        f"{percent(float(reliability.accuracy[fullest]))}."
    )
    return Chart(
        "Reliability",
        svg(drawn, "reliability", alt),
        "On the dotted line, the probability equals the accuracy. Below it the model is "
        "overconfident, above it underconfident. Bins with few rows vary a lot.",
    )


def roc_chart(curves: Sequence[ClassCurves], classes: Sequence[str]) -> Chart | None:
    """Return the ROC curves; None if no class has a curve."""
    known = [(one, one.roc) for one in curves if one.roc]
    if not known:
        return None
    drawn = figure(SQUARE_HEIGHT + LEGEND_ROW * len(known))
    plot = axes(drawn, bottom=56 + LEGEND_ROW * len(known))
    plot.plot([0, 1], [0, 1], color=QUIET, linestyle=DASHES[2], linewidth=1.5)
    for series, (one, curve) in enumerate(known):
        plot.plot(
            *(curve.x, curve.y),
            color=SERIES[series],
            linestyle=DASHES[series],
            label=f"{fit_width(classes[one.index])}: {curve.area:.3f}",
            clip_on=False,
        )
        plot.plot(
            *([one.false_positive_rate], [one.recall], MARKERS[series]),
            color=SERIES[series],
            clip_on=False,
        )
    _label_axes(plot, "recall", "false positive rate")
    legend(drawn, plot, len(known))
    areas = "; ".join(f"{fit_width(classes[one.index])} {curve.area:.3f}" for one, curve in known)
    return Chart(
        "ROC curve" if len(known) == 1 else "ROC curves",
        svg(drawn, "roc", f"ROC curves; area under each: {areas}."),
        "The false positive rate is the share of the other classes' rows that are predicted as the "
        "class. The number is the area under the curve; 0.5, the dotted line, is chance. The point "
        "is the model at its own threshold.",
    )


def precision_recall_chart(
    curves: Sequence[ClassCurves], classes: Sequence[str], shares: Sequence[float]
) -> Chart | None:
    """Return precision by recall; None if no class has a curve.

    Args:
        curves: of the classes to show.
        classes: all class names.
        shares: of each class in the test rows, which is the precision of chance.
    """
    known = [(one, one.precision_recall) for one in curves if one.precision_recall]
    if not known:
        return None
    drawn = figure(SQUARE_HEIGHT + LEGEND_ROW * len(known))
    plot = axes(drawn, bottom=56 + LEGEND_ROW * len(known))
    if len(known) == 1:
        chance = shares[known[0][0].index]
        plot.plot([0, 1], [chance, chance], color=QUIET, linestyle=DASHES[2], linewidth=1.5)
    for series, (one, curve) in enumerate(known):
        plot.plot(
            *(curve.x, curve.y),
            color=SERIES[series],
            linestyle=DASHES[series],
            drawstyle="steps-pre",
            label=f"{fit_width(classes[one.index])}: {curve.area:.3f}",
            clip_on=False,
        )
        plot.plot(
            *([one.recall], [one.precision], MARKERS[series]), color=SERIES[series], clip_on=False
        )
    _label_axes(plot, "precision", "recall")
    legend(drawn, plot, len(known))
    areas = "; ".join(f"{fit_width(classes[one.index])} {curve.area:.3f}" for one, curve in known)
    dotted = " The dotted line is chance." if len(known) == 1 else ""
    return Chart(
        "Precision and recall",
        svg(drawn, "precision-recall", f"Precision over recall; average precision: {areas}."),
        "Precision is the share of right predictions, recall the share of the class's rows that are "
        f"found. The number is the average precision.{dotted} The point is the model at its own "
        "threshold.",
    )


def _label_axes(plot: Axes, y: str, x: str) -> None:
    """Name both axes, which go from 0 to 1."""
    plot.set(xlim=(0, 1), ylim=(0, 1), xlabel=x)
    percent_axis(plot.xaxis)
    percent_axis(plot.yaxis)
    heading(plot, y)
