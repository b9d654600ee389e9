from __future__ import annotations

import numpy as np
import pytest

from trainer.network.layers import Dense
from trainer.network.schedules import SCHEDULES, named
from trainer.network.sequential import Sequential


def test_every_schedule_starts_at_1() -> None:
    for factor in SCHEDULES.values():
        assert factor(0) == 1


def test_cosine_falls_by_half_a_wave() -> None:
    cosine = named("cosine")
    assert [cosine(t) for t in (0, 1 / 3, 0.5, 1)] == pytest.approx([1, 0.75, 0.5, 0])


def test_a_fit_takes_its_rates_from_the_schedule(rng) -> None:
    x, y = rng.normal(size=(8, 2)), np.arange(8) % 2
    network = Sequential([Dense(2, "softmax", input_shape=(2,))])
    network.compile("sgd", schedule="cosine")
    epochs = network.fit(x, y, epochs=4, batch_size=4, rng=rng)
    # Two steps an epoch, eight in all: an epoch's last step is at 1/8, 3/8, 5/8, 7/8.
    expected = [0.01 * (1 + np.cos(np.pi * t / 8)) / 2 for t in (1, 3, 5, 7)]
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(expected)


def test_a_name_that_is_none_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="schedule is 'linear', expected one of constant, cosine"):
        named("linear")
