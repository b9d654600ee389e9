"""Fits the members of an ensemble, each with its own validation part, and calibrates them.

Each member holds out a part of the rows and is fitted to the others. Its part stops the fit, chooses
the epoch and gives the temperature, which becomes part of the member's last layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..network.sequential import Sequential
from .cores import blas_threads, workers
from .fit import FitConfig, NetworkFit, Rows, SplitRows
from .history import INTERRUPTION, History
from .parallel import run_parallel
from .refit import Refit
from .temperature import temperature

MakeNetwork = Callable[[np.random.Generator], Sequential]
"""Makes a new compiled network with its first weights."""


@dataclass(frozen=True)
class FittedMembers:
    """The fitted networks of an ensemble.

    Attributes:
        networks: the members, calibrated if the configuration asks for it.
        histories: the history of each member; with a refit, of the first fit.
        temperatures: the temperature of each member; 1 without calibration.
        held_out: probabilities of the validation rows, part by part, (rows, classes). A member
            answers its own part. If all members hold out the same rows, their mean answers.
        labels: class indices of these rows, (rows,).
        trained_on_all_rows: whether every row was a training row of some member.
        interrupted: whether Ctrl-C ended a fit.
    """

    networks: tuple[Sequential, ...]
    histories: tuple[History, ...]
    temperatures: tuple[float, ...]
    held_out: NDArray[Any]
    labels: NDArray[np.int64]
    trained_on_all_rows: bool
    interrupted: bool


def fit_members(
    make: MakeNetwork,
    rows: Rows,
    parts: Sequence[NDArray[np.int64]],
    config: FitConfig,
    rng: np.random.Generator,
    stream: TextIO | None = None,
) -> FittedMembers:
    """Fit one network per validation part, in parallel if the networks are wide.

    With ``config.refit``, a second network is fitted to all rows up to the best epoch of the first
    and replaces it. After Ctrl-C, the first network stays.

    Args:
        make: makes a network.
        rows: all rows.
        parts: indices of the validation rows of each member.
        config: of each fit.
        rng: draws first weights and shuffles.
        stream: the terminal of the progress bar, which shows the first member.

    Raises:
        TrainingError: a loss is not finite.
        KeyboardInterrupt: Ctrl-C before any member finished an epoch. Later, Ctrl-C ends the fits,
            and the result holds the members that finished an epoch.
        ValueError: a refit of more than one member.
    """
    if config.refit and len(parts) > 1:
        raise ValueError(f"refit is for one member; there are {len(parts)}")
    fits = _member_fits(make, rows, parts, config, rng, stream)
    refit = None
    if config.refit:
        refit = Refit(make(rng.spawn(1)[0]), rows, config, rng.spawn(1)[0], fits[0])
    histories = _run(fits, refit)
    finished = [(fit, history) for fit, history in zip(fits, histories, strict=True) if history]
    if not finished:
        raise KeyboardInterrupt
    return _calibrated(
        [fit for fit, _ in finished],
        [history for _, history in finished],
        refit.network if refit and refit.succeeded else None,
        config,
        interrupted=len(finished) < len(fits)
        or any(history.stopped_by == INTERRUPTION for _, history in finished),
    )


def held_out_by_every_member(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the indices of the rows that are in all of these parts."""
    return reduce(np.intersect1d, parts)


def _member_fits(
    make: MakeNetwork,
    rows: Rows,
    parts: Sequence[NDArray[np.int64]],
    config: FitConfig,
    rng: np.random.Generator,
    stream: TextIO | None,
) -> list[NetworkFit]:
    """Return a fit of a new network for each part; the first one draws the progress bar."""
    generators = rng.spawn(2 * len(parts))
    networks = [make(generator) for generator in generators[::2]]
    return [
        NetworkFit(
            network,
            SplitRows.holding_out(rows, part),
            config,
            shuffles,
            stream if index == 0 else None,
        )
        for index, (network, part, shuffles) in enumerate(
            zip(networks, parts, generators[1::2], strict=True)
        )
    ]


def _run(fits: Sequence[NetworkFit], refit: Refit | None) -> list[History | None]:
    """Run the fits and return the history of each; None for a fit that ended without an epoch."""
    network, count = fits[0].network, len(fits) + bool(refit)
    tasks = [refit.run_leader, refit.run] if refit else [fit.run for fit in fits]
    with blas_threads(network, count):
        histories: list[History | None] = run_parallel(tasks, workers(network, count))[: len(fits)]
    if refit and not refit.succeeded:  # Ctrl-C may have ended only the refit
        return [one and replace(one, stopped_by=INTERRUPTION) for one in histories]
    return histories


def _calibrated(
    fits: Sequence[NetworkFit],
    histories: Sequence[History],
    refitted: Sequential | None,
    config: FitConfig,
    *,
    interrupted: bool,
) -> FittedMembers:
    """Apply the temperatures and return the members; ``refitted`` replaces the only one."""
    temperatures = [_temperature(fit) if config.calibrate else 1.0 for fit in fits]
    for fit, t in zip(fits, temperatures, strict=True):
        fit.network.apply_temperature(t)
    if refitted:
        refitted.apply_temperature(temperatures[0])
    parts = [fit.rows.validation for fit in fits]
    return FittedMembers(
        networks=(refitted,) if refitted else tuple(fit.network for fit in fits),
        histories=tuple(histories),
        temperatures=tuple(temperatures),
        held_out=_held_out(fits),
        labels=np.concatenate([fit.rows.y[fit.rows.validation] for fit in fits]),
        trained_on_all_rows=bool(refitted) or not len(held_out_by_every_member(parts)),
        interrupted=interrupted,
    )


def _temperature(fit: NetworkFit) -> float:
    x, y = fit.rows.validation_rows
    return temperature(fit.network.predict(x), y)


def _held_out(fits: Sequence[NetworkFit]) -> NDArray[Any]:
    """Return the probabilities of the validation rows, see `FittedMembers`."""
    answers = [fit.network.predict(fit.rows.validation_rows[0]) for fit in fits]
    first = fits[0].rows.validation
    if all(np.array_equal(fit.rows.validation, first) for fit in fits):
        answers = [np.mean(answers, axis=0)] * len(fits)
    return np.concatenate(answers)
