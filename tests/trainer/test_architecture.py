from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pigeonhole.trainer.architecture import network
from pigeonhole.trainer.features.preprocessor import InputLayout
from pigeonhole.trainer.network.layers import Dropout
from pigeonhole.trainer.network.schedules import SCHEDULES
from pigeonhole.trainer.network.sequential import Sequential
from pigeonhole.trainer.presets import PRESETS
from pigeonhole.trainer.settings import Settings

LAYOUT = InputLayout(numbers=2, others=3, levels=(40, 50))
NUMBERS_ONLY = InputLayout(numbers=2, others=0, levels=())
CATEGORIES_ONLY = InputLayout(numbers=0, others=3, levels=(40,))


def build(layout: InputLayout = LAYOUT, weights: Any = None, **flags: str) -> Sequential:
    settings = Settings.read({"table": "t", "target": "y", "name": "m", "hidden": "6,4", **flags})
    return network(settings, layout, 3, weights, np.random.default_rng(0))


def kinds(built: Sequential) -> list[str]:
    return [layer.kind for layer in built.layers]


def test_default_network_is_a_realmlp() -> None:
    assert kinds(build()) == [
        *("Embedding, 2 x 8", "PeriodicEmbedding, 2 x 3", "Scaling"),
        *("Dense, selu", "Dropout, 0.15", "Dense, selu", "Dropout, 0.15", "Dense, softmax"),
    ]


def test_classic_network_is_a_plain_multilayer_perceptron() -> None:
    built = build(NUMBERS_ONLY, preset="classic")
    assert kinds(built) == ["Dense, relu", "Dense, relu", "Dense, softmax"]
    assert [layer.units for layer in built.layers] == [6, 4, 3]
    assert built.optimizer._rates is None


def test_classic_network_embeds_categories_of_many_levels() -> None:
    built = build(preset="classic", embedding_width="5")
    assert kinds(built)[0] == "Embedding, 2 x 5"
    assert built.layers[1].inputs == 5 + 2 * 5


def test_periodic_embedding_is_for_numbers_only() -> None:
    assert not [kind for kind in kinds(build(CATEGORIES_ONLY)) if "Periodic" in kind]
    assert not [kind for kind in kinds(build(periodic_embedding="off")) if "Periodic" in kind]
    (periodic,) = (layer for layer in build().layers if "Periodic" in layer.kind)
    assert periodic.columns == LAYOUT.numbers


def test_every_layer_follows_its_flag() -> None:
    flags = {"batch_normalization": "on", "dropout": "0.3", "activation": "tanh"}
    assert kinds(build(NUMBERS_ONLY, preset="classic", **flags)) == [
        *("Dense, tanh", "BatchNormalization", "Dropout, 0.3") * 2,
        "Dense, softmax",
    ]
    assert "Scaling" not in kinds(build(input_scaling="off"))
    assert kinds(build(NUMBERS_ONLY, preset="classic", hidden="")) == ["Dense, softmax"]


def test_learning_rate_factors_are_those_of_the_paper() -> None:
    by_layer = {layer.name: layer.rates for layer in build().layers}
    assert set(by_layer["periodicembedding_1"].values()) == {0.1}
    assert set(by_layer["periodicembedding_1"]) == {"frequencies", "phases", "kernel", "bias"}
    assert by_layer["scaling_1"] == {"scale": 6}
    # Neural tangent: the factor of a kernel is 1 / sqrt(inputs); the second layer has 6 inputs.
    assert by_layer["dense_2"] == {"kernel": pytest.approx(6**-0.5), "bias": 0.1}


@pytest.mark.parametrize(("preset", "equal"), [("default", True), ("classic", False)])
def test_neural_tangent_network_starts_with_equal_probabilities(preset: str, equal: bool) -> None:
    built = build(NUMBERS_ONLY, preset=preset)
    x = np.random.default_rng(1).normal(size=(9, 2))
    assert np.allclose(built.predict(x), 1 / 3) == equal
    assert built.layers[-2 if preset == "classic" else -3].parameters["kernel"].all()


@pytest.mark.parametrize("preset", PRESETS)
def test_network_is_compiled_with_the_presets_values(preset: str) -> None:
    settings = PRESETS[preset]
    built = build(preset=preset, weights=[1, 2, 3])
    assert built.optimizer.name == settings["optimizer"]
    assert built.optimizer.learning_rate == settings["learning_rate"]
    assert built.optimizer.beta_2 == settings["beta_2"]
    assert getattr(built.optimizer, "weight_decay", 0) == settings["weight_decay"]
    assert built.loss.label_smoothing == settings["label_smoothing"]
    assert built.loss.class_weight.tolist() == [1, 2, 3]
    assert built.schedule is SCHEDULES[settings["schedule"]]
    assert built.regularization is SCHEDULES[settings["regularization"]]


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam", "adamw"])
def test_every_optimizer_fits_the_default_network(optimizer: str) -> None:
    built = build(optimizer=optimizer, schedule="constant", learning_rate="0.01")
    rng = np.random.default_rng(0)
    x = np.hstack([rng.normal(size=(64, 5)), rng.integers(0, LAYOUT.levels, (64, 2))])
    y = (x[:, 0] > 0).astype(np.int64)
    epochs = built.fit(x, y, epochs=12, batch_size=16, rng=rng)
    assert epochs[-1].loss < epochs[0].loss


def test_same_generator_gives_the_same_first_weights() -> None:
    np.testing.assert_array_equal(build().parameters, build().parameters)


def test_dropout_differs_between_two_networks() -> None:
    settings = Settings.read({"table": "t", "target": "y", "name": "m", "hidden": "64"})
    draws = []
    for seed in np.random.default_rng(0).spawn(2):
        built = network(settings, NUMBERS_ONLY, 3, None, seed)
        (noise,) = (layer for layer in built.layers if isinstance(layer, Dropout))
        noise.allocate(50, np.float32)
        draws.append(noise.forward(np.ones((50, 64), np.float32), training=True))
    assert (draws[0] != draws[1]).any()
