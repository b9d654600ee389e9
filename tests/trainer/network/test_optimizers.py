from __future__ import annotations

import math

import numpy as np
import pytest

from pigeonhole.trainer.network.optimizers import OPTIMIZERS, SGD, AdaGrad, Adam, AdamW, get

DECAYED = np.array([True, True, False])
START = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.array([[0.3, -0.1, 2.0], [0.1, 0.4, -1.0], [-0.2, 0.0, 0.5], [0.6, 0.2, 1e-4]])


def stepped(optimizer, rate: float = 0.1, start: np.ndarray = START) -> np.ndarray:
    """Return the parameters after steps with the gradients above."""
    parameters = start.copy()
    optimizer.build(parameters, DECAYED)
    for gradient in GRADIENTS:
        optimizer.step(parameters, gradient, rate)
    return parameters


def test_sgd_by_hand() -> None:
    # 1 - 0.1 (0.3 + 0.1 - 0.2 + 0.6) = 0.92; -2 - 0.1 (0.5) = -2.05; 0.5 - 0.1 (1.5001)
    np.testing.assert_allclose(stepped(SGD()), [0.92, -2.05, 0.34999])


def test_momentum_by_hand() -> None:
    parameters = np.array([1.0])
    optimizer = SGD(momentum=0.5)
    optimizer.build(parameters, np.array([True]))
    # v = -0.1 * 1 = -0.1, p = 0.9; then v = -0.05 - 0.1 * 2 = -0.25, p = 0.65
    for gradient, expected in ((1.0, 0.9), (2.0, 0.65)):
        optimizer.step(parameters, np.array([gradient]), 0.1)
        assert parameters == pytest.approx(expected)


def test_nesterov_uses_the_gradient_at_the_look_ahead_point() -> None:
    # Sutskever's form on L = p^2 / 2: v <- m v - rate (p + m v), p <- p + v. Our parameters are
    # the look-ahead point p + m v.
    momentum, rate, p, v = 0.9, 0.1, 1.0, 0.0
    ahead = np.array([1.0])
    optimizer = SGD(momentum=momentum, nesterov=True)
    optimizer.build(ahead, np.array([True]))
    for _ in range(5):
        v = momentum * v - rate * (p + momentum * v)
        p += v
        optimizer.step(ahead, ahead.copy(), rate)
        assert ahead == pytest.approx(p + momentum * v)


def test_adagrad_by_hand() -> None:
    parameters = np.array([1.0])
    optimizer = AdaGrad(epsilon=1e-12)
    optimizer.build(parameters, np.array([True]))
    # s = 9: 1 - 0.1 * 3 / 3 = 0.9; s = 9 + 16 = 25: 0.9 - 0.1 * 4 / 5 = 0.82
    for gradient, expected in ((3.0, 0.9), (4.0, 0.82)):
        optimizer.step(parameters, np.array([gradient]), 0.1)
        assert parameters == pytest.approx(expected)


def adam_as_in_the_paper(rate, b1, b2, epsilon, decay=0.0) -> list[float]:
    """Compute algorithm 1 of Kingma and Ba line by line, one parameter at a time."""
    answer = []
    for theta, gradients, decay_mask in zip(START, GRADIENTS.T, DECAYED, strict=True):
        m = v = 0.0
        for t, g in enumerate(gradients, 1):
            if decay_mask:
                theta -= rate * decay * theta  # noqa: PLW2901 - as the paper writes it
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * g**2
            corrected_m = m / (1 - b1**t)
            corrected_v = v / (1 - b2**t)
            theta -= rate * corrected_m / (math.sqrt(corrected_v) + epsilon)  # noqa: PLW2901
        answer.append(theta)
    return answer


@pytest.mark.parametrize("epsilon", [1e-7, 0.1])
def test_adam_equals_the_algorithm_of_the_paper(epsilon: float) -> None:
    expected = adam_as_in_the_paper(0.1, 0.8, 0.95, epsilon)
    np.testing.assert_allclose(stepped(Adam(0.1, 0.8, 0.95, epsilon)), expected, rtol=1e-12)


def test_adamw_decays_only_masked_parameters_and_not_the_moments() -> None:
    expected = adam_as_in_the_paper(0.1, 0.9, 0.999, 1e-7, decay=0.3)
    np.testing.assert_allclose(stepped(AdamW(weight_decay=0.3)), expected, rtol=1e-12)
    assert stepped(AdamW(weight_decay=0.3))[2] == stepped(Adam())[2]


