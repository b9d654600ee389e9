"""Small evidence for reports: a model of a few lines, rows by chance, whatever names one likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pigeonhole.trainer.data.schema import Examples, Feature, Kind, Schema
from pigeonhole.trainer.evaluation.intervals import Answers
from pigeonhole.trainer.fitting.history import History
from pigeonhole.trainer.report.inputs import DrawnLayer, ReportInputs

TEXTS = ["", "plain", "<b>bold</b>", "$x_1$", "x" * 200, "\u202eturned"]

MakeEvidence = Callable[..., ReportInputs]


@pytest.fixture(scope="session")
def make_evidence() -> MakeEvidence:
    """Makes evidence: see `small_evidence`."""
    return small_evidence


def small_evidence(
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
    """Evidence of a linear model with fixed weights.

    Args:
        features: of the rows.
        classes: the class names.
        count: how many rows there are.
        numbers: theirs; by chance where None.
        labels: theirs; by chance where None.
        more: other fields of the evidence.
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

    stated = {"name": "pets", "table": "pets.csv", "answers": Answers.likeliest(predict(test))}
    return ReportInputs(schema=schema, test=test, predict=predict, **stated | more)


@pytest.fixture
def history() -> History:
    """Three epochs, of which the second was best."""
    falling = np.array([0.9, 0.5, 0.4])
    return History(falling, falling + 0.1, 1 - falling, falling, falling, 2, "all epochs")


@pytest.fixture
def layers() -> tuple[DrawnLayer, ...]:
    """Two inputs, three hidden units, two classes."""
    rng = np.random.default_rng(0)
    return (
        DrawnLayer("Inputs", 2),
        DrawnLayer("Dense, relu", 3, rng.normal(size=(2, 3))),
        DrawnLayer("Dense, softmax", 2, rng.normal(size=(3, 2))),
    )
