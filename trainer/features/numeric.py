"""Numbers as network inputs: robust scaling, imputation by the median, smooth clipping.

Robust scaling and smooth clipping as in RealMLP (Holzmueller, Grinsztajn, Steinwart 2024,
arXiv:2407.04491, appendix A).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import ELEMENT_TYPES, Graph

CLIP = 1e6
"""Bound of scaled values before they are squared, because float32 overflows at 3.4e38."""

BOUND = 3.0
"""Bound that the smooth clip approaches."""


@dataclass(frozen=True)
class RobustScaler:
    """z = u / sqrt(1 + (u / 3)^2) with u = (x - center) * factor; a missing x gives z = 0.

    The center gives 0 too, so a missing value counts as the training median.

    Attributes:
        center: median per column, float64 (columns,).
        factor: 1 / interquartile range; if that is 0, 2 / range; 0 for a constant column; float64
            (columns,).
    """

    center: NDArray[np.float64]
    factor: NDArray[np.float64]

    @classmethod
    def fit(cls, numbers: NDArray[np.float64]) -> RobustScaler:
        """Return the scaler of training rows.

        Args:
            numbers: (rows, columns), NaN where missing; a column without numbers is centered at 0.
        """
        columns = numbers.shape[1]
        center, factor = np.zeros(columns), np.zeros(columns)
        for index in range(columns):
            known = numbers[:, index][~np.isnan(numbers[:, index])]
            if not len(known):
                continue
            # Computed on quarters, because the distance of two values of 1e308 overflows float64.
            low, q25, median, q75, high = np.quantile(
                known / 4, [0, 0.25, 0.5, 0.75, 1], overwrite_input=True
            )
            spread = (q75 - q25) or (high - low) / 2
            center[index] = 4 * median
            # A subnormal spread would give an infinite factor.
            factor[index] = 0.25 / spread if spread > np.finfo(np.float64).tiny else 0.0
        return cls(center, factor)

    def transform(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the inputs, float32 (rows, columns), of numbers (rows, columns)."""
        # In double up to here, because float32 can't tell large numbers apart.
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (numbers - self.center) * self.factor
            u: NDArray[np.float32] = scaled.astype(np.float32)
        u[np.isnan(u)] = 0
        np.clip(u, -CLIP, CLIP, out=u)
        bent = u * np.float32(1 / BOUND)
        return np.divide(u, np.sqrt(bent * bent + np.float32(1)), out=u)

    def emit(self, graph: Graph, numbers: str) -> str:
        """Add the same computation as nodes, from a double input (N, columns)."""
        centered = graph.add("Sub", numbers, graph.constant(self.center, "center"))
        scaled = graph.add("Mul", centered, graph.constant(self.factor, "factor"))
        u = graph.add("Cast", scaled, to=ELEMENT_TYPES["float"])
        zero = graph.constant(np.float32(0), "zero")
        u = graph.add("Where", graph.add("IsNaN", u), zero, u)
        bounds = [graph.constant(np.float32(bound), "bound") for bound in (-CLIP, CLIP)]
        u = graph.add("Clip", u, *bounds)
        bent = graph.add("Mul", u, graph.constant(np.float32(1 / BOUND), "bend"))
        square = graph.add("Mul", bent, bent)
        root = graph.add("Sqrt", graph.add("Add", square, graph.constant(np.float32(1), "one")))
        return graph.add("Div", u, root)


def two_valued(numbers: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the columns of (rows, columns) with at most two distinct numbers, such as booleans."""
    found = []
    for index, column in enumerate(numbers.T):
        low, high = np.fmin.reduce(column, initial=np.nan), np.fmax.reduce(column, initial=np.nan)
        if ((column == low) | (column == high) | np.isnan(column)).all():
            found.append(index)
    return tuple(found)
