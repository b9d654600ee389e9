from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pigeonhole.trainer.errors import TrainingError
from pigeonhole.trainer.fitting.cores import WIDE
from pigeonhole.trainer.fitting.ensemble import (
    FittedMembers,
    fit_members,
    held_out_by_every_member,
)
from pigeonhole.trainer.fitting.fit import FitConfig
from pigeonhole.trainer.fitting.history import EPOCH_LIMIT, INTERRUPTION
from pigeonhole.trainer.fitting.temperature import temperature
from pigeonhole.trainer.network.layers import BatchNormalization, Dense, Dropout
from pigeonhole.trainer.network.optimizers import Adam
from pigeonhole.trainer.network.sequential import Sequential

ROWS = 60
CONFIG = FitConfig(epochs=4, batch_size=16, patience=99)
ENDLESS = replace(CONFIG, epochs=10**6, patience=10**6)
PARTS = [np.arange(part, ROWS, 3) for part in range(3)]
ONE_PART = [np.arange(48, ROWS)]

NARROW, WIDER = 8, WIDE
"""Units of networks that are fitted one after the other, and of those fitted in parallel."""

OnBatch = Callable[[np.ndarray], None]


class Observed(Dense):
    """A dense layer that calls ``on_batch`` with each training batch."""

    on_batch: OnBatch = staticmethod(lambda _x: None)

    def forward(self, x, training):
        if training:
            self.on_batch(x)
        return super().forward(x, training)


@pytest.fixture
def rows(clouds):
    return clouds(ROWS, 2)


def make_network(rng: np.random.Generator, units: int = NARROW) -> Sequential:
    first = Observed(units, "relu", input_shape=(6,))
    network = Sequential([first, BatchNormalization(), Dropout(0.2), Dense(2, "softmax")])
    network.compile(Adam(0.02))
    network.build(rng)
    return network


def maker(units: int, *on_batch: OnBatch | None):
    """Return a function that makes networks; the n-th one calls the n-th ``on_batch``."""
    waiting = list(on_batch)

    def make(rng: np.random.Generator) -> Sequential:
        network = make_network(rng, units)
        if waiting and (observer := waiting.pop(0)):
            network.layers[0].on_batch = observer
        return network

    return make


def fit(rows, parts, config=CONFIG, *, make=make_network, stream=None, **changes: Any):
    config = replace(config, **changes)
    return fit_members(make, rows, parts, config, np.random.default_rng(5), stream)


def at_batch(number: int, act: Callable[[], None], pause_s: float = 0) -> OnBatch:
    """Return an observer that acts once, at the batch of that number, and pauses at each batch."""
    count = 0

    def on_batch(_x: np.ndarray) -> None:
        nonlocal count
        count += 1
        time.sleep(pause_s)
        if count == number:
            act()

    return on_batch


def slow(pause_s: float) -> OnBatch:
    """Return an observer that pauses at each batch."""
    return lambda _x: time.sleep(pause_s)


def parameters(fitted: FittedMembers) -> list[np.ndarray]:
    return [network.parameters for network in fitted.networks]


@pytest.mark.parametrize("units", [NARROW, WIDER])
@pytest.mark.parametrize("parts", [PARTS, ONE_PART, [PARTS[0]] * 2], ids=["3", "1", "one for two"])
def test_member_never_trains_on_its_validation_part(rows, units: int, parts) -> None:
    x, y = rows
    x[:, 0] = np.arange(ROWS)
    recorded: list[list[float]] = [[] for _ in parts]
    observers = [
        lambda batch, record=record: record.extend(batch[:, 0].tolist()) for record in recorded
    ]
    fit((x, y), parts, make=maker(units, *observers))
    for part, record in zip(parts, recorded, strict=True):
        others = np.setdiff1d(np.arange(ROWS), part)
        np.testing.assert_array_equal(np.sort(record), np.repeat(others, CONFIG.epochs))


def test_each_member_ends_at_the_best_epoch_for_its_part(rows) -> None:
    fitted = fit(rows, PARTS, epochs=12, calibrate=False)
    assert len({history.best_epoch for history in fitted.histories}) > 1
    for part, network, history in zip(PARTS, fitted.networks, fitted.histories, strict=True):
        loss, _ = network.evaluate(rows[0][part], rows[1][part])
        assert loss == pytest.approx(history.validation_loss.min(), rel=1e-5)


