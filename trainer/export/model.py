"""A fitted classifier as one ONNX file: the graph, and the metadata that the contract asks for."""

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
from ..data.cells.datetimes import moment_text
from ..data.schema import Examples, Feature, Kind
from ..errors import ExportError
from ..evaluation.scores import Scores
from ..graph import Graph
from .parity import ExportedModel

FORMAT_VERSION = 1
"""The contract's version that this trainer writes."""

BINS = 10
"""Bins of a number in the reference, equally full in training."""

REFERENCE_CATEGORIES = 1000
"""Categories of one column counted in the reference at most, the commonest first."""

GOLDEN_ROWS = 10
"""Golden rows at most."""

FEWEST_GOLDEN_ROWS = 3


def export(classifier: FittedClassifier, metadata: Mapping[str, Any]) -> bytes:
    """The model file's bytes.

    Args:
        classifier: what to write.
        metadata: plain values by key; each becomes JSON text.

    Raises:
        ExportError: when onnx's checker refuses the file.
    """
    graph = Graph("pigeonhole")
    classifier.emit(graph)
    text = {key: _json(value) for key, value in metadata.items()}
    model = graph.model({"pigeonhole": _json(FORMAT_VERSION), **text}, __version__)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx's checker refuses the file: {error}") from error
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def signature(classifier: FittedClassifier, training: Examples) -> dict[str, Any]:
    """What a row must look like, and what training saw of each feature."""
    schema = classifier.schema
    numbers = dict(zip((f.name for f in schema.numbers), range(len(schema.numbers)), strict=True))
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
            facts["categories"] = _counted(training.categories[:, categories[feature.name]])
        else:
            column = training.numbers[:, numbers[feature.name]]
            if not np.isnan(column).all():
                facts["minimum"] = float(np.nanmin(column))
                facts["maximum"] = float(np.nanmax(column))
            if not feature.required:
                center = classifier.preprocessor.numeric.center[numbers[feature.name]]
                facts["default"] = float(center)
        features.append(facts)
    stated: dict[str, Any] = {"features": features, "classes": list(schema.classes)}
    if threshold := classifier.threshold:
        stated["threshold"] = {
            "class": schema.classes[threshold.positive],
            "value": threshold.value,
            "metric": threshold.metric,
        }
    return stated


def reference(classifier: FittedClassifier, training: Examples) -> dict[str, Any]:
    """What training rows looked like, to compare traffic with later.

    A number has bin edges, the outer ones left open, and the count in each bin; a category the
    count of each level; both the share that is missing.
    """
    schema = classifier.schema
    features: dict[str, Any] = {}
    for feature, values in zip(schema.numbers, training.numbers.T, strict=True):
        known = values[~np.isnan(values)]
        inner = np.linspace(0, 1, BINS + 1)[1:-1]
        # Of the quarters, which is exact: what lies between two values of 1e308 may overflow.
        edges = np.unique(4 * np.quantile(known / 4, inner)) if len(known) else np.empty(0)
        counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
        features[feature.name] = {
            "edges": [float(edge) for edge in edges],
            "counts": counts.tolist(),
            "missing": 1 - len(known) / len(values),
        }
    for feature, texts in zip(schema.categories, training.categories.T, strict=True):
        features[feature.name] = {
            "counts": dict(islice(_counted(texts).items(), REFERENCE_CATEGORIES)),
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
    """The test part's scores, the baselines', and what else is known of how good it is.

    Args:
        scores: of the file on the test part.
        baselines: of simple methods on the same rows.
        temperatures: by which each member's answers were calibrated.
        spread: mean and standard deviation of each score in a cross-validation, if there was one.
    """
    found: dict[str, Any] = {
        "test": _scores(scores) | {"confusion": scores.confusion.tolist()},
        "baselines": {name: _scores(line) for name, line in baselines.items()},
        "temperatures": list(temperatures),
    }
    if spread:
        found["cross_validation"] = {
            name: {"mean": mean, "spread": deviation}
            for name, (mean, deviation) in spread.items()
            if mean == mean  # noqa: PLR0124 - NaN is no JSON
        }
    return found


def golden_rows(
    classifier: FittedClassifier, exported: ExportedModel, training: Examples
) -> list[dict[str, Any]]:
    """Rows to replay when the file is loaded, with what the exported file answers to them.

    They are nobody's: each is the typical row of a class (its medians and commonest categories),
    for a file that travels should not carry people's records. The last has every gap it may have.
    """
    schema = classifier.schema
    present = np.unique(training.labels)[: GOLDEN_ROWS - 1]
    typical = [_typical(training.take(training.labels == c)) for c in present]
    whole = _typical(training)
    while len(typical) < FEWEST_GOLDEN_ROWS - 1:
        typical.append(whole)
    rows = Examples(
        np.array([numbers for numbers, _ in typical] + [_gaps(schema.numbers, whole[0], np.nan)]),
        np.array(
            [texts for _, texts in typical] + [_gaps(schema.categories, whole[1], "")],
            dtype=object,
        ),
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
    """The middle value of each number, one that was seen, and each column's commonest category."""
    numbers = []
    for column in rows.numbers.T:
        known = column[~np.isnan(column)]
        numbers.append(
            float(np.quantile(known, 0.5, method="lower")) if len(known) else float("nan")
        )
    return numbers, [next(iter(_counted(column)), "") for column in rows.categories.T]


def _gaps(features: tuple[Feature, ...], values: list[Any], missing: Any) -> list[Any]:
    return [
        value if feature.required else missing
        for feature, value in zip(features, values, strict=True)
    ]


def _raw_row(classifier: FittedClassifier, rows: Examples, index: int) -> dict[str, Any]:
    """A row as a caller writes it in JSON: by name, what is missing left out."""
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
    """A number as a caller writes it in JSON."""
    if kind is Kind.BOOLEAN:
        return bool(number)
    if kind is Kind.DATETIME:
        return moment_text(number)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _counted(texts: NDArray[Any]) -> dict[str, int]:
    """Each category with its count, the commonest first, ties in the order of their letters."""
    counts = Counter(text for text in texts.tolist() if text)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _scores(scores: Scores) -> dict[str, Any]:
    figures = {k: v for k, v in vars(scores).items() if k != "confusion"}
    return {k: None if v != v else v for k, v in figures.items()}  # noqa: PLR0124 - NaN is no JSON


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
