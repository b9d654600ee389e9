"""A small table, its split, and a method without packages."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.processes import CommandFailed, Finished
from benchmarks.quality.methods import Method, Predictions
from benchmarks.quality.splits import split
from benchmarks.quality.tables import TableFile


class Uniform(Method):
    """Predicts the same probability for each class."""

    def __init__(self, label="uniform", identity="1", error=None):
        self.label, self.identity, self.error = label, identity, error
        self.fits = 0

    def fit_and_predict(self, split, limits):
        """Return the predictions, or raise the error."""
        self.fits += 1
        if self.error:
            raise CommandFailed(self.error)
        classes = tuple(sorted(set(split.labels)))
        probabilities = np.full((len(split.labels), len(classes)), 1 / len(classes))
        return Predictions(classes, probabilities, Finished(2.0, 1.5, 1000, ""), 1.0, 0.1)


@pytest.fixture
def method():
    """Return the class of a method without packages."""
    return Uniform


@pytest.fixture
def table(tmp_path):
    """Write forty rows of two classes that one number separates."""
    file = tmp_path / "small.csv"
    rows = [f"{row % 2 * 10 + row / 40},{'ab'[row % 3 == 0]},{'ny'[row % 2]}" for row in range(40)]
    file.write_text("\n".join(["size,shape,class", *rows]) + "\n", "utf-8")
    return TableFile("small", file)


@pytest.fixture
def small_split(table, tmp_path):
    """Return the split of the table by seed 0."""
    return split(table, 0, tmp_path / "splits")
