from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pigeonhole.trainer.errors import TrainingError
from pigeonhole.trainer.fitting.cores import WIDE
from pigeonhole.trainer.fitting.ensemble import Fitted, fit_members, left_out
from pigeonhole.trainer.fitting.fit import FitConfig
from pigeonhole.trainer.fitting.history import ALL_EPOCHS, INTERRUPTION
from pigeonhole.trainer.fitting.temperature import temperature
from pigeonhole.trainer.network.layers import BatchNormalization, Dense, Dropout
from pigeonhole.trainer.network.optimizers import Adam
from pigeonhole.trainer.network.sequential import Sequential

ROWS = 60
PLAN = FitConfig(epochs=4, batch_size=16, patience=99)
ENDLESS = replace(PLAN, epochs=10**6, patience=10**6)
PARTS = [np.arange(part, ROWS, 3) for part in range(3)]
ONE_PART = [np.arange(48, ROWS)]

NARROW, WIDER = 8, WIDE
"""Units of networks that are fitted one after the other, and of those side by side."""


class Watched(Dense):
    """A dense layer that tells of each batch it is trained with."""

    told: Callable[[np.ndarray], None] = staticmethod(lambda _x: None)

    def forward(self, x, training):
        if training:
            self.told(x)
        return super().forward(x, training)


@pytest.fixture
def rows(clouds):
    return clouds(ROWS, 2)


def made(rng: np.random.Generator, units: int = NARROW) -> Sequential:
    first = Watched(units, "relu", input_shape=(6,))
    network = Sequential([first, BatchNormalization(), Dropout(0.2), Dense(2, "softmax")])
    network.compile(Adam(0.02))
    network.build(rng)
    return network


def maker(units: int, *told: Callable[[np.ndarray], None] | None):
    """Makes networks, the first of which tells this of its batches, the second that, and so on."""
    waiting = list(told)

    def make(rng: np.random.Generator) -> Sequential:
        network = made(rng, units)
        if waiting and (tell := waiting.pop(0)):
            network.layers[0].told = tell
        return network

    return make


def fit(rows, parts, plan=PLAN, *, make=made, **given) -> Fitted:
    return fit_members(make, rows, parts, plan, np.random.default_rng(5), **given)


def at_batch(
    number: int, act: Callable[[], None], pause_s: float = 0
) -> Callable[[np.ndarray], None]:
    """Acts once, with the batch of that number; takes its time over each."""
    count = 0

    def told(_x: np.ndarray) -> None:
        nonlocal count
        count += 1
        time.sleep(pause_s)
        if count == number:
            act()

    return told


def parameters(fitted: Fitted) -> list[np.ndarray]:
    return [network.parameters for network in fitted.networks]


@pytest.mark.parametrize("units", [NARROW, WIDER])
@pytest.mark.parametrize("parts", [PARTS, ONE_PART, [PARTS[0]] * 2], ids=["3", "1", "one for two"])
def test_a_member_is_never_trained_with_its_own_part(rows, units: int, parts) -> None:
    x, y = rows
    x[:, 0] = np.arange(ROWS)
    seen: list[list[float]] = [[] for _ in parts]
    notes = [lambda batch, note=note: note.extend(batch[:, 0].tolist()) for note in seen]
    fit((x, y), parts, make=maker(units, *notes))
    for part, note in zip(parts, seen, strict=True):
        others = np.setdiff1d(np.arange(ROWS), part)
        np.testing.assert_array_equal(np.sort(note), np.repeat(others, PLAN.epochs))


def test_each_member_ends_at_the_epoch_that_is_best_for_its_part(rows) -> None:
    fitted = fit(rows, PARTS, replace(PLAN, epochs=12), calibrate=False)
    assert len({history.best_epoch for history in fitted.histories}) > 1
    for part, network, history in zip(PARTS, fitted.networks, fitted.histories, strict=True):
        loss, _ = network.evaluate(rows[0][part], rows[1][part])
        assert loss == pytest.approx(history.validation_loss.min(), rel=1e-5)


