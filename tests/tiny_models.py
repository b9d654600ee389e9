"""Small ONNX models for tests, published in a model folder as the trainer publishes its own.

| function             | features                   | the model predicts                        |
|----------------------|----------------------------|-------------------------------------------|
| write_bodymass_model | two numbers                | overweight, by a logistic function of both |
| write_careful_model  | two numbers                | overweight only above a threshold of 0.9  |
| write_single_model   | one number                 | high where the number is positive         |
| write_mixed_model    | numbers, flag, categories  | yes where the color is red                |
| write_dated_model    | number, datetimes, category | late from 2024-04-01 on                   |
| write_heavy_model    | one number                 | more where the number is positive, slowly |
| write_foreign_model  | the caller's               | the caller's nodes; no metadata           |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from pigeonhole.service.model.signature import Feature, Kind
from pigeonhole.trainer.graph import Graph

DOUBLE, FLOAT = "double", "float"

FLOAT_CODE, INT64_CODE = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def write_version(
    folder: Path, name: str, version: int, content: bytes, digest: str | None = None
) -> Path:
    """Publish a model file in one step: write it to a side folder, then rename that folder.

    Args:
        folder: the model folder.
        name: the model's name.
        version: its version.
        content: the ONNX file.
        digest: the text of ``model.onnx.sha256``; the true digest if None.

    Returns:
        The path of ``folder/name/version/model.onnx``.
    """
    path = folder / name / str(version) / "model.onnx"
    aside = folder / name / f".new-{version}"
    aside.mkdir(parents=True)
    (aside / "model.onnx").write_bytes(content)
    true_digest = hashlib.sha256(content).hexdigest()
    (aside / "model.onnx.sha256").write_text(f"{digest or true_digest}  model.onnx\n")
    aside.rename(path.parent)
    return path


def serialize(graph: Graph, metadata: Mapping[str, Any]) -> bytes:
    """Return the ONNX file of a graph; metadata values that are not text become JSON."""
    entries = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in metadata.items()
    }
    return graph.model(entries, "test").SerializeToString()


def bodymass_probabilities(
    height_cm: float, weight_kg: float, bias: float = 0.0
) -> tuple[float, float]:
    """Return the bodymass model's probabilities: (underweight, overweight)."""
    overweight = 1 / (1 + np.exp(-((weight_kg - 65) - (height_cm - 172) + bias) / 5))
    return float(1 - overweight), float(overweight)


def write_bodymass_model(
    folder: Path,
    name: str = "bodymass",
    version: int = 1,
    *,
    bias: float = 0.0,
    metadata: Mapping[str, str | None] | None = None,
    digest: str | None = None,
) -> Path:
    """Write a classifier of height and weight; `bodymass_probabilities` computes the same.

    Args:
        folder: the model folder.
        name: the model's name.
        version: its version.
        bias: shift of the logit times 5; distinguishes versions by their probabilities.
        metadata: entries to replace; None removes an entry.
        digest: the text of ``model.onnx.sha256``; the true digest if None.
    """
    graph = Graph("bodymass")
    numbers = graph.input("numbers", DOUBLE, 2)
    center = graph.constant(np.array([172.0, 65.0]), "center")
    centered = graph.add("Cast", graph.add("Sub", numbers, center), to=FLOAT_CODE)
    x = _clip(graph, centered, np.float32(1e6))
    kernel = np.array([[0, -1], [0, 1]], np.float32) / 5
    z = graph.add("MatMul", x, graph.constant(kernel, "kernel"))
    z = graph.add("Add", z, graph.constant(np.array([0, bias / 5], np.float32), "bias"))
    probabilities = graph.add("Softmax", z, axis=1)
    best = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
    classes = ["underweight", "overweight"]
    names = graph.constant(np.array(classes, dtype=object), "classes")
    graph.output(graph.add("Gather", names, best), "label", "string", None)
    graph.output(probabilities, "probabilities", FLOAT, 2)
    golden = []
    for height_cm, weight_kg in ([172, 95], [172, 40], [160, 66]):
        under, over = bodymass_probabilities(height_cm, weight_kg, bias)
        row = {"height_cm": height_cm, "weight_kg": weight_kg}
        golden.append(_golden(row, dict(zip(classes, (under, over), strict=True))))
    signature = {
        "features": [
            _number("height_cm", 140.0, 200.0, unit="cm"),
            _number("weight_kg", 30.0, 180.0, unit="kg"),
        ],
        "classes": classes,
    }
    # Tests compare these entries with what the service shows, so they keep json's spaces.
    entries: dict[str, str | None] = {
        "pigeonhole": "1",
        "signature": json.dumps(signature),
        "golden": json.dumps(golden),
        **(metadata or {}),
    }
    content = serialize(graph, {key: text for key, text in entries.items() if text is not None})
    return write_version(folder, name, version, content, digest)


THRESHOLD = {"class": "overweight", "value": 0.9, "metric": "f1"}
"""The decision threshold of the careful model."""


