"""The temperature: one number that makes a network's probabilities as sure as they are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-30
"""Probabilities are held above this before their logarithm."""

COLDEST, HOTTEST = 0.05, 20.0
"""Bounds of a temperature: beyond them rows say too little of it."""

STEPS = 50
"""Newton steps at most; five are usual."""

CLOSE = 1e-9
"""A step of 1 / temperature below this is the last."""


def temperature(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """The t for which softmax(log p / t) has the least cross-entropy on rows not trained on.

    As in Guo et al. 2017 (arXiv:1706.04599). In 1 / t the cross-entropy is convex, so Newton's
    steps find it. As Platt (1999) does for a sigmoid, a row's target is not quite its class: of n
    rows, 1 / (n + 2) is spread over all classes, for rows that are all right don't prove that the
    next one is.

    Args:
        probabilities: (rows, classes), at least one row.
        labels: the true class of each row, (rows,).
    """
    logits = _logits(probabilities)
    targets = _targets(labels, logits.shape[1])
    # What the expectation under p has to come to: that under the targets.
    wanted = float((targets * logits).sum(axis=1).mean())
    low, high, inverse = 1 / HOTTEST, 1 / COLDEST, 1.0
    for _ in range(STEPS):
        p = _softmax(logits * inverse)
        means = (p * logits).sum(axis=1)
        slope = float(means.mean()) - wanted
        if not slope:
            break
        bend = float((p * np.square(logits - means[:, None])).sum(axis=1).mean())
        # Where the slope is known the bounds close in, and a step beyond them goes half way.
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / bend if bend > 0 else (high if slope < 0 else low)
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - inverse) < CLOSE:
            break
        inverse = step
    return 1 / inverse


def calibrated_loss(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """The mean cross-entropy, in nats, at the best temperature for these very rows.

    Args:
        probabilities: (rows, classes), at least one row.
        labels: the true class of each row, (rows,).
    """
    logits = _logits(probabilities)
    p = _softmax(logits / temperature(probabilities, labels))
    return float(-np.log(np.maximum(p, SMALLEST))[np.arange(len(labels)), labels].mean())


def _logits(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = np.log(np.maximum(probabilities, SMALLEST, dtype=np.float64))
    logits -= logits.max(axis=1, keepdims=True)
    return logits


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of rows whose largest is 0."""
    p: NDArray[np.float64] = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    return p


def _targets(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    doubt = 1 / (len(labels) + 2)
    targets = np.full((len(labels), classes), doubt / classes)
    targets[np.arange(len(labels)), labels] += 1 - doubt
    return targets
