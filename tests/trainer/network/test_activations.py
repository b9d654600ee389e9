from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pigeonhole.trainer.network.activations import ACTIVATIONS, Selu, get

FLAT = {"threshold", "straight_through_threshold"}  # no derivative to compare with
AWKWARD = np.array([[-1e4, 1e4, 0.0], [-0.0, 1e-20, -1e-20], [88.8, -88.8, 17.0], [1e4, 1e4, 1e4]])


def applied(name: str, z: np.ndarray) -> np.ndarray:
    out = np.full_like(z, np.nan)
    get(name).forward(z.copy(), out)
    return out


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - FLAT))
def test_derivative_agrees_with_central_differences(name: str, rng, slopes) -> None:
    z, weights = rng.normal(size=(4, 3)) * 2, rng.normal(size=(4, 3))
    derivative = np.empty_like(z)
    get(name).backward(applied(name, z), weights, derivative)
    expected = slopes(lambda: float((applied(name, z) * weights).sum()), z)
    np.testing.assert_allclose(derivative, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_does_not_change_the_gradient(name: str, rng) -> None:
    a, gradient = applied(name, rng.normal(size=(4, 3))), rng.normal(size=(4, 3))
    before = gradient.copy()
    get(name).backward(a, gradient, np.empty_like(a))
    np.testing.assert_array_equal(before, gradient)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_finite_input_gives_finite_output_without_warnings(name: str, dtype) -> None:
    assert np.isfinite(applied(name, AWKWARD.astype(dtype))).all()


def test_sigmoid_and_softmax_reach_their_limits_at_ten_thousand() -> None:
    z = np.array([[1e4, -1e4]], np.float32)
    for name in ("sigmoid", "softmax"):
        np.testing.assert_array_equal(applied(name, z), [[1, 0]])
    np.testing.assert_array_equal(applied("softmax", np.full((1, 4), -1e4)), [[0.25] * 4])


@given(arrays(np.float64, (3, 4), elements=st.floats(-1e4, 1e4)), st.floats(-100, 100))
def test_softmax_is_a_distribution_and_invariant_to_shifts(z, shift) -> None:
    p = applied("softmax", z)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(applied("softmax", z + shift), p, rtol=1e-9, atol=1e-12)


@given(arrays(np.float64, (2, 3), elements=st.floats(-30, 30)))
def test_sigmoid_equals_its_formula(z) -> None:
    np.testing.assert_allclose(applied("sigmoid", z), 1 / (1 + np.exp(-z)), rtol=1e-3, atol=1e-15)


def test_selu_keeps_mean_0_and_variance_1(rng) -> None:
    # Klambauer et al. 2017 derive the two constants from this property.
    a = applied("selu", rng.normal(size=(1_000_000, 1)))
    assert abs(a.mean()) < 0.005
    assert abs(a.var() - 1) < 0.005
    assert applied("selu", np.array([[-50.0]])) == pytest.approx(-Selu.alpha * Selu.gamma)


def test_threshold_is_0_at_0_and_passes_no_gradient() -> None:
    z = np.array([[-1.0, 0.0, 1e-30, 2.0]])
    gradient, out = np.ones_like(z), np.empty_like(z)
    for name, passed in (("threshold", 0), ("straight_through_threshold", 1)):
        np.testing.assert_array_equal(applied(name, z), [[0, 0, 1, 1]])
        get(name).backward(applied(name, z), gradient, out)
        np.testing.assert_array_equal(out, np.full_like(z, passed))


def test_unknown_name_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="activation is 'rectifier', expected one of linear, relu"):
        get("rectifier")
    assert get(None).name == "linear"
    own = Selu()
    assert get(own) is own


@pytest.mark.parametrize("units", [1, 2, 32, 33, 300])
def test_softmax_is_the_same_for_few_and_many_units(units: int, rng) -> None:
    z = rng.normal(size=(50, units)) * 3
    p = applied("softmax", z)
    np.testing.assert_allclose(p, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(applied("softmax", z + 1e4), p, rtol=1e-8)


def test_row_with_nan_does_not_change_other_rows() -> None:
    z = np.array([[np.nan, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(applied("softmax", z), [[np.nan, np.nan], [0.5, 0.5]])
