"""How good the answers are: scores beside simple methods, trust in probabilities, curves."""

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
from ..formatting import brief, decimal, percent, percent_range

ROW = 46
"""Pixels for a method."""

SQUARE = 272
"""Pixels for a chart that is as high as wide."""


def accuracies(figures: Mapping[str, tuple[float, Interval]]) -> Chart:
    """The accuracy of each method with its interval; the first one is the model's."""
    drawn = figure(ROW * len(figures) + 44)
    plot = axes(drawn, left=12, top=4, bottom=34)
    places = range(len(figures))
    for place, (name, (accuracy, found)) in enumerate(figures.items()):
        color, marker = (SERIES[0], MARKERS[0]) if place == 0 else (QUIET, MARKERS[1])
        plot.plot([found.lower, found.upper], [place, place], color=color, linewidth=3)
        filled = color if place == 0 else CARD
        plot.plot([accuracy], [place], marker, color=color, markersize=9, markerfacecolor=filled)
        text = f"{brief(name)}: {percent(accuracy)}"
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
    low = min(found.lower for _, found in figures.values())
    high = max(found.upper for _, found in figures.values())
    margin = max((high - low) * 0.06, 0.01)
    plot.set_xlim(low - margin, high + margin)
    plot.locator_params(axis="x", nbins=5)
    percent_axis(plot.xaxis)
    said = "; ".join(
        f"{brief(name)} {percent(accuracy)}, interval {percent_range(found)}"
        for name, (accuracy, found) in figures.items()
    )
    return Chart(
        "Accuracy, with 95 % intervals",
        svg(drawn, "accuracies", f"Accuracy of each method: {said}."),
        "Where intervals overlap much, a few other rows could turn the order round.",
    )


def reliability_diagram(found: Reliability, error: float) -> Chart:
    """How often rows are right, over how sure the model is of them."""
    drawn = figure(350)
    plot = axes(drawn, bottom=126)
    plot.plot([0, 1], [0, 1], color=QUIET, linestyle=DASHES[2], linewidth=1.5)
    filled = found.counts > 0
    plot.plot(
        *(found.confidence[filled], found.accuracy[filled]),
        marker=MARKERS[0],
        color=SERIES[0],
        clip_on=False,
    )
    plot.set(xlim=(0, 1), ylim=(0, 1))
    percent_axis(plot.yaxis)
    plot.set_xticks(np.linspace(0, 1, 6), [""] * 6)
    heading(plot, "accuracy")
    below = axes(drawn, top=260)
    edges = np.linspace(0, 1, len(found.counts) + 1)
    shares = found.counts / found.counts.sum()
    most = float(shares.max())
    below.bar(edges[:-1], shares, edges[1] * 0.86, align="edge", color=SERIES[0])
    below.set(xlim=(0, 1), ylim=(0, most), xlabel="probability of the answer")
    below.set_yticks([most])
    below.set_xticks(np.linspace(0, 1, 6))
    percent_axis(below.xaxis)
    percent_axis(below.yaxis)
    heading(below, "share of the rows")
    fullest = int(found.counts.argmax())
    alt = (
        f"Reliability in {len(found.counts)} bins: expected calibration error {decimal(error)}. "
        f"{percent(float(shares[fullest]))} of the rows are answered with a probability of "
        f"{percent(float(found.confidence[fullest]))} in the mean, and "
        f"{percent(float(found.accuracy[fullest]))} of these are right."
    )
    return Chart(
        "Reliability",
        svg(drawn, "reliability", alt),
        "On the dotted line, answers are right as often as they say. Below it the model is too "
        "sure, above it not sure enough. Points of few rows jump about.",
    )


def roc_chart(curves: Sequence[ClassCurves], classes: Sequence[str]) -> Chart | None:
    """Recall over the share of false alarms; None where no class has a curve."""
    known = [(one, one.roc) for one in curves if one.roc]
    if not known:
        return None
    drawn = figure(SQUARE + LEGEND_ROW * len(known))
    plot = axes(drawn, bottom=56 + LEGEND_ROW * len(known))
    plot.plot([0, 1], [0, 1], color=QUIET, linestyle=DASHES[2], linewidth=1.5)
    for place, (one, curve) in enumerate(known):
        plot.plot(
            *(curve.x, curve.y),
            color=SERIES[place],
            linestyle=DASHES[place],
            label=f"{brief(classes[one.place])}: {curve.area:.3f}",
            clip_on=False,
        )
        plot.plot(
            *([one.false_positive_rate], [one.recall], MARKERS[place]),
            color=SERIES[place],
            clip_on=False,
        )
    _frame(plot, "recall", "false positive rate")
    legend(drawn, plot, len(known))
    areas = "; ".join(f"{brief(classes[one.place])} {curve.area:.3f}" for one, curve in known)
    return Chart(
        "ROC curve" if len(known) == 1 else "ROC curves",
        svg(drawn, "roc", f"ROC curves; area below each: {areas}."),
        "Recall is the share of a class's rows that are found, the false positive rate the share "
        "of the others that are taken for them. Beside the name stands the area below the curve; "
        "0.5, the dotted line, is chance. The point is where the model's answers lie.",
    )


def precision_recall_chart(
    curves: Sequence[ClassCurves], classes: Sequence[str], shares: Sequence[float]
) -> Chart | None:
    """Precision over recall; None where no class has a curve.

    Args:
        curves: of some classes.
        classes: all class names.
        shares: of each class in the test part, which is the precision of chance.
    """
    known = [(one, one.precision_recall) for one in curves if one.precision_recall]
    if not known:
        return None
    drawn = figure(SQUARE + LEGEND_ROW * len(known))
    plot = axes(drawn, bottom=56 + LEGEND_ROW * len(known))
    if len(known) == 1:
        chance = shares[known[0][0].place]
        plot.plot([0, 1], [chance, chance], color=QUIET, linestyle=DASHES[2], linewidth=1.5)
    for place, (one, curve) in enumerate(known):
        plot.plot(
            *(curve.x, curve.y),
            color=SERIES[place],
            linestyle=DASHES[place],
            drawstyle="steps-pre",
            label=f"{brief(classes[one.place])}: {curve.area:.3f}",
            clip_on=False,
        )
        plot.plot(
            *([one.recall], [one.precision], MARKERS[place]), color=SERIES[place], clip_on=False
        )
    _frame(plot, "precision", "recall")
    legend(drawn, plot, len(known))
    areas = "; ".join(f"{brief(classes[one.place])} {curve.area:.3f}" for one, curve in known)
    dotted = " The dotted line is chance." if len(known) == 1 else ""
    return Chart(
        "Precision and recall",
        svg(drawn, "precision-recall", f"Precision over recall; average precision: {areas}."),
        "Precision is the share of answers that are right. Beside the name stands the average "
        f"precision.{dotted} The point is where the model's answers lie.",
    )


def _frame(plot: Axes, upright: str, level: str) -> None:
    plot.set(xlim=(0, 1), ylim=(0, 1), xlabel=level)
    percent_axis(plot.xaxis)
    percent_axis(plot.yaxis)
    heading(plot, upright)
