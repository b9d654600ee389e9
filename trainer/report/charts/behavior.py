"""Charts of what the predictions depend on: importance, partial dependence, decision map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...data.schema import Examples, Feature, Kind
from ...evaluation.dependence import DecisionMap, Dependence
from ...evaluation.importance import Importance
from ..drawing import (
    CARD,
    DASHES,
    INK,
    LEGEND_ROW,
    MARKERS,
    QUIET,
    SERIES,
    SHADE,
    Chart,
    axes,
    figure,
    heading,
    legend,
    percent_axis,
    svg,
    value_axis,
)
from ..formatting import fit_width, percent, plural, signed

SHOWN_FEATURES = 15

BAR_HEIGHT = 40
"""Pixels of a bar with its name above."""

SHOWN_POINTS = 300
"""Most points on a decision map."""

MAP_NAME_EMS = 8.0
"""Width of a class name on a decision map, in font sizes."""

SMALLEST_NAMED_AREA = 0.02
"""Smallest region with a class name on it, as a share of the map."""

Limits = tuple[float, float]


def importance_chart(
    importance: Importance, ranking: NDArray[np.int64], features: Sequence[Feature]
) -> Chart:
    """Return the permutation importance as bars, the most important feature first."""
    shown = ranking[:SHOWN_FEATURES]
    drawn = figure(BAR_HEIGHT * len(shown) + 56)
    plot = axes(drawn, left=12, top=4, bottom=48)
    _draw_importances(plot, importance, shown)
    for place, index in enumerate(shown.tolist()):
        plot.annotate(
            f"{fit_width(features[index].name)}: {signed(float(importance.log_loss[index]))}",
            (0, place),
            (0, 10),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
        )
    rises = "; ".join(
        f"{fit_width(features[index].name)} {importance.log_loss[index]:.4f}"
        for index in shown.tolist()
    )
    omitted = ""
    if len(shown) < len(ranking):
        omitted = f" The chart has the first {len(shown)} of {len(ranking):,} columns."
    shuffles = plural(importance.repeats, "shuffle")
    return Chart(
        "Permutation importance",
        svg(drawn, "importance", f"Rise of the log loss by shuffled column: {rises}.{omitted}"),
        f"Rise of the log loss when one column is shuffled: mean of {shuffles} of "
        f"{plural(importance.rows, 'row')}.{omitted} Correlated columns share their importance, so "
        "each looks less important than it is.",
    )


def _draw_importances(plot: Axes, importance: Importance, shown: NDArray[np.int64]) -> None:
    """Draw a bar for each feature, with a line for its spread between shuffles."""
    rises, spread = importance.log_loss[shown], importance.spread[shown]
    places = np.arange(len(shown))
    plot.barh(places, rises, 0.28, color=SERIES[0])
    if importance.repeats > 1:
        plot.hlines(places, rises - spread, rises + spread, color=INK, linewidth=1.5)
    low, high = min(float((rises - spread).min()), 0.0), float((rises + spread).max())
    high = max(high, 1e-3)
    plot.set(xlim=(low - 0.02 * high, high * 1.04), ylim=(len(shown) - 0.6, -0.9))
    plot.vlines(np.zeros(len(shown)), places - 0.24, places + 0.24, color=QUIET, linewidth=1)
    plot.set_yticks([])
    plot.grid(visible=False)
    plot.locator_params(axis="x", nbins=5)
    plot.set_xlabel("rise of the log loss")


def dependence_chart(
    key: str,
    feature: Feature,
    dependence: Dependence,
    shown: Sequence[tuple[int, str]],
    limits: Limits,
    observed: NDArray[np.float64],
) -> Chart:
    """Return the partial dependence on one feature, a line or marker for each class.

    Args:
        key: of the drawing, see `svg`.
        feature: the feature.
        dependence: the dependence on it.
        shown: indices and names of the classes to draw, at most one for each color.
        limits: of the probabilities, the same for all features.
        observed: some values of a number feature, which are marked below the curve.
    """
    if feature.kind in (Kind.CATEGORY, Kind.BOOLEAN):
        drawn = _level_chart(feature, dependence, shown, limits)
    else:
        drawn = _number_chart(feature, dependence, shown, limits, observed)
    ranges = []
    for index, name in shown:
        line = dependence.probabilities[:, index]
        ends = f"{percent(float(line.min()))} to {percent(float(line.max()))}"
        ranges.append(f"{fit_width(name)} from {ends}")
    name = fit_width(feature.name)
    rarer = plural(dependence.left_out, "rarer category is", "rarer categories are")
    return Chart(
        name,
        svg(drawn, key, f"Mean probability over {name}: {'; '.join(ranges)}."),
        f"{rarer} not shown." if dependence.left_out else "",
    )


def _number_chart(
    feature: Feature,
    dependence: Dependence,
    shown: Sequence[tuple[int, str]],
    limits: Limits,
    observed: NDArray[np.float64],
) -> Figure:
    rows = len(shown) if len(shown) > 1 else 0
    drawn = figure(190 + LEGEND_ROW * rows)
    plot = axes(drawn, top=8, bottom=34 + LEGEND_ROW * rows + 6 * bool(rows), right=18)
    values = dependence.values.astype(np.float64).tolist()
    low, high = values[0], values[-1]
    inside = observed[(observed >= low) & (observed <= high)].tolist()
    positions = value_axis(plot.xaxis, values + inside, dates=feature.kind is Kind.DATETIME)
    xs = positions[: len(values)]
    for series, (index, name) in enumerate(shown):
        plot.plot(
            *(xs, dependence.probabilities[:, index]),
            color=SERIES[series],
            linestyle=DASHES[series],
            marker=MARKERS[series] if len(xs) == 1 else "",
            label=fit_width(name),
        )
    plot.set_ylim(*limits)
    # Marks show where the rows are, because the curve means little where rows are few.
    plot.plot(
        *(positions[len(values) :], np.full(len(inside), limits[0]), "|"),
        color=QUIET,
        markersize=9,
        markeredgewidth=1,
        clip_on=False,
    )
    percent_axis(plot.yaxis)
    legend(drawn, plot, rows)
    return drawn


def _level_chart(
    feature: Feature, dependence: Dependence, shown: Sequence[tuple[int, str]], limits: Limits
) -> Figure:
    rows = len(shown) if len(shown) > 1 else 0
    count = len(dependence.values)
    drawn = figure(max(32 * count + 44, 120) + LEGEND_ROW * rows)
    plot = axes(drawn, left=12, top=6, bottom=32 + LEGEND_ROW * rows + 6 * bool(rows))
    names = [_level_name(feature, value) for value in dependence.values]
    for place, name in enumerate(names):
        plot.annotate(
            name, (0, place), (0, 6), xycoords=("axes fraction", "data"), textcoords="offset points"
        )
    for series, (index, name) in enumerate(shown):
        plot.plot(
            *(dependence.probabilities[:, index], np.arange(count), MARKERS[series]),
            color=SERIES[series],
            markersize=8,
            label=fit_width(name),
        )
    plot.hlines(np.arange(count), *limits, color=SHADE, linewidth=1, zorder=0)
    plot.set(xlim=limits, ylim=(count - 0.5, -0.8), yticks=[])
    plot.grid(visible=False)
    plot.locator_params(axis="x", nbins=5)
    percent_axis(plot.xaxis)
    legend(drawn, plot, rows)
    return drawn


def _level_name(feature: Feature, value: Any) -> str:
    if feature.kind is Kind.BOOLEAN:
        return "true" if value else "false"
    return fit_width(str(value))


def decision_chart(
    decision_map: DecisionMap,
    margins: NDArray[np.float64],
    features: Sequence[Feature],
    test: Examples,
    classes: Sequence[str],
) -> Chart:
    """Return the regions of the predicted classes, with some of the test rows.

    Args:
        decision_map: the predictions over both features.
        margins: see `DecisionMap.margins`.
        features: the two features.
        test: rows with two numbers.
        classes: the class names.
    """
    predicted = margins.argmax(axis=2)
    areas = np.bincount(predicted.ravel(), minlength=len(classes)) / predicted.size
    points = np.flatnonzero(~np.isnan(test.numbers).any(axis=1))[:SHOWN_POINTS]
    shown = _shown_on_map(areas, test.labels[points])
    drawn = figure(330 + LEGEND_ROW * len(shown))
    plot = axes(drawn, left=54, bottom=58 + LEGEND_ROW * len(shown))
    (xs, point_xs), (ys, point_ys) = (
        _map_axis(axis, values, test.numbers[points, index], features[index])
        for index, (axis, values) in enumerate(
            ((plot.xaxis, decision_map.x), (plot.yaxis, decision_map.y))
        )
    )
    for series, index in enumerate(shown.tolist()):
        if areas[index]:
            plot.contourf(
                *(xs, ys, margins[:, :, index]),
                levels=[0, np.inf],
                colors=[SERIES[series]],
                alpha=0.24,
            )
        own = np.flatnonzero(test.labels[points] == index)
        plot.plot(
            *([point_xs[i] for i in own], [point_ys[i] for i in own], MARKERS[series]),
            color=SERIES[series],
            markersize=5.5,
            markeredgecolor=CARD,
            markeredgewidth=0.6,
            label=fit_width(classes[index]),
        )
    for index in shown[areas[shown] > SMALLEST_NAMED_AREA].tolist():
        row, column = _middle(predicted == index)
        plot.annotate(
            fit_width(classes[index], MAP_NAME_EMS),
            (xs[column], ys[row]),
            ha="center",
            va="center",
            weight="bold",
            bbox={"facecolor": CARD, "edgecolor": "none", "alpha": 0.8, "pad": 2},
        )
    plot.set(xlim=(xs[0], xs[-1]), ylim=(ys[0], ys[-1]))
    plot.set_xlabel(fit_width(features[0].name))
    plot.grid(visible=False)
    heading(plot, fit_width(features[1].name))
    legend(drawn, plot, len(shown))
    shares = "; ".join(
        f"{fit_width(classes[c])} {percent(float(areas[c]))}" for c in shown.tolist()
    )
    hidden = len(classes) - len(shown)
    omitted = f" {plural(hidden, 'class is', 'classes are')} not shown." if hidden else ""
    return Chart(
        "Decision map",
        svg(drawn, "map", f"Share of the area in which each class is predicted: {shares}."),
        f"The background shows the predicted class, the points show "
        f"{plural(len(points), 'test row')} with their true class.{omitted}",
    )


def _shown_on_map(areas: NDArray[np.float64], point_labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the classes with the most area and points, one for each color."""
    counts = np.bincount(point_labels, minlength=len(areas))
    weights = areas + counts / max(len(point_labels), 1)
    order = np.argsort(-weights, kind="stable")[: len(SERIES)]
    return order[weights[order] > 0]


def _map_axis(
    axis: Axis, values: NDArray[np.float64], points: NDArray[np.float64], feature: Feature
) -> tuple[list[float], list[float]]:
    """Prepare an axis and return the positions of the map's values and of the points on it."""
    positions = value_axis(
        axis, [*values.tolist(), *points.tolist()], dates=feature.kind is Kind.DATETIME
    )
    return positions[: len(values)], positions[len(values) :]


def _middle(region: NDArray[np.bool_]) -> tuple[int, int]:
    """Return row and column of a point deep within a region.

    The region is eroded from all sides, including the edges of the map, until one more step would
    leave nothing.
    """
    core = region
    while core.any():
        region = core
        padded = np.pad(core, 1)
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    rows, columns = np.nonzero(region)
    middle = len(rows) // 2
    return int(rows[middle]), int(columns[middle])
