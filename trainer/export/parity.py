"""Runs the exported file by onnxruntime and compares it with its network."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..classifier import FittedClassifier
from ..data.schema import Examples
from ..errors import ExportError

TOLERANCE = 1e-5
"""Largest difference between a probability of the file and of numpy; both compute in float32."""

BATCH = 4096
"""Rows of one run, so that memory does not grow with the table."""

FATAL_ONLY = 4


class ExportedModel:
    """A model file in onnxruntime, run as the service runs it.

    Args:
        content: the bytes of the file.
    """

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = FATAL_ONLY
        # One thread sums in one order, so the same file and rows give the same bits.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [declared.name for declared in self._session.get_inputs()]

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata; each value is JSON."""
        metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return metadata

    def run(self, examples: Examples) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return labels, str objects (rows,), and probabilities, float32 (rows, classes)."""
        labels, probabilities = [], []
        for start in range(0, max(len(examples), 1), BATCH):
            part = examples.take(np.arange(start, min(start + BATCH, len(examples))))
            feeds = {"numbers": part.numbers, "categories": part.categories}
            label, probability = self._session.run(
                ["label", "probabilities"], {name: feeds[name] for name in self._inputs}
            )
            labels.append(label)
            probabilities.append(probability)
        return np.concatenate(labels), np.concatenate(probabilities)


def edge_case_rows(classifier: FittedClassifier, rows: Examples) -> Examples:
    """Return rows with missing values, unseen categories, and huge and tiny numbers."""
    n, m = len(classifier.schema.numbers), len(classifier.schema.categories)
    fills = [(np.nan, ""), (0.0, "never seen"), (1e30, ""), (-1e30, "\x1f"), (1e308, "é" * 300)]
    fills += [(5e-324, "0\x1f"), (-0.0, " "), (2.0**53 + 1, "nan")]
    numbers = np.array([[number] * n for number, _ in fills]).reshape(len(fills), n)
    categories = np.array([[text] * m for _, text in fills], dtype=object).reshape(len(fills), m)
    # Then real rows, each with one missing value.
    real = rows.take(np.arange(min(len(rows), n + m)))
    gap_numbers, gap_categories = real.numbers.copy(), real.categories.copy()
    for index in range(len(real)):
        if index < n:
            gap_numbers[index, index] = np.nan
        else:
            gap_categories[index, index - n] = ""
    return Examples(
        np.vstack([numbers, gap_numbers]),
        np.vstack([categories, gap_categories]),
        np.zeros(len(fills) + len(real), dtype=np.int64),
    )


def check_parity(classifier: FittedClassifier, exported: ExportedModel, rows: Examples) -> float:
    """Compare both on these rows, on edge cases and on no rows; return the largest difference.

    Raises:
        ExportError: a probability differs by more than ``TOLERANCE``, or a label differs although
            its two most likely classes are not tied.
    """
    largest = 0.0
    empty = rows.take(np.arange(0))
    for examples in (rows, edge_case_rows(classifier, rows), empty):
        expected = classifier.probabilities(examples)
        labels, got = exported.run(examples)
        if got.shape != expected.shape:
            raise ExportError(
                f"the file's probabilities have shape {got.shape}, expected {expected.shape}"
            )
        if not len(examples):
            continue
        gap = float(np.abs(got - expected).max())
        if not gap <= TOLERANCE:
            raise ExportError(
                f"the file's probabilities differ from the network's by up to {gap:.2g}, expected "
                f"at most {TOLERANCE:g}; very large weights may be the cause: lower the learning rate"
            )
        names = np.array(classifier.schema.classes, dtype=object)
        differs = (labels != names[classifier.predicted(expected)]) & ~_tied(classifier, expected)
        if differs.any():
            raise ExportError(
                f"the file's label of row {int(differs.argmax())} differs from the network's"
            )
        largest = max(largest, gap)
    return largest


def _tied(classifier: FittedClassifier, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return for which rows a difference within the tolerance may change the label, (rows,)."""
    if threshold := classifier.threshold:
        margins = np.abs(probabilities[:, threshold.positive] - threshold.value)
    else:
        second, first = np.sort(probabilities, axis=1)[:, -2:].T
        margins = first - second
    tied: NDArray[np.bool_] = margins <= 2 * TOLERANCE
    return tied
