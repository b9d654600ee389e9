"""Fits of networks that answer together, side by side where there are cores for them.

Each member leaves out a part of the rows, fits to the others and is measured by its part; so it ends
with weights that were good for rows it has not seen, and calibrated: the temperature that suits
these rows is part of its last layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial, reduce
from threading import Event
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from ..network.sequential import Epoch, Sequential
from .cores import products_shared, workers
from .early_stopping import EarlyStopping
from .fit import FitConfig, Rows, early_stopping, fit_network
from .history import INTERRUPTION, History
from .temperature import temperature

Make = Callable[[np.random.Generator], Sequential]
"""Makes a new network, compiled and with its first weights."""


@dataclass(frozen=True)
class Fitted:
    """Networks that answer together, and what is known of them.

    Attributes:
        networks: calibrated, if that was asked for.
        histories: of each network; of the first fit where there was a refit.
        temperatures: by which each network's answers were divided; 1 where it was not asked for.
        held_out: the probabilities of the rows that each member left out, part by part,
            (rows, classes); by all members where they left out the same rows.
        labels: the classes of these rows, (rows,).
        saw_all: whether the networks together have been fitted to every row.
        interrupted: whether Ctrl-C ended one of the fits.
    """

    networks: tuple[Sequential, ...]
    histories: tuple[History, ...]
    temperatures: tuple[float, ...]
    held_out: NDArray[Any]
    labels: NDArray[np.int64]
    trained_on_all_rows: bool
    interrupted: bool


def fit_members(
    make: Make,
    rows: Rows,
    parts: Sequence[NDArray[np.int64]],
    plan: FitConfig,
    rng: np.random.Generator,
    stream: TextIO | None = None,
    *,
    calibrate: bool = True,
    refit: bool = False,
) -> Fitted:
    """Fit a network for each part: to the other rows, measured by the part.

    Args:
        make: a network.
        rows: all of them.
        parts: places of the rows that each member leaves out.
        plan: of each fit.
        rng: draws first weights and shuffles.
        stream: where the first member's progress is drawn.
        calibrate: whether a temperature is sought for each.
        refit: for a single member: whether a second network, fitted to all rows beside the first
            and kept as of the epoch that was best for it, takes its place. After Ctrl-C it doesn't.

    Raises:
        TrainingError: when a loss is no longer a finite number.
        KeyboardInterrupt: by Ctrl-C before any member's first epoch has ended; later, the members
            that have ended one are what comes out.
        ValueError: for a refit of more than one member.
    """
    if refit and len(parts) > 1:
        raise ValueError(f"refit is for one member; there are {len(parts)}")
    (x, y), seeds = rows, rng.spawn(2 * len(parts))
    networks = [make(seed) for seed in seeds[::2]]
    stopping = [
        early_stopping(network, plan, y[part])
        for network, part in zip(networks, parts, strict=True)
    ]
    fits = [
        partial(
            fit_network,
            network,
            rows,
            (x[part], y[part]),
            plan,
            seed,
            stream if place == 0 else None,
            rows=np.setdiff1d(np.arange(len(y)), part),
            stopping=stopping[place],
        )
        for place, (network, part, seed) in enumerate(
            zip(networks, parts, seeds[1::2], strict=True)
        )
    ]
    answering = networks
    with products_shared(networks[0], len(parts) + refit):
        if refit:
            again, ended = make(rng.spawn(1)[0]), Event()
            following = partial(_follow, again, rows, plan, rng.spawn(1)[0], stopping[0], ended)
            leading = partial(_leading, fits[0], ended)
            history, followed = _side_by_side([leading, following], networks[0])
            if followed:
                answering = [again]
            elif history:  # Ctrl-C need not have met the first fit
                history = replace(history, stopped_by=INTERRUPTION)
            ends: list[History | None] = [history]
        else:
            ends = _side_by_side(fits, networks[0])
    histories = [end for end in ends if end]
    if not histories:
        raise KeyboardInterrupt
    if len(histories) < len(ends):
        networks = [network for network, end in zip(networks, ends, strict=True) if end]
        parts = [part for part, end in zip(parts, ends, strict=True) if end]
        answering = networks
    temperatures, held_out = _calibrated(networks, rows, parts, calibrate)
    if answering is not networks:
        answering[0].apply_temperature(temperatures[0])
    return Fitted(
        tuple(answering),
        tuple(histories),
        tuple(temperatures),
        held_out,
        np.concatenate([y[part] for part in parts]),
        trained_on_all_rows=answering is not networks or not len(left_out(parts)),
        interrupted=len(histories) < len(ends)
        or any(history.stopped_by == INTERRUPTION for history in histories),
    )


def _calibrated(
    networks: Sequence[Sequential],
    rows: Rows,
    parts: Sequence[NDArray[np.int64]],
    calibrate: bool,
) -> tuple[list[float], NDArray[Any]]:
    """The temperatures, which are then the networks', and what these say of the rows left out."""
    (x, y), temperatures = rows, [1.0] * len(parts)
    if calibrate:
        temperatures = [
            temperature(network.predict(x[part]), y[part])
            for network, part in zip(networks, parts, strict=True)
        ]
    for network, t in zip(networks, temperatures, strict=True):
        network.apply_temperature(t)
    held_out = [network.predict(x[part]) for network, part in zip(networks, parts, strict=True)]
    if all(np.array_equal(part, parts[0]) for part in parts):  # none has seen them: all may answer
        held_out = [np.mean(held_out, axis=0)] * len(parts)
    return temperatures, np.concatenate(held_out)


