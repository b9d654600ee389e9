from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.errors import TrainingError
from pigeonhole.trainer.network.layers import BatchNormalization, Dense, Dropout, Scaling
from pigeonhole.trainer.network.optimizers import SGD, Adam
from pigeonhole.trainer.network.sequential import Sequential


def small(dtype=np.float32) -> Sequential:
    layers = [Dense(3, input_shape=(2,), activation="relu"), Dense(2, activation="softmax")]
    return Sequential(layers, dtype=dtype)


def every_kind() -> Sequential:
    return Sequential(
        [
            Dense(16, "relu", input_shape=(4,)),
            *(BatchNormalization(), Dropout(0.2), Dense(8, "selu"), Dense(3, "softmax")),
        ]
    )


def blobs(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return three overlapping clouds in four columns."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    return rng.normal(size=(rows, 4)) + 1.5 * np.eye(3, 4)[y], y


def test_one_step_of_a_2_3_2_network_by_hand() -> None:
    network = small(np.float64)
    network.compile(SGD(learning_rate=0.5))
    network.set_weights(
        [[[1, -1, 0.5], [0, 1, 0.5]], [0, 0, -0.5], [[1, 0], [0, 1], [1, -1]], [0, 0]]
    )
    # x = (1, 2), class 1.
    # z1 = (1, -1 + 2, 0.5 + 1) + (0, 0, -0.5) = (1, 1, 1), relu leaves it: a1 = (1, 1, 1)
    # z2 = (1 + 0 + 1, 0 + 1 - 1) = (2, 0)
    # p  = (e^2, 1) / (e^2 + 1) = (0.880797, 0.119203);  loss = -ln 0.119203 = 2.126928
    loss = network.train_on_batch([[1, 2]], [1])
    assert loss == pytest.approx(2.126928, abs=1e-6)
    # dz2 = p - t = (0.880797, -0.880797)
    # dW2 = a1^T dz2: three rows of (0.880797, -0.880797); db2 = dz2
    # da1 = dz2 W2^T = (0.880797, -0.880797, 1.761594); relu passes it on, for z1 > 0
    # dW1 = x^T da1 = (0.880797, -0.880797, 1.761594) and twice that; db1 = da1
    # Subtract 0.5 times the gradient from each weight:
    expected = [
        [[0.559601, -0.559601, -0.380797], [-0.880797, 1.880797, -1.261594]],
        [-0.440399, 0.440399, -1.380797],
        [[0.559601, 0.440399], [-0.440399, 1.440399], [0.559601, -0.559601]],
        [-0.440399, 0.440399],
    ]
    for values, by_hand in zip(network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(values, by_hand, atol=1e-6)
    # The next forward pass: z1 = (-1.642, 3.642, -4.285), a1 = (0, 3.642390, 0)
    # z2 = (-0.440399 * 3.642390 - 0.440399, 1.440399 * 3.642390 + 0.440399) = (-2.044503, 5.686892)
    # p1 = 1 / (1 + exp(-7.731395)) = 0.999561
    assert network.predict([[1, 2]])[0, 1] == pytest.approx(0.999561, abs=1e-6)


def test_network_learns_xor() -> None:
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    network = Sequential([Dense(8, "tanh", input_shape=(2,)), Dense(2, "softmax")])
    network.compile(Adam(0.05))
    network.fit(x, y, epochs=200, batch_size=4, rng=np.random.default_rng(0))
    loss, accuracy = network.evaluate(x, y)
    assert accuracy == 1
    assert loss < 0.05


def test_straight_through_thresholds_learn_xor() -> None:
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    layers = [Dense(16, "straight_through_threshold", input_shape=(2,)), Dense(2, "softmax")]
    network = Sequential(layers)
    network.compile(Adam(0.05))
    network.fit(x, y, epochs=300, batch_size=4, rng=np.random.default_rng(1))
    assert network.evaluate(x, y)[1] == 1


def test_layer_before_a_threshold_does_not_learn(rng) -> None:
    x, y = blobs(100)
    network = Sequential([Dense(6, "threshold", input_shape=(4,)), Dense(3, "softmax")])
    network.compile("sgd")
    network.build(rng)
    before = network.get_weights()
    network.fit(x, y, epochs=2, batch_size=20, rng=rng)
    changed = [bool((a != b).any()) for a, b in zip(before, network.get_weights(), strict=True)]
    assert changed == [False, False, True, True]


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam", "adamw"])
def test_every_optimizer_lowers_the_loss(optimizer: str, rng) -> None:
    x, y = blobs(300)
    network = every_kind()
    network.compile(optimizer, schedule="cosine")
    epochs = network.fit(x, y, epochs=8, batch_size=30, rng=rng)
    assert epochs[-1].loss < epochs[0].loss


def fitted(seed: int) -> Sequential:
    network = every_kind()
    network.compile("adam")
    network.fit(*blobs(200), epochs=2, batch_size=32, rng=np.random.default_rng(seed))
    return network


def test_same_seed_gives_the_same_weights() -> None:
    first, second, third = fitted(1), fitted(1), fitted(2)
    np.testing.assert_array_equal(first.parameters, second.parameters)
    np.testing.assert_array_equal(first.statistics, second.statistics)
    assert (first.parameters != third.parameters).any()


def test_global_random_state_is_not_used() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state
    fitted(1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_layers_hold_views_of_the_flat_vectors_before_and_after_a_fit() -> None:
    network = every_kind()
    network.compile("adam")
    network.build(np.random.default_rng(0))
    vectors = network.parameters, network.gradients, network.statistics
    network.fit(*blobs(50), epochs=1, batch_size=16, rng=np.random.default_rng(0))
    assert all(
        now is before
        for now, before in zip(
            (network.parameters, network.gradients, network.statistics), vectors, strict=True
        )
    )
    covered = [0, 0, 0]
    for layer in network.layers:
        for i, views in enumerate((layer.parameters, layer.gradients, layer.statistics)):
            for view in views.values():
                assert np.shares_memory(view, vectors[i])
                covered[i] += view.size
    assert covered == [len(vector) for vector in vectors]


def test_buffers_are_allocated_once_for_the_largest_batch(rng) -> None:
    network = every_kind()
    network.compile("adam")
    network.build(rng)
    x, y = blobs(64)
    network.train_on_batch(x, y)
    largest = network._forward(np.ascontiguousarray(x, np.float32), training=True).base
    for rows in (64, 1, 17, 64):
        network.train_on_batch(x[:rows], y[:rows])
        again = network._forward(np.ascontiguousarray(x[:rows], np.float32), training=True).base
        assert again is largest


def test_every_row_is_used_once_an_epoch(rng) -> None:
    network = small()
    network.compile("sgd")
    told: list[int] = []
    x = rng.normal(size=(10, 2))
    network.fit(x, np.arange(10) % 2, epochs=2, batch_size=4, rng=rng, on_batch=told.append)
    assert told == [4, 4, 2] * 2


def test_each_epoch_shuffles_rows_together_with_labels(rng) -> None:
    seen: list[float] = []

    class Seen(Dense):
        def forward(self, x, training):
            seen.extend(x[:, 0].tolist())
            return super().forward(x, training)

    network = Sequential([Seen(2, "softmax", input_shape=(1,))])
    network.compile(Adam(0.3))
    x, y = np.arange(20.0)[:, None] - 9.5, np.arange(20) // 10
    network.fit(x, y, epochs=20, batch_size=6, rng=rng)
    epochs = np.array(seen).reshape(20, 20)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(x[:, 0], (20, 1)))
    assert len(np.unique(epochs, axis=0)) == 20
    assert network.evaluate(x, y)[1] == 1  # impossible with labels of other rows


def test_training_loss_is_the_mean_over_all_rows(rng) -> None:
    x, y = blobs(50)
    network = Sequential([Dense(3, "softmax", input_shape=(4,))])
    network.compile(SGD(1e-30))  # no weight changes, so the loss is the same before and after
    (epoch,) = network.fit(x, y, epochs=1, batch_size=16, rng=rng)
    assert epoch.loss == pytest.approx(network.evaluate(x, y)[0], rel=1e-6)


def test_epoch_has_its_figures(rng) -> None:
    x, y = blobs(40)
    network = every_kind()
    network.compile(Adam(0.01))
    told = []

    def second(epoch) -> bool:
        told.append(epoch)
        return epoch.number == 2

    after: list[int] = []
    epochs = network.fit(
        *(x, y),
        epochs=5,
        batch_size=16,
        rng=rng,
        validation_data=(x, y),
        callbacks=(second, lambda epoch: bool(after.append(epoch.number))),
    )
    assert epochs == told
    assert [epoch.number for epoch in epochs] == after == [1, 2]
    assert epochs[-1].learning_rate == 0.01
    assert epochs[-1].seconds > 0
    measured = epochs[-1].validation_loss, epochs[-1].validation_accuracy
    assert measured == pytest.approx(network.evaluate(x, y))


def test_epoch_without_validation_rows_has_no_validation_figures(rng) -> None:
    network = small()
    network.compile()
    (epoch,) = network.fit(rng.normal(size=(4, 2)), [0, 1, 0, 1], epochs=1, batch_size=2, rng=rng)
    assert (epoch.validation_loss, epoch.validation_accuracy) == (None, None)


def test_diverging_fit_names_the_learning_rate() -> None:
    x, y = blobs(100)
    network = Sequential([Dense(8, "relu", input_shape=(4,)), Dense(3)])
    network.compile(SGD(1e10), loss="mean_squared_error")
    with pytest.raises(
        TrainingError,
        match=r"the loss is (nan|inf) in epoch \d+; lower the "
        r"learning rate, which is 1e\+10",
    ):
        network.fit(x, y, epochs=20, batch_size=20, rng=np.random.default_rng(0))


def test_validation_loss_that_is_not_finite_ends_the_fit(rng) -> None:
    network = Sequential([Dense(2, "linear", input_shape=(2,))])
    network.compile(SGD(1e-9), loss="mean_squared_error")
    x, y = np.ones((4, 2)), np.array([0, 1, 0, 1])
    far = np.full((4, 2), 1e30), y  # its square is beyond float32
    with pytest.raises(TrainingError, match="the validation loss is inf in epoch 1; lower"):
        network.fit(x, y, epochs=2, batch_size=4, rng=rng, validation_data=far)


@given(rows=st.integers(0, 40), batch_size=st.integers(1, 50))
def test_prediction_does_not_depend_on_the_batch_size(rows: int, batch_size: int) -> None:
    network = every_kind()
    network.build(np.random.default_rng(0))
    x, _ = blobs(rows)
    predicted = network.predict(x, batch_size=batch_size)
    assert predicted.shape == (rows, 3)
    np.testing.assert_allclose(predicted, network.predict(x), atol=1e-6)
    np.testing.assert_allclose(predicted.sum(axis=1), 1, rtol=1e-5)


def test_prediction_is_a_new_array(rng) -> None:
    network = every_kind()
    network.build(rng)
    x, _ = blobs(5)
    first = network.predict(x)
    kept = first.copy()
    network.predict(-x)
    np.testing.assert_array_equal(first, kept)


def test_evaluation_does_not_depend_on_the_batch_size(rng) -> None:
    network = every_kind()
    network.compile()
    network.build(rng)
    x, y = blobs(50)
    whole = network.evaluate(x, y)
    assert network.evaluate(x, y, batch_size=7) == pytest.approx(whole, rel=1e-5)
    assert whole[1] == np.mean(network.predict(x).argmax(axis=1) == y)


def test_weights_can_be_copied_to_another_network(rng) -> None:
    first, second = fitted(1), every_kind()
    second.set_weights(first.get_weights())
    x, _ = blobs(20)
    np.testing.assert_array_equal(first.predict(x), second.predict(x))
    with pytest.raises(ValueError, match="weights has shapes"):
        second.set_weights(first.get_weights()[:-1])


def test_only_kernels_decay() -> None:
    network = every_kind()
    network.compile("adamw")
    decay_mask = network.optimizer._decay_mask
    # Kernels of 4 x 16, 16 x 8 and 8 x 3 decay; biases, scales and shifts do not.
    assert decay_mask.sum() == 4 * 16 + 16 * 8 + 8 * 3
    assert len(decay_mask) == decay_mask.sum() + 16 + 2 * 16 + 8 + 3


def test_optimizer_gets_the_rates_of_the_layers() -> None:
    network = Sequential(
        [
            Scaling(input_shape=(4,), rates={"scale": 6}),
            Dense(9, "selu", neural_tangent=True, rates={"kernel": 2, "bias": 0.1}),
            Dense(3, "softmax"),
        ]
    )
    network.compile("adam")
    # Neural tangent: the rate is divided by sqrt(4).
    expected = [6] * 4 + [1] * 36 + [0.1] * 9 + [1] * 30
    np.testing.assert_allclose(network.optimizer._rates, expected, rtol=1e-6)


def test_fit_to_selected_rows_equals_a_fit_to_a_copy_of_them() -> None:
    x, y = blobs(60)
    rows = np.random.default_rng(3).permutation(60)[:41]
    some, alone = every_kind(), every_kind()
    for network, arrays, places in ((some, (x, y), rows), (alone, (x[rows], y[rows]), None)):
        network.compile("adam")
        network.fit(*arrays, epochs=2, batch_size=16, rng=np.random.default_rng(1), rows=places)
    np.testing.assert_array_equal(some.parameters, alone.parameters)
    np.testing.assert_array_equal(some.statistics, alone.statistics)


def test_validation_outputs_are_kept_after_each_epoch(rng) -> None:
    x, y = blobs(40)
    network = every_kind()
    network.compile("adam")
    seen = []

    def compare(_epoch) -> bool:
        seen.append(network.validation_outputs)
        np.testing.assert_array_equal(seen[-1], network.predict(x[:7]))
        return False

    assert network.validation_outputs.shape == (0, 3)
    settings = {"epochs": 2, "batch_size": 16, "rng": rng, "callbacks": (compare,)}
    network.fit(x, y, validation_data=(x[:7], y[:7]), **settings)
    assert (seen[0] != seen[1]).any()


@pytest.mark.parametrize("temperature", [0.3, 1, 4.0])
def test_temperature_raises_probabilities_to_its_inverse(
    temperature: float,
) -> None:
    network, (x, _) = fitted(1), blobs(30)
    before = network.predict(x).astype(np.float64)
    network.apply_temperature(temperature)
    expected = before ** (1 / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(network.predict(x), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(network.predict(x).argmax(axis=1), before.argmax(axis=1))


def test_temperature_needs_a_softmax_and_a_positive_value() -> None:
    network = small()
    for temperature in (0, -1, float("nan"), float("inf")):
        with pytest.raises(
            ValueError, match=r"temperature is .*, expected a finite number above 0"
        ):
            network.apply_temperature(temperature)
    linear = Sequential([Dense(2, "sigmoid", input_shape=(2,))])
    with pytest.raises(ValueError, match="layer is Dense, sigmoid, expected Dense, softmax"):
        linear.apply_temperature(2)


def test_summary_lists_layers_shapes_and_numbers_of_weights(rng) -> None:
    network = every_kind()
    network.build(rng)
    text = network.summary()
    for piece in (
        *("dense_1", "Dense, relu", "(None, 16)", "80"),
        *("batchnormalization_1", "BatchNormalization", "64"),
        *("dropout_1", "Dropout, 0.2", "dense_3", "Dense, softmax", "(None, 3)", "27"),
        *("4 inputs, 3 outputs", "307 weights (1.2 kB), 275 of them trained"),
    ):
        assert piece in text
    assert "dense_1 kernel" not in text
    assert "dense_1 kernel (4, 16)" in network.summary(weights=True)


def test_summary_of_a_small_network_shows_its_weights() -> None:
    network = small()
    network.set_weights(
        [[[1, -1, 0.5], [0, 1, 0.25]], [0, 0, -0.5], [[1, 0], [0, 1], [1, -1]], [0, 0]]
    )
    lines = network.summary().splitlines()
    kernel = lines.index("dense_1 kernel (2, 3)")
    assert [line.split() for line in lines[kernel + 1 : kernel + 3]] == [
        ["1", "-1", "0.5"],
        ["0", "1", "0.25"],
    ]
    assert "dense_2 bias (2,)" in lines
    assert "kernel (" not in network.summary(weights=False)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (list, ValueError, "the first layer has no input_shape"),
        (lambda: [Dense(2)], ValueError, "the first layer has no input_shape"),
        (lambda: [Dense(2, input_shape=(3,)), "softmax"], TypeError, "layers holds 'softmax'"),
        (
            lambda: [Dense(2, input_shape=(3,)), Dense(2, input_shape=(3,))],
            ValueError,
            r"input_shape is \(3,\), but the layer before has 2 units",
        ),
        (lambda: small().layers, ValueError, "layer dense_1 is already part of a network"),
    ],
)
def test_layers_that_do_not_fit_together_are_rejected(layers, error, message: str) -> None:
    with pytest.raises(error, match=message):
        Sequential(layers())


def test_unsupported_dtype_is_rejected() -> None:
    with pytest.raises(TypeError, match="dtype is int32, expected float32 or float64"):
        small(np.int32)


X, Y = np.zeros((4, 2)), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("given_", "error", "message"),
    [
        ({"x": np.zeros((4, 3))}, ValueError, r"x has shape \(4, 3\), expected \(rows, 2\)"),
        ({"x": np.zeros(2)}, ValueError, r"x has shape \(2,\), expected \(rows, 2\)"),
        ({"x": X[:0], "y": Y[:0]}, ValueError, "x has no rows"),
        ({"x": X + np.nan}, ValueError, "x holds NaN or infinity"),
        ({"x": X + 1e300}, ValueError, "x holds NaN or infinity, expected finite float32"),
        ({"y": Y[:3]}, ValueError, r"y has shape \(3,\), expected \(4,\)"),
        ({"y": Y[:, None]}, ValueError, r"y has shape \(4, 1\), expected \(4,\)"),
        ({"y": Y.astype(float)}, TypeError, "y holds float64, expected class indices"),
        ({"y": Y + 1}, ValueError, "y holds 1 to 2, expected 0 to 1"),
        ({"y": Y - 1}, ValueError, "y holds -1 to 0, expected 0 to 1"),
        ({"epochs": 0}, ValueError, "epochs is 0, expected at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size is 0, expected at least 1"),
        ({"batch_size": 1.5}, TypeError, "batch_size is 1.5"),
        ({"validation_data": (X[:0], Y[:0])}, ValueError, "validation x has no rows"),
        ({"rows": np.arange(0)}, ValueError, "rows is empty, expected at least one index"),
        ({"rows": np.array([0, 4])}, ValueError, "rows holds 0 to 4, expected 0 to 3"),
        ({"rows": np.array([-1, 3])}, ValueError, "rows holds -1 to 3, expected 0 to 3"),
    ],
)
def test_invalid_arguments_of_a_fit_are_rejected(given_, error, message: str, rng) -> None:
    network = small()
    network.compile()
    arguments = {"x": X, "y": Y, "epochs": 1, "batch_size": 2, "rng": rng} | given_
    with pytest.raises(error, match=message):
        network.fit(**arguments)


def test_call_before_compile_or_build_is_rejected(rng) -> None:
    network = small()
    with pytest.raises(RuntimeError, match="call compile first"):
        network.fit(X, Y, epochs=1, batch_size=2, rng=rng)
    with pytest.raises(RuntimeError, match="call build, fit or set_weights"):
        network.predict(X)


def test_second_fit_continues_from_the_first() -> None:
    x, y = blobs(100)
    network = fitted(1)
    steps = network.optimizer.steps
    before = network.evaluate(x, y)[0]
    network.fit(x, y, epochs=10, batch_size=20, rng=np.random.default_rng(0))
    assert network.optimizer.steps == steps + 50
    assert network.evaluate(x, y)[0] < before


def test_last_step_that_diverges_raises(rng) -> None:
    x, y = blobs(8)
    network = Sequential([Dense(3, "linear", input_shape=(4,))])
    network.compile(SGD(1e38), loss="mean_squared_error")
    # The loss of the only step is from before it, and there are no validation rows.
    with pytest.raises(TrainingError, match="the largest weight is inf in epoch 1; lower the"):
        network.fit(x * 1e6, y, epochs=1, batch_size=8, rng=rng)


def test_fit_starts_from_weights_that_were_set() -> None:
    x, y = blobs(100)
    source, network = fitted(1), every_kind()
    network.compile(SGD(1e-30))
    network.set_weights(source.get_weights())
    network.fit(x, y, epochs=1, batch_size=20, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(network.parameters, source.parameters)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam", "adamw"])
def test_restored_training_continues_bit_for_bit(optimizer: str) -> None:
    x, y = blobs(64)

    def made() -> Sequential:
        layers = [Dense(8, "tanh", input_shape=(4,)), BatchNormalization(), Dense(3, "softmax")]
        network = Sequential(layers)
        network.compile(optimizer)
        return network

    straight, resumed = made(), made()
    straight.build(np.random.default_rng(0))
    for _ in range(3):
        straight.train_on_batch(x, y)
    resumed.set_weights(straight.get_weights())
    resumed.optimizer.load_state(straight.optimizer.state())
    for network in (straight, resumed):
        for part in (slice(0, 40), slice(40, 64)):
            network.train_on_batch(x[part], y[part])
    np.testing.assert_array_equal(resumed.parameters, straight.parameters)
    np.testing.assert_array_equal(resumed.statistics, straight.statistics)


SMALL_SUMMARY = """\
Sequential: 2 inputs, 2 outputs, float32
----------------------------------------------
layer    kind            output shape  weights
----------------------------------------------
dense_1  Dense, relu     (None, 3)           9
dense_2  Dense, softmax  (None, 2)           8
----------------------------------------------
17 weights (0.1 kB), 17 of them trained

dense_1 kernel (2, 3)
          1         -1        0.5
          0          1       0.25

dense_1 bias (3,)
          0          0       -0.5

dense_2 kernel (3, 2)
          1          0
          0          1
          1         -1

dense_2 bias (2,)
          0          0"""

LARGE_SUMMARY = """\
Sequential: 4 inputs, 3 outputs, float32
---------------------------------------------------------------
layer                 kind                output shape  weights
---------------------------------------------------------------
dense_1               Dense, relu         (None, 16)         80
batchnormalization_1  BatchNormalization  (None, 16)         64
dropout_1             Dropout, 0.2        (None, 16)          0
dense_2               Dense, selu         (None, 8)         136
dense_3               Dense, softmax      (None, 3)          27
---------------------------------------------------------------
307 weights (1.2 kB), 275 of them trained"""


def test_full_summary_of_a_small_network() -> None:
    network = small()
    network.set_weights(
        [[[1, -1, 0.5], [0, 1, 0.25]], [0, 0, -0.5], [[1, 0], [0, 1], [1, -1]], [0, 0]]
    )
    assert network.summary() == SMALL_SUMMARY


def test_full_summary_of_a_larger_network(rng) -> None:
    network = every_kind()
    network.build(rng)
    assert network.summary() == LARGE_SUMMARY
