"""Computes the figures of a report; charts and page only read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.schema import Examples, Feature, Kind, Schema
from ..evaluation.calibration import Reliability, reliability
from ..evaluation.curves import Curve, precision_recall_curve, roc_curve
from ..evaluation.dependence import DecisionMap, Dependence, decision_map, partial_dependence
from ..evaluation.importance import Importance, Predict, permutation_importance
from ..evaluation.intervals import Interval, Predictions, Resamples, bootstrap, interval
from ..evaluation.scores import Scores, score
from .inputs import ReportInputs

SEED = 0
"""Seed of all draws, so that the same inputs give the same report."""

CURVES = 6
"""Most classes with curves in one chart."""

DEPENDENCES = 6
"""Features with partial dependence: the most important ones."""

BINARY = 2


@dataclass(frozen=True)
class ClassCurves:
    """The curves of one class against all others, with the model's own point.

    Attributes:
        index: of the class.
        roc: None if all test rows, or none, are of the class.
        precision_recall: None if no test row is of the class.
        false_positive_rate: share of the other rows that are predicted as the class.
        recall: share of the class's rows that are predicted as the class.
        precision: share of right rows among those predicted as the class; NaN without any.
    """

    index: int
    roc: Curve | None
    precision_recall: Curve | None
    false_positive_rate: float
    recall: float
    precision: float


@dataclass(frozen=True)
class BestBaseline:
    """The most accurate baseline, compared with the model.

    Attributes:
        name: of the baseline.
        scores: of the baseline.
        difference: accuracy of the model minus accuracy of the baseline.
        interval: 95 % interval of the difference.
    """

    name: str
    scores: Scores
    difference: float
    interval: Interval


@dataclass(frozen=True)
class Analysis:
    """The figures of a report.

    Attributes:
        scores: of the model.
        baselines: scores of the baselines, by name.
        resamples: of each method, by name; the model has the name "".
        best_baseline: None without baselines.
        reliability: of the model's probabilities.
        curves: of the most frequent classes; with two classes, of one of them.
        importance: of the features, first numbers, then categories.
        ranking: indices of the features, the most important first, int64 (features,).
        dependences: partial dependence on the most important features, by index.
        decision_map: predictions over both features of a model of two numbers; None for others.
    """

    scores: Scores
    baselines: Mapping[str, Scores]
    resamples: Mapping[str, Resamples]
    best_baseline: BestBaseline | None
    reliability: Reliability
    curves: tuple[ClassCurves, ...]
    importance: Importance
    ranking: NDArray[np.int64]
    dependences: Mapping[int, Dependence]
    decision_map: DecisionMap | None

    @property
    def accuracy_interval(self) -> Interval:
        """The 95 % interval of the model's accuracy."""
        return self.resamples[""].interval("accuracy")


def analyze(inputs: ReportInputs) -> Analysis:
    """Return the figures of the tables and charts of a report."""
    rng = np.random.default_rng(SEED)
    test, predictions = inputs.test, inputs.predictions
    predict = _predict_columns(inputs)
    scores = score(test.labels, predictions.probabilities, predictions.predicted)
    baselines = {name: score(test.labels, p) for name, p in inputs.baselines.items()}
    methods = {"": predictions} | {
        name: Predictions.most_likely(p) for name, p in inputs.baselines.items()
    }
    resamples = bootstrap(test.labels, methods, rng)
    importance = permutation_importance(predict, test.numbers, test.categories, test.labels, rng)
    ranking = np.argsort(-importance.log_loss, kind="stable")
    return Analysis(
        scores=scores,
        baselines=baselines,
        resamples=resamples,
        best_baseline=_best_baseline(scores, baselines, resamples),
        reliability=reliability(test.labels, predictions.probabilities),
        curves=tuple(_curves(inputs, index) for index in shown_classes(inputs, CURVES)),
        importance=importance,
        ranking=ranking,
        dependences=_dependences(test, ranking, predict, rng),
        decision_map=_decision_map(inputs, predict),
    )


def ordered_features(schema: Schema) -> tuple[Feature, ...]:
    """Return the features in the order of their indices: first numbers, then categories."""
    return schema.numbers + schema.categories


def shown_classes(inputs: ReportInputs, most: int) -> list[int]:
    """Return the indices of the classes to show, the most frequent test class first.

    With two classes, only one is shown, because the figures of the other follow from it: the
    threshold's class, otherwise the rarer one.
    """
    counts = np.bincount(inputs.test.labels, minlength=len(inputs.schema.classes))
    if len(counts) == BINARY:
        rarer = int(counts[1] <= counts[0])
        return [inputs.threshold.positive if inputs.threshold else rarer]
    order: list[int] = np.argsort(-counts, kind="stable")[:most].tolist()
    return [index for index in order if counts[index]]


def _predict_columns(inputs: ReportInputs) -> Predict:
    """Return the model as a function of numbers and categories."""

    def predict(numbers: NDArray[np.float64], categories: NDArray[Any]) -> NDArray[np.floating]:
        unused_labels = np.zeros(len(numbers), dtype=np.int64)
        return inputs.predict(Examples(numbers, categories, unused_labels))

    return predict


def _best_baseline(
    scores: Scores, baselines: Mapping[str, Scores], resamples: Mapping[str, Resamples]
) -> BestBaseline | None:
    if not baselines:
        return None
    name = max(baselines, key=lambda one: baselines[one].accuracy)
    differences = resamples[""].figures["accuracy"] - resamples[name].figures["accuracy"]
    return BestBaseline(
        name,
        baselines[name],
        scores.accuracy - baselines[name].accuracy,
        interval(differences),
    )


def _curves(inputs: ReportInputs, index: int) -> ClassCurves:
    positive = inputs.test.labels == index
    predicted = inputs.predictions.predicted == index
    probabilities = inputs.predictions.probabilities[:, index]
    hits, count = int((positive & predicted).sum()), int(positive.sum())
    predictions, others = int(predicted.sum()), len(positive) - count
    return ClassCurves(
        index,
        roc_curve(positive, probabilities) if 0 < count < len(positive) else None,
        precision_recall_curve(positive, probabilities) if count else None,
        _ratio(predictions - hits, others),
        _ratio(hits, count),
        _ratio(hits, predictions),
    )


def _ratio(part: int, total: int) -> float:
    return part / total if total else float("nan")


def _dependences(
    test: Examples, ranking: NDArray[np.int64], predict: Predict, rng: np.random.Generator
) -> dict[int, Dependence]:
    """Return the partial dependence on the most important features that have values."""
    filled = [index for index in ranking.tolist() if _has_values(test, index)][:DEPENDENCES]
    return {
        index: partial_dependence(predict, test.numbers, test.categories, index, rng)
        for index in filled
    }


def _has_values(rows: Examples, index: int) -> bool:
    """Return whether a feature has a value in any of the rows."""
    width = rows.numbers.shape[1]
    if index < width:
        return not np.isnan(rows.numbers[:, index]).all()
    return bool((rows.categories[:, index - width] != "").any())


def _decision_map(inputs: ReportInputs, predict: Predict) -> DecisionMap | None:
    kinds = [feature.kind for feature in inputs.schema.features]
    if len(kinds) != BINARY or not set(kinds) <= {Kind.NUMBER, Kind.DATETIME}:
        return None
    if not all(_has_values(inputs.test, index) for index in range(BINARY)):
        return None
    return decision_map(predict, inputs.test.numbers)
