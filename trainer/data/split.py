"""Rows set aside, class by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
