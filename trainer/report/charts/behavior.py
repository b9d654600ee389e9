"""What the answers depend on: importance of columns, dependence on some, the map of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...data.schema import Feature, Kind
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
from ..formatting import brief, percent, plural, signed

SHOWN_COLUMNS = 15

BAR = 40
"""Pixels for a bar with its name above."""

SHOWN_POINTS = 300
"""Points on a map at most."""

NAME_EMS = 8.0
"""Of a name on a map."""

SMALLEST_AREA = 0.02
"""Of a region that has its name on it, as a share of the map."""


def importance_chart(
    found: Importance, ranking: NDArray[np.int64], features: Sequence[Feature]
) -> Chart:
    """How much each column is needed, the most important first."""
    shown = ranking[:SHOWN_COLUMNS]
    rises, spread = found.log_loss[shown], found.spread[shown]
    drawn = figure(BAR * len(shown) + 56)
    plot = axes(drawn, left=12, top=4, bottom=48)
    places = np.arange(len(shown))
    plot.barh(places, rises, 0.28, color=SERIES[0])
    if found.repeats > 1:
        plot.hlines(places, rises - spread, rises + spread, color=INK, linewidth=1.5)
    low, high = min(float((rises - spread).min()), 0.0), float((rises + spread).max())
    high = max(high, 1e-3)
    plot.set(xlim=(low - 0.02 * high, high * 1.04), ylim=(len(shown) - 0.6, -0.9))
    plot.vlines(np.zeros(len(shown)), places - 0.24, places + 0.24, color=QUIET, linewidth=1)
    for place, column in enumerate(shown.tolist()):
        plot.annotate(
            f"{brief(features[column].name)}: {signed(float(found.log_loss[column]))}",
            (0, place),
            (0, 10),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
        )
    plot.set_yticks([])
    plot.grid(visible=False)
    plot.locator_params(axis="x", nbins=5)
    plot.set_xlabel("rise of the log loss")
    said = "; ".join(
        f"{brief(features[column].name)} {found.log_loss[column]:.4f}" for column in shown.tolist()
    )
    some = ""
    if len(shown) < len(ranking):
        some = f" These are the first {len(shown)} of {len(ranking):,} columns."
    shuffles = f"{plural(found.repeats, 'shuffle')} of each column in {plural(found.rows, 'row')}"
    return Chart(
        "Permutation importance",
        svg(drawn, "importance", f"Rise of the log loss when a column is shuffled: {said}.{some}"),
        f"How much worse the probabilities get when a column's values are dealt out anew: "
        f"{shuffles}.{some} Columns that say the same stand in for one another, and each looks "
        "less important than it is.",
    )


def dependence_chart(
    key: str,
    feature: Feature,
    found: Dependence,
    shown: Sequence[tuple[int, str]],
    limits: tuple[float, float],
    observed: NDArray[np.float64],
) -> Chart:
    """The mean answers as one column takes value after value.

    Args:
        key: of the drawing.
        feature: the column.
        found: the dependence on it.
        shown: places and names of the classes to draw, one for each color at most.
        limits: of the probabilities, the same for all columns.
        observed: some values of the column, if it holds numbers.
    """
    draw = _levels if feature.kind in (Kind.CATEGORY, Kind.BOOLEAN) else _values
    drawn = draw(feature, found, shown, limits, observed)
    parts = []
    for place, name in shown:
        line = found.probabilities[:, place]
        ends = f"{percent(float(line.min()))} to {percent(float(line.max()))}"
        parts.append(f"{brief(name)} from {ends}")
    rarer = plural(found.left_out, "rarer category is", "rarer categories are")
    return Chart(
        brief(feature.name),
        svg(drawn, key, f"Mean probability over {brief(feature.name)}: {'; '.join(parts)}."),
        f"{rarer} not shown." if found.left_out else "",
    )


def _values(
    feature: Feature,
    found: Dependence,
    shown: Sequence[tuple[int, str]],
    limits: tuple[float, float],
    observed: NDArray[np.float64],
) -> Figure:
    rows = len(shown) if len(shown) > 1 else 0
    drawn = figure(190 + LEGEND_ROW * rows)
    plot = axes(drawn, top=8, bottom=34 + LEGEND_ROW * rows + 6 * bool(rows), right=18)
    values = found.values.astype(np.float64).tolist()
    low, high = values[0], values[-1]
    inside = observed[(observed >= low) & (observed <= high)].tolist()
    drawn_at = value_axis(plot.xaxis, values + inside, dates=feature.kind is Kind.DATETIME)
    xs = drawn_at[: len(values)]
    for series, (place, name) in enumerate(shown):
        plot.plot(
            *(xs, found.probabilities[:, place]),
            color=SERIES[series],
            linestyle=DASHES[series],
            marker=MARKERS[series] if len(xs) == 1 else "",
            label=brief(name),
        )
    plot.set_ylim(*limits)
    # Where the rows are: the curve means little where there are few.
    plot.plot(
        *(drawn_at[len(values) :], np.full(len(inside), limits[0]), "|"),
        color=QUIET,
        markersize=9,
        markeredgewidth=1,
        clip_on=False,
    )
    percent_axis(plot.yaxis)
    legend(drawn, plot, rows)
    return drawn


def _levels(
    feature: Feature,
    found: Dependence,
    shown: Sequence[tuple[int, str]],
    limits: tuple[float, float],
    observed: NDArray[np.float64],
) -> Figure:
    del observed
    rows = len(shown) if len(shown) > 1 else 0
    count = len(found.values)
    drawn = figure(max(32 * count + 44, 120) + LEGEND_ROW * rows)
    plot = axes(drawn, left=12, top=6, bottom=32 + LEGEND_ROW * rows + 6 * bool(rows))
    names = [_level(feature, value) for value in found.values]
    for place, name in enumerate(names):
        plot.annotate(
            name, (0, place), (0, 6), xycoords=("axes fraction", "data"), textcoords="offset points"
        )
    for series, (place, name) in enumerate(shown):
        plot.plot(
            *(found.probabilities[:, place], np.arange(count), MARKERS[series]),
            color=SERIES[series],
            markersize=8,
            label=brief(name),
        )
    plot.hlines(np.arange(count), *limits, color=SHADE, linewidth=1, zorder=0)
    plot.set(xlim=limits, ylim=(count - 0.5, -0.8), yticks=[])
    plot.grid(visible=False)
    plot.locator_params(axis="x", nbins=5)
    percent_axis(plot.xaxis)
    legend(drawn, plot, rows)
    return drawn


def _level(feature: Feature, value: Any) -> str:
    if feature.kind is Kind.BOOLEAN:
        return "true" if value else "false"
    return brief(str(value))


def decision_chart(
    found: DecisionMap,
    margins: NDArray[np.float64],
    features: Sequence[Feature],
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
) -> Chart:
    """Which class is answered where, with some of the test rows.

    Args:
        found: the answers.
        margins: see `DecisionMap.margins`.
        features: the two columns.
        points: test rows, (rows, 2).
        labels: the class of each, (rows,).
        classes: the class names.
    """
    answered = margins.argmax(axis=2)
    areas = np.bincount(answered.ravel(), minlength=len(classes)) / answered.size
    picked = np.flatnonzero(~np.isnan(points).any(axis=1))[:SHOWN_POINTS]
    there = np.bincount(labels[picked], minlength=len(classes)) / max(len(picked), 1)
    shown = np.argsort(-areas - there, kind="stable")[: len(SERIES)]
    shown = shown[(areas + there)[shown] > 0]
    drawn = figure(330 + LEGEND_ROW * len(shown))
    plot = axes(drawn, left=54, bottom=58 + LEGEND_ROW * len(shown))
    dates = [feature.kind is Kind.DATETIME for feature in features]
    width, height = len(found.x), len(found.y)
    columns = [*found.x.tolist(), *points[picked, 0].tolist()]
    rows = [*found.y.tolist(), *points[picked, 1].tolist()]
    xs = value_axis(plot.xaxis, columns, dates=dates[0])
    ys = value_axis(plot.yaxis, rows, dates=dates[1])
    for series, place in enumerate(shown.tolist()):
        if areas[place]:
            plot.contourf(
                *(xs[:width], ys[:height], margins[:, :, place]),
                levels=[0, np.inf],
                colors=[SERIES[series]],
                alpha=0.24,
            )
        mine = np.flatnonzero(labels[picked] == place)
        plot.plot(
            *([xs[width + i] for i in mine], [ys[height + i] for i in mine], MARKERS[series]),
            color=SERIES[series],
            markersize=5.5,
            markeredgecolor=CARD,
            markeredgewidth=0.6,
            label=brief(classes[place]),
        )
    for place in shown[areas[shown] > SMALLEST_AREA].tolist():
        row, column = _middle(answered == place)
        plot.annotate(
            brief(classes[place], NAME_EMS),
            (xs[column], ys[row]),
            ha="center",
            va="center",
            weight="bold",
            bbox={"facecolor": CARD, "edgecolor": "none", "alpha": 0.8, "pad": 2},
        )
    plot.set(xlim=(xs[0], xs[width - 1]), ylim=(ys[0], ys[height - 1]))
    plot.set_xlabel(brief(features[0].name))
    plot.grid(visible=False)
    heading(plot, brief(features[1].name))
    legend(drawn, plot, len(shown))
    said = "; ".join(f"{brief(classes[c])} {percent(float(areas[c]))}" for c in shown.tolist())
    hidden = len(classes) - len(shown)
    more = f" {plural(hidden, 'class is', 'classes are')} not marked." if hidden else ""
    return Chart(
        "Decision map",
        svg(drawn, "map", f"Share of the area in which each class is answered: {said}."),
        f"The ground shows which class is answered there, the points are "
        f"{plural(len(picked), 'test row')} with their true class.{more}",
    )


def _middle(region: NDArray[np.bool_]) -> tuple[int, int]:
    """A point of a region that is deep within it: row and column.

    The one that is left when the region is peeled from all sides, the edges of the map included.
    """
    core = region
    while core.any():
        region = core
        padded = np.pad(core, 1)
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    rows, columns = np.nonzero(region)
    middle = len(rows) // 2
    return int(rows[middle]), int(columns[middle])