RATES = np.array([1.0, 0.25, 6.0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rate_scales_the_learning_rate_of_its_parameter_only(name: str) -> None:
    together, optimizer = START.copy(), get(name)
    optimizer.build(together, DECAYED, RATES)
    for gradient in GRADIENTS:
        optimizer.step(together, gradient, 0.1)
    for place, rate in enumerate(RATES):
        alone, optimizer = START[[place]], get(name)
        if isinstance(optimizer, AdamW):
            # Rates do not change the decay, so divide it by the rate here.
            optimizer.weight_decay /= rate
        optimizer.build(alone, DECAYED[[place]])
        for gradient in GRADIENTS:
            optimizer.step(alone, gradient[[place]], 0.1 * rate)
        assert together[place] == pytest.approx(alone[0], rel=1e-12)


def test_rates_scale_both_terms_of_nesterov() -> None:
    together, optimizer = START.copy(), SGD(momentum=0.9, nesterov=True)
    optimizer.build(together, DECAYED, RATES)
    for gradient in GRADIENTS:
        optimizer.step(together, gradient, 0.1)
    for place, rate in enumerate(RATES):
        alone, optimizer = START[[place]], SGD(momentum=0.9, nesterov=True)
        optimizer.build(alone, DECAYED[[place]])
        for gradient in GRADIENTS:
            optimizer.step(alone, gradient[[place]], 0.1 * rate)
        assert together[place] == pytest.approx(alone[0], rel=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rates_of_1_change_nothing(name: str) -> None:
    parameters, optimizer = START.copy(), get(name)
    optimizer.build(parameters, DECAYED, np.ones(3))
    for gradient in GRADIENTS:
        optimizer.step(parameters, gradient, 0.1)
    np.testing.assert_array_equal(parameters, stepped(get(name)))


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_strength_scales_the_decay(strength: float) -> None:
    optimizer = AdamW(weight_decay=0.3)
    optimizer.strength = strength
    expected = stepped(AdamW(weight_decay=0.3 * strength))
    np.testing.assert_allclose(stepped(optimizer), expected, rtol=1e-12)


def test_first_step_of_adam_has_the_size_of_the_rate() -> None:
    parameters = np.zeros(3)
    optimizer = Adam()
    optimizer.build(parameters, DECAYED)
    optimizer.step(parameters, np.array([1e-3, -5.0, 1e6]), 0.25)
    np.testing.assert_allclose(parameters, [-0.25, 0.25, -0.25], rtol=1e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step_is_in_place_and_does_not_change_the_gradients(name: str) -> None:
    optimizer = get(name)
    parameters, gradients = START.copy(), GRADIENTS[0].copy()
    optimizer.build(parameters, DECAYED)
    moments = dict(optimizer.moments)
    for _ in range(3):
        optimizer.step(parameters, gradients, 0.01)
    assert all(optimizer.moments[key] is moment for key, moment in moments.items())
    np.testing.assert_array_equal(gradients, GRADIENTS[0])
    assert (parameters != START).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restored_state_continues_with_the_same_steps(name: str) -> None:
    straight = get(name)
    expected = stepped(straight)
    first, second = get(name), get(name)
    parameters = START.copy()
    for optimizer, gradients in ((first, GRADIENTS[:2]), (second, GRADIENTS[2:])):
        optimizer.build(parameters, DECAYED)
        if optimizer is second:
            second.load_state(first.state())
        for gradient in gradients:
            optimizer.step(parameters, gradient, 0.1)
    np.testing.assert_array_equal(parameters, expected)
    assert second.steps == straight.steps == 4


def test_state_is_a_copy_for_one_kind_of_optimizer() -> None:
    adam, sgd = Adam(), SGD()
    stepped(adam)
    stepped(sgd)
    state = adam.state()
    adam.moments["mean"].fill(7)
    assert not (state["mean"] == 7).any()
    with pytest.raises(ValueError, match="state holds steps, mean, squares"):
        sgd.load_state(state)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: SGD(0), "learning_rate"),
        (lambda: Adam(float("nan")), "learning_rate"),
        (lambda: SGD(momentum=1), "momentum"),
        (lambda: Adam(beta_1=1), "beta_1"),
        (lambda: Adam(beta_2=-0.1), "beta_2"),
        (lambda: AdaGrad(epsilon=0), "epsilon"),
        (lambda: AdamW(weight_decay=-1), "weight_decay"),
        (lambda: get("lion"), "optimizer is 'lion', expected one of sgd, adagrad, adam, adamw"),
    ],
)
def test_setting_out_of_range_is_rejected(make, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        make()
