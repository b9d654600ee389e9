"""What a model file says of itself, as text for a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from ..data.cells.datetimes import moment_text
from ..data.schema import Kind
from ..errors import ExportError
from ..evaluation.tables import aligned, shortened
from .reading import read_model

SHOWN_CATEGORIES = 6

SHOWN_CLASSES = 20

FIGURES = ("accuracy", "balanced_accuracy", "log_loss", "macro_f1", "roc_auc")


def inspection(path: Path) -> str:
    """Signature, scores, training facts and graph of a model file.

    Raises:
        ExportError: when there is no such file, or it is no ONNX model.
    """
    _, model = read_model(path)
    sections = [f"{path}: {path.stat().st_size:,} bytes, ONNX IR version {model.ir_version}"]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if "pigeonhole" in metadata:  # else entries of these names, if any, mean something else
        sections += [
            _section(path, key, metadata[key], text)
            for key, text in SECTIONS.items()
            if key in metadata
        ]
    sections.append(_graph(model))
    return "\n\n".join(sections)


def _section(path: Path, key: str, entry: str, text: Callable[[Any], str]) -> str:
    try:
        return text(json.loads(entry))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ExportError(f"{path}: its metadata {key!r} is not as the contract has it") from None


def _signature(signature: dict[str, Any]) -> str:
    rows = [["feature", "kind", "required", "seen in training"]]
    for feature in signature["features"]:
        seen = _listed(list(feature.get("categories", {})), SHOWN_CATEGORIES)
        if "minimum" in feature:
            shown = moment_text if feature["kind"] == Kind.DATETIME else _number
            seen = f"{shown(feature['minimum'])} to {shown(feature['maximum'])}"
        required = "yes" if feature["required"] else "no"
        rows.append([shortened(feature["name"]), feature["kind"], required, seen])
    lines = [f"Classes: {_listed(signature['classes'], SHOWN_CLASSES)}"]
    if threshold := signature.get("threshold"):
        name, value = shortened(threshold["class"]), threshold["value"]
        lines.append(
            f"Threshold: {name} from a probability of {value:.4f} on, for the best "
            f"{threshold['metric']}"
        )
    return "\n".join([*lines, aligned(rows)])


def _number(value: float) -> str:
    """Six digits, and those of a whole number all."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 2**53 else f"{value:g}"


def _listed(names: list[str], most: int) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shortened, names[:most])) + more


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


SECTIONS: dict[str, Callable[[Any], str]] = {
    "signature": _signature,
    "evaluation": _evaluation,
    "training": _training,
}
"""The entries of the metadata that are shown, in this order."""


def _graph(model: onnx.ModelProto) -> str:
    """What it computes with: every array with its shape, and the operators in order."""
    arrays = [
        f"  {constant.name}: {' x '.join(map(str, constant.dims))}"
        for constant in model.graph.initializer
        if math.prod(constant.dims) > 1  # a single number, such as a bound, tells little
    ]
    operators = ", ".join(node.op_type for node in model.graph.node)
    return "\n".join(["Graph:", *arrays, f"  operators: {operators}"])
