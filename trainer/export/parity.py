"""The exported file run by onnxruntime, and held against the network it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..classifier import FittedClassifier
from ..data.schema import Examples
from ..errors import ExportError

TOLERANCE = 1e-5
"""How far a probability may be from numpy's: both compute in float32."""

BATCH = 4096
"""Rows in one run, so that memory does not grow with the table."""

FATAL_ONLY = 4


class ExportedModel:
    """A serialized model run as the service runs it.

    Args:
        content: the bytes of the file.
    """

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = FATAL_ONLY
        # One thread adds up in one order: the same file on the same rows gives the same bits.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [declared.name for declared in self._session.get_inputs()]

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata, each value JSON."""
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def run(self, examples: Examples) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Labels, str objects (rows,), and probabilities, float32 (rows, classes)."""
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


def awkward_rows(classifier: FittedClassifier, rows: Examples) -> Examples:
    """Rows that a careless graph gets wrong: gaps, unseen categories, huge and tiny numbers."""
    n, m = len(classifier.schema.numbers), len(classifier.schema.categories)
    fills = [(np.nan, ""), (0.0, "never seen"), (1e30, ""), (-1e30, "\x1f"), (1e308, "é" * 300)]
    fills += [(5e-324, "0\x1f"), (-0.0, " "), (2.0**53 + 1, "nan")]
    numbers = np.array([[number] * n for number, _ in fills]).reshape(len(fills), n)
    categories = np.array([[text] * m for _, text in fills], dtype=object).reshape(len(fills), m)
    # And real rows with one gap after the other.
    some = rows.take(np.arange(min(len(rows), n + m)))
    gap_numbers, gap_categories = some.numbers.copy(), some.categories.copy()
    for index in range(len(some)):
        if index < n:
            gap_numbers[index, index] = np.nan
        else:
            gap_categories[index, index - n] = ""
    return Examples(
        np.vstack([numbers, gap_numbers]),
        np.vstack([categories, gap_categories]),
        np.zeros(len(fills) + len(some), dtype=np.int64),
    )


def check_parity(classifier: FittedClassifier, exported: ExportedModel, rows: Examples) -> float:
    """Run both on these rows, on awkward ones and on none; the largest gap of a probability.

    Raises:
        ExportError: for a probability further away than ``TOLERANCE``, or another label where
            the two likeliest classes are not tied.
    """
    largest = 0.0
    empty = rows.take(np.arange(0))
    for examples in (rows, awkward_rows(classifier, rows), empty):
        wanted = classifier.probabilities(examples)
        labels, got = exported.run(examples)
        if got.shape != wanted.shape:
            raise ExportError(f"the file answers with shape {got.shape}, not {wanted.shape}")
        if not len(examples):
            continue
        gap = float(np.abs(got - wanted).max())
        if not gap <= TOLERANCE:
            raise ExportError(
                f"the file's probabilities are up to {gap:.2g} from the network's, "
                f"at most {TOLERANCE:g} is accepted; very large weights can do this: lower the "
                "learning rate"
            )
        names = np.array(classifier.schema.classes, dtype=object)
        differs = (labels != names[classifier.predicted(wanted)]) & ~_tied(classifier, wanted)
        if differs.any():
            raise ExportError(f"the file labels row {int(differs.argmax())} differently")
        largest = max(largest, gap)
    return largest


def _tied(classifier: FittedClassifier, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """For which rows a difference within tolerance may change the answer, (rows,)."""
    if threshold := classifier.threshold:
        margins = np.abs(probabilities[:, threshold.positive] - threshold.value)
    else:
        second, first = np.sort(probabilities, axis=1)[:, -2:].T
        margins = first - second
    tied: NDArray[np.bool_] = margins <= 2 * TOLERANCE
    return tied
