"""The network that the settings describe, for inputs of a given layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .features.preprocessor import InputLayout
from .network.layers import (
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Layer,
    PeriodicEmbedding,
    Scaling,
)
from .network.losses import CategoricalCrossentropy
from .network.optimizers import OPTIMIZERS, Adam, AdamW, Optimizer
from .network.sequential import Sequential
from .settings import Settings

SCALING_RATE, BIAS_RATE, PERIODIC_RATE = 6.0, 0.1, 0.1
"""Learning-rate factors of RealMLP (arXiv:2407.04491, appendix A)."""


def network(
    settings: Settings,
    layout: InputLayout,
    classes: int,
    class_weight: Sequence[float] | None,
    rng: np.random.Generator,
) -> Sequential:
    """Return a new compiled network with its first weights.

    Args:
        settings: of the run.
        layout: of the network's inputs.
        classes: number of outputs.
        class_weight: weight of each class in the loss; all 1 where None.
        rng: draws the first weights.
    """
    layers = [*_input_layers(settings, layout), *_hidden_layers(settings)]
    layers.append(_output_layer(settings, classes))
    layers[0].input_shape = (layout.size,)
    built = Sequential(layers)
    built.compile(
        _optimizer(settings),
        CategoricalCrossentropy(settings.label_smoothing, class_weight),
        settings.schedule,
        settings.regularization,
    )
    built.build(rng)
    return built


def _input_layers(settings: Settings, layout: InputLayout) -> list[Layer]:
    layers: list[Layer] = []
    if layout.levels:
        layers.append(Embedding(layout.levels, settings.embedding_width))
    if settings.periodic_embedding and layout.numbers:
        names = PeriodicEmbedding(1).parameter_shapes()
        layers.append(PeriodicEmbedding(layout.numbers, rates=dict.fromkeys(names, PERIODIC_RATE)))
    if settings.input_scaling:
        layers.append(Scaling(rates={"scale": SCALING_RATE}))
    return layers


def _hidden_layers(settings: Settings) -> list[Layer]:
    layers: list[Layer] = []
    for units in settings.hidden:
        layers.append(Dense(units, settings.activation, **_dense_options(settings)))
        if settings.batch_normalization:
            layers.append(BatchNormalization())
        if settings.dropout:
            layers.append(Dropout(settings.dropout))
    return layers


def _output_layer(settings: Settings, classes: int) -> Dense:
    options = _dense_options(settings)
    if settings.neural_tangent:
        # Zero weights give every class the same probability, so no step is spent on unlearning.
        options |= {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
    return Dense(classes, "softmax", **options)


def _dense_options(settings: Settings) -> dict[str, Any]:
    """Return how dense layers are initialized and which learning rates they have."""
    if not settings.neural_tangent:
        return {}
    return {
        "neural_tangent": True,
        "bias_initializer": "standard_normal",
        "rates": {"bias": BIAS_RATE},
    }


def _optimizer(settings: Settings) -> Optimizer:
    options: dict[str, Any] = {"learning_rate": settings.learning_rate}
    kind = OPTIMIZERS[settings.optimizer]
    if issubclass(kind, Adam):
        options["beta_2"] = settings.beta_2
    if issubclass(kind, AdamW):
        options["weight_decay"] = settings.weight_decay
    optimizer: Optimizer = kind(**options)
    return optimizer
