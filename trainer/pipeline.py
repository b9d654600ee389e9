"""From labeled rows to a fitted classifier, as the settings say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from .architecture import network
from .classifier import FittedClassifier
from .data.findings import counted
from .data.folds import stratified_parts
from .data.schema import Examples, Schema
from .errors import SettingError, TableError
from .evaluation.threshold import Threshold, best_threshold
from .features.preprocessor import Preprocessor
from .fitting.ensemble import Fitted, fit_members, left_out
from .fitting.fit import FitConfig
from .network.ensemble import Ensemble
from .settings import Settings

STEPS_PER_EPOCH = 50
"""What a batch size of its own choice aims at: enough steps to learn, on small tables too."""

EPOCHS, MOST_EPOCHS, FEWEST_EPOCHS = 64, 128, 16
FEW_ROWS, MANY_ROWS = 2_400, 8_000
"""Of 13 tables below some 2,400 rows, twice the epochs brought 0.5 points of accuracy; large tables
lose nothing by fewer, for they take more steps in each.
"""

SMALLEST_BATCH, LARGEST_BATCH = 16, 256

Say = Callable[[str], None]


@dataclass(frozen=True)
class FitResult:
    """What a fit came to.

    Attributes:
        classifier: from raw rows to classes.
        fitted: its networks, with their histories.
        plan: how they were fitted.
        learned: the rows that preprocessing was fitted to.
    """

    classifier: FittedClassifier
    fitted: Fitted
    plan: FitConfig
    learned: Examples


def fit_classifier(
    settings: Settings,
    schema: Schema,
    rows: Examples,
    validation: int,
    rng: np.random.Generator,
    say: Say = lambda _line: None,
    stream: TextIO | None = None,
) -> FitResult:
    """Fit preprocessing, network and threshold.

    Args:
        settings: of the run.
        schema: of the rows.
        rows: to fit to, and to choose epoch, temperature and threshold by.
        validation: how many of the last rows are for choosing alone; where 0, each member of the
            ensemble leaves a part of its own out.
        rng: draws folds, first weights and shuffles.
        say: told of the layers, then of the fit.
        stream: where progress is drawn.

    Raises:
        TableError: for rows that nothing can be learned from.
        SettingError: for class weights or a threshold that don't suit the classes.
        TrainingError: when a loss is no longer a finite number.
        KeyboardInterrupt: by Ctrl-C before there is anything to keep.
    """
    labels = rows.labels
    weights = class_weights(settings.class_weight, labels, schema.classes)
    positive = positive_class(settings, labels, schema.classes)
    if validation:
        parts = [np.arange(len(rows) - validation, len(rows))] * settings.ensemble
    else:
        share = min(settings.validation_share, 1 / settings.ensemble)
        parts = stratified_parts(labels, settings.ensemble, share, rng)
    parts = [part for part in parts if len(part)]  # a tiny table has rows for few members
    if not parts:
        raise TableError("no row is left to stop by; give more rows", path=settings.table)
    learned = rows
    if not settings.refit and len(unseen := left_out(parts)):
        learned = rows.take(np.setdiff1d(np.arange(len(rows)), unseen))
    # Encoders see the rows that the published networks see.
    preprocessor = Preprocessor.fit(learned, schema)
    if not preprocessor.size:
        raise TableError("no row to fit has any category to learn from", path=settings.table)
    x = preprocessor.transform(rows)
    training = len(rows) - len(parts[0])
    plan = FitConfig(
        settings.epochs or _epochs(training),
        settings.batch_size or _batch_size(training),
        settings.patience,
        settings.select,
    )
    make = partial(network, settings, preprocessor.layout, len(schema.classes), weights)
    layers = make(np.random.default_rng(0)).summary(weights=False)
    if len(parts) < settings.ensemble:
        said = counted(len(parts), "network")
        say(
            f"\nThe rows are too few to stop {settings.ensemble} networks by: {said} will be fitted."
        )
    each = f"{len(parts)} networks, each:\n" if len(parts) > 1 else ""
    say(f"\n{each}{layers}\n")
    fitted = fit_members(
        *(make, (x, labels), parts, plan, rng, stream),
        calibrate=settings.calibrate,
        refit=settings.refit,
    )
    say(_sentence(settings, fitted))
    answer = Ensemble(fitted.networks)
    if (shown := answer.summary()) != layers and len(fitted.networks) == 1:
        say(f"\n{shown}")  # it is small enough to show what it learned
    threshold = None
    if settings.threshold:
        chances = fitted.held_out[:, positive]
        value = best_threshold(settings.threshold, fitted.labels == positive, chances)
        threshold = Threshold(positive, value, settings.threshold)
        say(f"{schema.classes[positive]!r} is answered from a probability of {value:.4f} on.")
    classifier = FittedClassifier(schema, preprocessor, answer, threshold)
    return FitResult(classifier, fitted, plan, learned)


def class_weights(
    given: str, labels: NDArray[np.int64], classes: tuple[str, ...]
) -> list[float] | None:
    """The weight of each class in the loss: balanced, so that each class weighs the same; or stated.

    Args:
        given: ``balanced``; names and numbers, as in ``yes=3,no=1``, 1 for those not named; or
            nothing.
        labels: of the training rows, (rows,).
        classes: the class names.

    Raises:
        SettingError: for anything else.
    """
    if not given:
        return None
    if given == "balanced":
        counts = np.bincount(labels, minlength=len(classes)).clip(1)
        return [float(len(labels) / len(classes) / count) for count in counts]
    weights = dict.fromkeys(classes, 1.0)
    for part in given.split(","):
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
    """The place of the class that a threshold is for: the one named, or else the rarer one.

    Raises:
        SettingError: for a threshold where there are not two classes, or a name that is none.
    """
    if settings.threshold and len(classes) != 2:  # noqa: PLR2004 - a threshold parts two
        raise SettingError("--threshold", f"is for two classes; there are {len(classes)}")
    if settings.positive and settings.positive not in classes:
        raise SettingError(
            "--positive",
            f"is {settings.positive!r}, expected one of {', '.join(classes[:20])}",
        )
    if settings.positive:
        return classes.index(settings.positive)
    counts = np.bincount(labels, minlength=len(classes))
    return len(classes) - 1 - int(counts[::-1].argmin())  # of two alike, the second


def _epochs(rows: int) -> int:
    """``EPOCHS``; in inverse proportion more for few rows, and to the root fewer for many."""
    suited = EPOCHS * max(FEW_ROWS / rows, 1) * math.sqrt(min(MANY_ROWS / rows, 1))
    return round(min(max(suited, FEWEST_EPOCHS), MOST_EPOCHS))


def _batch_size(rows: int) -> int:
    """The power of two that gives about ``STEPS_PER_EPOCH`` steps, within bounds."""
    size = 2 ** round(np.log2(max(rows / STEPS_PER_EPOCH, 1)))
    return int(min(max(size, SMALLEST_BATCH), LARGEST_BATCH))


def _sentence(settings: Settings, fitted: Fitted) -> str:
    history = fitted.histories[0]
    text = (
        f"Fitted {len(history.loss)} epochs in {sum(history.seconds):.1f} s, "
        f"ended by {history.stopped_by}; the weights are those of epoch {history.best_epoch}"
    )
    if len(fitted.networks) > 1:
        text += f" (the first of {len(fitted.networks)} members)"
    elif fitted.trained_on_all_rows:
        text += " of a second fit to all of these rows"
    if settings.calibrate:
        text += f"; temperature {fitted.temperatures[0]:.2f}"
    return text
