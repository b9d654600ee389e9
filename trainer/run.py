"""The whole run, readable from top to bottom: a table in, a published model file out."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from threadpoolctl import threadpool_limits

from trainer import __version__
from trainer.classifier import FittedClassifier
from trainer.data.cleaning import clean
from trainer.data.encoding import encode
from trainer.data.findings import Finding
from trainer.data.schema import Examples, Schema
from trainer.data.split import stratified_split
from trainer.data.table import read_table
from trainer.errors import TableError
from trainer.evaluation.baselines import baselines
from trainer.evaluation.scores import Scores, score
from trainer.evaluation.tables import confusion_table, scores_table
from trainer.export import model as model_file
from trainer.export.parity import ExportedModel, check_parity
from trainer.export.publish import check_writable, publish
from trainer.features.preprocessor import Preprocessor
from trainer.fitting.history import History
from trainer.fitting.loop import INTERRUPTION, fit_network
from trainer.network.layers import BatchNormalization, Dense, Dropout, Layer
from trainer.network.losses import CategoricalCrossentropy
from trainer.network.optimizers import OPTIMIZERS
from trainer.network.sequential import Sequential
from trainer.settings import Settings

STEPS_PER_EPOCH = 50
"""What the batch size is chosen for: enough steps to learn, on small tables too."""

SMALLEST_BATCH, LARGEST_BATCH = 16, 256

Say = Callable[[str], None]


@dataclass(frozen=True)
class Parts:
    """The labeled rows of a run: fitted on, stopped by, scored on."""

    training: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True)
class Trained:
    """What a run came to.

    Attributes:
        path: the published file.
        scores: of the exported file on the test part.
        baselines: the baselines' scores on the same rows.
        history: epoch by epoch.
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
    # Layers of this size gain nothing from more threads and lose much where another process has a
    # core: 20 epochs of 157,000 rows took 2.5 s with one, 10 s with two beside a busy one.
    with threadpool_limits(1, user_api="blas"):
        return _train(settings, say, progress or sys.stderr, keep_interrupted)


def _train(
    settings: Settings, say: Say, progress: TextIO, keep_interrupted: Callable[[], bool]
) -> Trained | None:
    rng = np.random.default_rng(settings.seed)
    schema, parts, findings = _read(settings, rng, say)
    preprocessor = Preprocessor.fit(parts.training)
    if not preprocessor.size:
        raise TableError("no row to fit has any category to learn from", path=settings.table)
    network = _network(settings, preprocessor.size, len(schema.classes), rng)
    batch_size = settings.batch_size or _batch_size(len(parts.training))
    layers = network.summary(weights=False)
    say(f"\n{layers}\n")
    history = fit_network(
        network,
        (preprocessor.transform(parts.training), parts.training.labels),
        (preprocessor.transform(parts.validation), parts.validation.labels),
        epochs=settings.epochs,
        batch_size=batch_size,
        patience=settings.patience,
        rng=rng,
        stream=progress,
    )
    say(_fit_sentence(history))
    if (weights := network.summary()) != layers:  # it is small enough to show what it learned
        say(f"\n{weights}")
    if history.stopped_by == INTERRUPTION and not keep_interrupted():
        return None
    classifier = FittedClassifier(schema, preprocessor, network)
    scores, against, content = _exported(settings, classifier, parts, rng, batch_size, say)
    path = publish(content, Path(settings.models), settings.name)
    say(f"\nPublished {path}")
    return Trained(path, scores, against, history, tuple(findings))


def _read(
    settings: Settings, rng: np.random.Generator, say: Say
) -> tuple[Schema, Parts, list[Finding]]:
    """The tables as examples in three parts, with what was found said."""
    cleaned = clean(read_table(settings.table), settings.target, settings.drop)
    schema, findings = cleaned.schema, list(cleaned.findings)
    say(
        f"{settings.table}: {len(cleaned.examples):,} labeled rows, "
        f"{len(schema.numbers)} numbers and {len(schema.categories)} categories, "
        f"{len(schema.classes)} classes"
    )
    training = cleaned.examples
    parts: dict[str, Examples] = {}
    for part, path, share in (
        ("test", settings.test, settings.test_share),
        ("validation", settings.validation, settings.validation_share),
    ):
        if path:
            encoded = encode(read_table(path), schema)
            parts[part] = encoded.examples
            findings += [
                dataclasses.replace(finding, text=f"{path}: {finding.text}")
                for finding in encoded.findings
            ]
        else:
            rest, taken = stratified_split(training.labels, share, rng)
            training, parts[part] = training.take(rest), training.take(taken)
        if not len(parts[part]):
            raise TableError(
                f"no row is left for the {part} part; give more rows or a table of its own",
                path=path or settings.table,
            )
    for finding in findings:
        say(f"  - {finding.text}")
    say(
        f"Rows: {len(training):,} to fit, {len(parts['validation']):,} to stop by, "
        f"{len(parts['test']):,} to score on"
    )
    return schema, Parts(training, parts["validation"], parts["test"]), findings