def test_members_start_and_shuffle_each_in_its_own_way(rows) -> None:
    fitted = fit(rows, [PARTS[0]] * 2)
    assert (fitted.networks[0].parameters != fitted.networks[1].parameters).any()


@pytest.mark.parametrize("units", [NARROW, WIDER])
@pytest.mark.parametrize(("parts", "refit"), [(PARTS, False), (ONE_PART, True)])
def test_the_same_seed_gives_the_same_networks_bit_for_bit(
    rows, units: int, parts, refit: bool
) -> None:
    first, second = (fit(rows, parts, make=maker(units), refit=refit) for _ in range(2))
    np.testing.assert_array_equal(parameters(first), parameters(second))
    np.testing.assert_array_equal(first.held_out, second.held_out)
    assert first.temperatures == second.temperatures


def test_what_a_member_becomes_does_not_depend_on_who_is_fitted_beside_it(rows) -> None:
    hurried = fit(rows, PARTS, make=maker(WIDER))
    slow = [lambda _x, pause=pause: time.sleep(pause) for pause in (0.004, 0, 0.002)]
    held_up = fit(rows, PARTS, make=maker(WIDER, *slow))
    np.testing.assert_array_equal(parameters(hurried), parameters(held_up))


@pytest.mark.parametrize("parts", [PARTS, ONE_PART], ids=["3", "1"])
def test_held_out_rows_are_answered_by_the_member_that_left_them_out(rows, parts) -> None:
    x, y = rows
    fitted = fit(rows, parts)
    expected = [n.predict(x[part]) for n, part in zip(fitted.networks, parts, strict=True)]
    np.testing.assert_array_equal(fitted.held_out, np.concatenate(expected))
    np.testing.assert_array_equal(fitted.labels, np.concatenate([y[part] for part in parts]))


def test_rows_that_every_member_left_out_are_answered_by_all(rows) -> None:
    x, y = rows
    fitted = fit(rows, [PARTS[0]] * 2)
    mean = np.mean([network.predict(x[PARTS[0]]) for network in fitted.networks], axis=0)
    np.testing.assert_allclose(fitted.held_out, np.concatenate([mean, mean]), rtol=1e-6)
    np.testing.assert_array_equal(fitted.labels, np.tile(y[PARTS[0]], 2))


@pytest.mark.parametrize(("parts", "refit"), [(PARTS, False), (ONE_PART, True)])
def test_networks_end_calibrated_by_what_their_leader_left_out(rows, parts, refit: bool) -> None:
    bare = fit(rows, parts, calibrate=False, refit=refit)
    calibrated = fit(rows, parts, refit=refit)
    assert bare.temperatures == (1.0,) * len(parts)
    size = len(parts[0])
    for member, t in enumerate(calibrated.temperatures):
        own = slice(member * size, (member + 1) * size)
        assert t == temperature(bare.held_out[own], bare.labels[own]) != 1
        bare.networks[member].apply_temperature(t)
    np.testing.assert_array_equal(parameters(bare), parameters(calibrated))


# A refit goes the same way whichever of the two fits is the quicker one.
@pytest.mark.parametrize("held_up", [None, 0, 1])
@pytest.mark.parametrize("units", [NARROW, WIDER])
def test_a_refit_is_a_fit_to_all_rows_up_to_the_best_epoch(
    rows, units: int, held_up: int | None
) -> None:
    slow: list[Callable[[np.ndarray], None] | None] = [None, None]
    if held_up is not None:
        slow[held_up] = lambda _x: time.sleep(0.003)
    plan = replace(PLAN, epochs=12, patience=4)
    fitted = fit(rows, ONE_PART, plan, make=maker(units, *slow), calibrate=False, refit=True)
    (best,) = (history.best_epoch for history in fitted.histories)
    # The first two generators are the leader's: its weights' and its shuffles'.
    *_, weights, shuffles = np.random.default_rng(5).spawn(4)
    alone = made(weights, units)
    alone.fit(
        *rows,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        rng=shuffles,
        callbacks=(lambda epoch: epoch.number == best,),
    )
    np.testing.assert_array_equal(fitted.networks[0].parameters, alone.parameters)
    np.testing.assert_array_equal(fitted.networks[0].statistics, alone.statistics)
    assert fitted.trained_on_all_rows


