"""Parts of small graphs, and rows for them."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from pigeonhole.service.model.columns import Columns

F, D, I64, I32, B, S = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.BOOL,
    TensorProto.STRING,
)

KERNEL = np.array([[1, -1], [2, 0]], np.float32)

SOFTMAX = ("Softmax", ["z"], "p", {"axis": 1})

LINEAR = [("MatMul", ["x", "kernel"], "z"), SOFTMAX]


def columns(numbers, categories=None) -> Columns:
    n = len(numbers)
    return Columns(
        np.array(numbers, np.float64),
        np.empty((n, 0), object) if categories is None else np.array(categories, object),
    )


def softmax(x: float, y: float) -> list[float]:
    """Return the probabilities of a row after ``LINEAR`` with ``KERNEL``."""
    low, high = -x, x + 2 * y
    return [1 / (1 + math.exp(low - high)), 1 / (1 + math.exp(high - low))]
