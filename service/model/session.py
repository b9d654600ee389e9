"""Run ONNX graphs by onnxruntime. No other module of the service imports onnxruntime.

    Graph      an opened file: its metadata, inputs and outputs
    Session    a graph bound to a signature: ``run(columns) -> Prediction``

Each process opens its own graphs: a session of onnxruntime that is inherited through a fork hangs
or crashes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from ..errors import InvalidRows, ModelRejected, PredictionFailed, Problem
from .columns import Columns, Prediction
from .signature import Signature
from .validation import PROBLEM_LIMIT

ELEMENT_TYPES: dict[str, Any] = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
"""numpy types by the element types of graph inputs that the service can feed."""

FATAL_ONLY = 4
"""Log severity of onnxruntime. Its warnings would reach stderr outside the structured log."""

FLOAT32 = np.dtype(np.float32)

MATRIX = 2
"""Dimensions of an input or output with columns."""


@dataclass(frozen=True)
class GraphInput:
    """One declared input of a graph.

    Attributes:
        name: the name in the graph.
        dtype: the numpy type of its elements.
        columns: number of columns; 1 for a flat input.
        flat: whether the shape is (rows,) rather than (rows, columns).
    """

    name: str
    dtype: Any
    columns: int
    flat: bool

    @property
    def holds_text(self) -> bool:
        """Whether the elements are strings."""
        return self.dtype is np.object_


MakeFeed = Callable[[Columns], npt.NDArray[Any]]
"""Returns the array that a graph input gets for some rows."""


class Graph:
    """A model file opened by onnxruntime, not yet bound to a signature.

    Args:
        content: the bytes of the file.
        threads: threads that one run may use within an operator.

    Attributes:
        metadata: the file's metadata by key.
        inputs: the declared inputs in order.
        outputs: onnxruntime's type of each output by name, in order.

    Raises:
        ModelRejected: onnxruntime can't open the file, or the service can't feed one of its inputs.
    """

    def __init__(self, content: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = FATAL_ONLY
        # Spinning threads would take the cores of the other workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Requests vary in their number of rows. The arena would keep the largest request's memory
        # for each model, and onnxruntime would keep a memory plan for each number of rows. Without
        # both, memory stays flat, and runs of up to 1,000 rows take the same time.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no other base class
            raise ModelRejected(f"onnxruntime can't open the file: {one_line(error)}") from None
        self.metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
        self.inputs = tuple(_graph_input(declared) for declared in session.get_inputs())
        self.outputs: Mapping[str, str] = {o.name: o.type for o in session.get_outputs()}
        # The wrapper class keeps the bytes of the file and spends a microsecond per run on checks
        # of the feeds, so only the session inside it is kept.
        self._run = getattr(session, "_sess", session).run
        # One object for all runs, because each run without options would create its own.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = FATAL_ONLY

    def run(self, outputs: list[str], feeds: dict[str, npt.NDArray[Any]]) -> list[Any]:
        """Return the named outputs for these inputs.

        The inputs need at least one row. For zero rows some operators divide by zero, which ends
        the process.

        Raises:
            PredictionFailed: onnxruntime failed; its message is in the exception's cause.
        """
        try:
            results: list[Any] = self._run(outputs, feeds, self._run_options)
        except Exception as error:
            raise PredictionFailed("the model could not be run on these rows") from error
        return results


class Session:
    """A graph bound to a signature.

    The label follows from the probabilities by the contract's rule: the most probable class, the
    first of equal ones, or the threshold's choice. Runs don't fetch the graph's own labels, because
    copying texts costs more than copying probabilities.

    Args:
        graph: the opened file.
        signature: its features fill the graph's inputs in order.

    Attributes:
        inputs: the graph's inputs in order.
        probabilities_output: the name of the output with probabilities.
        label_type: onnxruntime's type of the output ``label``; None without such an output.

    Raises:
        ModelRejected: the graph's inputs or outputs don't fit the signature.
    """

    def __init__(self, graph: Graph, signature: Signature) -> None:
        self._graph, self.inputs = graph, graph.inputs
        self._classes = signature.classes
        self._threshold = signature.threshold
        self._feeds = _bind_inputs(graph.inputs, signature)
        self.probabilities_output = find_probabilities_output(graph.outputs)
        self.label_type = graph.outputs.get("label")
        self._outputs = [self.probabilities_output]

    def run(self, columns: Columns) -> Prediction:
        """Return the label and the probabilities of each row.

        Raises:
            InvalidRows: the model has no finite probabilities for some rows. Models from other
                makers may answer huge values so.
            PredictionFailed: the runtime failed, or returned an array of the wrong shape.
        """
        shape = (len(columns), len(self._classes))
        if not len(columns):
            return Prediction([], np.empty(shape, np.float32))
        (probabilities,) = self.run_outputs(self._outputs, columns)
        if isinstance(probabilities, list):  # ZipMap: a dict of probability by class for each row
            probabilities = np.array([list(row.values()) for row in probabilities], np.float32)
        if probabilities.shape != shape:
            got, expected = list(probabilities.shape), list(shape)
            raise PredictionFailed(
                f"the model returned probabilities of shape {got}, expected {expected}"
            )
        # For few values, counting takes half the time of ``all``.
        if np.count_nonzero(np.isfinite(probabilities)) != probabilities.size:
            raise InvalidRows(_infinite_rows(probabilities))
        if probabilities.dtype != FLOAT32:
            probabilities = _clip_and_cast(probabilities, np.float32)
        if self._threshold is not None:
            return Prediction(self._threshold.labels(probabilities, self._classes), probabilities)
        most_probable = probabilities.argmax(axis=1).tolist()
        return Prediction([self._classes[index] for index in most_probable], probabilities)

    def run_outputs(self, outputs: list[str], columns: Columns) -> list[Any]:
        """Return the named outputs of the graph for at least one row, as onnxruntime returns them.

        Raises:
            PredictionFailed: the runtime failed.
        """
        return self._graph.run(outputs, {name: feed(columns) for name, feed in self._feeds})


def find_probabilities_output(outputs: Mapping[str, str]) -> str:
    """Return the name of the output with probabilities.

    It is the output ``probabilities``, or else the first one of float numbers or of a ZipMap.

    Args:
        outputs: onnxruntime's type of each output by name.

    Raises:
        ModelRejected: no output has such a type.
    """
    candidates = [
        name
        for name, type_ in outputs.items()
        if type_ in ("tensor(float)", "tensor(double)") or type_.startswith("seq(map(")
    ]
    if "probabilities" in candidates:
        return "probabilities"
    if candidates:
        return candidates[0]
    listed = ", ".join(f"'{name}' of {type_}" for name, type_ in outputs.items())
    raise ModelRejected(
        "the graph has no output for probabilities: expected one of tensor(float), tensor(double) "
        f"or a ZipMap, got {listed}"
    )


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]


def _graph_input(declared: Any) -> GraphInput:
    """Return a declared input; reject types and shapes that the service can't feed."""
    if declared.type not in ELEMENT_TYPES:
        raise ModelRejected(
            f"input '{declared.name}' has type {declared.type}, expected one of "
            f"{', '.join(ELEMENT_TYPES)}"
        )
    shape = declared.shape
    flat = len(shape) == 1
    if not flat and not (len(shape) == MATRIX and isinstance(shape[1], int)):
        raise ModelRejected(
            f"input '{declared.name}' has shape {shape}, expected (rows,) or (rows, columns) with "
            "a fixed number of columns"
        )
    return GraphInput(declared.name, ELEMENT_TYPES[declared.type], 1 if flat else shape[1], flat)