def test_members_differ_in_first_weights_and_shuffles(rows) -> None:
    fitted = fit(rows, [PARTS[0]] * 2)
    assert (fitted.networks[0].parameters != fitted.networks[1].parameters).any()


@pytest.mark.parametrize("units", [NARROW, WIDER])
@pytest.mark.parametrize(("parts", "refit"), [(PARTS, False), (ONE_PART, True)])
def test_same_seed_gives_the_same_networks_bit_for_bit(
    rows, units: int, parts, refit: bool
) -> None:
    first, second = (fit(rows, parts, make=maker(units), refit=refit) for _ in range(2))
    np.testing.assert_array_equal(parameters(first), parameters(second))
    np.testing.assert_array_equal(first.held_out, second.held_out)
    assert first.temperatures == second.temperatures


def test_member_does_not_depend_on_the_speed_of_the_others(rows) -> None:
    undisturbed = fit(rows, PARTS, make=maker(WIDER))
    delayed = fit(rows, PARTS, make=maker(WIDER, slow(0.004), slow(0), slow(0.002)))
    np.testing.assert_array_equal(parameters(undisturbed), parameters(delayed))


@pytest.mark.parametrize("parts", [PARTS, ONE_PART], ids=["3", "1"])
def test_each_member_answers_the_rows_that_it_held_out(rows, parts) -> None:
    x, y = rows
    fitted = fit(rows, parts)
    expected = [n.predict(x[part]) for n, part in zip(fitted.networks, parts, strict=True)]
    np.testing.assert_array_equal(fitted.held_out, np.concatenate(expected))
    np.testing.assert_array_equal(fitted.labels, np.concatenate([y[part] for part in parts]))


def test_all_members_answer_rows_that_all_held_out(rows) -> None:
    x, y = rows
    fitted = fit(rows, [PARTS[0]] * 2)
    mean = np.mean([network.predict(x[PARTS[0]]) for network in fitted.networks], axis=0)
    np.testing.assert_allclose(fitted.held_out, np.concatenate([mean, mean]), rtol=1e-6)
    np.testing.assert_array_equal(fitted.labels, np.tile(y[PARTS[0]], 2))


@pytest.mark.parametrize(("parts", "refit"), [(PARTS, False), (ONE_PART, True)])
def test_held_out_rows_give_each_network_its_temperature(rows, parts, refit: bool) -> None:
    bare = fit(rows, parts, calibrate=False, refit=refit)
    calibrated = fit(rows, parts, refit=refit)
    assert bare.temperatures == (1.0,) * len(parts)
    size = len(parts[0])
    for member, t in enumerate(calibrated.temperatures):
        own = slice(member * size, (member + 1) * size)
        assert t == temperature(bare.held_out[own], bare.labels[own]) != 1
        bare.networks[member].apply_temperature(t)
    np.testing.assert_array_equal(parameters(bare), parameters(calibrated))


@pytest.mark.parametrize("delayed", [None, 0, 1])
@pytest.mark.parametrize("units", [NARROW, WIDER])
def test_refit_is_a_fit_to_all_rows_up_to_the_best_epoch(
    rows, units: int, delayed: int | None
) -> None:
    observers: list[OnBatch | None] = [None, None]
    if delayed is not None:
        observers[delayed] = slow(0.003)
    config = replace(CONFIG, epochs=12, patience=4, calibrate=False, refit=True)
    fitted = fit(rows, ONE_PART, config, make=maker(units, *observers))
    (best,) = (history.best_epoch for history in fitted.histories)
    # The leader takes the first two generators: for its weights and its shuffles.
    *_, weights, shuffles = np.random.default_rng(5).spawn(4)
    alone = make_network(weights, units)
    alone.fit(
        *rows,
        epochs=config.epochs,
        batch_size=config.batch_size,
        rng=shuffles,
        callbacks=(lambda epoch: epoch.number == best,),
    )
    np.testing.assert_array_equal(fitted.networks[0].parameters, alone.parameters)
    np.testing.assert_array_equal(fitted.networks[0].statistics, alone.statistics)
    assert fitted.trained_on_all_rows


