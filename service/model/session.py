"""onnxruntime behind ``run(columns) -> Prediction``; nobody else in the service knows it.

A session is made in the process that uses it: one inherited through a fork hangs or crashes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from ..errors import InvalidRows, ModelRejected, PredictionFailed, Problem
from .columns import Columns, Prediction
from .onnx_class_names import ClassNames, class_names
from .signature import Feature, Kind, Signature
from .validation import PROBLEM_LIMIT

ELEMENT_TYPES: dict[str, Any] = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
"""What the service can feed."""

FATAL_ONLY = 4
"""onnxruntime's severity: its warnings would go to stderr past the structured log."""

FLOAT32 = np.dtype(np.float32)

LABEL_NAMES = ("label", "output_label")
"""What exporters call the output of labels."""

LABEL_TYPES = ("tensor(string)", "tensor(int64)", "tensor(int32)")
"""What it may hold, the surer sign first: whole numbers may be anything."""

LABEL_TOLERANCE = 1e-4
"""How near to the likeliest class another one must be for a graph to name it: by rounding."""

MATRIX = 2
"""Dimensions of an input of several columns."""

SUM_TOLERANCE = 1e-3
"""How far the probabilities of one row may be from summing to one; float32 over many classes."""


@dataclass(frozen=True)
class Tensor:
    """One declared input of a graph: its name, numpy type, and columns (1 for a flat one)."""

    name: str
    dtype: Any
    columns: int
    flat: bool

    @property
    def holds_text(self) -> bool:
        """Whether its elements are strings."""
        return self.dtype is np.object_


Take = Callable[[Columns], npt.NDArray[Any]]
"""Gives what one input of a graph is fed of some rows."""


