"""A training run: from a table to a published model file."""

from __future__ import annotations

import dataclasses
import filecmp
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from pigeonhole import __version__

from .classifier import FittedClassifier
from .cross_validation import cross_validate, mean_and_spread
from .data.encoding import encode
from .data.findings import Finding, pluralize
from .data.preparation import prepare
from .data.schema import Examples, Schema
from .data.stratified import stratified_split, take_subsets
from .data.table import digest, read_table, release_memory
from .errors import SettingError, TableError
from .evaluation.baselines import baseline_probabilities, rows_compared
from .evaluation.intervals import Predictions
from .evaluation.scores import FEW_ROWS, Scores, score
from .evaluation.tables import confusion_table, scores_table, spread_table
from .export import model as model_file
from .export.parity import ExportedModel, check_parity
from .export.publish import REPORT, check_writable, newest, publish
from .fitting.history import History
from .pipeline import FitResult, Print, TrainingRows, fit_classifier
from .settings import Settings, column_kinds

Spread = dict[str, tuple[float, float]]
"""Mean and standard deviation over folds, by score."""


@dataclass(frozen=True)
class Split:
    """The labeled rows of a run.

    Attributes:
        training: the rows to fit to and to validate on.
        test: the rows to score on; no step of the fit reads them.
    """

    training: TrainingRows
    test: Examples


@dataclass(frozen=True)
class Trained:
    """A published model.

    Attributes:
        path: the published file.
        scores: of the exported file on the test rows.
        baselines: scores of the baselines on the same rows, by name.
        history: of the first network's fit.
        findings: about the tables.
    """

    path: Path
    scores: Scores
    baselines: dict[str, Scores]
    history: History
    findings: tuple[Finding, ...]


def train(
    settings: Settings,
    output: Print = lambda _text: None,
    progress: TextIO | None = None,
    keep_interrupted: Callable[[], bool] = lambda: False,
) -> Trained | None:
    """Read, prepare, split, fit, export, check, score and publish.

    Args:
        settings: of the run.
        output: receives the printed output, a line or a table at a time.
        progress: the stream of the progress bar, standard error where None; the bar is drawn only
            on a terminal.
        keep_interrupted: called after Ctrl-C; returns whether to publish the best network so far.

    Returns:
        The published model; None if the run was interrupted and its network is not kept.

    Raises:
        TrainerError: the run failed and nothing was published.
    """
    name = settings.model_name
    check_writable(Path(settings.models), name)
    rng = np.random.default_rng(settings.seed)
    stream = progress or sys.stderr
    schema, split, findings = _read(settings, rng, output)
    if not settings.name:
        output(f"Model name: {name} (from the file name; --name sets another)")
    spread = None
    if settings.cv:
        folds = cross_validate(settings, schema, split.training.examples, rng, stream)
        spread = mean_and_spread(folds)
        output(f"\nCross-validation, {len(folds)} folds (mean and standard deviation):")
        output(spread_table(spread))
    result = fit_classifier(settings, schema, split.training, rng, output, stream)
    if result.fitted.interrupted and not keep_interrupted():
        return None
    exported = _export(settings, result, split, spread, rng)
    _print_scores(settings, result.classifier, exported, output)
    extra_files = {}
    if settings.report:
        report = _report(settings, result, split, exported, spread, findings)
        extra_files[REPORT] = report.encode()
    previous = newest(Path(settings.models) / name)
    path = publish(exported.content, Path(settings.models), name, extra_files)
    if path.parent == previous:
        output(f"\nNot published again: {path} has the same content")
    else:
        output(f"\nPublished {path}")
    history = result.fitted.histories[0]
    return Trained(path, exported.scores, exported.baselines, history, tuple(findings))


def _read(
    settings: Settings, rng: np.random.Generator, output: Print
) -> tuple[Schema, Split, list[Finding]]:
    """Read the tables, print the findings and split the rows."""
    schema, rows, findings = _read_table(settings, output)
    release_memory()  # of the table's text, so that a large table is in memory once
    test, findings_of_test = _read_part(settings, "test", schema)
    validation, findings_of_validation = _read_part(settings, "validation", schema)
    findings += [*findings_of_test, *findings_of_validation]
    split = _split(settings, rows, test, validation, rng)
    for finding in findings:
        output(f"  - {finding.text}")
    output(_rows_text(split))
    return schema, split, findings