@pytest.fixture
def misleading(rows):
    """Rows whose validation part has wrong labels: every further epoch makes its loss worse."""
    x, y = rows
    x[:, 0] = 4 * y
    y[ONE_PART[0]] = 1 - y[ONE_PART[0]]
    return x, y


def diverge() -> None:
    raise TrainingError("the loss is nan")


def test_refit_that_diverges_after_the_best_epoch_keeps_its_weights(misleading) -> None:
    config = replace(CONFIG, epochs=30, patience=4, refit=True)
    # An epoch has four batches: the refit diverges in its fourth, while the leader still runs.
    observers = [slow(0.01), at_batch(14, diverge)]
    fitted = fit(misleading, ONE_PART, config, make=maker(WIDER, *observers))
    assert fitted.histories[0].best_epoch == 1
    undisturbed = fit(misleading, ONE_PART, config, make=maker(WIDER))
    np.testing.assert_array_equal(parameters(fitted), parameters(undisturbed))


@pytest.mark.parametrize("units", [NARROW, WIDER])
@pytest.mark.parametrize("diverging", [0, 1])
def test_refit_fails_if_a_fit_diverges_before_the_best_epoch(
    rows, units: int, diverging: int
) -> None:
    observers = [None, None]
    observers[diverging] = at_batch(2, diverge)
    with pytest.raises(TrainingError, match="the loss is nan"):
        fit(rows, ONE_PART, make=maker(units, *observers), refit=True)


@pytest.mark.parametrize("units", [NARROW, WIDER])
def test_diverging_member_ends_the_others(rows, units: int) -> None:
    with pytest.raises(TrainingError, match="the loss is nan"):
        fit(rows, PARTS, ENDLESS, make=maker(units, at_batch(30, diverge)))


def epochs(fitted: FittedMembers) -> list[int]:
    return [len(history.loss) for history in fitted.histories]


def test_ctrl_c_ends_a_single_fit_with_its_best_weights(rows, ctrl_c) -> None:
    fitted = fit(rows, ONE_PART, ENDLESS, make=maker(NARROW, at_batch(10, ctrl_c)))
    assert fitted.interrupted
    assert (fitted.histories[0].stopped_by, epochs(fitted)) == (INTERRUPTION, [3])
    assert not fitted.trained_on_all_rows


def test_ctrl_c_ends_members_that_are_fitted_in_parallel(rows, ctrl_c) -> None:
    # Late enough that the other member has finished an epoch too.
    observer = at_batch(60, ctrl_c, pause_s=0.002)
    fitted = fit(rows, PARTS[:2], ENDLESS, make=maker(WIDER, observer))
    assert fitted.interrupted
    assert {history.stopped_by for history in fitted.histories} == {INTERRUPTION}
    for part, network, history in zip(PARTS, fitted.networks, fitted.histories, strict=False):
        assert history.best_epoch == history.validation_loss.argmin() + 1
        right = network.predict(rows[0][part]).argmax(axis=1) == rows[1][part]
        assert right.mean() == history.validation_accuracy[history.best_epoch - 1]


def test_ctrl_c_in_a_later_member_keeps_the_earlier_one(rows, ctrl_c) -> None:
    fitted = fit(rows, PARTS[:2], make=maker(NARROW, None, at_batch(10, ctrl_c)))
    assert [history.stopped_by for history in fitted.histories] == [EPOCH_LIMIT, INTERRUPTION]
    assert fitted.interrupted


def test_ctrl_c_leaves_out_members_without_a_finished_epoch(rows, ctrl_c) -> None:
    x, y = rows
    # Narrow networks are fitted one after the other: the last one has not begun.
    observers = [None, at_batch(10, ctrl_c)]
    fitted = fit(rows, PARTS, make=maker(NARROW, *observers), calibrate=False)
    assert fitted.interrupted
    assert [history.stopped_by for history in fitted.histories] == [EPOCH_LIMIT, INTERRUPTION]
    assert len(fitted.networks) == len(fitted.temperatures) == 2
    expected = [n.predict(x[part]) for n, part in zip(fitted.networks, PARTS, strict=False)]
    np.testing.assert_array_equal(fitted.held_out, np.concatenate(expected))
    np.testing.assert_array_equal(fitted.labels, np.concatenate([y[part] for part in PARTS[:2]]))
    undisturbed = fit(rows, PARTS, make=maker(NARROW), calibrate=False)
    np.testing.assert_array_equal(fitted.networks[0].parameters, undisturbed.networks[0].parameters)


