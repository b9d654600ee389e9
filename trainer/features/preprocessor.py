"""All columns of an example as one row of network inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..data.schema import Examples, Kind, Schema
from ..graph import Graph
from .categorical import CategoryEncoder
from .cyclical import FourierEncoder
from .missing import MissingIndicator
from .numeric import RobustScaler, two_valued

BLOCK_CELLS = 2**21
"""Inputs made at a time, so that what is needed on the way stays small: 16 MB an array."""


@dataclass(frozen=True)
class InputLayout:
    """Which of the network's inputs are what, in their order.

    Attributes:
        numbers: how many are continuous numbers, robustly scaled; times are among them.
        others: how many come next: numbers of two values, signs of missing numbers, waves of times,
            one-hot categories; all of them lie within -3 and 3.
        levels: of each input after these, how many different indices it has: it is a whole number
            from 0 on, to be looked up in an embedding; 0 is what training has hardly or never seen.
    """

    numbers: int
    others: int
    levels: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many inputs there are."""
        return self.numbers + self.others + len(self.levels)


@dataclass(frozen=True)
class Preprocessor:
    """The fitted encoders of numbers and categories.

    Attributes:
        numeric: scales all number, datetime and boolean columns.
        categorical: encodes the category columns.
        two_valued: which number columns have no more than two values; they come after the others.
        missing: tells where numbers are missing.
        periodic: tells time of day, week and year of datetimes.
    """

    numeric: RobustScaler
    categorical: CategoryEncoder
    two_valued: tuple[int, ...] = ()
    missing: MissingIndicator = field(default_factory=MissingIndicator)
    periodic: FourierEncoder = field(default_factory=FourierEncoder)

    @classmethod
    def fit(cls, examples: Examples, schema: Schema | None = None) -> Preprocessor:
        """The preprocessor of these training rows and no others.

        Args:
            examples: the rows.
            schema: says which of the number columns are datetimes; none are, without it.
        """
        features = schema.numbers if schema else ()
        datetimes = [i for i, feature in enumerate(features) if feature.kind is Kind.DATETIME]
        return cls(
            RobustScaler.fit(examples.numbers),
            CategoryEncoder.fit(examples.categories),
            two_valued(examples.numbers),
            MissingIndicator.fit(examples.numbers),
            FourierEncoder.fit(examples.numbers, datetimes),
        )

    @cached_property
    def layout(self) -> InputLayout:
        """Which inputs are what."""
        continuous = len(self.numeric.center) - len(self.two_valued)
        others = len(self.two_valued) + self.missing.size + self.periodic.size
        categorical = self.categorical
        return InputLayout(continuous, others + categorical.places, categorical.indices)

    @property
    def size(self) -> int:
        """How many network inputs there are."""
        return self.layout.size

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """The number columns as they stand among the inputs: those of two values last."""
        columns = np.arange(len(self.numeric.center))
        return np.concatenate([np.setdiff1d(columns, self.two_valued), self.two_valued]).astype(
            np.int64
        )

    def transform(self, examples: Examples) -> NDArray[np.float32]:
        """The network's inputs, float32 (rows, size)."""
        inputs = np.zeros((len(examples), self.size), np.float32)
        step = max(BLOCK_CELLS // max(self.size, 1), 1)
        for start in range(0, len(examples), step):
            block = slice(start, start + step)
            self._write(examples.numbers[block], examples.categories[block], inputs[block])
        return inputs

    def _write(
        self,
        numbers: NDArray[np.float64],
        categories: NDArray[np.object_],
        inputs: NDArray[np.float32],
    ) -> None:
        place = 0
        for part in (
            self.numeric.transform(numbers)[:, self._order],
            self.missing.transform(numbers),
            self.periodic.transform(numbers),
        ):
            inputs[:, place : place + part.shape[1]] = part
            place += part.shape[1]
        self.categorical.write(categories, inputs[:, place:])

    def emit(self, graph: Graph) -> str:
        """The same as nodes, from the model file's inputs ``numbers`` and ``categories``.

        There must be an input at all.
        """
        parts = []
        if columns := len(self.numeric.center):
            numbers = graph.input("numbers", "double", columns)
            scaled = self.numeric.emit(graph, numbers)
            if (np.diff(self._order) < 0).any():
                order = graph.constant(self._order, "order")
                scaled = graph.add("Gather", scaled, order, axis=1)
            parts.append(scaled)
            parts += [
                encoder.emit(graph, numbers)
                for encoder in (self.missing, self.periodic)
                if encoder.size
            ]
        if columns := len(self.categorical.vocabularies):
            categories = graph.input("categories", "string", columns)
            parts += self.categorical.emit(graph, categories)
        return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