def _read_table(settings: Settings, output: Print) -> tuple[Schema, Examples, list[Finding]]:
    """Return the table's schema, rows and findings."""
    table = read_table(settings.table, as_text=[settings.target])
    prepared = prepare(table, settings.target, settings.drop, column_kinds(settings.kind))
    schema = prepared.schema
    output(
        f"{settings.table}: {len(prepared.examples):,} labeled rows, "
        f"{len(schema.numbers)} numbers and {len(schema.categories)} categories, "
        f"{len(schema.classes)} classes"
    )
    return schema, prepared.examples, list(prepared.findings)


def _read_part(
    settings: Settings, part: str, schema: Schema
) -> tuple[Examples | None, list[Finding]]:
    """Return the rows and findings of the table that ``--test`` or ``--validation`` names."""
    path: str = getattr(settings, part)
    if not path:
        return None, []
    encoded = encode(read_table(path, as_text=[schema.target]), schema)
    if filecmp.cmp(path, settings.table, shallow=False):
        raise SettingError(
            f"--{part}", f"is {path!r}, which holds the training rows; expected other rows"
        )
    return encoded.examples, [
        dataclasses.replace(finding, text=f"{path}: {finding.text}") for finding in encoded.findings
    ]


def _split(
    settings: Settings,
    rows: Examples,
    test: Examples | None,
    validation: Examples | None,
    rng: np.random.Generator,
) -> Split:
    """Split off the test rows, unless they have a table, and append the validation table."""
    if test is None:
        rest, picked = stratified_split(rows.labels, settings.test_share, rng)
        rows, test = take_subsets(rows, rest, picked)
    if not len(test):
        raise TableError(
            "no row is left for the test; give more rows or a table with --test",
            path=settings.test or settings.table,
        )
    if validation is None:
        return Split(TrainingRows(rows), test)
    return Split(TrainingRows(rows.concatenate(validation), len(validation)), test)


def _rows_text(split: Split) -> str:
    validation, test = split.training.validation, len(split.test)
    training = len(split.training) - validation
    if validation:
        return f"Rows: {training:,} for training, {validation:,} for validation, {test:,} for test"
    return f"Rows: {training:,} for training and validation, {test:,} for test"


@dataclass(frozen=True)
class _Exported:
    """The model file, and what it and the baselines predict for the test rows.

    Attributes:
        content: the bytes of the file.
        model: the file as the service runs it.
        predictions: of the file.
        scores: of the file.
        unthresholded: scores of the file without its threshold.
        baseline_probabilities: probabilities of each baseline.
        baselines: scores of each baseline.
        golden: the golden rows.
    """

    content: bytes
    model: ExportedModel
    predictions: Predictions
    scores: Scores
    unthresholded: Scores
    baseline_probabilities: dict[str, NDArray[np.float64]]
    baselines: dict[str, Scores]
    golden: list[dict[str, Any]]


def _export(
    settings: Settings,
    result: FitResult,
    split: Split,
    spread: Spread | None,
    rng: np.random.Generator,
) -> _Exported:
    """Export the classifier, compare the file with the network, and score the file."""
    classifier, test = result.classifier, split.test
    bare = ExportedModel(model_file.export(classifier, {}))
    gap = check_parity(classifier, bare, test)
    _, probabilities = bare.run(test)
    predictions = Predictions(probabilities, classifier.predicted(probabilities))
    scores = score(test.labels, probabilities, predictions.predicted)
    of_baselines = _baseline_probabilities(classifier, split, rng)
    baselines = {name: score(test.labels, p) for name, p in of_baselines.items()}
    rows = result.preprocessing_rows
    golden = model_file.golden_rows(classifier, bare, rows)
    content = model_file.export(
        classifier,
        {
            "signature": model_file.signature(classifier, rows),
            "reference": model_file.reference(classifier, rows),
            "evaluation": model_file.evaluation(
                scores, baselines, result.fitted.temperatures, spread
            ),
            "golden": golden,
            "training": _training_facts(settings, result, split, gap),
        },
    )
    return _Exported(
        content=content,
        model=ExportedModel(content),  # shows that the published bytes load
        predictions=predictions,
        scores=scores,
        unthresholded=score(test.labels, probabilities),
        baseline_probabilities=of_baselines,
        baselines=baselines,
        golden=golden,
    )


