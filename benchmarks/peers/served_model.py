"""A model file, opened and run in the same way by all servers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnxruntime


class ServedModel:
    """An ONNX session with one thread, and the names of columns and classes.

    Args:
        path: path of the model file.

    Attributes:
        numbers: column names of the input ``numbers``.
        categories: column names of the input ``categories``.
        classes: column names of the output ``probabilities``.
    """

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        signature = json.loads(self._session.get_modelmeta().custom_metadata_map["signature"])
        kinds = {feature["name"]: feature["kind"] for feature in signature["features"]}
        self.numbers = [name for name, kind in kinds.items() if kind != "category"]
        self.categories = [name for name, kind in kinds.items() if kind == "category"]
        self.classes: list[str] = signature["classes"]

    def arrays(self, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        """Return the graph's inputs, numbers as float64 and categories as str, each (rows, columns)."""
        inputs = {}
        if self.numbers:
            inputs["numbers"] = np.array(
                [[row[name] for name in self.numbers] for row in rows], dtype=np.float64
            )
        if self.categories:
            inputs["categories"] = np.array(
                [[row[name] for name in self.categories] for row in rows], dtype=object
            )
        return inputs

    def run(self, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return labels, str (rows,), and probabilities, float32 (rows, classes)."""
        labels, probabilities = self._session.run(["label", "probabilities"], inputs)
        return labels, probabilities

    def predictions(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return label and probabilities by class for each row."""
        labels, probabilities = self.run(self.arrays(rows))
        return [
            {"label": label, "probabilities": dict(zip(self.classes, row, strict=True))}
            for label, row in zip(labels.tolist(), probabilities.tolist(), strict=True)
        ]
