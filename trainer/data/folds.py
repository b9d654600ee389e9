"""Rows dealt out into parts of one size, class by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .stratified import stratified_split


def stratified_folds(
    labels: NDArray[np.int64], count: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Deals the rows out so that every part holds each class in its share, as far as it goes.

    Args:
        labels: int64 (rows,), the class of each row; at least ``count`` rows.
        count: how many parts.
        rng: decides which rows; the same state gives the same parts.

    Returns:
        For each part the indices of its rows, ascending, int64; each row is in exactly one.
    """
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Dealt in turn over class borders, parts differ by one row at most.
    return [np.sort(by_class[start::count]) for start in range(count)]


def stratified_parts(
    labels: NDArray[np.int64], count: int, share: float, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Sets several parts of the rows aside, none of which has a row of another.

    Args:
        labels: int64 (rows,), the class of each row.
        count: how many parts.
        share: of all rows in each part; at most 1 / count. What would be left over is dealt out as
            well where it is less than half a part.
        rng: decides which rows; the same state gives the same parts.

    Returns:
        For each part the indices of its rows, ascending, int64.
    """
    if count * share > 1 - share / 2:  # the parts are all of the rows: no rest to be kept
        return stratified_folds(labels, count, rng)
    rest, parts = np.arange(len(labels)), []
    for dealt in range(count):
        others, part = stratified_split(labels[rest], share / (1 - dealt * share), rng)
        parts.append(rest[part])
        rest = rest[others]
    return parts
