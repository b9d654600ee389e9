"""From labeled rows to a fitted classifier, as the settings say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from .architecture import network
from .classifier import FittedClassifier
from .data.findings import pluralize
from .data.schema import Examples, Schema
from .data.stratified import stratified_parts
from .errors import SettingError, TableError
from .evaluation.threshold import Threshold, best_threshold
from .features.preprocessor import Preprocessor
from .fitting.ensemble import FittedMembers, fit_members, held_out_by_every_member
from .fitting.fit import FitConfig
from .network.ensemble import Ensemble
from .settings import Settings

STEPS_PER_EPOCH = 50
"""Target of the automatic batch size."""

EPOCHS, MOST_EPOCHS, FEWEST_EPOCHS = 64, 128, 16
FEW_ROWS, MANY_ROWS = 2_400, 8_000
"""Rows below which there are more epochs, and above which there are fewer.

On 13 tables below some 2,400 rows, twice the epochs gained 0.5 points of accuracy. Large tables lose
nothing with fewer epochs, because each epoch has more steps.
"""

SMALLEST_BATCH, LARGEST_BATCH = 16, 256

Print = Callable[[str], None]
"""Receives the output of a run, a line or a table at a time."""


@dataclass(frozen=True)
class TrainingRows:
    """The rows to fit a classifier to.

    Attributes:
        examples: training and validation rows.
        validation: how many of the last rows are only for validation; 0 if each member holds out
            a part of its own.
    """

    examples: Examples
    validation: int = 0

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class FitResult:
    """A fitted classifier, and how it was fitted.

    Attributes:
        classifier: from columns to classes.
        fitted: the networks with their histories.
        config: epochs, batch size and the other figures of the fit.
        preprocessing_rows: the rows that the preprocessor was fitted to.
    """

    classifier: FittedClassifier
    fitted: FittedMembers
    config: FitConfig
    preprocessing_rows: Examples


def fit_classifier(
    settings: Settings,
    schema: Schema,
    training: TrainingRows,
    rng: np.random.Generator,
    output: Print = lambda _text: None,
    stream: TextIO | None = None,
) -> FitResult:
    """Fit preprocessor, networks and threshold.

    Args:
        settings: of the run.
        schema: of the rows.
        training: the rows to fit to, and to choose epoch, temperature and threshold by.
        rng: draws validation parts, first weights and shuffles.
        output: receives the layers, then a summary of the fit.
        stream: the terminal of the progress bar.

    Raises:
        TableError: there are too few rows, or no feature to learn from.
        SettingError: class weights or threshold do not suit the classes.
        TrainingError: a loss is not finite.
        KeyboardInterrupt: Ctrl-C before the end of the first epoch.
    """
    rows, labels, classes = training.examples, training.examples.labels, schema.classes
    weights = class_weights(settings.class_weight, labels, classes)
    positive = positive_class(settings, labels, classes)
    parts = _validation_parts(settings, training, rng)
    preprocessing_rows = _preprocessing_rows(settings, rows, parts)
    preprocessor = Preprocessor.fit(preprocessing_rows, schema)
    if not preprocessor.size:
        raise TableError(
            "no training row has a category to learn from; give more rows or columns",
            path=settings.table,
        )
    config = _config(settings, len(rows) - len(parts[0]))
    make = partial(network, settings, preprocessor.layout, len(classes), weights)
    layers = make(np.random.default_rng(0)).summary(weights=False)
    output(_networks_text(settings, len(parts), layers))
    x = preprocessor.transform(rows)
    fitted = fit_members(make, (x, labels), parts, config, rng, stream)
    output(_fit_text(settings, fitted))
    ensemble = Ensemble(fitted.networks)
    if len(fitted.networks) == 1 and (weighted := ensemble.summary()) != layers:
        output(f"\n{weighted}")  # a small network's summary shows its weights
    threshold = _threshold(settings, fitted, positive)
    if threshold:
        output(
            f"Threshold: predicts {classes[positive]!r} from a probability of "
            f"{threshold.value:.4f} on."
        )
    classifier = FittedClassifier(schema, preprocessor, ensemble, threshold)
    return FitResult(classifier, fitted, config, preprocessing_rows)


def _validation_parts(
    settings: Settings, training: TrainingRows, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return the indices of each member's validation rows; a tiny table has fewer members."""
    rows = training.examples
    if training.validation:
        return [np.arange(len(rows) - training.validation, len(rows))] * settings.ensemble
    share = min(settings.validation_share, 1 / settings.ensemble)
    parts = stratified_parts(rows.labels, settings.ensemble, share, rng)
    parts = [part for part in parts if len(part)]
    if not parts:
        raise TableError(
            "no row is left for validation; give more rows or a table with --validation",
            path=settings.table,
        )
    return parts


