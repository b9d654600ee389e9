"""What a model file says of itself, as text for a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from trainer.errors import ExportError
from trainer.evaluation.tables import aligned

SHOWN_CATEGORIES = 6

FIGURES = ("accuracy", "balanced_accuracy", "log_loss", "macro_f1", "roc_auc")


def inspection(path: Path) -> str:
    """Signature, scores, training facts and graph of a model file.

    Raises:
        ExportError: when there is no such file, or it is no ONNX model.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ExportError(f"{path} can't be read: {error.strerror}") from None
    except (DecodeError, ValueError):
        raise ExportError(f"{path} is no ONNX model") from None
    metadata = {entry.key: _decoded(entry.value) for entry in model.metadata_props}
    sections = [f"{path}: {path.stat().st_size:,} bytes, ONNX IR version {model.ir_version}"]
    if isinstance(metadata.get("signature"), dict):
        sections.append(_signature(metadata["signature"]))
    if isinstance(metadata.get("evaluation"), dict):
        sections.append(_evaluation(metadata["evaluation"]))
    if isinstance(metadata.get("training"), dict):
        sections.append(_training(metadata["training"]))
    sections.append(_graph(model))
    return "\n\n".join(sections)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _signature(signature: dict[str, Any]) -> str:
    rows = [["feature", "kind", "required", "seen in training"]]
    for feature in signature["features"]:
        names = list(feature.get("categories", {}))
        more = f" and {len(names) - SHOWN_CATEGORIES} more" * (len(names) > SHOWN_CATEGORIES)
        seen = ", ".join(names[:SHOWN_CATEGORIES]) + more
        if "minimum" in feature:
            seen = f"{feature['minimum']:g} to {feature['maximum']:g}"
        rows.append(
            [feature["name"], feature["kind"], "yes" if feature["required"] else "no", seen]
        )
    return f"Classes: {', '.join(signature['classes'])}\n{aligned(rows)}"


def _evaluation(evaluation: dict[str, Any]) -> str:
    lines = {"this file": evaluation["test"], **evaluation["baselines"]}
    rows = [["", *FIGURES]]
    for name, line in lines.items():
        figures = [line[figure] for figure in FIGURES]
        rows.append([name, *("-" if f is None else f"{f:.4f}" for f in figures)])
    return f"On {evaluation['test']['rows']:,} test rows:\n{aligned(rows)}"


def _training(training: dict[str, Any]) -> str:
    facts = {
        **{f"rows, {part}": f"{rows:,}" for part, rows in training["rows"].items()},
        "sha256 of the table": training["sha256"],
        **training["settings"],
        **{f"{package} version": text for package, text in training["versions"].items()},
    }
    width = max(map(len, facts))
    shown = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in facts.items()
    }
    return "Training:\n" + "\n".join(f"  {k.ljust(width)}  {v}" for k, v in shown.items())


def _graph(model: onnx.ModelProto) -> str:
    """The layers: every weight array with its shape, and the operators in order."""
    arrays = [
        (constant.name, numpy_helper.to_array(constant)) for constant in model.graph.initializer
    ]
    weights = [
        f"  {name}: {' x '.join(map(str, array.shape))}"
        for name, array in arrays
        if array.ndim and name.startswith(("kernel", "bias", "scale", "shift"))
    ]
    operators = ", ".join(node.op_type for node in model.graph.node)
    return "Layers:\n" + "\n".join([*weights, f"  operators: {operators}"])
