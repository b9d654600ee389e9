"""A prediction as those see it who watch: metrics, and whatever is to come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from service.model.artifact import Model
from service.model.columns import Prediction
from service.model.unusual import Warned


class Observation(msgspec.Struct, frozen=True):
    """A prediction: the model, what it said of some rows, and what was unusual in them."""

    model: Model
    prediction: Prediction
    unusual: Sequence[Warned]


Observer = Callable[[Sequence[Observation]], None]
"""Told of predictions after they were made: of all since the last time, in order."""
