"""The whole run, readable from top to bottom: a table in, a published model file out."""

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
from .data.findings import Finding, counted
from .data.preparation import clean
from .data.schema import Examples, Schema
from .data.stratified import stratified_split, take_subsets
from .data.table import digest, read_table, release_memory
from .errors import SettingError, TableError
from .evaluation.baselines import baseline_answers, rows_compared
from .evaluation.intervals import Answers
from .evaluation.scores import FEW_ROWS, Scores, score
from .evaluation.tables import confusion_table, scores_table, spread_table
from .export import model as model_file
from .export.parity import ExportedModel, check_parity
from .export.publish import REPORT, check_writable, newest, publish
from .fitting.history import History
from .pipeline import FitResult, Say, fit_classifier
from .settings import Settings, column_kinds


@dataclass(frozen=True)
class Parts:
    """The labeled rows of a run.

    Attributes:
        seen: fitted on, and stopped by.
        validation: how many of them, the last ones, are only for stopping; where 0, parts for that
            are dealt from all of them.
        test: scored on.
    """

    seen: Examples
    validation: int
    test: Examples


@dataclass(frozen=True)
class Trained:
    """What a run came to.

    Attributes:
        path: the published file.
        scores: of the exported file on the test part.
        baselines: the baselines' scores on the same rows.
        history: epoch by epoch; of the first member of an ensemble.
        findings: what was found in the table and done about it.
    """

    path: Path
    scores: Scores
    baselines: dict[str, Scores]
    history: History
    findings: tuple[Finding, ...]


def train(
    settings: Settings,
    say: Say = lambda _line: None,
    progress: TextIO | None = None,
    keep_interrupted: Callable[[], bool] = lambda: False,
) -> Trained | None:
    """Read, clean, split, fit, export, check, score and publish.

    Args:
        settings: of the run.
        say: told what was found and what came out, a line or a table at a time.
        progress: where the progress bar goes, standard error where None; there is none where
            this is no terminal.
        keep_interrupted: asked after Ctrl-C whether the best network so far is to be published.

    Returns:
        None where the run was interrupted and its network is not kept.

    Raises:
        TrainerError: for whatever stops the run; nothing is published then.
    """
    check_writable(Path(settings.models), settings.name)
    rng = np.random.default_rng(settings.seed)
    stream = progress or sys.stderr
    schema, parts, findings = _read(settings, rng, say)
    spread = _cross_validated(settings, schema, parts, rng, say, stream) if settings.cv else None
    outcome = fit_classifier(settings, schema, parts.seen, parts.validation, rng, say, stream)
    history = outcome.fitted.histories[0]
    if outcome.fitted.interrupted and not keep_interrupted():
        return None
    exported = _exported(settings, outcome, parts, spread, rng, say)
    beside = {}
    if settings.report:
        beside[REPORT] = _report(settings, outcome, parts, exported, spread, findings).encode()
    before = newest(Path(settings.models) / settings.name)
    path = publish(exported.content, Path(settings.models), settings.name, beside)
    if path.parent == before:
        say(f"\n{path} is this very model already: the same rows and settings make the same file")
    else:
        say(f"\nPublished {path}")
    return Trained(path, exported.scores, exported.baselines, history, tuple(findings))


def _read(
    settings: Settings, rng: np.random.Generator, say: Say
) -> tuple[Schema, Parts, list[Finding]]:
    """The tables as examples in parts, with what was found said."""
    kinds = column_kinds(settings.kind)
    cleaned = clean(
        read_table(settings.table, as_text=[settings.target]), settings.target, settings.drop, kinds
    )
    schema, findings, rows = cleaned.schema, list(cleaned.findings), cleaned.examples
    say(
        f"{settings.table}: {len(rows):,} labeled rows, "
        f"{len(schema.numbers)} numbers and {len(schema.categories)} categories, "
        f"{len(schema.classes)} classes"
    )
    del cleaned  # a large table is in memory once
    release_memory()
    given: dict[str, Examples] = {}
    for part, path in (("test", settings.test), ("validation", settings.validation)):
        if path:
            encoded = encode(read_table(path, as_text=[schema.target]), schema)
            given[part] = encoded.examples
            if filecmp.cmp(path, settings.table, shallow=False):
                raise SettingError(
                    f"--{part}", f"is {path!r}, which holds the very rows that are learned from"
                )
            findings += [
                dataclasses.replace(finding, text=f"{path}: {finding.text}")
                for finding in encoded.findings
            ]
    if "test" in given:
        seen, test = rows, given["test"]
    else:
        rest, picked = stratified_split(rows.labels, settings.test_share, rng)
        seen, test = take_subsets(rows, rest, picked)
    del rows
    if not len(test):
        raise TableError(
            "no row is left for the test part; give more rows or a table of its own",
            path=settings.test or settings.table,
        )
    if "validation" in given:
        seen = seen.joined(given["validation"])
    for finding in findings:
        say(f"  - {finding.text}")
    validation = len(given.get("validation", ()))
    fit = f"{len(seen) - validation:,} to fit"
    stop = f", {validation:,} to stop by" if validation else " and stop by"
    say(f"Rows: {fit}{stop}, {len(test):,} to score on")
    return schema, Parts(seen, validation, test), findings


def _cross_validated(
    settings: Settings,
    schema: Schema,
    parts: Parts,
    rng: np.random.Generator,
    say: Say,
    stream: TextIO,
) -> dict[str, tuple[float, float]]:
    """Each score's mean and spread over folds of all rows but the test rows."""
    folds = cross_validate(settings, schema, parts.seen, rng, stream)
    spread = mean_and_spread(folds)
    say(f"\nCross-validation, {len(folds)} folds (mean and standard deviation):")
    say(spread_table(spread))
    return spread