@pytest.fixture
def misleading(rows):
    """Rows whose last part has the wrong labels: the longer a fit goes on, the worse it gets."""
    x, y = rows
    x[:, 0] = 4 * y
    y[ONE_PART[0]] = 1 - y[ONE_PART[0]]
    return x, y


def break_down() -> None:
    raise TrainingError("the loss is nan")


def test_a_refit_that_breaks_down_beyond_the_best_epoch_is_not_lost(misleading) -> None:
    plan = replace(PLAN, epochs=30, patience=4)
    # Four batches an epoch: it breaks down in its fourth, long before the leader is done.
    told = [lambda _x: time.sleep(0.01), at_batch(14, break_down)]
    fitted = fit(misleading, ONE_PART, plan, make=maker(WIDER, *told), refit=True)
    assert fitted.histories[0].best_epoch == 1
    undisturbed = fit(misleading, ONE_PART, plan, make=maker(WIDER), refit=True)
    np.testing.assert_array_equal(parameters(fitted), parameters(undisturbed))


@pytest.mark.parametrize("units", [NARROW, WIDER])
@pytest.mark.parametrize("broken", [0, 1])
def test_a_refit_that_breaks_down_before_fails(rows, units: int, broken: int) -> None:
    told = [None, None]
    told[broken] = at_batch(2, break_down)
    with pytest.raises(TrainingError, match="the loss is nan"):
        fit(rows, ONE_PART, make=maker(units, *told), refit=True)


@pytest.mark.parametrize("units", [NARROW, WIDER])
def test_a_member_that_breaks_down_ends_the_others_too(rows, units: int) -> None:
    with pytest.raises(TrainingError, match="the loss is nan"):
        fit(rows, PARTS, ENDLESS, make=maker(units, at_batch(30, break_down)))


def epochs(fitted: Fitted) -> list[int]:
    return [len(history.loss) for history in fitted.histories]


def test_ctrl_c_ends_a_single_fit_with_its_best_weights(rows, ctrl_c) -> None:
    fitted = fit(rows, ONE_PART, ENDLESS, make=maker(NARROW, at_batch(10, ctrl_c)))
    assert fitted.interrupted
    assert (fitted.histories[0].stopped_by, epochs(fitted)) == (INTERRUPTION, [3])
    assert not fitted.trained_on_all_rows


def test_ctrl_c_ends_members_that_are_fitted_side_by_side(rows, ctrl_c) -> None:
    # Late enough for the other one to have ended an epoch as well.
    told = at_batch(60, ctrl_c, pause_s=0.002)
    fitted = fit(rows, PARTS[:2], ENDLESS, make=maker(WIDER, told))
    assert fitted.interrupted
    assert {history.stopped_by for history in fitted.histories} == {INTERRUPTION}
    for part, network, history in zip(PARTS, fitted.networks, fitted.histories, strict=False):
        assert history.best_epoch == history.validation_loss.argmin() + 1
        shown = network.predict(rows[0][part]).argmax(axis=1) == rows[1][part]
        assert shown.mean() == history.validation_accuracy[history.best_epoch - 1]


def test_ctrl_c_in_a_later_member_is_known_of_the_whole(rows, ctrl_c) -> None:
    fitted = fit(rows, PARTS[:2], make=maker(NARROW, None, at_batch(10, ctrl_c)))
    assert [history.stopped_by for history in fitted.histories] == [ALL_EPOCHS, INTERRUPTION]
    assert fitted.interrupted