def write_careful_model(folder: Path, name: str = "careful", version: int = 1) -> Path:
    """Write the bodymass model with a decision threshold: overweight needs a probability of 0.9."""
    features = [{"name": n, "kind": "number"} for n in ("height_cm", "weight_kg")]
    classes = ["underweight", "overweight"]
    signature = {"features": features, "classes": classes, "threshold": THRESHOLD}
    golden = _golden({"height_cm": 172, "weight_kg": 65}, dict.fromkeys(classes, 0.5))
    metadata = {"signature": json.dumps(signature), "golden": json.dumps([golden])}
    return write_bodymass_model(folder, name, version, metadata=metadata)


def write_single_model(folder: Path, name: str = "single", version: int = 1) -> Path:
    """Write a model of one number: high where the number is positive."""
    graph = Graph("single")
    bounded = _clip(graph, graph.input("numbers", DOUBLE, 1), np.float64(1e6))
    _two_classes(graph, graph.add("Cast", bounded, to=FLOAT_CODE), 0.5)
    high = _logistic(1)
    golden = _golden({"x": 1.0}, {"low": 1 - high, "high": high})
    signature = {"features": [{"name": "x", "kind": "number"}], "classes": ["low", "high"]}
    return write_version(folder, name, version, serialize(graph, _metadata(signature, golden)))


MIXED_FEATURES = [
    Feature(name="age", kind=Kind.NUMBER, required=False, minimum=0, maximum=90),
    Feature(name="member", kind=Kind.BOOLEAN),
    Feature(name="color", kind=Kind.CATEGORY, categories={"red": 5, "blue": 3}),
    Feature(name="size/cm", kind=Kind.NUMBER, minimum=1, maximum=9),
    Feature(name="shape", kind=Kind.CATEGORY, required=False, categories={"round": 8}),
]
"""Numbers, a flag and categories; required and optional."""


def write_mixed_model(
    folder: Path, name: str = "mixed", version: int = 1, classes: tuple[str, str] = ("no", "yes")
) -> Path:
    """Write a model that predicts ``classes[1]`` where the color is red, and ignores its numbers."""
    graph = Graph("mixed")
    graph.input("numbers", DOUBLE, 3)
    categories = graph.input("categories", "string", 2)
    color = graph.add("Gather", categories, graph.constant(np.array([0]), "color"), axis=1)
    red = graph.add("Equal", color, graph.constant(np.array("red", dtype=object), "red"))
    _two_classes(graph, graph.add("Cast", red, to=FLOAT_CODE), 2.0)
    yes = _logistic(4)
    row = {"member": True, "color": "red", "size/cm": 2.5}
    golden = _golden(row, dict(zip(classes, (1 - yes, yes), strict=True)))
    signature = {"features": MIXED_FEATURES, "classes": classes}
    return write_version(folder, name, version, serialize(graph, _metadata(signature, golden)))


DATED_FEATURES = [
    Feature(name="size", kind=Kind.NUMBER),
    Feature(
        name="seen",
        kind=Kind.DATETIME,
        minimum=1704067200,  # 2024-01-01
        maximum=1719705600,  # 2024-06-30
    ),
    Feature(name="color", kind=Kind.CATEGORY, required=False),
    Feature(
        name="paid",
        kind=Kind.DATETIME,
        required=False,
        format="%d/%m/%Y %H:%M",
        minimum=1704099600,  # 2024-01-01T09:00
        default=1709287200,  # 2024-03-01T10:00
    ),
    Feature(
        name="opens",
        kind=Kind.DATETIME,
        required=False,
        format="%H:%M",
        minimum=28800,  # 08:00
        maximum=43200,  # 12:00
    ),
]
"""Datetimes in several formats, required and optional, beside a number and a category."""


def write_dated_model(folder: Path, name: str = "dated", version: int = 1) -> Path:
    """Write a model that predicts late from 2024-04-01 on: only ``seen`` counts."""
    graph = Graph("dated")
    numbers = graph.input("numbers", DOUBLE, 4)
    graph.input("categories", "string", 1)
    seen = graph.add("Gather", numbers, graph.constant(np.array([1]), "seen"), axis=1)
    since = graph.add("Sub", seen, graph.constant(np.array([1711929600.0]), "april"))
    days = graph.add("Div", since, graph.constant(np.array([86400.0]), "day"))
    bounded = _clip(graph, days, np.float64(1e6))
    _two_classes(graph, graph.add("Cast", bounded, to=FLOAT_CODE), 0.5)
    late = _logistic(2)
    after = {"size": 1, "seen": "2024-04-03", "paid": "2024-04-03T12:30", "opens": "09:30"}
    before = {"size": 1, "seen": "2024-03-30"}
    golden = (
        _golden(after, {"early": 1 - late, "late": late}),
        _golden(before, {"early": late, "late": 1 - late}),
    )
    signature = {"features": DATED_FEATURES, "classes": ["early", "late"]}
    return write_version(folder, name, version, serialize(graph, _metadata(signature, *golden)))


