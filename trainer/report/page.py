"""The page: fills the template with figures, tables and charts."""

from __future__ import annotations

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
from .analysis import Analysis, analyze, ordered_features, shown_classes
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
from .usage import usage_examples

DEPENDENCE_CLASSES = 3
"""Most lines in a chart of partial dependence."""

SHOWN_FINDINGS = 100

SHOWN_IMPORTANCES = 100

OBSERVED_QUANTILES = np.linspace(0.05, 0.95, 19)
"""The quantiles of a feature that are marked below its curve."""

SCORES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "log_loss": "Log loss",
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "expected_calibration_error": "ECE",
    "brier_score": "Brier score",
}
"""The scores of the table with their headings."""

SMALLER_IS_BETTER = ("log_loss", "expected_calibration_error", "brier_score")


@dataclass(frozen=True)
class ScoreLine:
    """A line of the score table.

    Attributes:
        name: of the method.
        figures: each score with its interval, as text, in the order of `SCORES`.
    """

    name: str
    figures: tuple[tuple[str, str], ...]


def report(inputs: ReportInputs) -> str:
    """Return the report as one self-contained HTML text; the same inputs give the same text."""
    analysis = analyze(inputs)
    with style():
        charts = _charts(inputs, analysis)
    template = _environment().get_template("template.html")
    return template.render(
        inputs=inputs,
        analysis=analysis,
        charts=charts,
        **_class_tables(inputs, analysis),
        score_lines=_score_lines(inputs, analysis),
        headings=SCORES,
        smaller_is_better=SMALLER_IS_BETTER,
        importances=_importances(inputs, analysis),
        usage=usage_examples(inputs.name, inputs.example) if inputs.example else None,
        has_few_rows=analysis.scores.rows < FEW_ROWS,
        resample_count=len(analysis.resamples[""].figures["accuracy"]),
        findings=list(inputs.findings)[:SHOWN_FINDINGS],
        more_findings=max(len(inputs.findings) - SHOWN_FINDINGS, 0),
    )


def _environment() -> Environment:
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
        for name in ("percent", "percent_range", "decimal", "points", "signed", "in_text")
    }
    environment.filters["on_one_line"] = lambda text: shortened(text, len(text))
    environment.globals["plural"] = formatting.plural
    return environment


def _class_tables(inputs: ReportInputs, analysis: Analysis) -> dict[str, Any]:
    """Return the template's variables about classes."""
    classes, matrix = inputs.schema.classes, analysis.scores.confusion
    names = [formatting.in_text(name) for name in classes]
    return {
        "class_names": formatting.join_names(names),
        "positive_class": names[inputs.threshold.positive] if inputs.threshold else "",
        "confusion_table": confusion.confusion_table(matrix, classes),
        "mistakes": confusion.mistakes(matrix, classes),
        "class_figures": confusion.class_figures(matrix, classes),
    }


def _charts(inputs: ReportInputs, analysis: Analysis) -> dict[str, Any]:
    """Return the charts by the name that the template gives them; None for a missing chart."""
    classes, features = inputs.schema.classes, ordered_features(inputs.schema)
    shares = np.bincount(inputs.test.labels, minlength=len(classes)) / len(inputs.test)
    history, layers = inputs.history, inputs.layers
    return {
        "accuracies": accuracies(_accuracies(inputs, analysis)),
        "reliability": reliability_diagram(
            analysis.reliability, analysis.scores.expected_calibration_error
        ),
        "roc": roc_chart(analysis.curves, classes),
        "precision_recall": precision_recall_chart(analysis.curves, classes, shares.tolist()),
        "importance": importance_chart(analysis.importance, analysis.ranking, features),
        "dependences": _dependences(inputs, analysis),
        "decision_map": _decision_map(inputs, analysis),
        "loss": loss_curves(history) if history else None,
        "validation_accuracy": accuracy_curve(history) if history else None,
        "network": network_drawing(layers, inputs.members) if layers else None,
    }


def _accuracies(inputs: ReportInputs, analysis: Analysis) -> dict[str, tuple[float, Interval]]:
    scores = {inputs.name: analysis.scores, **analysis.baselines}
    return {
        name: (line.accuracy, resamples.interval("accuracy"))
        for (name, line), resamples in zip(scores.items(), analysis.resamples.values(), strict=True)
    }


def _decision_map(inputs: ReportInputs, analysis: Analysis) -> Chart | None:
    if not analysis.decision_map:
        return None
    threshold = inputs.threshold
    pair = (threshold.positive, threshold.value) if threshold else None
    return decision_chart(
        analysis.decision_map,
        analysis.decision_map.margins(pair),
        ordered_features(inputs.schema),
        inputs.test,
        inputs.schema.classes,
    )


def _dependences(inputs: ReportInputs, analysis: Analysis) -> list[Chart]:
    classes, features = inputs.schema.classes, ordered_features(inputs.schema)
    shown = [(index, classes[index]) for index in shown_classes(inputs, DEPENDENCE_CLASSES)]
    if not analysis.dependences:
        return []
    limits = _dependence_limits(analysis, [index for index, _ in shown])
    charts: list[Chart] = []
    for index, dependence in analysis.dependences.items():
        observed = np.empty(0)
        if features[index].kind in (Kind.NUMBER, Kind.DATETIME):
            values = inputs.test.numbers[:, index]
            # Quarters, because a difference of two values near 1e308 overflows.
            observed = 4 * np.quantile(values[~np.isnan(values)] / 4, OBSERVED_QUANTILES)
        key = f"dependence-{len(charts) + 1}"
        charts.append(dependence_chart(key, features[index], dependence, shown, limits, observed))
    return charts


def _dependence_limits(analysis: Analysis, classes: list[int]) -> tuple[float, float]:
    """Return the limits of probabilities that all charts of partial dependence share."""
    values = np.concatenate(
        [one.probabilities[:, classes] for one in analysis.dependences.values()]
    )
    middle = (values.max() + values.min()) / 2
    reach = max((values.max() - values.min()) * 0.55, 0.05)
    return max(float(middle - reach), 0.0), min(float(middle + reach), 1.0)


def _score_lines(inputs: ReportInputs, analysis: Analysis) -> list[ScoreLine]:
    lines = [_score_line(inputs.name, analysis.scores, analysis.resamples[""])]
    lines += [
        _score_line(name, scores, analysis.resamples[name])
        for name, scores in analysis.baselines.items()
    ]
    if spread := inputs.spread:
        figures = tuple(
            (formatting.decimal(spread[name][0]), f"± {formatting.decimal(spread[name][1])}")
            if name in spread
            else (formatting.UNKNOWN, "")
            for name in SCORES
        )
        lines.append(ScoreLine("in cross-validation", figures))
    return lines


def _score_line(name: str, scores: Scores, resamples: Resamples) -> ScoreLine:
    return ScoreLine(
        formatting.in_text(name),
        tuple(
            (
                formatting.decimal(getattr(scores, column)),
                formatting.decimal_range(resamples.interval(column)),
            )
            for column in SCORES
        ),
    )


def _importances(inputs: ReportInputs, analysis: Analysis) -> list[tuple[str, float, float]]:
    """Return name, rise of the log loss and fall of the accuracy of the top features."""
    features = ordered_features(inputs.schema)
    return [
        (
            formatting.in_text(features[index].name),
            float(analysis.importance.log_loss[index]),
            float(analysis.importance.accuracy[index]),
        )
        for index in analysis.ranking[:SHOWN_IMPORTANCES].tolist()
    ]
