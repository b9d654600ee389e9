"""The use case: find the live model, run it, tell those who watch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from service.model.artifact import Model
from service.model.columns import Columns, Prediction
from service.model.unusual import Warned
from service.serving.live_models import LiveModels

log = logging.getLogger(__name__)

Observer = Callable[[Model, Prediction, Sequence[Warned]], None]
"""Told of each prediction after it was made."""


class Predictor:
    """Answers rows with the live models.

    Args:
        live: the models.
        observers: told of every prediction; one that fails is logged and fails nothing.
    """

    def __init__(self, live: LiveModels, observers: Sequence[Observer] = ()) -> None:
        self._live, self._observers = live, tuple(observers)

    def find(self, name: str | None, version: str | None) -> Model:
        """The live model that a request means; raises as `LiveModels.find` does."""
        return self._live.find(name, version)

    def predict(self, model: Model, columns: Columns) -> tuple[Prediction, list[Warned]]:
        """What the model says of each row, and what was unusual in the rows.

        The model is the caller's from `find` on, so that rows are read by the signature of the
        very version that answers them, whatever is swapped in meanwhile.

        Raises:
            InvalidRows: for rows that the model has no finite answer to.
            PredictionFailed: when the runtime fails.
        """
        prediction = model.session.run(columns)
        unusual = model.watch.unusual(columns)
        for observer in self._observers:
            try:
                observer(model, prediction, unusual)
            except Exception:
                log.exception("an observer failed", extra={"model": model.name})
        return prediction, unusual