def left_out(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Places of the rows that every member leaves out."""
    return reduce(np.intersect1d, parts)


def _leading(fit: Callable[..., History], ended: Event, halt: Event) -> History:
    try:
        return fit(halt=halt)
    finally:
        ended.set()


def _follow(
    network: Sequential,
    rows: Rows,
    plan: FitConfig,
    rng: np.random.Generator,
    leader: EarlyStopping,
    leader_ended: Event,
    halt: Event,
) -> bool:
    """Fit to all rows, and end with the weights of the epoch that is best for the leader.

    Returns:
        Whether it got there: not, if it was halted before.
    """
    kept: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}

    def keep(epoch: Epoch) -> bool:
        kept[epoch.number] = network.parameters.copy(), network.statistics.copy()
        # In this order: what the leader has passed by when its best is looked up is settled.
        ended, passed = leader_ended.is_set(), leader.passed
        best = leader.best.number if leader.best else 0
        for number in [n for n in kept if n < best or best < n <= passed]:
            del kept[number]
        return ended and epoch.number >= best

    def check(_count: int) -> None:
        if halt.is_set():
            raise KeyboardInterrupt

    try:
        network.fit(
            *rows,
            epochs=plan.epochs,
            batch_size=plan.batch_size,
            rng=rng,
            callbacks=(keep,),
            on_batch=check,
        )
    except KeyboardInterrupt:
        return False
    except TrainingError:
        # It may have gone on beyond the epoch that counts: whether it did is only a matter of time.
        leader_ended.wait()
        if leader.best is None or leader.best.number not in kept:
            raise
    leader_ended.wait()
    best = leader.best.number if leader.best else 0
    if best in kept:
        network.parameters[...], network.statistics[...] = kept[best]
    return best in kept


def _side_by_side(fits: Sequence[Callable[..., Any]], network: Sequential) -> list[Any]:
    """The answers of fits of networks like that one, each told by an event when to halt.

    Ctrl-C reaches only the thread that waits here; it halts the fits, which answer with what they
    have. None is the answer of those that have nothing yet.

    Raises:
        TrainingError: the first one's of those that failed; the others are halted then.
    """
    halt, futures = Event(), list[Future[Any]]()
    with ThreadPoolExecutor(workers(network, len(fits))) as pool:
        try:
            for fit in fits:
                futures.append(pool.submit(fit, halt=halt))  # Ctrl-C may come as early as this
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            halt.set()
            unasked = [None] * (len(fits) - len(futures))
            return [_answer(future) for future in futures] + unasked
        finally:
            halt.set()


def _answer(halted: Future[Any]) -> Any:
    try:
        return halted.result()
    except KeyboardInterrupt:
        return None
