"""Temperature scaling: one divisor of the logits that calibrates a network's probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-30
"""Lower bound of probabilities before a logarithm."""

COLDEST, HOTTEST = 0.05, 20.0
"""Bounds of a temperature."""

STEPS = 50
"""Most Newton steps; five are usual."""

TOLERANCE = 1e-9
"""The search ends when a step of 1 / temperature is smaller than this."""


def temperature(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Return the t for which softmax(log p / t) has the lowest cross-entropy on held-out rows.

    Guo et al. 2017 (arXiv:1706.04599). The cross-entropy is convex in 1 / t, so Newton's method
    finds the minimum. Targets are softened as Platt (1999) does for a sigmoid: of n rows,
    1 / (n + 2) of each target is spread over all classes. Otherwise a few rows that are all right
    would make the probabilities certain.

    Args:
        probabilities: (rows, classes), at least one row.
        labels: class indices, (rows,).
    """
    logits = _logits(probabilities)
    targets = _targets(labels, logits.shape[1])
    # At the minimum, the mean logit under p equals the mean logit under the targets.
    target_mean = float((targets * logits).sum(axis=1).mean())
    low, high, inverse = 1 / HOTTEST, 1 / COLDEST, 1.0
    for _ in range(STEPS):
        p = _softmax(logits * inverse)
        means = (p * logits).sum(axis=1)
        slope = float(means.mean()) - target_mean
        if not slope:
            break
        curvature = float((p * np.square(logits - means[:, None])).sum(axis=1).mean())
        # The sign of the slope narrows the bounds; a step beyond them becomes a bisection.
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else (high if slope < 0 else low)
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - inverse) < TOLERANCE:
            break
        inverse = step
    return 1 / inverse


def calibrated_loss(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy, in nats, at the best temperature for these rows.

    Args:
        probabilities: (rows, classes), at least one row.
        labels: class indices, (rows,).
    """
    logits = _logits(probabilities)
    p = _softmax(logits / temperature(probabilities, labels))
    return float(-np.log(np.maximum(p, SMALLEST))[np.arange(len(labels)), labels].mean())


def _logits(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Return log p, shifted so that each row's largest is 0."""
    logits: NDArray[np.float64] = np.log(np.maximum(probabilities, SMALLEST, dtype=np.float64))
    logits -= logits.max(axis=1, keepdims=True)
    return logits


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of rows whose largest logit is 0."""
    p: NDArray[np.float64] = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    return p


def _targets(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    smoothing = 1 / (len(labels) + 2)
    targets = np.full((len(labels), classes), smoothing / classes)
    targets[np.arange(len(labels)), labels] += 1 - smoothing
    return targets
