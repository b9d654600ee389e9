"""Opens a published model file: reads tables by its signature and predicts their rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray

from ..data.encoding import EncodedTable, encode
from ..data.findings import Finding, pluralize
from ..data.schema import Examples, Feature, Kind, Schema
from ..data.table import digest, read_table
from ..errors import ExportError, TableError
from ..evaluation.intervals import Predictions
from ..evaluation.scores import Scores
from ..evaluation.threshold import Threshold
from .parity import ExportedModel
from .publish import VERSION
from .reading import read_model

FIGURES = tuple(field.name for field in dataclasses.fields(Scores) if field.type == "float")
"""The scores that are a single number."""

IS_TRAINING_TABLE = "This is the training table: its scores are too high, because the model was fitted to most rows."


@dataclass(frozen=True)
class PublishedModel:
    """A model file with the schema from its signature.

    Attributes:
        path: the file, as the user named it.
        schema: features, target and classes; the target is "" if the file names none.
        model: the file as the service runs it.
        threshold: of a model of two classes; None if the most likely class is predicted.
        metadata: the entries that are JSON, by key.
    """

    path: Path
    schema: Schema
    model: ExportedModel
    threshold: Threshold | None
    metadata: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file that follows the contract in models/README.md.

        Raises:
            ExportError: the file can't be read, is not an ONNX model, or does not follow the
                contract.
        """
        content, parsed = read_model(path)
        metadata = _metadata(path, parsed)
        try:
            schema = _schema(metadata)
            threshold = _threshold(metadata, schema)
        except (LookupError, TypeError, AttributeError, ValueError):
            raise ExportError(
                f"{path}: the signature does not follow the contract in models/README.md"
            ) from None
        outputs = {output.name for output in parsed.graph.output}
        inputs = {feed.name for feed in parsed.graph.input}
        if not {"label", "probabilities"} <= outputs or inputs - {"numbers", "categories"}:
            raise ExportError(
                f"{path}: the inputs and outputs do not follow the contract in models/README.md; "
                "expected numbers and categories, label and probabilities"
            )
        return cls(path, schema, ExportedModel(content), threshold, metadata)

    def read(self, path: str, target: str = "") -> EncodedTable:
        """Read a labeled table by the signature of this file.

        Args:
            path: the table.
            target: the column that holds the class; where "", the target that the file names.

        Raises:
            TableError: the table or a column can't be read, a column is missing, no row has a
                label, or a label is not one of the classes.
            ExportError: neither the file nor ``target`` names the target.
        """
        target = target or self.schema.target
        if not target:
            raise ExportError(f"{self.path} names no target; name it with --target COLUMN")
        if target in {feature.name for feature in self.schema.features}:
            raise TableError(
                "is a feature of the model, so it can't be the target",
                path=path,
                column=target,
            )
        schema = dataclasses.replace(self.schema, target=target)
        encoded = encode(read_table(path, [target]), schema)
        findings = [*encoded.findings, *_gap_findings(schema, encoded.examples)]
        if self._is_training_table(path):
            findings.insert(0, Finding("training table", None, IS_TRAINING_TABLE))
        return EncodedTable(encoded.examples, tuple(findings))

    def _is_training_table(self, table: str) -> bool:
        """Return whether the file was fitted to this table, by the digest in its metadata."""
        training = self.metadata.get("training")
        return isinstance(training, dict) and training.get("sha256") == digest(table)

    @property
    def name(self) -> str:
        """The model's name if the file is in a model folder, otherwise the file's stem."""
        version, model = self.path.absolute().parent, self.path.absolute().parents[1]
        return model.name if VERSION.fullmatch(version.name) and model.name else self.path.stem

    @property
    def recorded(self) -> Scores | None:
        """The scores on the test rows at export; None if the file has none."""
        try:
            entry = self.metadata["evaluation"]["test"]
            figures = {
                name: float("nan") if entry.get(name) is None else float(entry[name])
                for name in FIGURES
            }
            confusion = np.array(entry["confusion"], dtype=np.int64)
            return Scores(rows=int(entry["rows"]), confusion=confusion, **figures)
        except (LookupError, TypeError, AttributeError, ValueError):
            return None

    @property
    def example(self) -> Mapping[str, Any] | None:
        """The first golden row with its prediction; None if the file has none."""
        golden = self.metadata.get("golden")
        if isinstance(golden, list) and golden and isinstance(golden[0], dict):
            first: dict[str, Any] = golden[0]
            if {"row", "label", "probabilities"} <= set(first):
                return first
        return None

    def predictions(self, examples: Examples) -> Predictions:
        """Return the file's probabilities and predicted classes for these rows."""
        labels, probabilities = self.model.run(examples)
        indices = {name: index for index, name in enumerate(self.schema.classes)}
        predicted = np.array([indices[name] for name in labels], dtype=np.int64)
        return Predictions(probabilities, predicted)

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """Return the probability of each class, float32 (rows, classes)."""
        return self.model.run(examples)[1]


def _metadata(path: Path, parsed: onnx.ModelProto) -> dict[str, Any]:
    entries = {entry.key: entry.value for entry in parsed.metadata_props}
    if not {"pigeonhole", "signature"} <= set(entries):
        raise ExportError(
            f"{path} has no signature, so its features are unknown; expected a file that this trainer "
            "wrote"
        )
    metadata = {}
    for key, text in entries.items():
        try:
            metadata[key] = json.loads(text)
        except ValueError:
            continue  # an entry of another program; a missing entry of ours fails where it is used
    return metadata


def _schema(metadata: Mapping[str, Any]) -> Schema:
    signature = metadata["signature"]
    features = tuple(
        Feature(
            str(entry["name"]),
            Kind(entry["kind"]),
            bool(entry["required"]),
            entry.get("format"),
        )
        for entry in signature["features"]
    )
    target = metadata.get("training", {}).get("settings", {}).get("target", "")
    return Schema(features, str(target), tuple(map(str, signature["classes"])))


def _threshold(metadata: Mapping[str, Any], schema: Schema) -> Threshold | None:
    entry = metadata["signature"].get("threshold")
    if not entry:
        return None
    positive = schema.classes.index(str(entry["class"]))
    return Threshold(positive, float(entry["value"]), str(entry.get("metric", "")))


def _gap_findings(schema: Schema, examples: Examples) -> list[Finding]:
    """Return a finding for each required feature that rows lack; the service would reject them."""
    missing = {
        feature: np.isnan(column)
        for feature, column in zip(schema.numbers, examples.numbers.T, strict=True)
    } | {
        feature: column == ""
        for feature, column in zip(schema.categories, examples.categories.T, strict=True)
    }
    return [
        Finding(
            "required",
            feature.name,
            f"Column {feature.name!r} is missing in {pluralize(int(gaps.sum()), 'row')}. They are scored, "
            "but the service rejects such rows, because the training rows have no missing values there.",
        )
        for feature, gaps in missing.items()
        if feature.required and gaps.any()
    ]