def _bind_inputs(inputs: Sequence[GraphInput], signature: Signature) -> list[tuple[str, MakeFeed]]:
    """Return for each graph input the function that feeds it.

    The inputs take the number columns and the category columns from left to right.
    """
    _check_widths(inputs, signature)
    columns = {True: len(signature.categories), False: len(signature.numbers)}
    start = {True: 0, False: 0}
    feeds = []
    for each in inputs:
        first = start[each.holds_text]
        start[each.holds_text] += each.columns
        _check_missing_values(each, signature, first)
        takes_all = each.columns == columns[each.holds_text]
        feeds.append((each.name, _make_feed(each, None if takes_all else first)))
    return feeds


def _check_widths(inputs: Sequence[GraphInput], signature: Signature) -> None:
    """Reject inputs that take more or fewer columns than the signature has."""
    numbers = sum(each.columns for each in inputs if not each.holds_text)
    categories = sum(each.columns for each in inputs if each.holds_text)
    if (numbers, categories) != (len(signature.numbers), len(signature.categories)):
        raise ModelRejected(
            f"the signature has {len(signature.numbers)} numeric and "
            f"{len(signature.categories)} category columns, but the graph's inputs take "
            f"{numbers} and {categories}"
        )


def _check_missing_values(each: GraphInput, signature: Signature, first: int) -> None:
    """Reject an input of integers or booleans for a feature that may be missing (NaN)."""
    if each.holds_text or np.issubdtype(each.dtype, np.floating):
        return
    for feature in signature.numbers[first : first + each.columns]:
        if not feature.required:
            raise ModelRejected(
                f"feature '{feature.name}' may be missing, but input '{each.name}' of type "
                f"{np.dtype(each.dtype)} can't hold NaN: make the feature required, or the input "
                "a float"
            )


def _make_feed(each: GraphInput, first: int | None) -> MakeFeed:
    """Return the function that feeds an input.

    Args:
        each: the input.
        first: its first column; None if it takes all columns, which needs no copy.
    """
    source: MakeFeed = attrgetter("categories" if each.holds_text else "numbers")
    if first is None and not each.flat and each.dtype in (np.float64, np.object_):
        return source  # the inputs of the contract

    def feed(columns: Columns) -> npt.NDArray[Any]:
        values = source(columns)
        if first is not None:
            values = values[:, first : first + each.columns]
        if values.dtype != each.dtype:
            values = _clip_and_cast(values, each.dtype)
        return values[:, 0] if each.flat else values

    return feed


def _clip_and_cast(values: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """Return numbers as another type, clipped to its range."""
    if dtype is np.bool_:
        return values.astype(np.bool_)
    limits = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    upper = float(limits.max)
    if dtype is np.int64:
        upper = np.nextafter(upper, 0)  # float(2**63 - 1) is 2**63, which overflows
    cast: npt.NDArray[Any] = np.clip(values, float(limits.min), upper).astype(dtype)
    return cast


def _infinite_rows(probabilities: npt.NDArray[np.float32]) -> list[Problem]:
    """Return a problem for each row with an infinite or NaN probability, up to the limit."""
    bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[:PROBLEM_LIMIT]
    expected = "values for which the model has finite probabilities"
    return [Problem(int(row), None, None, expected, "no finite probability") for row in bad]
