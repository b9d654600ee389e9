from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.network.layers import Dense, Dropout
from pigeonhole.trainer.network.optimizers import AdamW
from pigeonhole.trainer.network.schedules import SCHEDULES, cosine, coslog4, flat_cosine, get
from pigeonhole.trainer.network.sequential import Sequential


@pytest.mark.parametrize("name", SCHEDULES)
@given(t=st.floats(0, 1))
def test_factor_is_from_0_to_1(name: str, t: float) -> None:
    assert -1e-12 <= SCHEDULES[name](t) <= 1 + 1e-12


def test_all_schedules_except_coslog4_start_at_1() -> None:
    assert {name for name, factor in SCHEDULES.items() if factor(0) != 1} == {"coslog4"}


def test_cosine_by_hand() -> None:
    assert [cosine(t) for t in (0, 1 / 3, 0.5, 1)] == pytest.approx([1, 0.75, 0.5, 0])


def test_flat_cosine_falls_in_the_second_half() -> None:
    factors = [flat_cosine(t) for t in (0, 0.3, 0.5, 2 / 3, 0.75, 1)]
    assert factors == pytest.approx([1, 1, 1, 0.75, 0.5, 0])


def test_coslog4_has_four_cycles() -> None:
    # At t = 0, 1 / 15, 3 / 15, 7 / 15 and 1, log2(1 + 15 t) is an integer and the factor is 0. Half
    # way between two integers it is 1.
    assert [coslog4(t / 15) for t in (0, 1, 3, 7, 15)] == pytest.approx([0] * 5, abs=1e-12)
    tops = [(2 ** (wave + 0.5) - 1) / 15 for wave in range(4)]
    assert [coslog4(t) for t in tops] == pytest.approx([1] * 4)


def test_schedule_sets_the_learning_rate_of_a_fit(rng) -> None:
    x, y = rng.normal(size=(8, 2)), np.arange(8) % 2
    network = Sequential([Dense(2, "softmax", input_shape=(2,))])
    network.compile("sgd", schedule="cosine")
    epochs = network.fit(x, y, epochs=4, batch_size=4, rng=rng)
    # Eight steps, two in each epoch: the last step of each epoch is at 1/8, 3/8, 5/8, 7/8.
    expected = [0.01 * (1 + np.cos(np.pi * t / 8)) / 2 for t in (1, 3, 5, 7)]
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(expected)


def test_schedule_sets_the_strength_of_decay_and_dropout(rng) -> None:
    x, y = rng.normal(size=(8, 2)), np.arange(8) % 2
    noise, optimizer = Dropout(0.5), AdamW(0.01)
    network = Sequential([Dense(4, "relu", input_shape=(2,)), noise, Dense(2, "softmax")])
    network.compile(optimizer, regularization="flat_cosine")
    used: list[tuple[float, float]] = []

    def note(_rows: int) -> None:
        used.append((noise.strength, optimizer.strength))

    network.fit(x, y, epochs=4, batch_size=4, rng=rng, on_batch=note)
    assert used == [(flat_cosine(step / 8),) * 2 for step in range(8)]
    assert used[0] != used[-1]


def test_functions_are_accepted_and_unknown_names_are_rejected() -> None:
    def half(t: float) -> float:
        return 0.5 * t

    assert get("schedule", half) is half
    assert get("schedule", "coslog4") is coslog4
    with pytest.raises(ValueError, match="schedule is 'linear', expected one of constant, cosine"):
        get("schedule", "linear")
    network = Sequential([Dense(2, "softmax", input_shape=(2,))])
    with pytest.raises(ValueError, match="regularization is 'linear', expected one of constant"):
        network.compile(regularization="linear")
