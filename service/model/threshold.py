"""The decision threshold of a model with two classes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import ModelRejected

TWO = 2
"""Number of classes. With more, a row below the threshold would not have a label."""


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """The label is ``positive`` if its probability is at least ``value``, else the other class.

    Attributes:
        positive: the class with the threshold; its JSON key is ``class``.
        value: the threshold, 0 to 1.
        metric: the metric that the value was chosen for, such as ``f1``; for people.
    """

    positive: str = msgspec.field(name="class")
    value: float
    metric: str

    def check(self, classes: Sequence[str]) -> None:
        """Check the threshold against the classes.

        Raises:
            ModelRejected: there are not two classes, or the class or the value is invalid.
        """
        if len(classes) != TWO:
            raise ModelRejected(
                f"the signature has a threshold and {len(classes)} classes, expected two classes"
            )
        if self.positive not in classes:
            names = " or ".join(map(repr, classes))
            raise ModelRejected(
                f"the threshold is for class {self.positive!r}, expected class {names}"
            )
        if not 0 <= self.value <= 1:
            raise ModelRejected(f"the threshold is {self.value}, expected 0 to 1")

    def labels(self, probabilities: npt.NDArray[np.float32], classes: Sequence[str]) -> list[str]:
        """Return the label of each row.

        Args:
            probabilities: (rows, 2), in the order of the classes.
            classes: the two classes.
        """
        positive = classes.index(self.positive)
        # Compared as doubles, because clients read both figures as doubles and may compare them.
        reached = probabilities[:, positive] >= np.float64(self.value)
        labels = (classes[1 - positive], self.positive)
        return [labels[row] for row in reached.tolist()]
