"""A model whose every run takes long, whatever the number of its rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from trainer.graph import Graph

SIDE = 512
"""Of the matrices that it multiplies for nothing."""


def write_heavy_model(folder: Path, name: str = "heavy", *, products: int = 8) -> Path:
    """Write a model that says more where x is positive, after a lot of work.

    Args:
        folder: the model folder.
        name: the model's name.
        products: of two matrices in each run; one takes some milliseconds.
    """
    graph = Graph("heavy")
    x = graph.add("Cast", graph.input("numbers", "double", 1), to=1)
    clipped = graph.add(
        "Clip", x, *(graph.constant(np.float32(bound), "bound") for bound in (-9, 9))
    )
    # Nought, but the runtime can't know: what follows is not worked out when the model is loaded.
    zero = graph.constant(np.float32(0), "zero")
    nought = graph.add("ReduceSum", graph.add("Mul", clipped, zero), keepdims=0)
    side = graph.constant(np.array([SIDE, SIDE]), "side")
    work = graph.add("Expand", graph.add("Add", nought, graph.constant(np.float32(1), "one")), side)
    part = graph.constant(np.float32(1 / SIDE), "part")
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