def test_ctrl_c_in_a_member_without_a_finished_epoch_is_recorded(rows, ctrl_c) -> None:
    fitted = fit(rows, PARTS[:2], make=maker(NARROW, None, at_batch(2, ctrl_c)))
    assert [history.stopped_by for history in fitted.histories] == [EPOCH_LIMIT]
    assert fitted.interrupted
    assert not fitted.trained_on_all_rows


@pytest.mark.parametrize(("members", "refit"), [(1, False), (1, True), (3, False)])
@pytest.mark.parametrize("units", [NARROW, WIDER])
def test_ctrl_c_before_any_finished_epoch_is_passed_on(
    rows, units: int, members: int, refit: bool, ctrl_c
) -> None:
    observers = [at_batch(1, ctrl_c), slow(0.05), slow(0.05)]
    config = replace(ENDLESS, batch_size=4, refit=refit)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, PARTS[:members], config, make=maker(units, *observers))


@pytest.mark.parametrize("units", [NARROW, WIDER])
@pytest.mark.parametrize("pressed_in", [0, 1])
def test_ctrl_c_in_a_refit_keeps_the_first_network(
    rows, units: int, pressed_in: int, ctrl_c
) -> None:
    observers = [None, None]
    if units == NARROW and pressed_in:  # the refit begins when the first fit has ended
        config, observers[1] = CONFIG, at_batch(2, ctrl_c)
    else:
        config, observers[pressed_in] = ENDLESS, at_batch(60, ctrl_c, pause_s=0.002)
    make = maker(units, *observers)
    fitted = fit(rows, ONE_PART, config, make=make, calibrate=False, refit=True)
    assert fitted.interrupted
    assert fitted.histories[0].stopped_by == INTERRUPTION
    assert not fitted.trained_on_all_rows
    loss, _ = fitted.networks[0].evaluate(*(array[ONE_PART[0]] for array in rows))
    assert loss == pytest.approx(fitted.histories[0].validation_loss.min(), rel=1e-5)


def test_undisturbed_fits_are_not_interrupted(rows) -> None:
    assert not fit(rows, PARTS).interrupted
    assert not fit(rows, ONE_PART, refit=True).interrupted


def test_rows_that_every_member_held_out_are_found() -> None:
    assert held_out_by_every_member(PARTS).tolist() == []
    parts = [np.array([1, 2, 5]), np.array([2, 5, 7]), np.array([5, 2])]
    assert held_out_by_every_member(parts).tolist() == [2, 5]


@pytest.mark.parametrize(
    ("parts", "refit", "expected"),
    [
        (PARTS, False, True),
        (PARTS[:2], False, True),
        (ONE_PART, False, False),
        (ONE_PART * 2, False, False),
        (ONE_PART, True, True),
    ],
)
def test_result_says_whether_every_row_was_a_training_row(
    rows, parts, refit: bool, expected: bool
) -> None:
    assert fit(rows, parts, epochs=1, refit=refit).trained_on_all_rows is expected


def test_refit_of_several_members_is_rejected(rows) -> None:
    with pytest.raises(ValueError, match="refit is for one member; there are 3"):
        fit(rows, PARTS, refit=True)


@pytest.mark.parametrize(("parts", "refit"), [(PARTS, False), (ONE_PART, True)])
def test_several_fits_draw_one_progress_bar(rows, parts, refit: bool, terminal) -> None:
    fit(rows, parts, refit=refit, stream=terminal)
    assert terminal.getvalue().count("epoch 0/4") == 1
    fit(rows, parts, refit=refit, stream=(stream := io.StringIO()))
    assert stream.getvalue() == ""