class Graph:
    """A model file opened by onnxruntime, not yet bound to a signature.

    Args:
        content: the bytes of the file.
        threads: threads that one run may use within an operator.

    Raises:
        ModelRejected: when onnxruntime can't open it, or it has an input that can't be fed.
    """

    def __init__(self, content: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = FATAL_ONLY
        # Spinning threads would take the cores that the other workers answer with.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Requests have all numbers of rows. The arena keeps what the largest ever took, for each
        # model its own, and a plan of memory is kept for each number of rows ever seen. Without
        # both, memory stays flat and is given back, and a run of up to 1,000 rows takes as long.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - onnxruntime's own have no other base class
            raise ModelRejected(f"onnxruntime can't open it: {one_line(error)}") from None
        self.metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
        self.inputs = tuple(_tensor(declared) for declared in session.get_inputs())
        self.outputs = {output.name: output.type for output in session.get_outputs()}
        # Only what is inside onnxruntime's wrapper is kept, where that can be had: the wrapper
        # holds the bytes of the file for ever, and checks feeds for a microsecond in each run.
        self._run = getattr(session, "_sess", session).run
        # Made once, for without any each run makes its own.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = FATAL_ONLY

    def run(self, outputs: list[str], feeds: dict[str, npt.NDArray[Any]]) -> list[Any]:
        """The named outputs for these inputs, of at least one row.

        Zero rows are nothing to ask a runtime: some operators divide by them and end the process.

        Raises:
            PredictionFailed: when onnxruntime fails; its message stays in the exception's cause.
        """
        try:
            result: list[Any] = self._run(outputs, feeds, self._run_options)
        except Exception as error:
            raise PredictionFailed("the model could not be run on these rows") from error
        return result

    def bare_signature(self, content: bytes) -> tuple[Signature, str | None]:
        """A signature for a file without metadata: features are named after inputs.

        Classes are named by the keys of a ZipMap, or else as the graph names its labels, or else
        numbered.

        Args:
            content: the bytes of the file again, of which nothing is kept.

        Returns:
            The signature, and the output of labels that its class names are to be held against:
            None where there is none, or the names are beyond doubt, as those of a ZipMap.

        Raises:
            ModelRejected: when it can't be run, or answers no (rows, classes) of probabilities.
        """
        features = [
            Feature(
                name=tensor.name if tensor.columns == 1 else f"{tensor.name}_{column}",
                kind=Kind.CATEGORY if tensor.holds_text else Kind.NUMBER,
            )
            for tensor in self.inputs
            for column in range(tensor.columns)
        ]
        rows = 1
        feeds = {
            tensor.name: np.full(
                rows if tensor.flat else (rows, tensor.columns),
                "" if tensor.holds_text else 0,
                dtype=tensor.dtype,
            )
            for tensor in self.inputs
        }
        name = _probabilities_output(self.outputs)
        labels = _label_outputs(self.outputs)
        try:
            probabilities, *stated = self.run([name, *labels], feeds)
        except PredictionFailed as error:
            raise ModelRejected(f"it can't be run: {one_line(error.__cause__ or error)}") from None
        if isinstance(probabilities, list):  # ZipMap: one mapping of class to probability a row
            names = [str(label) for row in probabilities[:1] for label in row]
            return Signature(features, names), None
        if probabilities.ndim != MATRIX:
            shape = list(probabilities.shape)
            raise ModelRejected(f"output '{name}' has shape {shape}, expected (rows, classes)")
        count = probabilities.shape[1]
        of_rows = [x for x, y in zip(labels, stated, strict=True) if y.ndim and y.size == rows]
        label = of_rows[0] if of_rows else None
        found = class_names(content, label, name) if label else ClassNames()
        if not len(found.names) == len(set(found.names)) == count:
            found = ClassNames(tuple(map(str, range(count))))
        return Signature(features, found.names), None if found.certain else label


class Session:
    """A graph bound to its signature.

    The label follows from the probabilities by the contract's rule: the likeliest class, the first
    of several, or what the threshold says. So no run asks the graph for its own, whose texts cost
    more than its numbers.

    Args:
        graph: the opened file.
        signature: how its features go into its inputs, in order.

    Attributes:
        inputs: the graph's inputs, in order.

    Raises:
        ModelRejected: when the graph's inputs or outputs don't fit the signature.
    """

    def __init__(self, graph: Graph, signature: Signature) -> None:
        self._graph, self.inputs = graph, graph.inputs
        self._classes = signature.classes
        self._threshold = signature.threshold
        self._takes = _bound(graph.inputs, signature)
        self._probabilities = _probabilities_output(graph.outputs)
        self._outputs = [self._probabilities]

    def run(self, columns: Columns) -> Prediction:
        """Label and probabilities of each row; zero rows give zero rows.

        Raises:
            InvalidRows: for rows to which the model answers something that is no number, as
                models made elsewhere may do with huge values.
            PredictionFailed: when the runtime fails, or answers something of another shape.
        """
        shape = (len(columns), len(self._classes))
        if not len(columns):
            return Prediction([], np.empty(shape, np.float32))
        (probabilities,) = self._graph.run(self._outputs, self._feeds(columns))
        if isinstance(probabilities, list):
            probabilities = np.array([list(row.values()) for row in probabilities], np.float32)
        if probabilities.shape != shape:
            got, expected = list(probabilities.shape), list(shape)
            raise PredictionFailed(f"the model answered with shape {got}, expected {expected}")
        # Counted, which takes half the time of ``all`` where there are few.
        if np.count_nonzero(np.isfinite(probabilities)) != probabilities.size:
            raise InvalidRows(_unanswerable(probabilities))
        if probabilities.dtype != FLOAT32:
            probabilities = _narrowed(probabilities, np.float32)
        if self._threshold is not None:
            return Prediction(self._threshold.labels(probabilities, self._classes), probabilities)
        likeliest = probabilities.argmax(axis=1).tolist()
        return Prediction([self._classes[index] for index in likeliest], probabilities)

    def stated_labels(self, columns: Columns) -> list[str] | None:
        """What the graph itself says of each row, to be held against the rule when it is loaded.

        None where it gives no label as text, or there is a threshold, which decides all the same.

        Raises:
            ModelRejected: when it says something other than one of the classes of each row.
            PredictionFailed: when the runtime fails.
        """
        if self._graph.outputs.get("label") != "tensor(string)" or self._threshold is not None:
            return None
        (stated,) = self._graph.run(["label"], self._feeds(columns))
        if stated.shape != (len(columns),):
            got, expected = list(stated.shape), [len(columns)]
            raise ModelRejected(f"output 'label' has shape {got}, expected {expected}")
        labels: list[str] = stated.tolist()
        if strangers := set(labels) - set(self._classes):
            raise ModelRejected(f"output 'label' is {min(strangers)!r}, which is no class")
        return labels

    def check_answers(self, prediction: Prediction) -> None:
        """Refuse a graph whose output is scores rather than probabilities.

        Raises:
            ModelRejected: when a row is not between 0 and 1 or does not sum to 1.
        """
        values = prediction.probabilities
        gaps = np.abs(values.sum(axis=1, dtype=np.float64) - 1)
        bad = (values < 0).any(axis=1) | (gaps > SUM_TOLERANCE)
        if bad.any():
            raise ModelRejected(
                f"output '{self._probabilities}' holds no probabilities: a row is "
                f"{values[bad.argmax()].tolist()}"
            )

    def check_class_names(self, columns: Columns, label: str) -> None:
        """Refuse a graph that calls the likeliest class of a row by another name than is given.

        Args:
            columns: rows to try.
            label: the graph's output of labels.

        Raises:
            ModelRejected: when one of the rows gets another label from the graph itself.
            PredictionFailed: when the runtime fails.
        """
        probabilities, stated = self._graph.run([self._probabilities, label], self._feeds(columns))
        if stated.size != len(columns):
            return  # it is not of rows after all
        for row, name in zip(probabilities, map(str, stated.ravel().tolist()), strict=True):
            if not np.isfinite(row).all():
                continue  # such a row is never answered
            likelihood = row[self._classes.index(name)] if name in self._classes else -math.inf
            if row.max() - likelihood > LABEL_TOLERANCE:  # nearer, rounding decides
                raise ModelRejected(
                    f"output '{label}' says {name!r} of a row whose likeliest class would be "
                    f"called {self._classes[row.argmax()]!r}: export it with a ZipMap, "
                    "which names the classes, or give it the metadata of models/README.md"
                )

    def _feeds(self, columns: Columns) -> dict[str, npt.NDArray[Any]]:
        return {name: take(columns) for name, take in self._takes}


def _tensor(declared: Any) -> Tensor:
    if declared.type not in ELEMENT_TYPES:
        raise ModelRejected(f"input '{declared.name}' is a {declared.type}, which can't be fed")
    shape = declared.shape
    flat = len(shape) == 1
    if not flat and not (len(shape) == MATRIX and isinstance(shape[1], int)):
        raise ModelRejected(
            f"input '{declared.name}' has shape {shape}, expected (rows,) or (rows, a number)"
        )
    return Tensor(declared.name, ELEMENT_TYPES[declared.type], 1 if flat else shape[1], flat)


def _bound(tensors: Sequence[Tensor], signature: Signature) -> list[tuple[str, Take]]:
    """For each graph input, what it takes: number or category columns, from left to right."""
    taken = {True: 0, False: 0}
    there = {True: len(signature.categories), False: len(signature.numbers)}
    bound: list[tuple[str, Take]] = []
    for tensor in tensors:
        start = taken[tensor.holds_text]
        taken[tensor.holds_text] += tensor.columns
        if not tensor.holds_text and not np.issubdtype(tensor.dtype, np.floating):
            fed = signature.numbers[start : start + tensor.columns]
            if gaps := [feature.name for feature in fed if not feature.required]:
                raise ModelRejected(
                    f"feature '{gaps[0]}' may be missing, which input '{tensor.name}' "
                    f"of {np.dtype(tensor.dtype)} can't hold"
                )
        whole = start == 0 and tensor.columns == there[tensor.holds_text]
        bound.append((tensor.name, _take(tensor, None if whole else start)))
    if taken != there:
        raise ModelRejected(
            f"the signature has {there[False]} numbers and {there[True]} categories, "
            f"the graph takes {taken[False]} and {taken[True]}"
        )
    return bound


def _take(tensor: Tensor, start: int | None) -> Take:
    """What this input takes, from this column on; None for all columns, which needs no copy."""
    source: Take = attrgetter("categories" if tensor.holds_text else "numbers")
    if start is None and not tensor.flat and tensor.dtype in (np.float64, np.object_):
        return source  # an input as the contract has it

    def take(columns: Columns) -> npt.NDArray[Any]:
        values = source(columns)
        if start is not None:
            values = values[:, start : start + tensor.columns]
        if values.dtype != tensor.dtype:
            values = _narrowed(values, tensor.dtype)
        return values[:, 0] if tensor.flat else values

    return take


def _probabilities_output(outputs: Mapping[str, str]) -> str:
    fitting = [
        name
        for name, kind in outputs.items()
        if kind in ("tensor(float)", "tensor(double)") or kind.startswith("seq(map(")
    ]
    if "probabilities" in fitting:
        return "probabilities"
    if fitting:
        return fitting[0]
    raise ModelRejected(f"no output holds probabilities; there are: {dict(outputs)}")


def _label_outputs(outputs: Mapping[str, str]) -> list[str]:
    """The outputs that may be of labels, the likeliest first."""
    named = [name for name in LABEL_NAMES if outputs.get(name) in LABEL_TYPES]
    typed = [name for kind in LABEL_TYPES for name in outputs if outputs[name] == kind]
    return list(dict.fromkeys([*named, *typed]))


def _narrowed(values: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """Numbers in the type of a graph made elsewhere, held to the range of that type."""
    if dtype is np.bool_:
        return values.astype(np.bool_)
    limits = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    upper = float(limits.max)
    if dtype is np.int64:
        upper = np.nextafter(upper, 0)  # 2**63 - 1 is no double: the next below can be cast
    narrowed: npt.NDArray[Any] = np.clip(values, float(limits.min), upper).astype(dtype)
    return narrowed


def _unanswerable(probabilities: npt.NDArray[np.float32]) -> list[Problem]:
    bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[:PROBLEM_LIMIT]
    return [
        Problem(int(row), None, None, "values that the model can answer", "no finite probability")
        for row in bad
    ]


def one_line(error: BaseException) -> str:
    """An exception's message on one line, shortened."""
    return " ".join(str(error).split())[:300]