@dataclass(frozen=True)
class _Exported:
    """The file, and what it and the baselines say of the test rows."""

    content: bytes
    model: ExportedModel
    answers: Answers
    scores: Scores
    baseline_answers: dict[str, NDArray[np.float64]]
    baselines: dict[str, Scores]
    golden: list[dict[str, Any]]


def _exported(
    settings: Settings,
    outcome: FitResult,
    parts: Parts,
    spread: dict[str, tuple[float, float]] | None,
    rng: np.random.Generator,
    say: Say,
) -> _Exported:
    """The checked file, and the scores of what it - not the network - says of the test part."""
    classifier, test = outcome.classifier, parts.test
    bare = ExportedModel(model_file.export(classifier, {}))
    gap = check_parity(classifier, bare, test)
    _, probabilities = bare.run(test)
    answers = Answers(probabilities, classifier.predicted(probabilities))
    scores = score(test.labels, probabilities, answers.predicted)
    compared = _baseline_answers(classifier, parts, rng)
    against = {name: score(test.labels, said) for name, said in compared.items()}
    say(f"\nOn {scores.rows:,} test rows, answered by the exported file:")
    lines = {settings.name: scores}
    if classifier.threshold:
        lines["without the threshold"] = score(test.labels, probabilities)
    say(scores_table(lines | against))
    say("")
    say(confusion_table(scores.confusion, classifier.schema.classes))
    if better := [name for name, line in against.items() if line.accuracy > scores.accuracy]:
        say(f"\nMore accurate than the network on these rows: {', '.join(better)}.")
    if scores.rows < FEW_ROWS:
        say(f"\nFigures from {counted(scores.rows, 'row')} are a rough guide at best.")
    learned = outcome.learned
    golden = model_file.golden_rows(classifier, bare, learned)
    content = model_file.export(
        classifier,
        {
            "signature": model_file.signature(classifier, learned),
            "reference": model_file.reference(classifier, learned),
            "evaluation": model_file.evaluation(
                scores, against, outcome.fitted.temperatures, spread
            ),
            "golden": golden,
            "training": _facts(settings, outcome, parts, gap),
        },
    )
    model = ExportedModel(content)  # the very bytes that are published can be opened
    return _Exported(content, model, answers, scores, compared, against, golden)


def _baseline_answers(
    classifier: FittedClassifier, parts: Parts, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """What simple methods make of the same inputs, but for indices that only a network looks up."""
    layout = classifier.preprocessor.layout
    inputs, classes = slice(layout.numbers + layout.others), len(classifier.schema.classes)
    if not inputs.stop:  # there is nothing to compare by
        shares = np.bincount(parts.seen.labels, minlength=classes) / len(parts.seen)
        return {"commonest class": np.tile(shares, (len(parts.test), 1))}
    compared = parts.seen.take(rows_compared(parts.seen.labels, rng))
    seen, test = (classifier.preprocessor.transform(rows) for rows in (compared, parts.test))
    return baseline_answers((seen[:, inputs], compared.labels), test[:, inputs], classes, rng)


def _report(
    settings: Settings,
    outcome: FitResult,
    parts: Parts,
    exported: _Exported,
    spread: dict[str, tuple[float, float]] | None,
    findings: list[Finding],
) -> str:
    """All of this for people, as one HTML text."""
    # Matplotlib and Jinja take a while to import: not before there is something to show.
    from .report.inputs import DrawnLayer, ReportInputs  # noqa: PLC0415
    from .report.page import report  # noqa: PLC0415

    members = outcome.classifier.network.members
    return report(
        ReportInputs(
            name=settings.name,
            table=Path(settings.table).name,
            schema=outcome.classifier.schema,
            test=parts.test,
            answers=exported.answers,
            predict=lambda rows: exported.model.run(rows)[1],
            rows={
                "to fit" if parts.validation else "to fit and stop by": len(parts.seen)
                - parts.validation,
                **({"to stop by": parts.validation} if parts.validation else {}),
                "to score on": len(parts.test),
            },
            baselines=exported.baseline_answers,
            spread=spread,
            history=outcome.fitted.histories[0],
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
            temperatures=outcome.fitted.temperatures if settings.calibrate else (),
            threshold=outcome.classifier.threshold,
            example=exported.golden[0],
            settings=_settings(settings, outcome),
        )
    )


def _facts(settings: Settings, outcome: FitResult, parts: Parts, gap: float) -> dict[str, Any]:
    """How the file came about; nothing that changes from one run to the next."""
    held_out = len(outcome.fitted.labels) // len(outcome.fitted.histories)
    return {
        "rows": {
            "training": len(parts.seen) - held_out,
            "validation": held_out,
            "test": len(parts.test),
        },
        "sha256": digest(settings.table),
        "settings": _settings(settings, outcome),
        "parity": gap,
        "versions": {
            "pigeonhole": __version__,
            **{package: version(package) for package in ("numpy", "onnx", "onnxruntime")},
        },
    }


def _settings(settings: Settings, outcome: FitResult) -> dict[str, Any]:
    """What was set, and chosen where that was left open."""
    chosen = dataclasses.asdict(settings) | dataclasses.asdict(outcome.plan)
    # Where the tables lay, what the model is called and who reads of it are no facts of the fit.
    for key in ("table", "validation", "test", "models", "name", "report"):
        del chosen[key]
    return chosen
