"""The decision threshold of a model with two classes: from which probability on it says which."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import ModelRejected

TWO = 2
"""Classes that there must be: with more, not reaching a threshold would name none of the others."""


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """The label is ``positive`` where its probability is at least ``value``, else the other class.

    Attributes:
        positive: the class that is decided on; in JSON its key is ``class``.
        value: 0 to 1.
        metric: what the value was chosen for, such as ``f1``; for people.
    """

    positive: str = msgspec.field(name="class")
    value: float
    metric: str

    def check(self, classes: Sequence[str]) -> None:
        """Hold it against the classes.

        Raises:
            ModelRejected: when it can't decide between them.
        """
        if len(classes) != TWO:
            raise ModelRejected(
                f"the signature has a threshold and {len(classes)} classes, expected two"
            )
        if self.positive not in classes:
            names = " or ".join(map(repr, classes))
            raise ModelRejected(f"the threshold is of class {self.positive!r}, expected {names}")
        if not 0 <= self.value <= 1:
            raise ModelRejected(f"the threshold is {self.value}, expected 0 to 1")

    def labels(self, probabilities: npt.NDArray[np.float32], classes: Sequence[str]) -> list[str]:
        """The class of each row.

        Args:
            probabilities: (rows, 2), in the order of the classes.
            classes: both of them.
        """
        place = classes.index(self.positive)
        # As doubles, which is what a caller reads of both and may compare himself.
        reached = probabilities[:, place] >= np.float64(self.value)
        chosen = (classes[1 - place], self.positive)
        return [chosen[row] for row in reached.tolist()]
