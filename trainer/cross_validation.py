"""Cross-validation: every labeled row is scored once by a classifier that has not seen it."""

from __future__ import annotations

from dataclasses import fields
from typing import TextIO

import numpy as np

from .data.folds import stratified_folds
from .data.schema import Examples, Schema
from .errors import SettingError
from .evaluation.scores import Scores, score
from .pipeline import fit_classifier
from .settings import Settings


def cross_validate(
    settings: Settings,
    schema: Schema,
    examples: Examples,
    rng: np.random.Generator,
    stream: TextIO | None = None,
) -> list[Scores]:
    """The scores of as many fits as there are folds, each on the fold it has not seen.

    Args:
        settings: of the run; ``cv`` is the number of folds.
        schema: of the rows.
        examples: the rows to deal out.
        rng: draws folds, first weights and shuffles.
        stream: where progress is drawn.

    Raises:
        TrainerError: as `fit_classifier` does; for more folds than rows.
        KeyboardInterrupt: by Ctrl-C, for a fit that it cut short says little of a whole one.
    """
    if settings.cv > len(examples):
        raise SettingError("--cv", f"is {settings.cv}; there are only {len(examples)} rows to fit")
    found = []
    for fold in stratified_folds(examples.labels, settings.cv, rng):
        seen = examples.take(np.setdiff1d(np.arange(len(examples)), fold))
        outcome = fit_classifier(settings, schema, seen, 0, rng, stream=stream)
        if outcome.fitted.interrupted:
            raise KeyboardInterrupt
        rows = examples.take(fold)
        probabilities = outcome.classifier.probabilities(rows)
        found.append(score(rows.labels, probabilities, outcome.classifier.predicted(probabilities)))
    return found


def mean_and_spread(scores: list[Scores]) -> dict[str, tuple[float, float]]:
    """Each score's mean over the folds, and its standard deviation between them."""
    names = [field.name for field in fields(Scores) if field.name not in ("rows", "confusion")]
    table = {name: np.array([getattr(line, name) for line in scores]) for name in names}
    return {name: (float(v.mean()), float(v.std(ddof=1))) for name, v in table.items()}
