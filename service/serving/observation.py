"""A prediction as those see it who watch: metrics, and whatever is to come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ..model.artifact import Model
from ..model.columns import Prediction
from ..model.training_range import OutOfRange


class Observation(msgspec.Struct, frozen=True):
    """A prediction: the model, what it said of some rows, and what was unusual in them."""

    model: Model
    prediction: Prediction
    out_of_range: Sequence[OutOfRange]


ModelRan = Callable[[str, int, float, float], object]
"""Told of a run that went well: the model's name and version, its seconds, and those that its calls
had waited for it, all together. Quick, for the answers wait."""

Observer = Callable[[Sequence[Observation]], None]
"""Told of predictions after they were made: of all since the last time, in order."""
