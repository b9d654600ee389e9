"""The network that the settings describe, for inputs of a layout."""

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
    """A new network: compiled, with its first weights.

    Args:
        settings: of the run.
        layout: of its inputs.
        classes: outputs.
        class_weight: of each class in the loss; all 1 where None.
        rng: draws the first weights.
    """
    layers = [*_input_layers(settings, layout), *_hidden_layers(settings)]
    layers.append(
        Dense(
            classes,
            "softmax",
            # From zero every class is as likely as any other: no first steps are lost on
            # unlearning what chance has said.
            **_manner(settings) | {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
            if settings.neural_tangent
            else {},
        )
    )
    layers[0].input_shape = (layout.size,)
    made = Sequential(layers)
    made.compile(
        _optimizer(settings),
        CategoricalCrossentropy(settings.label_smoothing, class_weight),
        settings.schedule,
        settings.regularization,
    )
    made.build(rng)
    return made


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
        layers.append(Dense(units, settings.activation, **_manner(settings)))
        if settings.batch_normalization:
            layers.append(BatchNormalization())
        if settings.dropout:
            layers.append(Dropout(settings.dropout))
    return layers


def _manner(settings: Settings) -> dict[str, Any]:
    """How dense layers start and step."""
    if not settings.neural_tangent:
        return {}
    return {
        "neural_tangent": True,
        "bias_initializer": "standard_normal",
        "rates": {"bias": BIAS_RATE},
    }


def _optimizer(settings: Settings) -> Optimizer:
    chosen: dict[str, Any] = {"learning_rate": settings.learning_rate}
    kind = OPTIMIZERS[settings.optimizer]
    if issubclass(kind, Adam):
        chosen["beta_2"] = settings.beta_2
    if issubclass(kind, AdamW):
        chosen["weight_decay"] = settings.weight_decay
    made: Optimizer = kind(**chosen)
    return made
