"""Checks of a model at load time. A model that fails one of them does not go live.

replay_golden_rows     the model still gives the answers that the trainer recorded
warm_up                the model runs and returns probabilities; its run time is measured
check_class_names      the inferred class names agree with the graph's own labels
rows_are_independent   a row gets the same answer alone and beside other rows
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..errors import InvalidRows, ModelRejected, PredictionFailed
from .columns import Columns, Prediction
from .metadata import GoldenRow
from .session import Session, one_line
from .signature import Kind, Signature
from .validation import columns_from_values

GOLDEN_TOLERANCE = 1e-4
"""Allowed difference of a golden row's probability: machines round differently."""

INDEPENDENCE_TOLERANCE = 1e-5
"""Allowed difference of a row's probability beside other rows: sums may run in another order."""

SUM_TOLERANCE = 1e-3
"""Allowed difference of a row's sum of probabilities from 1: float32 over many classes."""

LABEL_TOLERANCE = 1e-4
"""Two classes whose probabilities differ by less may be swapped in the graph's label by rounding."""

WARM_UP_RUNS = 5
"""Runs of one row, and runs of several rows. The quickest one counts, because other work of the
machine only adds time."""

WARM_UP_ROWS = 64
"""Limit of rows in a run of several: enough to measure the time that each row adds."""

WARM_UP_SECONDS = 0.02
"""Rough time budget for the runs of several rows. A slow model gets two rows."""

PROBE_SIZES = (1, 10, 100, 1000, None)
"""Magnitudes of the numbers in probe rows. None is a random magnitude for each number."""

PROBE_ROWS = 8
"""Rows for each combination of magnitude, sign and rounding."""


@dataclass(frozen=True)
class RunTime:
    """The measured time of a run on an idle core.

    Attributes:
        run_seconds: a run of one row.
        row_seconds: what each further row adds.
    """

    run_seconds: float
    row_seconds: float


def sample_rows(signature: Signature, golden_rows: Sequence[GoldenRow]) -> Columns:
    """Return two rows to try the model with: golden rows, or else placeholders."""
    if golden_rows:
        values = [golden_rows[0].row, golden_rows[-1].row]
    else:
        values = [_placeholder_row(signature, number) for number in (0, 1)]
    return columns_from_values(signature, values)


def replay_golden_rows(
    session: Session, signature: Signature, golden_rows: Sequence[GoldenRow]
) -> None:
    """Reject a model that answers its golden rows differently on this machine.

    A label may differ if the row is within the tolerance of the border between two classes.

    Raises:
        ModelRejected: a probability or a label differs, or the rows don't fit the signature.
    """
    if not golden_rows:
        return
    try:
        columns = columns_from_values(signature, [golden.row for golden in golden_rows])
        prediction = session.run(columns)
        graph_labels = _graph_labels(session, signature, columns)
    except (InvalidRows, PredictionFailed) as error:
        raise ModelRejected(f"the golden rows can't be replayed: {_reason(error)}") from None
    _check_probabilities(session, prediction)
    for index, golden in enumerate(golden_rows):
        _compare_probabilities(index, golden, signature, prediction)
        _compare_label(index, golden, signature, prediction.labels[index])
        if graph_labels is not None:
            _compare_label(index, golden, signature, graph_labels[index])


def warm_up(session: Session, sample: Columns) -> RunTime:
    """Run one row a few times and then several rows; return the measured time.

    The runs of several rows also show whether the graph returns an answer for each row.

    Raises:
        ModelRejected: a run failed, or the output is not probabilities.
    """
    one = _repeat_first_row(sample, 1)
    try:
        _check_probabilities(session, session.run(one))
        run_seconds = _quickest_run(session, one)
        rows = min(max(2, int(WARM_UP_SECONDS / (WARM_UP_RUNS * run_seconds))), WARM_UP_ROWS)
        several_seconds = _quickest_run(session, _repeat_first_row(sample, rows))
    except (InvalidRows, PredictionFailed) as error:
        raise ModelRejected(f"the model can't be run: {_reason(error)}") from None
    return RunTime(run_seconds, max(several_seconds - run_seconds, 0) / (rows - 1))


def check_class_names(session: Session, signature: Signature, label_output: str) -> None:
    """Compare inferred class names with the graph's own labels, on rows of many kinds.

    Args:
        session: the session.
        signature: the inferred signature.
        label_output: the graph's output of labels.

    Raises:
        ModelRejected: the graph gives a row another label than its most probable class.
    """
    for columns in _probe_rows(signature):
        try:
            _compare_class_names(session, signature, label_output, columns)
        except PredictionFailed:
            continue  # the graph can't take these rows, which says nothing about names


def rows_are_independent(session: Session, sample: Columns) -> bool:
    """Return whether two rows get the same answers alone and together; False if a run fails."""
    try:
        alone = [session.run(_slice(sample, row)).probabilities for row in range(len(sample))]
        together = session.run(sample).probabilities
    except (InvalidRows, PredictionFailed):
        return False
    return bool(np.abs(together - np.concatenate(alone)).max() <= INDEPENDENCE_TOLERANCE)


