"""The inputs of a report, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.findings import Finding
from ..data.schema import Examples, Schema
from ..evaluation.intervals import Predictions
from ..evaluation.threshold import Threshold
from ..fitting.history import History


@dataclass(frozen=True)
class DrawnLayer:
    """A layer of the network, for its drawing.

    Attributes:
        name: kind, such as ``Dense, relu``.
        units: number of outputs.
        kernel: weights (units of the layer before, units); None if they are not drawn.
    """

    name: str
    units: int
    kernel: NDArray[Any] | None = None


@dataclass(frozen=True)
class ReportInputs:
    """All inputs of a report. The report leaves out the sections of empty inputs.

    Attributes:
        name: the model's name.
        table: file name of the training table, or of the table to score.
        schema: of the rows.
        test: the rows to score, at least one.
        predictions: the model's, for the test rows.
        predict: the model, from rows to probabilities (rows, classes).
        rows_noun: words for one scored row and for several.
        row_counts: rows of each part, by the words that follow "100 rows": ``{"for test": 40}``.
        baselines: probabilities (rows, classes) of each baseline, by name.
        spread: mean and standard deviation over the folds of a cross-validation, by score.
        history: of the first network's fit.
        layers: of the network; the first one stands for its inputs.
        members: number of networks whose mean is the prediction.
        findings: about the table.
        temperatures: the temperature of each member.
        threshold: of a model of two classes; None if the most likely class is predicted.
        example: an entry of the file's golden rows, for the usage examples.
        settings: of the run, by name.
    """

    name: str
    table: str
    schema: Schema
    test: Examples
    predictions: Predictions
    predict: Callable[[Examples], NDArray[np.floating]]
    rows_noun: tuple[str, str] = ("test row", "test rows")
    row_counts: Mapping[str, int] = field(default_factory=dict)
    baselines: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    spread: Mapping[str, tuple[float, float]] | None = None
    history: History | None = None
    layers: tuple[DrawnLayer, ...] = ()
    members: int = 1
    findings: Sequence[Finding] = ()
    temperatures: Sequence[float] = ()
    threshold: Threshold | None = None
    example: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
