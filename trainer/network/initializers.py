"""Initializers: the first values of a kernel (inputs, units) or a bias (units,).

A kernel's spread follows from how many inputs and outputs it has, so that signals keep their size
from layer to layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Initializer = Callable[[tuple[int, ...], np.random.Generator], NDArray[Any]]
"""Makes an array of a shape, by chance from the generator."""


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """All zeros: right for a bias; a kernel of zeros learns nothing above the first layer."""
    del rng
    return np.zeros(shape)


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Uniform within sqrt(6 / (inputs + units)) (Glorot, Bengio 2010)."""
    bound = np.sqrt(6 / (shape[0] + shape[-1]))
    return rng.uniform(-bound, bound, shape)


def glorot_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Normal with variance 2 / (inputs + units) (Glorot, Bengio 2010)."""
    return rng.normal(0, np.sqrt(2 / (shape[0] + shape[-1])), shape)


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Uniform within sqrt(6 / inputs): relu lets half of a signal through (He et al. 2015)."""
    bound = np.sqrt(6 / shape[0])
    return rng.uniform(-bound, bound, shape)


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Normal with variance 2 / inputs (He et al. 2015)."""
    return rng.normal(0, np.sqrt(2 / shape[0]), shape)


def lecun_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Normal with variance 1 / inputs (LeCun et al. 1998); selu keeps its mean and variance so."""
    return rng.normal(0, np.sqrt(1 / shape[0]), shape)


INITIALIZERS: dict[str, Initializer] = {
    function.__name__: function
    for function in (zeros, glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_normal)
}
"""Each initializer under its name."""

FOR_ACTIVATION = {"relu": "he_uniform", "selu": "lecun_normal"}
"""Which kernel initializer suits an activation; glorot_uniform suits the others."""


def named(name: str) -> Initializer:
    """The initializer of that name.

    Raises:
        ValueError: for a name that is none.
    """
    if name not in INITIALIZERS:
        raise ValueError(f"initializer is {name!r}, expected one of {', '.join(INITIALIZERS)}")
    return INITIALIZERS[name]
