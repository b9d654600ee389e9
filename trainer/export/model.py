"""Writes a fitted classifier as one ONNX file: the graph, and the metadata of the contract."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pigeonhole import __version__

from ..classifier import FittedClassifier
from ..data.cells.datetimes import datetime_text
from ..data.schema import Examples, Feature, Kind
from ..errors import ExportError
from ..evaluation.scores import Scores
from ..graph import Graph
from .parity import ExportedModel

FORMAT_VERSION = 1
"""The version of the contract."""

BINS = 10
"""Bins of a number in the reference, each with the same share of the training rows."""

REFERENCE_CATEGORIES = 1000
"""Most levels of a category in the reference, the most frequent ones."""

GOLDEN_ROWS = 10
"""Most golden rows."""

FEWEST_GOLDEN_ROWS = 3


def export(classifier: FittedClassifier, metadata: Mapping[str, Any]) -> bytes:
    """Return the bytes of the model file.

    Args:
        classifier: the classifier to write.
        metadata: values by key; each is written as JSON.

    Raises:
        ExportError: onnx's checker rejects the file.
    """
    graph = Graph("pigeonhole")
    classifier.emit(graph)
    text = {key: _json(value) for key, value in metadata.items()}
    model = graph.model({"pigeonhole": _json(FORMAT_VERSION), **text}, __version__)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx's checker rejects the file: {error}") from error
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def signature(classifier: FittedClassifier, training: Examples) -> dict[str, Any]:
    """Return features, classes and threshold, with the training range or levels of each feature."""
    schema = classifier.schema
    numbers = {f.name: i for i, f in enumerate(schema.numbers)}
    categories = {f.name: i for i, f in enumerate(schema.categories)}
    features = []
    for feature in schema.features:
        facts: dict[str, Any] = {
            "name": feature.name,
            "kind": feature.kind.value,
            "required": feature.required,
        }
        if feature.format:
            facts["format"] = feature.format
        if feature.kind is Kind.CATEGORY:
            facts["categories"] = _level_counts(training.categories[:, categories[feature.name]])
        else:
            column = training.numbers[:, numbers[feature.name]]
            if not np.isnan(column).all():
                facts["minimum"] = float(np.nanmin(column))
                facts["maximum"] = float(np.nanmax(column))
            if not feature.required:
                center = classifier.preprocessor.numeric.center[numbers[feature.name]]
                facts["default"] = float(center)
        features.append(facts)
    contract: dict[str, Any] = {"features": features, "classes": list(schema.classes)}
    if threshold := classifier.threshold:
        contract["threshold"] = {
            "class": schema.classes[threshold.positive],
            "value": threshold.value,
            "metric": threshold.metric,
        }
    return contract


def reference(classifier: FittedClassifier, training: Examples) -> dict[str, Any]:
    """Return the distribution of the training rows, to compare requests with.

    A number has inner bin edges and the count of each bin. A category has the count of each level.
    Both have the share of missing values.
    """
    schema = classifier.schema
    features: dict[str, Any] = {}
    for feature, values in zip(schema.numbers, training.numbers.T, strict=True):
        known = values[~np.isnan(values)]
        inner = np.linspace(0, 1, BINS + 1)[1:-1]
        # Quarters are exact; the difference of two values near 1e308 would overflow.
        edges = np.unique(4 * np.quantile(known / 4, inner)) if len(known) else np.empty(0)
        counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
        features[feature.name] = {
            "edges": [float(edge) for edge in edges],
            "counts": counts.tolist(),
            "missing": 1 - len(known) / len(values),
        }
    for feature, texts in zip(schema.categories, training.categories.T, strict=True):
        features[feature.name] = {
            "counts": dict(islice(_level_counts(texts).items(), REFERENCE_CATEGORIES)),
            "missing": float(np.mean(texts == "")),
        }
    shares = np.bincount(training.labels, minlength=len(schema.classes)) / len(training)
    return {
        "rows": len(training),
        "features": features,
        "classes": dict(zip(schema.classes, shares.tolist(), strict=True)),
    }


def evaluation(
    scores: Scores,
    baselines: Mapping[str, Scores],
    temperatures: Sequence[float],
    spread: Mapping[str, tuple[float, float]] | None,
) -> dict[str, Any]:
    """Return the scores on the test rows with those of the baselines and the cross-validation.

    Args:
        scores: of the file on the test rows.
        baselines: scores of the baselines on the same rows, by name.
        temperatures: the temperature of each member.
        spread: mean and standard deviation of each score in the cross-validation, if any.
    """
    entries: dict[str, Any] = {
        "test": _scores(scores) | {"confusion": scores.confusion.tolist()},
        "baselines": {name: _scores(line) for name, line in baselines.items()},
        "temperatures": list(temperatures),
    }
    if spread:
        entries["cross_validation"] = {
            name: {"mean": mean, "spread": deviation}
            for name, (mean, deviation) in spread.items()
            if mean == mean  # noqa: PLR0124 - JSON has no NaN
        }
    return entries


def golden_rows(
    classifier: FittedClassifier, exported: ExportedModel, training: Examples
) -> list[dict[str, Any]]:
    """Return rows with the file's predictions, which the service replays at load time.

    Each is the typical row of a class, with medians and most frequent categories, so that the file
    holds no real record. The last row lacks every value that is not required.
    """
    schema = classifier.schema
    present = np.unique(training.labels)[: GOLDEN_ROWS - 1]
    typical = [_typical(training.take(training.labels == c)) for c in present]
    of_all = _typical(training)
    while len(typical) < FEWEST_GOLDEN_ROWS - 1:
        typical.append(of_all)
    sparse_numbers = _required_only(schema.numbers, of_all[0], np.nan)
    sparse_categories = _required_only(schema.categories, of_all[1], "")
    rows = Examples(
        np.array([numbers for numbers, _ in typical] + [sparse_numbers]),
        np.array([texts for _, texts in typical] + [sparse_categories], dtype=object),
        np.zeros(len(typical) + 1, dtype=np.int64),
    )
    labels, probabilities = exported.run(rows)
    return [
        {
            "row": _raw_row(classifier, rows, index),
            "label": str(labels[index]),
            "probabilities": dict(
                zip(schema.classes, map(float, probabilities[index]), strict=True)
            ),
        }
        for index in range(len(rows))
    ]


def _typical(rows: Examples) -> tuple[list[float], list[str]]:
    """Return the median of each number (an observed value), and each most frequent category."""
    numbers = []
    for column in rows.numbers.T:
        known = column[~np.isnan(column)]
        numbers.append(
            float(np.quantile(known, 0.5, method="lower")) if len(known) else float("nan")
        )
    return numbers, [next(iter(_level_counts(column)), "") for column in rows.categories.T]


def _required_only(features: tuple[Feature, ...], values: list[Any], missing: Any) -> list[Any]:
    """Return the values of required features, and ``missing`` for the others."""
    return [
        value if feature.required else missing
        for feature, value in zip(features, values, strict=True)
    ]


def _raw_row(classifier: FittedClassifier, rows: Examples, index: int) -> dict[str, Any]:
    """Return a row as a client writes it in JSON: by name, without missing values."""
    schema = classifier.schema
    values: dict[str, Any] = {}
    for feature, number in zip(schema.numbers, rows.numbers[index].tolist(), strict=True):
        if not np.isnan(number):
            values[feature.name] = _raw_number(feature.kind, number)
    for feature, text in zip(schema.categories, rows.categories[index], strict=True):
        if text:
            values[feature.name] = text
    return {f.name: values[f.name] for f in schema.features if f.name in values}


def _raw_number(kind: Kind, number: float) -> Any:
    """Return a number as a client writes it in JSON."""
    if kind is Kind.BOOLEAN:
        return bool(number)
    if kind is Kind.DATETIME:
        return datetime_text(number)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _level_counts(texts: NDArray[Any]) -> dict[str, int]:
    """Return the count of each level, the most frequent first, ties in alphabetical order."""
    counts = Counter(text for text in texts.tolist() if text)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _scores(scores: Scores) -> dict[str, Any]:
    figures = {k: v for k, v in vars(scores).items() if k != "confusion"}
    return {k: None if v != v else v for k, v in figures.items()}  # noqa: PLR0124 - JSON has no NaN


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
