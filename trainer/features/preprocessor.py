"""All columns of an example as one row of network inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..data.schema import Examples, Kind, Schema
from ..graph import Graph
from .categorical import CategoryEncoder
from .cyclical import CyclicalEncoder
from .missing import MissingIndicator
from .numeric import RobustScaler, two_valued

BLOCK_CELLS = 2**21
"""Inputs per block, which bounds temporary arrays to 16 MB."""


@dataclass(frozen=True)
class InputLayout:
    """The network's inputs in their order.

    Attributes:
        numbers: number of continuous inputs, robustly scaled; datetimes are among them.
        others: number of the next inputs: two-valued numbers, missing indicators, cyclical datetimes,
            one-hot categories; all between -3 and 3.
        levels: for each further input the number of its indices, for an embedding; index 0 stands for
            rare and unseen levels.
    """

    numbers: int
    others: int
    levels: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of network inputs."""
        return self.numbers + self.others + len(self.levels)


@dataclass(frozen=True)
class Preprocessor:
    """Fitted encoders of all columns.

    Attributes:
        numeric: scales number, datetime and boolean columns.
        categorical: encodes category columns.
        two_valued: number columns with at most two values; they follow the others.
        missing: indicates missing numbers.
        cyclical: encodes time of day, week and year of datetimes.
    """

    numeric: RobustScaler
    categorical: CategoryEncoder
    two_valued: tuple[int, ...] = ()
    missing: MissingIndicator = field(default_factory=MissingIndicator)
    cyclical: CyclicalEncoder = field(default_factory=CyclicalEncoder)

    @classmethod
    def fit(cls, examples: Examples, schema: Schema | None = None) -> Preprocessor:
        """Return the preprocessor of training rows.

        Args:
            examples: the training rows.
            schema: names the datetimes among the number columns; None for no datetimes.
        """
        features = schema.numbers if schema else ()
        datetimes = [i for i, feature in enumerate(features) if feature.kind is Kind.DATETIME]
        return cls(
            RobustScaler.fit(examples.numbers),
            CategoryEncoder.fit(examples.categories),
            two_valued(examples.numbers),
            MissingIndicator.fit(examples.numbers),
            CyclicalEncoder.fit(examples.numbers, datetimes),
        )

    @cached_property
    def layout(self) -> InputLayout:
        """Layout of the network's inputs."""
        continuous = len(self.numeric.center) - len(self.two_valued)
        others = len(self.two_valued) + self.missing.size + self.cyclical.size
        categorical = self.categorical
        return InputLayout(continuous, others + categorical.one_hot_size, categorical.indices)

    @property
    def size(self) -> int:
        """Number of network inputs."""
        return self.layout.size

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """Order of the number columns among the inputs: two-valued columns last."""
        columns = np.arange(len(self.numeric.center))
        return np.concatenate([np.setdiff1d(columns, self.two_valued), self.two_valued]).astype(
            np.int64
        )

    def transform(self, examples: Examples) -> NDArray[np.float32]:
        """Return the network's inputs, float32 (rows, size)."""
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
        start = 0
        for part in (
            self.numeric.transform(numbers)[:, self._order],
            self.missing.transform(numbers),
            self.cyclical.transform(numbers),
        ):
            inputs[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        self.categorical.write(categories, inputs[:, start:])

    def emit(self, graph: Graph) -> str:
        """Add the same computation as nodes, from the graph's inputs ``numbers`` and ``categories``.

        At least one column is needed.
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
                for encoder in (self.missing, self.cyclical)
                if encoder.size
            ]
        if columns := len(self.categorical.vocabularies):
            categories = graph.input("categories", "string", columns)
            parts += self.categorical.emit(graph, categories)
        return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
