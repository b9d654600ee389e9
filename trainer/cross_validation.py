"""Cross-validation: scores every labeled row by a classifier that was fitted without its fold."""

from __future__ import annotations

from dataclasses import fields
from typing import TextIO

import numpy as np

from .data.schema import Examples, Schema
from .data.stratified import stratified_folds
from .errors import SettingError
from .evaluation.scores import Scores, score
from .pipeline import TrainingRows, fit_classifier
from .settings import Settings


def cross_validate(
    settings: Settings,
    schema: Schema,
    examples: Examples,
    rng: np.random.Generator,
    stream: TextIO | None = None,
) -> list[Scores]:
    """Return the scores of one fit per fold, each on the fold that the fit held out.

    Args:
        settings: of the run; ``cv`` is the number of folds.
        schema: of the rows.
        examples: the rows to divide into folds.
        rng: draws folds, first weights and shuffles.
        stream: the terminal of the progress bar.

    Raises:
        SettingError: there are more folds than rows.
        TrainerError: as `fit_classifier`.
        KeyboardInterrupt: Ctrl-C, because the scores of an interrupted fit are not comparable.
    """
    if settings.cv > len(examples):
        raise SettingError(
            "--cv", f"is {settings.cv}, expected at most {len(examples)}, the number of rows to fit"
        )
    scores = []
    for fold in stratified_folds(examples.labels, settings.cv, rng):
        others = examples.take(np.setdiff1d(np.arange(len(examples)), fold))
        result = fit_classifier(settings, schema, TrainingRows(others), rng, stream=stream)
        if result.fitted.interrupted:
            raise KeyboardInterrupt
        rows, classifier = examples.take(fold), result.classifier
        probabilities = classifier.probabilities(rows)
        scores.append(score(rows.labels, probabilities, classifier.predicted(probabilities)))
    return scores


def mean_and_spread(scores: list[Scores]) -> dict[str, tuple[float, float]]:
    """Return each score's mean over the folds and its standard deviation, by name."""
    names = [field.name for field in fields(Scores) if field.name not in ("rows", "confusion")]
    values = {name: np.array([getattr(fold, name) for fold in scores]) for name in names}
    return {name: (float(v.mean()), float(v.std(ddof=1))) for name, v in values.items()}
