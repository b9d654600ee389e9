"""Small inputs of reports: a linear model, random rows and any names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pigeonhole.trainer.data.schema import Examples, Feature, Kind, Schema
from pigeonhole.trainer.evaluation.intervals import Predictions
from pigeonhole.trainer.fitting.history import History
from pigeonhole.trainer.report.inputs import DrawnLayer, ReportInputs

TEXTS = ["", "plain", "<b>bold</b>", "$x_1$", "x" * 200, "\u202eturned"]

MakeInputs = Callable[..., ReportInputs]


@pytest.fixture(scope="session")
def make_inputs() -> MakeInputs:
    """Makes the inputs of a report, see `small_inputs`."""
    return small_inputs


def small_inputs(
    features: Sequence[Feature] = (
        Feature("height", Kind.NUMBER, required=True),
        Feature("hair", Kind.CATEGORY, required=False),
    ),
    classes: tuple[str, ...] = ("cat", "dog"),
    count: int = 40,
    numbers: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    **more: Any,
) -> ReportInputs:
    """Return the inputs of a report on a linear model with fixed weights.

    Args:
        features: of the rows.
        classes: the class names.
        count: number of rows.
        numbers: of the rows; random where None.
        labels: of the rows; random where None.
        more: other fields of the inputs.
    """
    rng = np.random.default_rng(0)
    schema = Schema(tuple(features), "kind", classes)
    n, m = len(schema.numbers), len(schema.categories)
    test = Examples(
        rng.normal(size=(count, n)) if numbers is None else numbers,
        rng.choice(np.array(TEXTS, dtype=object), (count, m)),
        rng.integers(0, len(classes), count) if labels is None else labels,
    )
    weights = rng.normal(size=(n + m, len(classes)))

    def predict(examples: Examples) -> np.ndarray:
        lengths = np.array([[len(text) / 100 for text in line] for line in examples.categories])
        x = np.nan_to_num(examples.numbers).clip(-10, 10)
        z = np.concatenate([x, lengths.reshape(len(x), m)], axis=1) @ weights
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)

    usual = {
        "name": "pets",
        "table": "pets.csv",
        "predictions": Predictions.most_likely(predict(test)),
    }
    return ReportInputs(schema=schema, test=test, predict=predict, **usual | more)


@pytest.fixture
def history() -> History:
    """Three epochs, the second of which was best."""
    falling = np.array([0.9, 0.5, 0.4])
    return History(falling, falling + 0.1, 1 - falling, falling, falling, 2, "the epoch limit")


@pytest.fixture
def layers() -> tuple[DrawnLayer, ...]:
    """Two inputs, three hidden units, two classes."""
    rng = np.random.default_rng(0)
    return (
        DrawnLayer("Inputs", 2),
        DrawnLayer("Dense, relu", 3, rng.normal(size=(2, 3))),
        DrawnLayer("Dense, softmax", 2, rng.normal(size=(3, 2))),
    )
