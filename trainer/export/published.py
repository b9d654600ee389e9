"""A published model file, opened by what it says of itself: reads tables, answers their rows."""

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

from ..data.encoding import Encoded, encode
from ..data.findings import Finding, counted
from ..data.schema import Examples, Feature, Kind, Schema
from ..data.table import digest, read_table
from ..errors import ExportError, TableError
from ..evaluation.intervals import Answers
from ..evaluation.scores import Scores
from ..evaluation.threshold import Threshold
from .parity import ExportedModel
from .publish import VERSION
from .reading import read_model

FIGURES = tuple(field.name for field in dataclasses.fields(Scores) if field.type == "float")
"""The scores that are one number."""

LEARNED = (
    "The model was fitted to most of these very rows: they tell less than rows that it never saw."
)


@dataclass(frozen=True)
class PublishedModel:
    """A model file with the schema that its signature describes.

    Attributes:
        path: the file, as the user named it.
        schema: its features, target and classes; the target is "" where the file names none.
        model: the file as the service runs it.
        threshold: decides between two classes; None where the likeliest class is the answer.
        metadata: its entries that are JSON, by key.
    """

    path: Path
    schema: Schema
    model: ExportedModel
    threshold: Threshold | None
    metadata: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file that this trainer wrote, or another that follows its contract.

        Raises:
            ExportError: when there is no such file, it is no ONNX model, or its signature is
                missing or not as the contract has it.
        """
        content, parsed = read_model(path)
        metadata = _metadata(path, parsed)
        try:
            schema = _schema(metadata)
            threshold = _threshold(metadata, schema)
        except (LookupError, TypeError, AttributeError, ValueError):
            raise ExportError(
                f"{path}: its signature is not as the contract in models/README.md has it"
            ) from None
        outputs = {output.name for output in parsed.graph.output}
        inputs = {feed.name for feed in parsed.graph.input}
        if not {"label", "probabilities"} <= outputs or inputs - {"numbers", "categories"}:
            raise ExportError(
                f"{path}: its inputs and outputs are not as the contract in models/README.md has "
                "them; expected numbers and categories, label and probabilities"
            )
        return cls(path, schema, ExportedModel(content), threshold, metadata)

    def read(self, path: str, target: str = "") -> Encoded:
        """Read a labeled table as the trainer reads it, by the signature of this file.

        Args:
            path: the table.
            target: the column that holds the class; the one that the file names where "".

        Raises:
            TableError: the table can't be read, a column is missing or can't be read, no row has a
                label, or a label is none of the classes.
            ExportError: the file names no target, and none was given.
        """
        target = target or self.schema.target
        if not target:
            raise ExportError(f"{self.path} names no target; say which column holds the class")
        if target in {feature.name for feature in self.schema.features}:
            raise TableError(
                "the model takes it for a feature, so it can't be the target",
                path=path,
                column=target,
            )
        schema = dataclasses.replace(self.schema, target=target)
        encoded = encode(read_table(path, [target]), schema)
        findings = [*encoded.findings, *_gaps(schema, encoded.examples)]
        if self._learned_from(path):
            findings.insert(0, Finding("learned", None, LEARNED))
        return Encoded(encoded.examples, tuple(findings))

    def _learned_from(self, table: str) -> bool:
        """Whether it was fitted to this very table, as far as it tells."""
        training = self.metadata.get("training")
        return isinstance(training, dict) and training.get("sha256") == digest(table)

    @property
    def name(self) -> str:
        """The model's name, where the file lies in a model folder; else the file's."""
        version, model = self.path.absolute().parent, self.path.absolute().parents[1]
        return model.name if VERSION.fullmatch(version.name) and model.name else self.path.stem

    @property
    def recorded(self) -> Scores | None:
        """The scores of its test part when it was made, as far as the file tells them."""
        try:
            found = self.metadata["evaluation"]["test"]
            figures = {
                name: float("nan") if found.get(name) is None else float(found[name])
                for name in FIGURES
            }
            confusion = np.array(found["confusion"], dtype=np.int64)
            return Scores(rows=int(found["rows"]), confusion=confusion, **figures)
        except (LookupError, TypeError, AttributeError, ValueError):
            return None

    @property
    def example(self) -> Mapping[str, Any] | None:
        """The first of its golden rows, with the answer, if it has any."""
        golden = self.metadata.get("golden")
        if isinstance(golden, list) and golden and isinstance(golden[0], dict):
            first: dict[str, Any] = golden[0]
            if {"row", "label", "probabilities"} <= set(first):
                return first
        return None

    def answers(self, examples: Examples) -> Answers:
        """What the file says of these rows: its probabilities, and the classes that it answers."""
        labels, probabilities = self.model.run(examples)
        places = {name: place for place, name in enumerate(self.schema.classes)}
        return Answers(probabilities, np.array([places[name] for name in labels], dtype=np.int64))

    def predict(self, examples: Examples) -> NDArray[np.float32]:
        """The probability of each class for each row, float32 (rows, classes)."""
        return self.model.run(examples)[1]


def _metadata(path: Path, parsed: onnx.ModelProto) -> dict[str, Any]:
    entries = {entry.key: entry.value for entry in parsed.metadata_props}
    if not {"pigeonhole", "signature"} <= set(entries):
        raise ExportError(
            f"{path} has no signature, so there is no telling which columns it takes; expected a "
            "file that this trainer wrote"
        )
    found = {}
    for key, text in entries.items():
        try:
            found[key] = json.loads(text)
        except ValueError:
            continue  # somebody else's entry; what is needed of ours is missed where it is used
    return found


def _schema(metadata: Mapping[str, Any]) -> Schema:
    signature = metadata["signature"]
    features = tuple(
        Feature(
            str(stated["name"]),
            Kind(stated["kind"]),
            bool(stated["required"]),
            stated.get("format"),
        )
        for stated in signature["features"]
    )
    target = metadata.get("training", {}).get("settings", {}).get("target", "")
    return Schema(features, str(target), tuple(map(str, signature["classes"])))


def _threshold(metadata: Mapping[str, Any], schema: Schema) -> Threshold | None:
    stated = metadata["signature"].get("threshold")
    if not stated:
        return None
    positive = schema.classes.index(str(stated["class"]))
    return Threshold(positive, float(stated["value"]), str(stated.get("metric", "")))


def _gaps(schema: Schema, examples: Examples) -> list[Finding]:
    """Rows that lack what the service asks for: it would refuse them, but they can be scored."""
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
            f"Column {feature.name!r} is missing in {counted(int(gaps.sum()), 'row')}, which are "
            "scored; training saw no gap there, and the service would refuse such rows.",
        )
        for feature, gaps in missing.items()
        if feature.required and gaps.any()
    ]
