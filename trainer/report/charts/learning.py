"""How the network was fitted, and what it is: learning curves, layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ...fitting.history import History
from ..drawing import (
    CARD,
    DASHES,
    INK,
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
from ..formatting import brief, percent
from ..inputs import DrawnLayer

HEIGHT = 250

SHOWN_UNITS = 8
"""Circles of a layer at most; of a wider one some stand for all."""

SHOWN_LAYERS = 9
"""Layers that are drawn: the first ones and the last."""

UNIT = 34
"""Pixels for a circle and what is around it."""

HEAVIEST = 4.0
"""Width of the line of the largest weight."""


def loss_curves(history: History) -> Chart:
    """Training and validation loss over the epochs."""
    drawn = figure(HEIGHT + 2 * LEGEND_ROW)
    plot = axes(drawn, bottom=50 + 2 * LEGEND_ROW)
    epochs = np.arange(1, len(history.loss) + 1)
    _line(plot, 0, epochs, history.loss, "of the fit")
    if (known := ~np.isnan(history.validation_loss)).any():
        _line(plot, 1, epochs[known], history.validation_loss[known], "on validation rows")
    _best(plot, history)
    heading(plot, "loss")
    legend(drawn, plot, 2)
    best = history.best_epoch - 1
    alt = (
        f"Loss over {len(epochs)} epochs: of the fit from {history.loss[0]:.4f} to "
        f"{history.loss[-1]:.4f}; on validation rows {history.validation_loss[best]:.4f} in epoch "
        f"{history.best_epoch}, whose weights were kept."
    )
    return Chart(
        "Loss",
        svg(drawn, "loss", alt),
        "The upright line is the epoch whose weights were kept. The loss of the fit is measured "
        "with dropout, so it may lie above the other.",
    )


def accuracy_curve(history: History) -> Chart | None:
    """Validation accuracy over the epochs; None where none was measured."""
    known = ~np.isnan(history.validation_accuracy)
    if not known.any():
        return None
    drawn = figure(HEIGHT)
    plot = axes(drawn, bottom=48)
    epochs, values = np.arange(1, len(known) + 1)[known], history.validation_accuracy[known]
    _line(plot, 1, epochs, values, "")
    _best(plot, history)
    percent_axis(plot.yaxis)
    heading(plot, "accuracy")
    best = float(history.validation_accuracy[history.best_epoch - 1])
    alt = (
        f"Accuracy on validation rows over {len(known)} epochs: from {percent(float(values[0]))} to "
        f"{percent(float(values[-1]))}; {percent(best)} in epoch {history.best_epoch}."
    )
    return Chart("Accuracy on validation rows", svg(drawn, "validation-accuracy", alt))


def _line(
    plot: Axes, place: int, epochs: NDArray[np.int64], values: NDArray[np.float64], name: str
) -> None:
    marker = MARKERS[place] if len(epochs) == 1 else ""
    plot.plot(
        *(epochs, values),
        color=SERIES[place],
        linestyle=DASHES[place],
        marker=marker,
        label=name,
    )


def _best(plot: Axes, history: History) -> None:
    plot.axvline(history.best_epoch, color=QUIET, linewidth=1.5, linestyle=DASHES[2])
    plot.set_xlabel("epoch")
    if len(history.loss) == 1:
        plot.set_xticks([1])
    else:
        plot.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    plot.yaxis.set_major_locator(MaxNLocator(5))


def network_drawing(layers: Sequence[DrawnLayer], members: int) -> Chart:
    """The layers as columns of circles; small networks with their weights as lines."""
    shown = [*layers[: SHOWN_LAYERS - 1], layers[-1]] if len(layers) > SHOWN_LAYERS else layers
    places = [_places(layer.units) for layer in shown]
    rows = 2 * max(float(ys.max()) for ys in places) + 1
    drawn = figure(UNIT * rows + 30)
    plot = axes(drawn, left=24, right=24, top=0, bottom=30)
    plot.set_axis_off()
    plot.set(xlim=(-0.15, len(shown) - 0.85), ylim=(-rows / 2, rows / 2))
    weighed = False
    for step, (left, right) in enumerate(pairwise(places)):
        weighed |= _connect(plot, step, left, right, shown[step + 1], shown[step].units)
    for column, (layer, ys) in enumerate(zip(shown, places, strict=True)):
        plot.plot(
            *(np.full(len(ys), column), ys, MARKERS[0]),
            color=INK,
            markerfacecolor=CARD,
            markersize=11,
            markeredgewidth=1.5,
            clip_on=False,
            zorder=3,
        )
        if layer.units > SHOWN_UNITS:
            plot.plot(
                *([column] * 3, [-0.22, 0, 0.22], MARKERS[0]), color=INK, markersize=2, zorder=3
            )
        plot.annotate(
            f"{layer.units:,}",
            (column, 0),
            (0, 2),
            xycoords=("data", "figure pixels"),
            textcoords="offset points",
            ha="center",
            va="bottom",
        )
    said = ", ".join(f"{brief(layer.name)} with {layer.units:,} units" for layer in layers)
    ensemble = f" {members} networks of these layers answer together." if members > 1 else ""
    left_out = len(layers) - len(shown)
    notes = [
        "Each column is a layer with its number of units, from the inputs to the classes.",
        "A line's strength is that of its weight; broken lines are negative." if weighed else "",
        f"{left_out} layers before the last are not drawn." if left_out else "",
    ]
    return Chart(
        "Layers",
        svg(drawn, "network", f"The network: {said}.{ensemble}"),
        " ".join(filter(None, notes)) + ensemble,
    )


def _places(units: int) -> NDArray[np.float64]:
    """Where the circles of a layer are; with a gap in the middle where some stand for all."""
    if units <= SHOWN_UNITS:
        return (units - 1) / 2 - np.arange(units, dtype=np.float64)
    half = np.arange(1, SHOWN_UNITS // 2, dtype=np.float64)
    return np.concatenate([half[::-1], -half])


def _connect(
    plot: Axes,
    step: int,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    layer: DrawnLayer,
    before: int,
) -> bool:
    """Lines from a layer to the next; whether they show weights."""
    kernel = layer.kernel
    if kernel is not None and kernel.shape == (len(left), len(right)):
        largest = float(np.abs(kernel).max()) or 1.0
        for i, start in enumerate(left):
            for j, end in enumerate(right):
                weight = float(kernel[i, j])
                plot.plot(
                    *([step, step + 1], [start, end]),
                    color=SERIES[0] if weight >= 0 else SERIES[1],
                    linestyle="solid" if weight >= 0 else DASHES[1],
                    linewidth=max(HEAVIEST * abs(weight) / largest, 0.2),
                )
        return True
    # One stroke for all lines keeps the drawing small; a layer without a kernel goes unit by unit.
    straight = kernel is None and before == layer.units
    pairs = zip(left, right, strict=True) if straight else ((a, b) for a in left for b in right)
    xs, ys = [], []
    for start, end in pairs:
        xs += [step, step + 1, np.nan]
        ys += [start, end, np.nan]
    plot.plot(xs, ys, color=QUIET, linewidth=0.5)
    return False