def _preprocessing_rows(
    settings: Settings, rows: Examples, parts: Sequence[NDArray[np.int64]]
) -> Examples:
    """Return the rows that at least one published network is fitted to."""
    if settings.refit or not len(held_out := held_out_by_every_member(parts)):
        return rows
    return rows.take(np.setdiff1d(np.arange(len(rows)), held_out))


def _config(settings: Settings, training_rows: int) -> FitConfig:
    """Return the configuration of the fits, with automatic values where the settings have 0."""
    return FitConfig(
        settings.epochs or _epochs(training_rows),
        settings.batch_size or _batch_size(training_rows),
        settings.patience,
        settings.select,
        settings.calibrate,
        settings.refit,
    )


def _threshold(settings: Settings, fitted: FittedMembers, positive: int) -> Threshold | None:
    """Return the best threshold on the held-out rows, if the settings ask for one."""
    if not settings.threshold:
        return None
    probabilities = fitted.held_out[:, positive]
    value = best_threshold(settings.threshold, fitted.labels == positive, probabilities)
    return Threshold(positive, value, settings.threshold)


def class_weights(
    stated: str, labels: NDArray[np.int64], classes: tuple[str, ...]
) -> list[float] | None:
    """Return the weight of each class in the loss; None where every row weighs 1.

    Args:
        stated: ``balanced``, so that every class has the same total weight; or classes with
            numbers, as in ``yes=3,no=1``, where other classes weigh 1; or an empty text.
        labels: class indices of the training rows, (rows,).
        classes: the class names.

    Raises:
        SettingError: ``stated`` is anything else.
    """
    if not stated:
        return None
    if stated == "balanced":
        counts = np.bincount(labels, minlength=len(classes)).clip(1)
        return [float(len(labels) / len(classes) / count) for count in counts]
    weights = dict.fromkeys(classes, 1.0)
    for part in stated.split(","):
        name, _, number = part.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if name.strip() not in weights or not 0 < weight < float("inf"):
            raise SettingError(
                "--class-weight",
                f"has {part!r}, expected balanced, or classes with numbers above 0 as in "
                f"{classes[0]}=2; the classes are {', '.join(classes[:20])}",
            )
        weights[name.strip()] = weight
    return list(weights.values())


def positive_class(settings: Settings, labels: NDArray[np.int64], classes: tuple[str, ...]) -> int:
    """Return the index of the threshold's class: ``--positive``, otherwise the rarer class.

    Raises:
        SettingError: there are not two classes, or ``--positive`` is not one of them.
    """
    if settings.threshold and len(classes) != 2:  # noqa: PLR2004 - a threshold is for two classes
        raise SettingError("--threshold", f"is for two classes; this table has {len(classes)}")
    if settings.positive and settings.positive not in classes:
        raise SettingError(
            "--positive",
            f"is {settings.positive!r}, expected one of {', '.join(classes[:20])}",
        )
    if settings.positive:
        return classes.index(settings.positive)
    counts = np.bincount(labels, minlength=len(classes))
    return len(classes) - 1 - int(counts[::-1].argmin())  # of two equal counts, the second class


def _epochs(rows: int) -> int:
    """Return ``EPOCHS``, more in inverse proportion to few rows, fewer by the root of many."""
    epochs = EPOCHS * max(FEW_ROWS / rows, 1) * math.sqrt(min(MANY_ROWS / rows, 1))
    return round(min(max(epochs, FEWEST_EPOCHS), MOST_EPOCHS))


def _batch_size(rows: int) -> int:
    """Return the power of two that gives about ``STEPS_PER_EPOCH`` steps, within bounds."""
    size = 2 ** round(np.log2(max(rows / STEPS_PER_EPOCH, 1)))
    return int(min(max(size, SMALLEST_BATCH), LARGEST_BATCH))


def _networks_text(settings: Settings, members: int, layers: str) -> str:
    lines = []
    if members < settings.ensemble:
        lines.append(
            f"Too few rows for {settings.ensemble} validation parts; fitting "
            f"{pluralize(members, 'network')}.\n"
        )
    if members > 1:
        lines.append(f"{members} networks, each:")
    return "\n" + "\n".join([*lines, layers]) + "\n"


def _fit_text(settings: Settings, fitted: FittedMembers) -> str:
    """Return a line such as "Fitted 50 epochs in 1.2 s, stopped by patience; best epoch 30"."""
    history = fitted.histories[0]
    text = (
        f"Fitted {pluralize(len(history.loss), 'epoch')} in {sum(history.seconds):.1f} s, "
        f"stopped by {history.stopped_by}; best epoch {history.best_epoch}"
    )
    if len(fitted.networks) > 1:
        text += f" (first of {len(fitted.networks)} networks)"
    elif fitted.trained_on_all_rows:
        text += ", refitted to all rows"
    if settings.calibrate:
        text += f"; temperature {fitted.temperatures[0]:.2f}"
    return text
