"""Cyclical encoding of datetimes: the time of day, week and year, beside the scaled time.

Each informative period gives a few harmonics, a sine and a cosine each: the first terms of a Fourier
series. So 23:59 is close to 00:00, and December to January.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import ELEMENT_TYPES, Graph

DAY_S = 86_400.0

CONCENTRATED = 0.999
"""Mean resultant length from which all phases count as equal: for a normal distribution a deviation
of 10 minutes in the day, 1.2 hours in the week, 2.6 days in the year."""


@dataclass(frozen=True)
class Cycle:
    """A period of time.

    Attributes:
        period_s: its length in seconds.
        harmonics: pairs of sine and cosine; a week has 3, because it has sharp edges.
        repeats: periods that the training data must span. A single year looks like a trend; times of
            day span less than one day.
    """

    period_s: float
    harmonics: int
    repeats: int


CYCLES = (
    Cycle(DAY_S, harmonics=2, repeats=0),
    Cycle(7 * DAY_S, harmonics=3, repeats=2),
    Cycle(365.2425 * DAY_S, harmonics=2, repeats=2),  # the mean Gregorian year
)


@dataclass(frozen=True)
class Wave:
    """sin(2 pi (x / period + shift)) of one column; a shift of a quarter makes it a cosine."""

    column: int
    period_s: float
    shift: float


@dataclass(frozen=True)
class CyclicalEncoder:
    """One input per wave; a missing x gives 0.

    Attributes:
        waves: in the order of the inputs.
    """

    waves: tuple[Wave, ...] = ()

    @classmethod
    def fit(cls, numbers: NDArray[np.float64], datetimes: Iterable[int]) -> CyclicalEncoder:
        """Return the encoder of training rows.

        Args:
            numbers: (rows, columns), NaN where missing.
            datetimes: indices of the columns with seconds since 1970.
        """
        return cls(tuple(wave for column in datetimes for wave in _waves(column, numbers)))

    @property
    def size(self) -> int:
        """Number of network inputs."""
        return len(self.waves)

    def _arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return column, period and shift of each wave, (size,) each."""
        return (
            np.array([wave.column for wave in self.waves], np.int64),
            np.array([wave.period_s for wave in self.waves], np.float64),
            np.array([wave.shift for wave in self.waves], np.float64),
        )

    def transform(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the inputs, float32 (rows, size), of seconds (rows, columns)."""
        columns, periods, shifts = self._arrays()
        turns = numbers[:, columns] / periods + shifts
        # In double up to here, because float32 resolves today's seconds only to two minutes.
        phase = (turns - np.floor(turns)).astype(np.float32)
        waves: NDArray[np.float32] = np.sin(phase * np.float32(2 * np.pi))
        waves[np.isnan(waves)] = 0
        return waves

    def emit(self, graph: Graph, numbers: str) -> str:
        """Add the same computation as nodes, from a double input (N, columns)."""
        columns, periods, shifts = self._arrays()
        x = graph.add("Gather", numbers, graph.constant(columns, "times"), axis=1)
        turns = graph.add("Div", x, graph.constant(periods, "periods"))
        turns = graph.add("Add", turns, graph.constant(shifts, "shifts"))
        phase = graph.add("Sub", turns, graph.add("Floor", turns))
        phase = graph.add("Cast", phase, to=ELEMENT_TYPES["float"])
        circle = graph.constant(np.float32(2 * np.pi), "circle")
        waves = graph.add("Sin", graph.add("Mul", phase, circle))
        zero = graph.constant(np.float32(0), "zero")
        return graph.add("Where", graph.add("IsNaN", waves), zero, waves)


def _waves(column: int, numbers: NDArray[np.float64]) -> Iterator[Wave]:
    """Yield the waves that are informative for a column's training rows."""
    known = numbers[:, column][~np.isnan(numbers[:, column])]
    if not len(known):
        return
    span_s = np.ptp(known / 2) * 2  # computed on halves, which can't overflow before the last step
    for cycle in CYCLES:
        if span_s < cycle.repeats * cycle.period_s or _is_one_phase(known / cycle.period_s):
            continue
        for harmonic in range(1, cycle.harmonics + 1):
            for shift in (0.0, 0.25):
                yield Wave(column, cycle.period_s / harmonic, shift)


def _is_one_phase(turns: NDArray[np.float64]) -> bool:
    """Return whether all phases are nearly equal, by the mean resultant length.

    The length of the mean of the unit vectors (Mardia, Jupp, Directional Statistics, 2000, 2.3).
    """
    angle = 2 * np.pi * (turns - np.floor(turns))
    return bool(np.hypot(np.cos(angle).mean(), np.sin(angle).mean()) > CONCENTRATED)
