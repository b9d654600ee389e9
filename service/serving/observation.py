"""A prediction as observers see it: the metrics, and any other observer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ..model.artifact import Model
from ..model.columns import Prediction
from ..model.training_range import OutOfRange


class Observation(msgspec.Struct, frozen=True):
    """A prediction with its model and the values that were out of the training range."""

    model: Model
    prediction: Prediction
    out_of_range: Sequence[OutOfRange]


OnModelRun = Callable[[str, int, float, float], object]
"""Called after each successful run with the model's name and version, the run's seconds, and the sum
of the seconds that its calls waited. Must be quick: the responses wait for it."""

Observer = Callable[[Sequence[Observation]], None]
"""Called with all predictions since the last call, in order."""
