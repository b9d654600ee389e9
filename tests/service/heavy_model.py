"""A model whose every run takes long, whatever the number of its rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pigeonhole.trainer.graph import Graph

SIDE = 512
"""Of the matrices that it multiplies for nothing."""


LARGEST = 1000
"""From there on a larger x makes no more work."""


def write_heavy_model(
    folder: Path, name: str = "heavy", *, products: int = 8, growth: int = 0
) -> Path:
    """Write a model that says more where x is positive, after a lot of work.

    Args:
        folder: the model folder.
        name: the model's name.
        products: of two matrices in each run; one takes some milliseconds.
        growth: by how much the matrices' sides grow with the largest x.
    """
    graph = Graph("heavy")
    x = graph.add("Cast", graph.input("numbers", "double", 1), to=1)
    clipped = graph.add(
        "Clip", x, *(graph.constant(np.float32(bound), "bound") for bound in (-9, 9))
    )
    # Nought, but the runtime can't know: what follows is not worked out when the model is loaded.
    zero = graph.constant(np.float32(0), "zero")
    nought = graph.add("ReduceSum", graph.add("Mul", clipped, zero), keepdims=0)
    bounds = [graph.constant(np.float32(bound), "bound") for bound in (0, LARGEST)]
    largest = graph.add("ReduceMax", graph.add("Clip", x, *bounds), keepdims=0)
    grown = graph.add("Mul", largest, graph.constant(np.float32(growth), "growth"))
    length = graph.add("Add", grown, graph.constant(np.float32(SIDE), "length"))
    side = graph.add(
        "Expand", graph.add("Cast", length, to=7), graph.constant(np.array([2]), "two")
    )
    one = graph.constant(np.float32(1), "one")
    work = graph.add("Expand", graph.add("Add", nought, one), side)
    part = graph.add("Div", one, length)
    for _ in range(products):
        work = graph.add("Mul", graph.add("MatMul", work, work), part)
    nothing = graph.add("Mul", graph.add("ReduceSum", work, keepdims=0), zero)
    kernel = graph.constant(np.array([[-1.0, 1.0]], np.float32), "kernel")
    logits = graph.add("Add", graph.add("MatMul", clipped, kernel), nothing)
    graph.output(graph.add("Softmax", logits, axis=1), "probabilities", "float", 2)
    more = float(1 / (1 + np.exp(-4)))
    signature = {"features": [{"name": "x", "kind": "number"}], "classes": ["less", "more"]}
    golden = [{"row": {"x": 2}, "label": "more", "probabilities": {"less": 1 - more, "more": more}}]
    metadata = {
        "pigeonhole": "1",
        "signature": json.dumps(signature),
        "golden": json.dumps(golden),
    }
    path = folder / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(graph.model(metadata, "test").SerializeToString())
    return path
