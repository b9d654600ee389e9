from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.network.activations import Softmax
from pigeonhole.trainer.network.losses import CategoricalCrossentropy, MeanSquaredError, get

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
Y = np.array([0, 1])

LOSSES = {
    "cross-entropy": CategoricalCrossentropy(),
    "smoothed": CategoricalCrossentropy(label_smoothing=0.1),
    "weighted": CategoricalCrossentropy(class_weight=[1, 3, 0.5]),
    "smoothed and weighted": CategoricalCrossentropy(0.2, [2, 0, 1]),
    "squares": MeanSquaredError(),
}


def test_cross_entropy_by_hand() -> None:
    # -(ln 0.7 + ln 0.1) / 2 = (0.356675 + 2.302585) / 2
    assert CategoricalCrossentropy().value(P, Y) == pytest.approx(1.329630, abs=1e-6)


def test_label_smoothing_by_hand() -> None:
    # s = 0.3 over 3 classes: targets (0.8, 0.1, 0.1) and (0.1, 0.8, 0.1).
    # Row 1: 0.8 * 0.356675 + 0.1 * 1.609438 + 0.1 * 2.302585 = 0.676542
    # Row 2: 0.1 * 2.302585 + 0.8 * 2.302585 + 0.1 * 0.223144 = 2.094641
    assert CategoricalCrossentropy(0.3).value(P, Y) == pytest.approx(1.385592, abs=1e-6)


def test_class_weight_by_hand() -> None:
    # 0.356675 once and 2.302585 three times, over 2 rows
    loss = CategoricalCrossentropy(class_weight=[1, 3, 0.5])
    assert loss.value(P, Y) == pytest.approx(3.632215, abs=1e-6)


def test_class_weight_of_2_equals_repeated_rows() -> None:
    doubled = CategoricalCrossentropy(class_weight=[2, 1, 1]).value(P, Y) * len(Y)
    again = CategoricalCrossentropy().value(P[[0, 0, 1]], Y[[0, 0, 1]]) * 3
    assert doubled == pytest.approx(again)


def test_mean_squared_error_by_hand() -> None:
    # (0.3^2 + 0.2^2 + 0.1^2 + 0.1^2 + 0.9^2 + 0.8^2) / 6 = 1.6 / 6
    assert MeanSquaredError().value(P, Y) == pytest.approx(1.6 / 6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradient_agrees_with_central_differences(loss, slopes) -> None:
    p, gradient = P.copy(), np.empty_like(P)
    loss.gradient(p, Y, gradient)
    expected = slopes(lambda: loss.value(p, Y), p)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", list(LOSSES.values())[:-1], ids=list(LOSSES)[:-1])
def test_fused_gradient_agrees_with_differences_and_with_the_two_steps(loss, rng, slopes) -> None:
    z, y = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    softmax, p = Softmax(), np.empty((5, 3))

    def value() -> float:
        softmax.forward(z.copy(), p)
        return loss.value(p, y)

    expected = slopes(value, z)
    value()
    fused, outer, two_steps = (np.empty_like(p) for _ in range(3))
    loss.fused_gradient(p, y, fused)
    loss.gradient(p, y, outer)
    softmax.backward(p, outer, two_steps)
    np.testing.assert_allclose(fused, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fused, two_steps, rtol=1e-10, atol=1e-15)


def test_probability_of_0_gives_a_large_finite_loss() -> None:
    p = np.array([[0, 1]], np.float32)
    for smoothing in (0.0, 0.1):
        value = CategoricalCrossentropy(smoothing).value(p, np.array([0]))
        assert 30 < value < 100


@pytest.mark.parametrize("smoothing", [-0.1, 1, float("nan")])
def test_smoothing_out_of_range_is_rejected(smoothing) -> None:
    with pytest.raises(ValueError, match="label_smoothing"):
        CategoricalCrossentropy(smoothing)


def test_invalid_class_weights_are_rejected() -> None:
    for weights in ([1, -1], [1, float("nan")]):
        with pytest.raises(ValueError, match="class_weight"):
            CategoricalCrossentropy(class_weight=weights)
    with pytest.raises(ValueError, match=r"class_weight has shape \(2,\), expected \(3,\)"):
        CategoricalCrossentropy(class_weight=[1, 2]).check(3)


def test_unknown_name_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="loss is 'hinge', expected one of categorical_crossentro"):
        get("hinge")