SIDE = 512
"""Side of the matrices that each run of the heavy model multiplies."""

LARGEST = 1000
"""The largest x that adds work to a run of the heavy model."""


def write_heavy_model(
    folder: Path, name: str = "heavy", *, products: int = 8, growth: int = 0
) -> Path:
    """Write a model whose runs are slow, whatever the number of rows.

    Args:
        folder: the model folder.
        name: the model's name.
        products: matrix products in each run; one product takes some milliseconds.
        growth: rows and columns that the matrices gain for each unit of the largest x.
    """
    graph = Graph("heavy")
    x = graph.add("Cast", graph.input("numbers", DOUBLE, 1), to=FLOAT_CODE)
    clipped = _clip(graph, x, np.float32(9))
    # This sum is always 0, but the runtime can't know that: it can't fold the products away.
    zero = graph.constant(np.float32(0), "zero")
    nought = graph.add("ReduceSum", graph.add("Mul", clipped, zero), keepdims=0)
    bounds = [graph.constant(np.float32(bound), "bound") for bound in (0, LARGEST)]
    largest = graph.add("ReduceMax", graph.add("Clip", x, *bounds), keepdims=0)
    grown = graph.add("Mul", largest, graph.constant(np.float32(growth), "growth"))
    length = graph.add("Add", grown, graph.constant(np.float32(SIDE), "length"))
    side = graph.add(
        "Expand", graph.add("Cast", length, to=INT64_CODE), graph.constant(np.array([2]), "two")
    )
    one = graph.constant(np.float32(1), "one")
    work = graph.add("Expand", graph.add("Add", nought, one), side)
    part = graph.add("Div", one, length)
    for _ in range(products):
        work = graph.add("Mul", graph.add("MatMul", work, work), part)
    nothing = graph.add("Mul", graph.add("ReduceSum", work, keepdims=0), zero)
    _two_classes(graph, graph.add("Add", clipped, nothing), 1.0)
    more = _logistic(4)
    golden = _golden({"x": 2}, {"less": 1 - more, "more": more})
    signature = {"features": [{"name": "x", "kind": "number"}], "classes": ["less", "more"]}
    return write_version(folder, name, 1, serialize(graph, _metadata(signature, golden)))


def write_foreign_model(
    path: Path,
    nodes: Sequence[tuple[Any, ...]],
    inputs: Mapping[str, tuple[int, list[Any]]],
    outputs: Mapping[str, tuple[int, list[Any]] | onnx.TypeProto],
    constants: Mapping[str, np.ndarray] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a graph node by node, as another exporter might have made it.

    Args:
        path: the file to write.
        nodes: (operator, inputs, output) or (operator, inputs, output, attributes); the output is
            a name or a list of names.
        inputs: (element type, shape) of each graph input, by name.
        outputs: (element type, shape) or the type itself of each graph output, by name.
        constants: arrays, by name.
        metadata: entries of the file.
    """
    graph = helper.make_graph(
        [
            helper.make_node(
                node[0],
                node[1],
                [node[2]] if isinstance(node[2], str) else node[2],
                **(node[3] if node[3:] else {}),
            )
            for node in nodes
        ],
        "foreign",
        [helper.make_tensor_value_info(name, *declared) for name, declared in inputs.items()],
        [
            helper.make_tensor_value_info(name, *declared)
            if isinstance(declared, tuple)
            else helper.make_value_info(name, declared)
            for name, declared in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, ir_version=10, opset_imports=opsets)
    helper.set_model_props(model, dict(metadata or {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def _metadata(signature: Mapping[str, Any], *golden: Mapping[str, Any]) -> dict[str, Any]:
    return {"pigeonhole": 1, "signature": signature, "golden": golden}


def _golden(row: Mapping[str, Any], probabilities: Mapping[str, float]) -> dict[str, Any]:
    """Return a golden row, whose label is the class of the highest probability."""
    label = max(probabilities, key=lambda name: probabilities[name])
    return {"row": row, "label": label, "probabilities": probabilities}


def _number(name: str, minimum: float, maximum: float, **more: Any) -> dict[str, Any]:
    bounds = {"minimum": minimum, "maximum": maximum}
    return {"name": name, "kind": "number", "required": True, **bounds, **more}


def _clip(graph: Graph, value: str, bound: np.generic) -> str:
    return graph.add("Clip", value, *(graph.constant(edge, "bound") for edge in (-bound, bound)))


def _two_classes(graph: Graph, z: str, weight: float) -> None:
    """Output the softmax of (-weight * z, weight * z)."""
    kernel = graph.constant(np.array([[-weight, weight]], np.float32), "kernel")
    logits = graph.add("MatMul", z, kernel)
    graph.output(graph.add("Softmax", logits, axis=1), "probabilities", FLOAT, 2)


def _logistic(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))