def _network(settings: Settings, inputs: int, classes: int, rng: np.random.Generator) -> Sequential:
    """The plain multilayer perceptron of the settings, compiled and initialized."""
    layers: list[Layer] = []
    shape: dict[str, Any] = {"input_shape": (inputs,)}
    for units in settings.hidden:
        layers.append(Dense(units, activation=settings.activation, **shape))
        shape = {}
        if settings.batch_normalization:
            layers.append(BatchNormalization())
        if settings.dropout:
            layers.append(Dropout(settings.dropout))
    layers.append(Dense(classes, activation="softmax", **shape))
    network = Sequential(layers)
    decay = {"weight_decay": settings.weight_decay} if settings.optimizer == "adamw" else {}
    network.compile(
        OPTIMIZERS[settings.optimizer](learning_rate=settings.learning_rate, **decay),
        CategoricalCrossentropy(settings.label_smoothing),
        settings.schedule,
    )
    network.build(rng)
    return network


def _batch_size(rows: int) -> int:
    """The power of two that gives about ``STEPS_PER_EPOCH`` steps, within bounds."""
    size = 2 ** round(np.log2(max(rows / STEPS_PER_EPOCH, 1)))
    return int(min(max(size, SMALLEST_BATCH), LARGEST_BATCH))


def _exported(
    settings: Settings,
    classifier: FittedClassifier,
    parts: Parts,
    rng: np.random.Generator,
    batch_size: int,
    say: Say,
) -> tuple[Scores, dict[str, Scores], bytes]:
    """The checked file, and the scores of what it - not the network - says of the test part."""
    bare = ExportedModel(model_file.export(classifier, {}))
    gap = check_parity(classifier, bare, parts.test)
    _, probabilities = bare.run(parts.test)
    scores = score(parts.test.labels, probabilities)
    against = baselines(
        (classifier.preprocessor.transform(parts.training), parts.training.labels),
        (classifier.preprocessor.transform(parts.test), parts.test.labels),
        len(classifier.schema.classes),
        rng,
    )
    say(f"\nOn {scores.rows:,} test rows, answered by the exported file:")
    say(scores_table({settings.name: scores, **against}))
    say("")
    say(confusion_table(scores.confusion, classifier.schema.classes))
    if better := [name for name, line in against.items() if line.accuracy > scores.accuracy]:
        say(f"\nMore accurate than the network on these rows: {', '.join(better)}.")
    content = model_file.export(
        classifier,
        {
            "signature": model_file.signature(classifier, parts.training),
            "reference": model_file.reference(classifier, parts.training),
            "evaluation": model_file.evaluation(scores, against),
            "golden": model_file.golden_rows(classifier, bare, parts.training),
            "training": _facts(settings, parts, batch_size, gap),
        },
    )
    ExportedModel(content)  # the very bytes that are published can be opened
    return scores, against, content


def _facts(settings: Settings, parts: Parts, batch_size: int, gap: float) -> dict[str, Any]:
    """How the file came about; nothing that changes from one run to the next."""
    chosen = dataclasses.asdict(settings) | {"batch_size": batch_size}
    # Where the tables lay and what the model is called are no facts of the fit.
    for key in ("table", "validation", "test", "models", "name"):
        del chosen[key]
    return {
        "rows": {part: len(getattr(parts, part)) for part in ("training", "validation", "test")},
        "sha256": hashlib.sha256(Path(settings.table).read_bytes()).hexdigest(),
        "settings": chosen,
        "parity": gap,
        "versions": {
            "pigeonhole": __version__,
            **{package: version(package) for package in ("numpy", "onnx", "onnxruntime")},
        },
    }


def _fit_sentence(history: History) -> str:
    return (
        f"Fitted {len(history.loss)} epochs in {sum(history.seconds):.1f} s, "
        f"ended by {history.stopped_by}; the weights are those of epoch {history.best_epoch}"
    )