def _baseline_probabilities(
    classifier: FittedClassifier, split: Split, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Return the baselines' probabilities of the test rows, by name.

    The baselines have the network's inputs, except the indices of embeddings. Without any input,
    only the class shares are left to predict.
    """
    training, test = split.training.examples, split.test
    layout = classifier.preprocessor.layout
    inputs, classes = slice(layout.numbers + layout.others), len(classifier.schema.classes)
    if not inputs.stop:
        shares = np.bincount(training.labels, minlength=classes) / len(training)
        return {"commonest class": np.tile(shares, (len(test), 1))}
    compared = training.take(rows_compared(training.labels, rng))
    x, test_x = (classifier.preprocessor.transform(rows) for rows in (compared, test))
    return baseline_probabilities((x[:, inputs], compared.labels), test_x[:, inputs], classes, rng)


def _print_scores(
    settings: Settings, classifier: FittedClassifier, exported: _Exported, output: Print
) -> None:
    scores, baselines = exported.scores, exported.baselines
    lines = {settings.model_name: scores}
    if classifier.threshold:
        lines["without the threshold"] = exported.unthresholded
    output(f"\nScores of the exported file on {pluralize(scores.rows, 'test row')}:")
    output(scores_table(lines | baselines))
    output("")
    output(confusion_table(scores.confusion, classifier.schema.classes))
    better = [name for name, line in baselines.items() if line.accuracy > scores.accuracy]
    if better:
        output(f"\nMore accurate than the network on these rows: {', '.join(better)}.")
    if scores.rows < FEW_ROWS:
        output(
            f"\nThe scores are rough, because the test has only {pluralize(scores.rows, 'row')}."
        )


def _report(
    settings: Settings,
    result: FitResult,
    split: Split,
    exported: _Exported,
    spread: Spread | None,
    findings: list[Finding],
) -> str:
    """Return the report as HTML."""
    # Imported here, because Matplotlib and Jinja take a while to import.
    from .report.inputs import DrawnLayer, ReportInputs  # noqa: PLC0415
    from .report.page import report  # noqa: PLC0415

    members = result.classifier.network.members
    return report(
        ReportInputs(
            name=settings.model_name,
            table=Path(settings.table).name,
            schema=result.classifier.schema,
            test=split.test,
            predictions=exported.predictions,
            predict=lambda rows: exported.model.run(rows)[1],
            row_counts=_row_counts(split),
            baselines=exported.baseline_probabilities,
            spread=spread,
            history=result.fitted.histories[0],
            layers=(
                DrawnLayer("Inputs", members[0].inputs),
                *(
                    DrawnLayer(layer.kind, layer.units, layer.parameters.get("kernel"))
                    for layer in members[0].layers
                    if layer.values
                ),
            ),
            members=len(members),
            findings=findings,
            temperatures=result.fitted.temperatures if settings.calibrate else (),
            threshold=result.classifier.threshold,
            example=exported.golden[0],
            settings=_effective_settings(settings, result),
        )
    )


def _row_counts(split: Split) -> dict[str, int]:
    """Return the number of rows of each part, by the words that follow "100 rows"."""
    validation = split.training.validation
    training = len(split.training) - validation
    fitted = (
        {"for training": training, "for validation": validation}
        if validation
        else {"for training and validation": training}
    )
    return {**fitted, "for test": len(split.test)}


def _training_facts(
    settings: Settings, result: FitResult, split: Split, gap: float
) -> dict[str, Any]:
    """Return the metadata of the fit; the same run gives the same facts."""
    validation = len(result.fitted.labels) // len(result.fitted.histories)
    return {
        "rows": {
            "training": len(split.training) - validation,
            "validation": validation,
            "test": len(split.test),
        },
        "sha256": digest(settings.table),
        "settings": _effective_settings(settings, result),
        "parity": gap,
        "versions": {
            "pigeonhole": __version__,
            **{package: version(package) for package in ("numpy", "onnx", "onnxruntime")},
        },
    }


def _effective_settings(settings: Settings, result: FitResult) -> dict[str, Any]:
    """Return the settings that define the fit, with the automatic values filled in."""
    effective = dataclasses.asdict(settings) | dataclasses.asdict(result.config)
    for key in ("table", "validation", "test", "models", "name", "report"):
        del effective[key]
    return effective
