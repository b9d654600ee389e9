"""A small table, its split, and a method that needs no installation."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.processes import CommandFailed, Finished
from benchmarks.quality.methods import Answer, Method
from benchmarks.quality.splits import split
from benchmarks.quality.tables import TableFile


class Shares(Method):
    """Answers every row with the same probability of each class."""

    def __init__(self, label="shares", identity="1", error=None):
        self.label, self.identity, self.error = label, identity, error
        self.asked = 0

    def answer(self, split, limit_s, environment=None):
        """See the base class."""
        self.asked += 1
        if self.error:
            raise CommandFailed(self.error)
        classes = tuple(sorted(set(split.labels)))
        probabilities = np.full((len(split.labels), len(classes)), 1 / len(classes))
        return Answer(classes, probabilities, Finished(2.0, 1.5, 1000, ""), 1.0, 0.1)


@pytest.fixture
def method():
    """Makes such a method."""
    return Shares


@pytest.fixture
def table(tmp_path):
    """Forty rows of two classes that one number tells apart."""
    file = tmp_path / "small.csv"
    rows = [f"{row % 2 * 10 + row / 40},{'ab'[row % 3 == 0]},{'ny'[row % 2]}" for row in range(40)]
    file.write_text("\n".join(["size,shape,class", *rows]) + "\n", "utf-8")
    return TableFile("small", file)


@pytest.fixture
def small_split(table, tmp_path):
    """Its split by seed 0."""
    return split(table, 0, tmp_path / "splits")