def test_after_ctrl_c_the_members_answer_that_have_something(rows, ctrl_c) -> None:
    x, y = rows
    # Each is fitted when the one before has ended: the last one has not begun.
    told = [None, at_batch(10, ctrl_c)]
    fitted = fit(rows, PARTS, make=maker(NARROW, *told), calibrate=False)
    assert fitted.interrupted
    assert [history.stopped_by for history in fitted.histories] == [ALL_EPOCHS, INTERRUPTION]
    assert len(fitted.networks) == len(fitted.temperatures) == 2
    expected = [n.predict(x[part]) for n, part in zip(fitted.networks, PARTS, strict=False)]
    np.testing.assert_array_equal(fitted.held_out, np.concatenate(expected))
    np.testing.assert_array_equal(fitted.labels, np.concatenate([y[part] for part in PARTS[:2]]))
    whole = fit(rows, PARTS, make=maker(NARROW), calibrate=False)
    np.testing.assert_array_equal(fitted.networks[0].parameters, whole.networks[0].parameters)


def test_ctrl_c_is_known_even_if_who_met_it_had_nothing(rows, ctrl_c) -> None:
    fitted = fit(rows, PARTS[:2], make=maker(NARROW, None, at_batch(2, ctrl_c)))
    assert [history.stopped_by for history in fitted.histories] == [ALL_EPOCHS]
    assert fitted.interrupted
    assert not fitted.trained_on_all_rows


@pytest.mark.parametrize(("members", "refit"), [(1, False), (1, True), (3, False)])
@pytest.mark.parametrize("units", [NARROW, WIDER])
def test_ctrl_c_before_anyone_has_anything_is_passed_on(
    rows, units: int, members: int, refit: bool, ctrl_c
) -> None:
    told = [at_batch(1, ctrl_c), lambda _x: time.sleep(0.05), lambda _x: time.sleep(0.05)]
    plan = replace(ENDLESS, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, PARTS[:members], plan, make=maker(units, *told), refit=refit)


@pytest.mark.parametrize("units", [NARROW, WIDER])
@pytest.mark.parametrize("pressed_in", [0, 1])
def test_ctrl_c_in_a_refit_leaves_the_network_that_was_measured(
    rows, units: int, pressed_in: int, ctrl_c
) -> None:
    told = [None, None]
    if units == NARROW and pressed_in:  # its fit begins when the first one has ended
        plan, told[1] = PLAN, at_batch(2, ctrl_c)
    else:
        plan, told[pressed_in] = ENDLESS, at_batch(60, ctrl_c, pause_s=0.002)
    fitted = fit(rows, ONE_PART, plan, make=maker(units, *told), calibrate=False, refit=True)
    assert fitted.interrupted
    assert fitted.histories[0].stopped_by == INTERRUPTION
    assert not fitted.trained_on_all_rows
    loss, _ = fitted.networks[0].evaluate(*(array[ONE_PART[0]] for array in rows))
    assert loss == pytest.approx(fitted.histories[0].validation_loss.min(), rel=1e-5)


def test_what_nothing_interrupted_is_not_interrupted(rows) -> None:
    assert not fit(rows, PARTS).interrupted
    assert not fit(rows, ONE_PART, refit=True).interrupted


def test_rows_that_no_member_was_fitted_to_are_known(rows) -> None:
    assert left_out(PARTS).tolist() == []
    assert left_out([np.array([1, 2, 5]), np.array([2, 5, 7]), np.array([5, 2])]).tolist() == [2, 5]
    for parts, refit, all_seen in (
        (PARTS, False, True),
        (PARTS[:2], False, True),
        (ONE_PART, False, False),
        (ONE_PART * 2, False, False),
        (ONE_PART, True, True),
    ):
        assert (
            fit(rows, parts, replace(PLAN, epochs=1), refit=refit).trained_on_all_rows is all_seen
        )


def test_a_refit_of_several_members_is_refused(rows) -> None:
    with pytest.raises(ValueError, match="refit is for one member; there are 3"):
        fit(rows, PARTS, refit=True)


@pytest.mark.parametrize(("parts", "refit"), [(PARTS, False), (ONE_PART, True)])
def test_one_bar_is_drawn_of_several_fits(rows, parts, refit: bool, terminal) -> None:
    fit(rows, parts, refit=refit, stream=terminal)
    drawn = terminal.getvalue()
    assert drawn.count("epoch 0/4") == 1
    fit(rows, parts, refit=refit, stream=(quiet := io.StringIO()))
    assert quiet.getvalue() == ""
