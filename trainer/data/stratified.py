"""Stratified splits and folds: every part has each class in its share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .schema import Examples


def stratified_split(
    labels: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rest and a part of the rows, stratified by class.

    Shares are rounded so that the part has the requested size. A class of at least two rows has a row
    on each side; a class of one row stays in the rest.

    Args:
        labels: int64 (rows,), the class of each row.
        fraction: size of the part, between 0 and 1.
        rng: chooses the rows.

    Returns:
        Rest and part: int64 row indices, ascending, each row in exactly one of them.
    """
    _, classes = np.unique(labels, return_inverse=True)
    counts = np.bincount(classes)
    # Shuffled rows, grouped by class: the first rows of each class are its part.
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(labels)) - np.repeat(starts, counts)  # in its class
    in_part = rank < np.repeat(_shares(counts, fraction), counts)
    return np.sort(by_class[~in_part]), np.sort(by_class[in_part])


def _shares(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """Return the rows to take from each class, int64 (classes,), by largest remainder."""
    ideal = counts * fraction
    shares = np.floor(ideal).astype(np.int64)
    short = round(float(ideal.sum())) - int(shares.sum())
    shares[np.argsort(shares - ideal, kind="stable")[:short]] += 1
    return np.where(counts > 1, np.clip(shares, 1, np.maximum(counts - 1, 1)), 0)


def stratified_folds(
    labels: NDArray[np.int64], count: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return stratified folds of equal size.

    Args:
        labels: int64 (rows,), the class of each row; at least ``count`` rows.
        count: number of folds.
        rng: chooses the rows.

    Returns:
        Row indices of each fold, int64, ascending; each row is in exactly one fold.
    """
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Dealt in turn across classes, folds differ by at most one row.
    return [np.sort(by_class[start::count]) for start in range(count)]


def stratified_parts(
    labels: NDArray[np.int64], count: int, share: float, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return disjoint stratified parts of the rows.

    Args:
        labels: int64 (rows,), the class of each row.
        count: number of parts.
        share: of all rows in each part, at most 1 / count. Left-over rows of less than half a part are
            distributed too.
        rng: chooses the rows.

    Returns:
        Row indices of each part, int64, ascending.
    """
    if count * share > 1 - share / 2:  # the parts are all of the rows
        return stratified_folds(labels, count, rng)
    rest, parts = np.arange(len(labels)), []
    for index in range(count):
        others, part = stratified_split(labels[rest], share / (1 - index * share), rng)
        parts.append(rest[part])
        rest = rest[others]
    return parts


def take_subsets(examples: Examples, *parts: NDArray[np.int64]) -> list[Examples]:
    """Return the examples of each part as views of the reordered whole.

    The whole is reordered in place and must not be used afterwards: a large table has no room for a
    second copy.

    Args:
        examples: the whole.
        parts: int64 row indices of each part; together every row once.

    Raises:
        ValueError: if the parts do not hold every row once.
    """
    order = np.concatenate(parts)
    if not np.array_equal(np.bincount(order, minlength=len(examples)), np.ones(len(examples))):
        raise ValueError("the parts must hold every row once")
    for array in (examples.numbers, examples.categories):
        for column in array.T:
            column[:] = column[order]
    examples.labels[:] = examples.labels[order]
    ends = np.cumsum([0, *map(len, parts)]).tolist()
    return [examples.take(slice(*bounds)) for bounds in pairwise(ends)]
