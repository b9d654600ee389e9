"""The page: a template filled with figures, tables and drawings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..data.schema import Kind
from ..evaluation.intervals import Interval, Resamples
from ..evaluation.scores import FEW_ROWS, Scores
from ..evaluation.tables import shortened
from . import confusion, formatting
from .analysis import Analysis, analysis, columns, shown_classes
from .charts.behavior import decision_chart, dependence_chart, importance_chart
from .charts.learning import accuracy_curve, loss_curves, network_drawing
from .charts.performance import (
    accuracies,
    precision_recall_chart,
    reliability_diagram,
    roc_chart,
)
from .drawing import Chart, style
from .inputs import ReportInputs
from .usage import calls

DEPENDENCE_CLASSES = 3
"""Lines in a chart of partial dependence at most."""

SHOWN_FINDINGS = 100

SHOWN_IMPORTANCES = 100

DECILES = np.linspace(0.05, 0.95, 19)
"""Where rows are, below a curve."""

COLUMNS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "log_loss": "Log loss",
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "expected_calibration_error": "ECE",
    "brier_score": "Brier score",
}
"""Scores and their headings."""

SMALLER_IS_BETTER = ("log_loss", "expected_calibration_error", "brier_score")


@dataclass(frozen=True)
class ScoreLine:
    """One line of the table of scores: the figures with their intervals, in order of `COLUMNS`."""

    name: str
    figures: tuple[tuple[str, str], ...]


def report(evidence: ReportInputs) -> str:
    """The report as HTML: one text that needs nothing else, the same for the same evidence."""
    found = analysis(evidence)
    with style():
        drawn = _charts(evidence, found)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        name: getattr(formatting, name)
        for name in ("percent", "percent_range", "decimal", "points", "signed", "whole")
    }
    environment.filters["tidy"] = lambda text: shortened(text, len(text))
    classes = evidence.schema.classes
    return environment.get_template("template.html").render(
        evidence=evidence,
        found=found,
        charts=drawn,
        classes=formatting.join_names([formatting.whole(name) for name in classes]),
        lines=_lines(evidence, found),
        headings=COLUMNS,
        smaller=SMALLER_IS_BETTER,
        table=confusion.confusion_table(found.scores.confusion, classes),
        mistakes=confusion.mistakes(found.scores.confusion, classes),
        class_figures=confusion.class_figures(found.scores.confusion, classes),
        importances=_importances(evidence, found),
        calls=calls(evidence.name, evidence.example) if evidence.example else None,
        few=found.scores.rows < FEW_ROWS,
        resamples=len(found.resamples[""].figures["accuracy"]),
        positive=formatting.whole(classes[evidence.threshold.positive])
        if evidence.threshold
        else "",
        findings=list(evidence.findings)[:SHOWN_FINDINGS],
        more_findings=max(len(evidence.findings) - SHOWN_FINDINGS, 0),
        accuracy=found.resamples[""].interval("accuracy"),
        plural=formatting.plural,
    )


def _charts(evidence: ReportInputs, found: Analysis) -> dict[str, Any]:
    """All drawings, by where they go."""
    classes, features = evidence.schema.classes, columns(evidence.schema)
    shares = np.bincount(evidence.test.labels, minlength=len(classes)) / len(evidence.test)
    drawn: dict[str, Any] = {
        "accuracies": accuracies(_accuracies(evidence, found)),
        "reliability": reliability_diagram(
            found.reliability, found.scores.expected_calibration_error
        ),
        "roc": roc_chart(found.curves, classes),
        "precision_recall": precision_recall_chart(found.curves, classes, shares.tolist()),
        "importance": importance_chart(found.importance, found.ranking, features),
        "dependences": _dependences(evidence, found),
        "map": None,
        "loss": None,
        "validation_accuracy": None,
        "network": None,
    }
    if found.map:
        threshold = evidence.threshold
        drawn["map"] = decision_chart(
            found.map,
            found.map.margins((threshold.positive, threshold.value) if threshold else None),
            features,
            evidence.test.numbers,
            evidence.test.labels,
            classes,
        )
    if evidence.history is not None:
        drawn["loss"] = loss_curves(evidence.history)
        drawn["validation_accuracy"] = accuracy_curve(evidence.history)
    if evidence.layers:
        drawn["network"] = network_drawing(evidence.layers, evidence.members)
    return drawn


def _accuracies(evidence: ReportInputs, found: Analysis) -> dict[str, tuple[float, Interval]]:
    scores = {evidence.name: found.scores, **found.baselines}
    return {
        name: (line.accuracy, resamples.interval("accuracy"))
        for (name, line), resamples in zip(scores.items(), found.resamples.values(), strict=True)
    }


def _dependences(evidence: ReportInputs, found: Analysis) -> list[Chart]:
    classes, features = evidence.schema.classes, columns(evidence.schema)
    shown = [(place, classes[place]) for place in shown_classes(evidence, DEPENDENCE_CLASSES)]
    places = [place for place, _ in shown]
    if not found.dependences:
        return []
    every = np.concatenate([one.probabilities[:, places] for one in found.dependences.values()])
    middle, reach = (every.max() + every.min()) / 2, max((every.max() - every.min()) * 0.55, 0.05)
    limits = (max(float(middle - reach), 0.0), min(float(middle + reach), 1.0))
    charts: list[Chart] = []
    for column, one in found.dependences.items():
        observed = np.empty(0)
        if features[column].kind in (Kind.NUMBER, Kind.DATETIME):
            values = evidence.test.numbers[:, column]
            observed = 4 * np.quantile(values[~np.isnan(values)] / 4, DECILES)
        key = f"dependence-{len(charts) + 1}"
        charts.append(dependence_chart(key, features[column], one, shown, limits, observed))
    return charts


def _lines(evidence: ReportInputs, found: Analysis) -> list[ScoreLine]:
    lines = [_line(evidence.name, found.scores, found.resamples[""])]
    lines += [
        _line(name, scores, found.resamples[name]) for name, scores in found.baselines.items()
    ]
    if evidence.spread:
        spread: Mapping[str, tuple[float, float]] = evidence.spread
        figures = tuple(
            (formatting.decimal(spread[name][0]), f"± {formatting.decimal(spread[name][1])}")
            if name in spread
            else (formatting.UNKNOWN, "")
            for name in COLUMNS
        )
        lines.append(ScoreLine("in cross-validation", figures))
    return lines


def _line(name: str, scores: Scores, resamples: Resamples) -> ScoreLine:
    return ScoreLine(
        formatting.whole(name),
        tuple(
            (
                formatting.decimal(getattr(scores, column)),
                formatting.decimal_range(resamples.interval(column)),
            )
            for column in COLUMNS
        ),
    )


def _importances(evidence: ReportInputs, found: Analysis) -> list[tuple[str, float, float]]:
    features = columns(evidence.schema)
    return [
        (
            formatting.whole(features[column].name),
            float(found.importance.log_loss[column]),
            float(found.importance.accuracy[column]),
        )
        for column in found.ranking[:SHOWN_IMPORTANCES].tolist()
    ]
