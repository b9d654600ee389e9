"""The tensors that a model accepts, and their conversion to `Columns`.

A request sends features in the inputs of the graph, in one tensor per feature, or in a mixture. It
may send a feature in both, because metadata lists both; then the values must be equal.
"""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InvalidRows, Problem
from ...model.artifact import Model
from ...model.columns import Columns
from ...model.row_types import check_row_count
from ...model.signature import Feature, Kind
from ...model.validation import (
    COMPARED_CHARACTERS,
    PROBLEM_LIMIT,
    describe_expected,
    invalid_rows,
    truncate,
)
from .tensor import RequestTensor
from .tensor_values import Assigned, Slot, ValueChecks, find_differences, read_values

SOLE_INPUT_NAME = re.compile(r"input[-_]?[0-9]{0,3}|predict")
"""Names that KServe's documents and MLServer's codecs give to the only tensor of a request."""


class InputSpec:
    """The tensors that one model accepts.

    Args:
        model: the model. A name that is both an input of its graph and a feature means the input.
        max_rows: most rows per request.
    """

    def __init__(self, model: Model, max_rows: int) -> None:
        self._signature, self._max_rows = model.signature, max_rows
        self._inputs = graph_inputs(model)
        self._slots = _slots(model, self._inputs)
        self._required = {f.name for f in model.signature.features if f.required}
        self._checks = ValueChecks(model.signature)

    def columns(self, tensors: Sequence[RequestTensor]) -> Columns:
        """Return the rows of a request's tensors.

        Raises:
            InvalidRequest: if a tensor has a wrong shape or datatype, comes twice, or has another
                number of rows than the others.
            InvalidRows: if tensors are unknown or missing, if values are invalid, or if two tensors
                disagree about a feature.
            TooManyRows: before any value is read.
        """
        assigned, repeated = self._assign(tensors)
        rows = self._count_rows(assigned + repeated if repeated else assigned)
        numbers = categories = None
        found: list[Problem] = []
        for tensor, slot in assigned:
            block = read_values(tensor, slot, rows, found)
            if slot.holds_text:
                categories = self._insert(block, slot, categories)
            else:
                numbers = self._insert(block, slot, numbers)
        columns = Columns(
            self._missing_numbers(rows) if numbers is None else numbers,
            self._missing_categories(rows) if categories is None else categories,
        )
        found += self._checks.problems(columns, assigned)
        if repeated and not found:
            found = find_differences(columns, assigned, repeated)
        if found:
            raise invalid_rows(sorted(found, key=lambda problem: problem.row))
        return columns

    def _insert(
        self, block: npt.NDArray[Any], slot: Slot, columns: npt.NDArray[Any] | None
    ) -> npt.NDArray[Any]:
        """Return the numbers or categories with one tensor's values inserted."""
        if slot.columns is None:
            return block
        if columns is None:
            missing = self._missing_categories if slot.holds_text else self._missing_numbers
            columns = missing(len(block))
        columns[:, slot.columns] = block
        return columns

    def _missing_numbers(self, rows: int) -> npt.NDArray[Any]:
        return _filled(rows, len(self._signature.numbers), np.float64, np.nan)

    def _missing_categories(self, rows: int) -> npt.NDArray[Any]:
        return _filled(rows, len(self._signature.categories), object, "")

    def _assign(self, tensors: Sequence[RequestTensor]) -> tuple[Assigned, Assigned]:
        """Return tensors that hold each feature once, and tensors that repeat features.

        Raises:
            InvalidRows: if a tensor is unknown, or a required feature is missing.
        """
        assigned: Assigned = []
        present: set[str] = set()
        count = 0
        unknown: list[RequestTensor] = []
        for tensor in tensors:
            slot = self._slots.get(tensor.name) or self._sole_slot(tensor, len(tensors))
            if slot is None:
                unknown.append(tensor)
                continue
            present.update(slot.names)
            count += len(slot.names)
            assigned.append((tensor, slot))
        if unknown or not self._required <= present:
            raise self._wrong_names(present, unknown)
        return (assigned, []) if count == len(present) else self._split_repeated(assigned)

    def _sole_slot(self, tensor: RequestTensor, count: int) -> Slot | None:
        """Return the graph's only input for a request's only tensor with a generic name."""
        if count > 1 or len(self._inputs) > 1 or not SOLE_INPUT_NAME.fullmatch(tensor.name):
            return None
        return self._slots[next(iter(self._inputs))]

    def _split_repeated(self, assigned: Assigned) -> tuple[Assigned, Assigned]:
        """Return first and repeated tensors; inputs of the graph come first."""
        first: Assigned = []
        repeated: Assigned = []
        names: set[str] = set()
        present: set[str] = set()
        for tensor, slot in sorted(assigned, key=lambda pair: pair[0].name not in self._inputs):
            if tensor.name in names:
                tensor.reject("the name is sent twice", "name")
            names.add(tensor.name)
            (repeated if present.issuperset(slot.names) else first).append((tensor, slot))
            present.update(slot.names)
        return first, repeated

    def _wrong_names(self, present: set[str], unknown: Sequence[RequestTensor]) -> InvalidRows:
        """Return the error for unknown tensors, with the nearest names, and for missing ones."""
        found: list[Problem] = []
        accounted = set(present)
        names = [name for name, slot in self._slots.items() if present.isdisjoint(slot.names)]
        for tensor in unknown[: PROBLEM_LIMIT + 1]:
            is_short = len(tensor.name) <= COMPARED_CHARACTERS
            close = difflib.get_close_matches(tensor.name, names, n=1) if is_short else []
            accounted.update(name for meant in close for name in self._slots[meant].names)
            place, got = f"{tensor.place}/name", truncate(tensor.name)
            expected = "an input of the model"
            found.append(Problem(0, got, place, expected, got, next(iter(close), None)))
        found += [
            Problem(0, feature.name, "/inputs", "an input of this name", "nothing")
            for feature in self._signature.features
            if feature.required and feature.name not in accounted
        ]
        return invalid_rows(found)

    def _count_rows(self, assigned: Assigned) -> int:
        """Return the number of rows by the tensors' shapes; values are not read yet.

        Raises:
            InvalidRequest: if a shape or datatype is wrong, or the numbers of rows differ.
            TooManyRows: if there are more than the limit.
        """
        rows = -1
        for tensor, slot in assigned:
            _check_shape(tensor, slot)
            _check_datatype(tensor, slot)
            if rows == -1:
                rows = tensor.shape[0]
                check_row_count(rows, self._max_rows)
            if tensor.shape[0] != rows:
                tensor.reject(
                    f"got {tensor.shape[0]} rows, expected {rows} as in the inputs before", "shape"
                )
        return rows