def _graph_labels(session: Session, signature: Signature, columns: Columns) -> list[str] | None:
    """Return the graph's own label of each row.

    None without an output ``label`` of texts, or with a threshold, which decides in its place.

    Raises:
        ModelRejected: the output has the wrong shape or a label that is not a class.
        PredictionFailed: the runtime failed.
    """
    if session.label_type != "tensor(string)" or signature.threshold is not None:
        return None
    (array,) = session.run_outputs(["label"], columns)
    if array.shape != (len(columns),):
        got, expected = list(array.shape), [len(columns)]
        raise ModelRejected(f"output 'label' has shape {got}, expected {expected}")
    labels: list[str] = array.tolist()
    if unknown := set(labels) - set(signature.classes):
        raise ModelRejected(
            f"output 'label' is {min(unknown)!r}, expected a class of the signature: "
            f"{', '.join(map(repr, signature.classes))}"
        )
    return labels


def _check_probabilities(session: Session, prediction: Prediction) -> None:
    """Reject scores that are not probabilities: outside 0 to 1, or not summing to 1."""
    values = prediction.probabilities
    gaps = np.abs(values.sum(axis=1, dtype=np.float64) - 1)
    bad = (values < 0).any(axis=1) | (gaps > SUM_TOLERANCE)
    if bad.any():
        raise ModelRejected(
            f"output '{session.probabilities_output}' does not hold probabilities: a row is "
            f"{values[bad.argmax()].tolist()}, expected values from 0 to 1 that sum to 1"
        )


def _compare_probabilities(
    index: int, golden: GoldenRow, signature: Signature, prediction: Prediction
) -> None:
    if {golden.label, *golden.probabilities} != set(signature.classes):
        raise ModelRejected(f"golden row {index} names other classes than the signature")
    expected = np.array([golden.probabilities[name] for name in signature.classes])
    got = prediction.probabilities[index]
    if float(np.abs(got - expected).max()) > GOLDEN_TOLERANCE:
        raise ModelRejected(
            f"golden row {index} got probabilities {got.tolist()}, expected {expected.tolist()}"
        )


def _compare_label(index: int, golden: GoldenRow, signature: Signature, label: str) -> None:
    if _distance_to_label(golden, signature, label) > GOLDEN_TOLERANCE:
        raise ModelRejected(f"golden row {index} got label {label!r}, expected {golden.label!r}")


def _distance_to_label(golden: GoldenRow, signature: Signature, label: str) -> float:
    """Return how much the probabilities of a row must change for it to get this label."""
    if label == golden.label:
        return 0.0
    if (threshold := signature.threshold) is not None:
        return abs(golden.probabilities[threshold.positive] - threshold.value)
    return abs(golden.probabilities[golden.label] - golden.probabilities[label]) / 2


def _compare_class_names(
    session: Session, signature: Signature, label_output: str, columns: Columns
) -> None:
    outputs = [session.probabilities_output, label_output]
    probabilities, labels = session.run_outputs(outputs, columns)
    if labels.size != len(columns):
        return  # the output does not hold a label for each row
    classes = signature.classes
    for row, label in zip(probabilities, map(str, labels.ravel().tolist()), strict=True):
        if not np.isfinite(row).all():
            continue  # the service never answers such a row
        probability = row[classes.index(label)] if label in classes else -math.inf
        if row.max() - probability > LABEL_TOLERANCE:
            raise ModelRejected(
                f"output '{label_output}' is {label!r} for a row whose most probable class would "
                f"be called {classes[row.argmax()]!r}: export the model with a ZipMap, which "
                "names the classes, or add the metadata that models/README.md describes"
            )


def _probe_rows(signature: Signature) -> Iterator[Columns]:
    """Yield rows to try an unknown graph with; the first is the row of the warm-up.

    Numbers are small and large, positive and of both signs, rounded and not. In some rows all
    numbers have the same magnitude.
    """
    numbers = (PROBE_ROWS, len(signature.numbers))
    categories = (PROBE_ROWS, len(signature.categories))
    yield columns_from_values(signature, [_placeholder_row(signature, 0)])
    random = np.random.default_rng(0)  # the same rows at each load
    for size, low, rounded in product(PROBE_SIZES, (0, -1), (False, True)):
        values = random.uniform(low, 1, numbers)
        values *= size or 10 ** random.uniform(-1, 4, numbers)
        texts = random.choice(np.array(["x", "y"], object), categories)
        yield Columns(np.round(values) if rounded else values, texts)


def _placeholder_row(signature: Signature, number: int) -> dict[str, float | str]:
    """Return row 0 or 1 of made-up values: that number for numbers, a letter for categories."""
    return {
        feature.name: "xy"[number] if feature.kind is Kind.CATEGORY else number
        for feature in signature.features
    }


def _slice(columns: Columns, row: int) -> Columns:
    return Columns(columns.numbers[row : row + 1], columns.categories[row : row + 1])


def _repeat_first_row(columns: Columns, rows: int) -> Columns:
    first = _slice(columns, 0)
    return Columns(
        np.repeat(first.numbers, rows, axis=0), np.repeat(first.categories, rows, axis=0)
    )


def _quickest_run(session: Session, columns: Columns) -> float:
    """Return the seconds of the quickest of a few runs."""
    seconds = []
    for _ in range(WARM_UP_RUNS):
        started = time.perf_counter()
        session.run(columns)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _reason(error: InvalidRows | PredictionFailed) -> str:
    """Return for the operator the first problem, or the message of onnxruntime."""
    if isinstance(error, InvalidRows):
        first = error.problems[0]
        where = f"row {first.row}" + (f", feature '{first.feature}'" if first.feature else "")
        return f"{where}: expected {first.expected}, got {first.got}"
    return one_line(error.__cause__ or error)
