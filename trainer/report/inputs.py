"""What a report is made of, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.findings import Finding
from ..data.schema import Examples, Schema
from ..evaluation.intervals import Answers
from ..evaluation.threshold import Threshold
from ..fitting.history import History


@dataclass(frozen=True)
class DrawnLayer:
    """A layer of the network, as it is drawn.

    Attributes:
        name: of its kind, such as ``Dense, relu``.
        units: how many outputs it has.
        kernel: weights from the layer before, (its units, units), if they are to be seen.
    """

    name: str
    units: int
    kernel: NDArray[Any] | None = None


@dataclass(frozen=True)
class ReportInputs:
    """All that a report shows, or works its figures out from.

    What is empty or None is left out of the report.

    Attributes:
        name: of the model.
        table: that it learned from, or that it is scored on.
        schema: of the rows.
        test: the rows to score on, at least one.
        answers: of the model to these rows.
        predict: the model, from any rows to probabilities (rows, classes).
        scored: what the test rows are, after "on 400 rows".
        rows: how many rows served what, such as ``{"to fit": 1280}``.
        baselines: probabilities of the test rows by simple methods, (rows, classes) by name.
        spread: mean and standard deviation of scores in a cross-validation, by score.
        history: of the fit, epoch by epoch.
        layers: of the network; the first one stands for its inputs.
        members: networks of these layers whose mean answers.
        findings: what was found in the table.
        temperatures: that the answers were divided by, for each member.
        threshold: that decides between two classes, if it is not the likeliest one.
        example: a row to call the model with, with the answer: an entry of the file's golden rows.
        settings: of the run, by name.
    """

    name: str
    table: str
    schema: Schema
    test: Examples
    answers: Answers
    predict: Callable[[Examples], NDArray[np.floating]]
    scored: str = "that were kept aside"
    rows: Mapping[str, int] = field(default_factory=dict)
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
