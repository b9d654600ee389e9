"""Rows set aside, class by class."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .schema import Examples


def stratified_split(
    labels: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sets a part of the rows aside that holds every class in its share.

    Each class gives its share of rows, rounded so that the part as a whole has the size asked
    for; a class of two rows or more keeps at least one row on each side. A class of one row
    stays with the rest.

    Args:
        labels: int64 (rows,), the class of each row.
        fraction: how much to set aside, between 0 and 1.
        rng: decides which rows; the same state gives the same rows.

    Returns:
        The rest and the part: int64 row indices, ascending, each row in exactly one of them.
    """
    _, classes = np.unique(labels, return_inverse=True)
    counts = np.bincount(classes)
    # Shuffled rows, then brought together by class: the first ones of each class are its part.
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    starts = np.cumsum(counts) - counts
    place = np.arange(len(labels)) - np.repeat(starts, counts)
    in_part = place < np.repeat(_shares(counts, fraction), counts)
    return np.sort(by_class[~in_part]), np.sort(by_class[in_part])


def _shares(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """Rows to take from each class, int64 (classes,): whole rows, by largest remainder."""
    ideal = counts * fraction
    shares = np.floor(ideal).astype(np.int64)
    short = round(float(ideal.sum())) - int(shares.sum())
    shares[np.argsort(shares - ideal, kind="stable")[:short]] += 1
    return np.where(counts > 1, np.clip(shares, 1, np.maximum(counts - 1, 1)), 0)


def take_subsets(examples: Examples, *parts: NDArray[np.int64]) -> list[Examples]:
    """The examples of each part, in the memory of the whole.

    The whole is put in the order of its parts, column by column, and is not to be used any more:
    of a large table there is no room for a second copy.

    Args:
        examples: the whole.
        parts: int64 row indices of each part; together every row once.

    Raises:
        ValueError: they are not.
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
