"""Describes a model file as text for a terminal, from its metadata and graph."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from ..data.cells.datetimes import datetime_text
from ..data.schema import Kind
from ..errors import ExportError
from ..evaluation.tables import aligned, shortened
from .reading import read_model

SHOWN_CATEGORIES = 6

SHOWN_CLASSES = 20

FIGURES = ("accuracy", "balanced_accuracy", "log_loss", "macro_f1", "roc_auc")


def inspection(path: Path) -> str:
    """Return signature, scores, training facts and graph of a model file.

    Raises:
        ExportError: the file can't be read, is not an ONNX model, or has invalid metadata.
    """
    _, model = read_model(path)
    sections = [f"{path}: {path.stat().st_size:,} bytes, ONNX IR version {model.ir_version}"]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if "pigeonhole" in metadata:  # in other files, entries of these names may mean anything
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
        raise ExportError(
            f"{path}: the metadata {key!r} does not follow the contract in models/README.md"
        ) from None


def _signature(signature: dict[str, Any]) -> str:
    rows = [["feature", "kind", "required", "training values"]]
    for feature in signature["features"]:
        values = _listed(list(feature.get("categories", {})), SHOWN_CATEGORIES)
        if "minimum" in feature:
            text = datetime_text if feature["kind"] == Kind.DATETIME else _number
            values = f"{text(feature['minimum'])} to {text(feature['maximum'])}"
        required = "yes" if feature["required"] else "no"
        rows.append([shortened(feature["name"]), feature["kind"], required, values])
    lines = [f"Classes: {_listed(signature['classes'], SHOWN_CLASSES)}"]
    if threshold := signature.get("threshold"):
        name, value = shortened(threshold["class"]), threshold["value"]
        lines.append(
            f"Threshold: predicts {name} from a probability of {value:.4f} on, chosen for "
            f"{threshold['metric']}"
        )
    return "\n".join([*lines, aligned(rows)])


def _number(value: float) -> str:
    """Return a number with six significant digits; an integer with all its digits."""
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
    texts = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in facts.items()
    }
    return "Training:\n" + "\n".join(f"  {k.ljust(width)}  {v}" for k, v in texts.items())


SECTIONS: dict[str, Callable[[Any], str]] = {
    "signature": _signature,
    "evaluation": _evaluation,
    "training": _training,
}
"""The metadata entries of the text, in order."""


def _graph(model: onnx.ModelProto) -> str:
    """Return the shape of every array, and the operators in order."""
    arrays = [
        f"  {constant.name}: {' x '.join(map(str, constant.dims))}"
        for constant in model.graph.initializer
        if math.prod(constant.dims) > 1  # single numbers, such as bounds, are left out
    ]
    operators = ", ".join(node.op_type for node in model.graph.node)
    return "\n".join(["Graph:", *arrays, f"  operators: {operators}"])
