"""The figures of a report: worked out here, drawn elsewhere."""

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
from ..evaluation.intervals import Answers, Interval, Resamples, bootstrap, interval
from ..evaluation.scores import Scores, score
from .inputs import ReportInputs

SEED = 0
"""Of every draw, so that the same evidence makes the same report."""

CURVES = 6
"""Classes that have curves: more can't be told apart."""

LEADING = 6
"""Features whose partial dependence is shown, the most important ones."""

TWO = 2


@dataclass(frozen=True)
class ClassCurves:
    """One class against all others.

    Attributes:
        place: of the class.
        roc: None where the test rows are all of the class or all of others.
        precision_recall: None where no test row is of the class.
        false_positive_rate: share of the other rows that are answered with the class.
        recall: share of its rows that are answered with it.
        precision: share of the rows answered with it that are of it; NaN where none are.
    """

    place: int
    roc: Curve | None
    precision_recall: Curve | None
    false_positive_rate: float
    recall: float
    precision: float


@dataclass(frozen=True)
class BestBaseline:
    """The best of the baselines, beside the model.

    Attributes:
        name: of the baseline.
        scores: the baseline's.
        difference: of the accuracies, the model's less the baseline's.
        interval: of that difference.
    """

    name: str
    scores: Scores
    difference: float
    interval: Interval


@dataclass(frozen=True)
class Analysis:
    """What is to be shown.

    Attributes:
        scores: the model's.
        baselines: the baselines' by name.
        resamples: of the model, then of each baseline, by name; "" is the model.
        rival: the best baseline; None without any.
        reliability: of the model's probabilities.
        curves: of some classes, the commonest ones first; of one, where there are two.
        importance: of the columns, first numbers, then categories.
        ranking: the columns, the most important first, int64 (columns,).
        dependences: on leading columns, by their place.
        map: the answers over both features, where there are just two and they are numbers.
    """

    scores: Scores
    baselines: Mapping[str, Scores]
    resamples: Mapping[str, Resamples]
    rival: BestBaseline | None
    reliability: Reliability
    curves: tuple[ClassCurves, ...]
    importance: Importance
    ranking: NDArray[np.int64]
    dependences: Mapping[int, Dependence]
    map: DecisionMap | None


def analysis(evidence: ReportInputs) -> Analysis:
    """Everything that a report shows in figures and charts."""
    rng = np.random.default_rng(SEED)
    test, answers = evidence.test, evidence.answers
    predict = _by_columns(evidence)
    scores = score(test.labels, answers.probabilities, answers.predicted)
    baselines = {name: score(test.labels, given) for name, given in evidence.baselines.items()}
    methods = {"": answers} | {
        name: Answers.likeliest(given) for name, given in evidence.baselines.items()
    }
    resamples = bootstrap(test.labels, methods, rng)
    importance = permutation_importance(predict, test.numbers, test.categories, test.labels, rng)
    ranking = np.argsort(-importance.log_loss, kind="stable")
    dependences: dict[int, Dependence] = {}
    for column in ranking.tolist():
        if len(dependences) < LEADING and _is_known(test, column):
            dependences[column] = partial_dependence(
                predict, test.numbers, test.categories, column, rng
            )
    return Analysis(
        scores=scores,
        baselines=baselines,
        resamples=resamples,
        rival=_rival(scores, baselines, resamples),
        reliability=reliability(test.labels, answers.probabilities),
        curves=tuple(_curves(evidence, place) for place in shown_classes(evidence, CURVES)),
        importance=importance,
        ranking=ranking,
        dependences=dependences,
        map=_map(evidence, predict),
    )


def columns(schema: Schema) -> tuple[Feature, ...]:
    """The features as their columns are counted: first the numbers, then the categories."""
    return schema.numbers + schema.categories


def shown_classes(evidence: ReportInputs, most: int) -> list[int]:
    """The places of the classes to show, the commonest in the test part first.

    Of two classes it is the one that the threshold is for, or the rarer one: the other one's
    figures follow from it.
    """
    counts = np.bincount(evidence.test.labels, minlength=len(evidence.schema.classes))
    if len(counts) == TWO:
        rarer = int(counts[1] <= counts[0])
        return [evidence.threshold.positive if evidence.threshold else rarer]
    order: list[int] = np.argsort(-counts, kind="stable")[:most].tolist()
    return [place for place in order if counts[place]]


def _by_columns(evidence: ReportInputs) -> Predict:
    """The model as a function of columns; what the labels of such rows are, nobody asks."""

    def predict(numbers: NDArray[np.float64], categories: NDArray[Any]) -> NDArray[np.floating]:
        labels = np.zeros(len(numbers), dtype=np.int64)
        return evidence.predict(Examples(numbers, categories, labels))

    return predict


def _rival(
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


def _curves(evidence: ReportInputs, place: int) -> ClassCurves:
    positive = evidence.test.labels == place
    answered = evidence.answers.predicted == place
    values = evidence.answers.probabilities[:, place]
    hits, count = int((positive & answered).sum()), int(positive.sum())
    given = int(answered.sum())
    others = len(positive) - count
    return ClassCurves(
        place,
        roc_curve(positive, values) if 0 < count < len(positive) else None,
        precision_recall_curve(positive, values) if count else None,
        _share(given - hits, others),
        _share(hits, count),
        _share(hits, given),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _is_known(rows: Examples, column: int) -> bool:
    """Whether a column has a value in any of the rows."""
    width = rows.numbers.shape[1]
    if column < width:
        return not np.isnan(rows.numbers[:, column]).all()
    return bool((rows.categories[:, column - width] != "").any())


def _map(evidence: ReportInputs, predict: Predict) -> DecisionMap | None:
    kinds = [feature.kind for feature in evidence.schema.features]
    if len(kinds) != TWO or not set(kinds) <= {Kind.NUMBER, Kind.DATETIME}:
        return None
    if not all(_is_known(evidence.test, column) for column in range(TWO)):
        return None
    return decision_map(predict, evidence.test.numbers)