def _check_shape(tensor: RequestTensor, slot: Slot) -> None:
    width, shape = len(slot.features), tensor.shape
    is_flat = width == 1 and len(shape) == 1
    if not (is_flat or shape[1:] == [width]) or shape[0] < 0:
        or_flat = " or [rows]" if width == 1 else ""
        tensor.reject(
            f"expected shape [rows, {width}]{or_flat}, got {truncate(str(shape[:5]))}", "shape"
        )


def _check_datatype(tensor: RequestTensor, slot: Slot) -> None:
    if slot.datetime is not None and not tensor.is_text:
        tensor.reject(f"expected BYTES with {describe_expected(slot.datetime)}", "datatype")
    if slot.datetime is None and not slot.holds_text and tensor.is_text:
        tensor.reject("expected numbers, got BYTES", "datatype")


def _slots(model: Model, inputs: dict[str, tuple[Feature, ...]]) -> dict[str, Slot]:
    """Return the slot of every accepted name: inputs of the graph, then features."""
    positions = {
        feature.name: position
        for features in (model.signature.numbers, model.signature.categories)
        for position, feature in enumerate(features)
    }
    slots: dict[str, Slot] = {}

    def add(name: str, features: Sequence[Feature], datetime: Feature | None = None) -> None:
        names = tuple(feature.name for feature in features)
        holds_text = features[0].kind is Kind.CATEGORY
        all_features = model.signature.categories if holds_text else model.signature.numbers
        first = positions[names[0]]  # the features of a tensor are neighbors
        is_whole = len(names) == len(all_features)
        columns = None if is_whole else slice(first, first + len(names))
        slots.setdefault(name, Slot(tuple(features), names, holds_text, columns, datetime))

    for name, features in inputs.items():
        add(name, features)
    for feature in model.signature.features:
        add(feature.name, [feature], feature if feature.kind is Kind.DATETIME else None)
    return slots


def graph_inputs(model: Model) -> dict[str, tuple[Feature, ...]]:
    """Return the features of each input of a model's graph, by the input's name."""
    left = {
        True: deque(model.signature.categories),
        False: deque(model.signature.numbers),
    }
    return {
        tensor.name: tuple(left[tensor.holds_text].popleft() for _ in range(tensor.columns))
        for tensor in model.session.inputs
    }


def _filled(rows: int, columns: int, dtype: Any, value: Any) -> npt.NDArray[Any]:
    """Return an array (rows, columns) of one value, quickly for no columns."""
    if not columns:
        return np.empty((rows, 0), dtype)
    return np.full((rows, columns), value, dtype)
