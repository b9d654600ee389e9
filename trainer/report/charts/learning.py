"""Charts of the fit: loss and accuracy by epoch, and the layers of the network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

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
from ..formatting import fit_width, percent
from ..inputs import DrawnLayer

HEIGHT = 250

SHOWN_UNITS = 8
"""Most circles of a layer; a wider layer shows some of its units."""

SHOWN_LAYERS = 9
"""Most layers in the drawing: the first ones and the last."""

UNIT_HEIGHT = 34
"""Pixels of a circle with the space around it."""

WIDEST_LINE = 4.0
"""Pixels of the line of the largest weight."""


def loss_curves(history: History) -> Chart:
    """Return training and validation loss by epoch."""
    drawn = figure(HEIGHT + 2 * LEGEND_ROW)
    plot = axes(drawn, bottom=50 + 2 * LEGEND_ROW)
    epochs = np.arange(1, len(history.loss) + 1)
    _line(plot, 0, epochs, history.loss, "training")
    if (known := ~np.isnan(history.validation_loss)).any():
        _line(plot, 1, epochs[known], history.validation_loss[known], "validation")
    _mark_best_epoch(plot, history)
    heading(plot, "loss")
    legend(drawn, plot, 2)
    best = history.best_epoch - 1
    alt = (
        f"Loss over {len(epochs)} epochs: training from {history.loss[0]:.4f} to "
        f"{history.loss[-1]:.4f}; validation {history.validation_loss[best]:.4f} in epoch "
        f"{history.best_epoch}, whose weights were kept."
    )
    return Chart(
        "Loss",
        svg(drawn, "loss", alt),
        "The vertical line marks the epoch whose weights were kept. The training loss is measured "
        "with dropout, so it may be above the validation loss.",
    )


def accuracy_curve(history: History) -> Chart | None:
    """Return the validation accuracy by epoch; None without validation rows."""
    known = ~np.isnan(history.validation_accuracy)
    if not known.any():
        return None
    drawn = figure(HEIGHT)
    plot = axes(drawn, bottom=48)
    epochs, values = np.arange(1, len(known) + 1)[known], history.validation_accuracy[known]
    _line(plot, 1, epochs, values, "")
    _mark_best_epoch(plot, history)
    percent_axis(plot.yaxis)
    heading(plot, "accuracy")
    best = float(history.validation_accuracy[history.best_epoch - 1])
    alt = (
        f"Validation accuracy over {len(known)} epochs: from {percent(float(values[0]))} to "
        f"{percent(float(values[-1]))}; {percent(best)} in epoch {history.best_epoch}."
    )
    return Chart("Validation accuracy", svg(drawn, "validation-accuracy", alt))


def _line(
    plot: Axes, series: int, epochs: NDArray[np.int64], values: NDArray[np.float64], name: str
) -> None:
    marker = MARKERS[series] if len(epochs) == 1 else ""
    plot.plot(
        *(epochs, values),
        color=SERIES[series],
        linestyle=DASHES[series],
        marker=marker,
        label=name,
    )


def _mark_best_epoch(plot: Axes, history: History) -> None:
    plot.axvline(history.best_epoch, color=QUIET, linewidth=1.5, linestyle=DASHES[2])
    plot.set_xlabel("epoch")
    if len(history.loss) == 1:
        plot.set_xticks([1])
    else:
        plot.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    plot.yaxis.set_major_locator(MaxNLocator(5))


def network_drawing(layers: Sequence[DrawnLayer], members: int) -> Chart:
    """Return the layers as columns of circles; lines show the weights of small networks.

    Args:
        layers: of the network, the inputs first.
        members: number of networks with these layers.
    """
    shown = [*layers[: SHOWN_LAYERS - 1], layers[-1]] if len(layers) > SHOWN_LAYERS else layers
    positions = [_unit_positions(layer.units) for layer in shown]
    rows = 2 * max(float(ys.max()) for ys in positions) + 1
    drawn = figure(UNIT_HEIGHT * rows + 30)
    plot = axes(drawn, left=24, right=24, top=0, bottom=30)
    plot.set_axis_off()
    plot.set(xlim=(-0.15, len(shown) - 0.85), ylim=(-rows / 2, rows / 2))
    shows_weights = False
    for step, (left, right) in enumerate(pairwise(positions)):
        layer, units_before = shown[step + 1], shown[step].units
        if layer.kernel is not None and layer.kernel.shape == (len(left), len(right)):
            _draw_weights(plot, step, left, right, layer.kernel)
            shows_weights = True
        else:
            _draw_connections(plot, step, left, right, layer, units_before)
    for column, (layer, ys) in enumerate(zip(shown, positions, strict=True)):
        _draw_units(plot, column, layer, ys)
    names = ", ".join(f"{fit_width(layer.name)} with {layer.units:,} units" for layer in layers)
    omitted = len(layers) - len(shown)
    notes = [
        "Each column is a layer with its number of units, from the inputs to the classes.",
        "Wider lines are larger weights; dashed lines are negative." if shows_weights else "",
        f"{omitted} layers before the last are not drawn." if omitted else "",
        f"The prediction is the mean of {members} networks with these layers."
        if members > 1
        else "",
    ]
    return Chart(
        "Layers", svg(drawn, "network", f"The network: {names}."), " ".join(filter(None, notes))
    )


def _unit_positions(units: int) -> NDArray[np.float64]:
    """Return the heights of a layer's circles; a wide layer has a gap in the middle."""
    if units <= SHOWN_UNITS:
        return (units - 1) / 2 - np.arange(units, dtype=np.float64)
    half = np.arange(1, SHOWN_UNITS // 2, dtype=np.float64)
    return np.concatenate([half[::-1], -half])


def _draw_units(plot: Axes, column: int, layer: DrawnLayer, ys: NDArray[np.float64]) -> None:
    """Draw a layer's circles, with its number of units below."""
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
        plot.plot(*([column] * 3, [-0.22, 0, 0.22], MARKERS[0]), color=INK, markersize=2, zorder=3)
    plot.annotate(
        f"{layer.units:,}",
        (column, 0),
        (0, 2),
        xycoords=("data", "figure pixels"),
        textcoords="offset points",
        ha="center",
        va="bottom",
    )


def _draw_weights(
    plot: Axes,
    step: int,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    kernel: NDArray[Any],
) -> None:
    """Draw a line for each weight between two layers."""
    largest = float(np.abs(kernel).max()) or 1.0
    for i, start in enumerate(left):
        for j, end in enumerate(right):
            weight = float(kernel[i, j])
            plot.plot(
                *([step, step + 1], [start, end]),
                color=SERIES[0] if weight >= 0 else SERIES[1],
                linestyle="solid" if weight >= 0 else DASHES[1],
                linewidth=max(WIDEST_LINE * abs(weight) / largest, 0.2),
            )


def _draw_connections(
    plot: Axes,
    step: int,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    layer: DrawnLayer,
    units_before: int,
) -> None:
    """Draw thin lines between two layers; a layer without a kernel connects unit to unit."""
    is_elementwise = layer.kernel is None and units_before == layer.units
    pairs = (
        zip(left, right, strict=True) if is_elementwise else ((a, b) for a in left for b in right)
    )
    xs, ys = [], []
    for start, end in pairs:
        # NaN separates the lines: one path for all of them keeps the file small.
        xs += [step, step + 1, np.nan]
        ys += [start, end, np.nan]
    plot.plot(xs, ys, color=QUIET, linewidth=0.5)
