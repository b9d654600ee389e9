"""Initializers: the first values of a kernel (inputs, units) or of a vector (units,).

The variance of a kernel's values depends on its inputs and outputs, so that signals and gradients
neither vanish nor explode from layer to layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import look_up

Initializer = Callable[[tuple[int, ...], np.random.Generator], NDArray[Any]]
"""Returns a float64 array of a shape, drawn from the generator."""


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Return zeros: for a bias. In a hidden kernel, all units would stay equal."""
    del rng
    return np.zeros(shape)


def ones(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Return ones: for a scale."""
    del rng
    return np.ones(shape)


def standard_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Draw from a normal distribution with variance 1."""
    return rng.standard_normal(shape)


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Draw uniformly within +-sqrt(6 / (inputs + units)) (Glorot, Bengio 2010)."""
    bound = math.sqrt(6 / (shape[0] + shape[-1]))
    return rng.uniform(-bound, bound, shape)


def glorot_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Draw from a normal distribution with variance 2 / (inputs + units) (Glorot, Bengio 2010)."""
    return rng.normal(0, math.sqrt(2 / (shape[0] + shape[-1])), shape)


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Draw uniformly within +-sqrt(6 / inputs) (He et al. 2015, arXiv:1502.01852)."""
    bound = math.sqrt(6 / shape[0])
    return rng.uniform(-bound, bound, shape)


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Draw from a normal distribution with variance 2 / inputs (He et al. 2015, arXiv:1502.01852)."""
    return rng.normal(0, math.sqrt(2 / shape[0]), shape)


def lecun_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Draw from a normal distribution with variance 1 / inputs (LeCun et al. 1998, Efficient BackProp)."""
    return rng.normal(0, math.sqrt(1 / shape[0]), shape)


INITIALIZERS: dict[str, Initializer] = {
    function.__name__: function
    for function in (
        *(zeros, ones, standard_normal, glorot_uniform, glorot_normal, he_uniform, he_normal),
        lecun_normal,
    )
}
"""The initializers by name."""

DEFAULT_KERNELS = {"relu": "he_uniform", "selu": "lecun_normal"}
"""The default kernel initializer by activation; ``glorot_uniform`` for all others.

Relu removes half of a signal, so its weights have twice the variance (He). Selu keeps mean 0 and
variance 1 only with variance 1 / inputs (LeCun). For activations that are nearly linear around 0,
Glorot balances the forward and the backward pass.
"""


def get(argument: str, initializer: str | Initializer) -> Initializer:
    """Return the initializer of a name; a function is returned as it is.

    Args:
        argument: the argument's name in the error message.
        initializer: name or function.

    Raises:
        ValueError: the name is unknown.
    """
    return initializer if callable(initializer) else look_up(argument, initializer, INITIALIZERS)
