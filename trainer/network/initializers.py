"""Initializers: the first values of a kernel (inputs, units) or of a vector (units,).

How far a kernel's values spread follows from how many inputs and outputs it has, so that signals
and gradients neither fade nor grow from layer to layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import chosen

Initializer = Callable[[tuple[int, ...], np.random.Generator], NDArray[Any]]
"""Makes a float64 array of a shape, by chance from the generator."""


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """All zeros: right for a bias; in a hidden kernel it would keep all units alike forever."""
    del rng
    return np.zeros(shape)


def ones(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """All ones: a scale that changes nothing yet."""
    del rng
    return np.ones(shape)


def standard_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Normal with variance 1."""
    return rng.standard_normal(shape)


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Uniform within +-sqrt(6 / (inputs + units)) (Glorot, Bengio 2010)."""
    bound = math.sqrt(6 / (shape[0] + shape[-1]))
    return rng.uniform(-bound, bound, shape)


def glorot_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Normal with variance 2 / (inputs + units) (Glorot, Bengio 2010)."""
    return rng.normal(0, math.sqrt(2 / (shape[0] + shape[-1])), shape)


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Uniform within +-sqrt(6 / inputs) (He et al. 2015, arXiv:1502.01852)."""
    bound = math.sqrt(6 / shape[0])
    return rng.uniform(-bound, bound, shape)


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Normal with variance 2 / inputs (He et al. 2015, arXiv:1502.01852)."""
    return rng.normal(0, math.sqrt(2 / shape[0]), shape)


def lecun_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Normal with variance 1 / inputs (LeCun et al. 1998, Efficient BackProp)."""
    return rng.normal(0, math.sqrt(1 / shape[0]), shape)


INITIALIZERS: dict[str, Initializer] = {
    function.__name__: function
    for function in (
        *(zeros, ones, standard_normal, glorot_uniform, glorot_normal, he_uniform, he_normal),
        lecun_normal,
    )
}
"""Each initializer under its name."""

SUITED = {"relu": "he_uniform", "selu": "lecun_normal"}
"""Which kernel initializer suits an activation; ``glorot_uniform`` suits the others.

Relu cuts half of a signal off, so its weights have twice the variance (He); selu keeps mean 0 and
variance 1 only for variance 1 / inputs (LeCun); what is near linear around 0 is best served by a
compromise between the forward and the backward pass (Glorot).
"""


def named(argument: str, given: str | Initializer) -> Initializer:
    """The initializer of a name; a function of your own as it is.

    Args:
        argument: what the message calls it.
        given: name or function.

    Raises:
        ValueError: for a name that is none.
    """
    return given if callable(given) else chosen(argument, given, INITIALIZERS)
