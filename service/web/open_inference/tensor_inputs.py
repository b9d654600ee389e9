"""Named tensors to Columns: which tensors a model takes, and what is wrong with those that came.

Features come side by side in the inputs of the graph, or each in a tensor of its own name. Both may
come in one request, and a feature both ways too, for a client may send all that metadata tells of: as
long as both say the same.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InvalidRows, Problem
from ...model.artifact import Model
from ...model.columns import Columns
from ...model.row_types import check_row_count
from ...model.signature import Feature, Kind, Signature
from ...model.validation import (
    COMPARED_CHARACTERS,
    PROBLEM_LIMIT,
    describe,
    describe_expected,
    invalid_rows,
    truncate,
)
from .lenient_data import SECONDS, read_leniently
from .tensor import MistypedData, Tensor

UNNAMED = re.compile(r"input[-_]?[0-9]{0,3}|predict")
"""What a lone matrix is called in KServe's documents and by MLServer's codecs, whatever it holds."""


@dataclass(frozen=True, slots=True)
class TensorForm:
    """A tensor that a model takes.

    Attributes:
        features: those that it holds, in order; all of them categories, or none.
        names: theirs.
        holds_text: whether they are categories.
        columns: where they stand in ``Columns.numbers`` or ``Columns.categories``; None where they
            are all of that.
        dated: the datetime whose text it holds. In an input of the graph it would be seconds.
    """

    features: tuple[Feature, ...]
    names: tuple[str, ...]
    holds_text: bool
    columns: slice | None
    dated: Feature | None = None


Sent = list[tuple[Tensor, TensorForm]]
"""The tensors of a request with what they hold."""


class InputSpec:
    """The tensors that one model takes, and the way from them to Columns.

    Args:
        model: the model. Where an input of its graph and a feature have one name, it means the
            input.
        max_rows: rows in one request at most.
    """

    def __init__(self, model: Model, max_rows: int) -> None:
        self._signature, self._max_rows = model.signature, max_rows
        self._forms: dict[str, TensorForm] = {}
        places = {
            feature.name: place
            for features in (model.signature.numbers, model.signature.categories)
            for place, feature in enumerate(features)
        }

        def take(name: str, features: Sequence[Feature], dated: Feature | None = None) -> None:
            names = tuple(feature.name for feature in features)
            text = features[0].kind is Kind.CATEGORY
            every = model.signature.categories if text else model.signature.numbers
            first = places[names[0]]  # from there on they stand next to each other
            columns = None if len(names) == len(every) else slice(first, first + len(names))
            self._forms.setdefault(name, TensorForm(tuple(features), names, text, columns, dated))

        self._inputs = graph_inputs(model)
        for name, features in self._inputs.items():
            take(name, features)
        for feature in model.signature.features:
            take(feature.name, [feature], feature if feature.kind is Kind.DATETIME else None)
        self._required = {f.name for f in model.signature.features if f.required}
        self._checks = _Checks(model.signature)

    def columns(self, tensors: Sequence[Tensor]) -> Columns:
        """The rows that tensors hold.

        Raises:
            InvalidRequest: when a tensor is not of the shape or datatype that is taken, comes
                twice, or is not of as many rows as the others.
            InvalidRows: when tensors are unknown or missing, values are no values of theirs, or a
                feature came in two tensors that differ.
            TooManyRows: before anything is made of that many.
        """
        sent, again = self._known(tensors)
        rows = self._checked_rows(sent + again if again else sent)
        numbers = categories = None
        found: list[Problem] = []
        for tensor, form in sent:
            block = _values(tensor, form, rows, found)
            if form.holds_text:
                categories = self._put(block, form, categories)
            else:
                numbers = self._put(block, form, numbers)
        columns = Columns(
            self._missing_numbers(rows) if numbers is None else numbers,
            self._missing_categories(rows) if categories is None else categories,
        )
        found += self._checks.problems(columns, sent)
        if again and not found:
            found = _differences(columns, sent, again)
        if found:
            raise invalid_rows(sorted(found, key=lambda problem: problem.row))
        return columns

    def _put(
        self, block: npt.NDArray[Any], form: TensorForm, columns: npt.NDArray[Any] | None
    ) -> npt.NDArray[Any]:
        """The numbers or categories with one tensor's values among them, which may be all."""
        if form.columns is None:
            return block
        if columns is None:
            missing = self._missing_categories if form.holds_text else self._missing_numbers
            columns = missing(len(block))
        columns[:, form.columns] = block
        return columns

    def _missing_numbers(self, rows: int) -> npt.NDArray[Any]:
        return _filled(rows, len(self._signature.numbers), np.float64, np.nan)

    def _missing_categories(self, rows: int) -> npt.NDArray[Any]:
        return _filled(rows, len(self._signature.categories), object, "")

    def _known(self, tensors: Sequence[Tensor]) -> tuple[Sent, Sent]:
        """Each tensor with what it holds, once it is sure that all features came.

        Returns:
            Tensors that hold each feature once, and those that hold some again.
        """
        sent: Sent = []
        there: set[str] = set()
        count = 0
        unknown: list[Tensor] = []
        for tensor in tensors:
            form = self._forms.get(tensor.name) or self._unnamed(tensor, len(tensors))
            if form is None:
                unknown.append(tensor)
                continue
            there.update(form.names)
            count += len(form.names)
            sent.append((tensor, form))
        if unknown or not self._required <= there:
            raise self._other_names(there, unknown)
        return (sent, []) if count == len(there) else self._parted(sent)

    def _unnamed(self, tensor: Tensor, count: int) -> TensorForm | None:
        """The graph's only input, for a request's only tensor by a name that says nothing."""
        if count > 1 or len(self._inputs) > 1 or not UNNAMED.fullmatch(tensor.name):
            return None
        return self._forms[next(iter(self._inputs))]

    def _parted(self, sent: Sent) -> tuple[Sent, Sent]:
        """Tensors of which some hold the same: inputs of the graph count, features repeat them."""
        once: Sent = []
        again: Sent = []
        names: set[str] = set()
        there: set[str] = set()
        for tensor, form in sorted(sent, key=lambda pair: pair[0].name not in self._inputs):
            if tensor.name in names:
                tensor.refuse("it came before", "name")
            names.add(tensor.name)
            (again if there.issuperset(form.names) else once).append((tensor, form))
            there.update(form.names)
        return once, again

    def _other_names(self, there: set[str], unknown: Sequence[Tensor]) -> InvalidRows:
        """What to raise for unknown tensors, each with what it may mean, and for missing ones."""
        found: list[Problem] = []
        accounted = set(there)
        names = [name for name, form in self._forms.items() if there.isdisjoint(form.names)]
        for tensor in unknown[: PROBLEM_LIMIT + 1]:
            short = len(tensor.name) <= COMPARED_CHARACTERS
            close = difflib.get_close_matches(tensor.name, names, n=1) if short else []
            accounted.update(name for meant in close for name in self._forms[meant].names)
            place, said = f"{tensor.place}/name", truncate(tensor.name)
            expected = "an input that the model takes"
            found.append(Problem(0, said, place, expected, said, next(iter(close), None)))
        found += [
            Problem(0, feature.name, "/inputs", "an input of this name", "nothing")
            for feature in self._signature.features
            if feature.required and feature.name not in accounted
        ]
        return invalid_rows(found)

    def _checked_rows(self, sent: Sent) -> int:
        """How many rows there are, by what the tensors say of themselves; nothing is read yet."""
        rows = -1
        for tensor, form in sent:
            width, shape = len(form.features), tensor.shape
            flat = width == 1 and len(shape) == 1
            if not (flat or shape[1:] == [width]) or shape[0] < 0:
                or_flat = " or [rows]" if width == 1 else ""
                tensor.refuse(
                    f"expected the shape [rows, {width}]{or_flat}, got {truncate(str(shape[:5]))}",
                    "shape",
                )
            if rows == -1:
                rows = shape[0]
                check_row_count(rows, self._max_rows)
            if shape[0] != rows:
                tensor.refuse(
                    f"{shape[0]} rows, but there are {rows} in the inputs before", "shape"
                )
            if form.dated is not None and not tensor.is_text:
                tensor.refuse(
                    f"expected BYTES that hold {describe_expected(form.dated)}", "datatype"
                )
            if form.dated is None and not form.holds_text and tensor.is_text:
                tensor.refuse("expected numbers, got BYTES", "datatype")
        return rows


class _Checks:
    """What values a signature refuses though they were of the right datatype."""

    def __init__(self, signature: Signature) -> None:
        self._numbers, self._categories = signature.numbers, signature.categories
        self._required = np.array([feature.required for feature in signature.numbers], dtype=bool)
        kinds = [feature.kind for feature in signature.numbers]
        self._booleans = [place for place, kind in enumerate(kinds) if kind is Kind.BOOLEAN]
        self._never_blank = [p for p, f in enumerate(signature.categories) if f.required]

    def problems(self, columns: Columns, sent: Sent) -> list[Problem]:
        """Those of numbers and those of categories, of each no more than tell that there are more."""
        found: list[Problem] = []
        numbers = columns.numbers
        if not self._are_plain(numbers):
            for row, place in self._refused(numbers):
                feature = self._numbers[place]
                found.append(_number_problem(sent, feature, row, float(numbers[row, place])))
        for place in self._never_blank:
            blank = columns.categories[:, place] == ""
            if blank.any():
                feature = self._categories[place]
                for row in np.flatnonzero(blank)[: PROBLEM_LIMIT + 1].tolist():
                    _, pointer = _whence(sent, feature, row)
                    found.append(
                        Problem(
                            row, feature.name, pointer, describe_expected(feature), describe("")
                        )
                    )
        return found

    def _are_plain(self, numbers: npt.NDArray[np.float64]) -> bool:
        """Whether nothing is missing, infinite or no boolean; nearly always that is all to know."""
        if np.count_nonzero(np.isfinite(numbers)) != numbers.size:
            return False
        return not self._booleans or not _odd(numbers[:, self._booleans]).any()

    def _refused(self, numbers: npt.NDArray[np.float64]) -> list[list[int]]:
        """Row and column of what is infinite, missing and required, or no boolean."""
        missing = np.isnan(numbers)
        refused = np.isinf(numbers) | (missing & self._required)
        if self._booleans:
            odd = _odd(numbers[:, self._booleans])
            refused[:, self._booleans] |= odd & ~missing[:, self._booleans]
        places: list[list[int]] = np.argwhere(refused)[: PROBLEM_LIMIT + 1].tolist()
        return places


def _odd(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which values are no booleans."""
    odd: npt.NDArray[np.bool_] = (values != 0) & (values != 1)
    return odd


def graph_inputs(model: Model) -> dict[str, tuple[Feature, ...]]:
    """The features that each input of a model's graph holds side by side, by the input's name."""
    left = {
        True: deque(model.signature.categories),
        False: deque(model.signature.numbers),
    }
    return {
        tensor.name: tuple(left[tensor.holds_text].popleft() for _ in range(tensor.columns))
        for tensor in model.session.inputs
    }


def _filled(rows: int, columns: int, dtype: Any, value: Any) -> npt.NDArray[Any]:
    """An array (rows, columns) of one value; most models have no columns of one of the two types."""
    if not columns:
        return np.empty((rows, 0), dtype)
    return np.full((rows, columns), value, dtype)


def _values(tensor: Tensor, form: TensorForm, rows: int, found: list[Problem]) -> npt.NDArray[Any]:
    """What a tensor holds, (rows, features); what is found wrong with it is added.

    Values that are not of its datatype, and datetimes that are none, have stand-ins.
    """
    before = len(found)
    try:
        return _typed_values(tensor, form, rows, found)
    except MistypedData:
        del found[before:]
        numbers = form.dated is None
        block = read_leniently(tensor, form.features, rows, found, in_seconds=numbers)
        if block is None:
            raise
        return block


def _typed_values(
    tensor: Tensor, form: TensorForm, rows: int, found: list[Problem]
) -> npt.NDArray[Any]:
    width = len(form.features)
    if form.holds_text:
        return np.array(tensor.texts(rows, width), dtype=object).reshape(rows, width)
    if form.dated is None:
        return tensor.numbers(rows, width)
    seconds, wrong = _seconds(tensor, form.dated, rows)
    found += wrong
    return seconds


def _differences(columns: Columns, sent: Sent, again: Sent) -> list[Problem]:
    """Where tensors that hold features again don't say the same."""
    found: list[Problem] = []
    for tensor, form in again:
        wrong: list[Problem] = []
        block = _values(tensor, form, len(columns), wrong)
        found += wrong
        told = {problem.row for problem in wrong}
        every = columns.categories if form.holds_text else columns.numbers
        before = every if form.columns is None else every[:, form.columns]
        missing = (block != block) & (before != before)  # noqa: PLR0124 - NaN, in both of them
        differs = (block != before) & ~missing
        differs[list(told)] = False
        for row, place in np.argwhere(differs)[: PROBLEM_LIMIT + 1].tolist():
            feature, value = form.features[place], block[row, place]
            first, _ = _whence(sent, feature, row)
            pointer = tensor.pointer(row, place, len(form.features))
            got = describe(value) if form.holds_text else _number_got(tensor, float(value))
            expected = f"the same as in input '{first.name}'"
            found.append(Problem(row, feature.name, pointer, expected, got))
        if len(found) > PROBLEM_LIMIT:
            break
    return found


def _seconds(
    tensor: Tensor, feature: Feature, rows: int
) -> tuple[npt.NDArray[np.float64], list[Problem]]:
    """The seconds (rows, 1) that texts mean for a datetime, and which texts mean none."""
    seconds = np.full((rows, 1), np.nan)
    found: list[Problem] = []
    for row, text in enumerate(tensor.texts(rows, 1)):
        if not text:
            continue  # stays NaN, and is refused as such where it is required
        try:
            seconds[row] = feature.seconds(text)
        except ValueError:
            seconds[row] = 0  # so that it is not said to be missing as well
            place = tensor.pointer(row, 0, 1)
            found.append(
                Problem(row, feature.name, place, describe_expected(feature), describe(text))
            )
            if len(found) > PROBLEM_LIMIT:
                break
    return seconds, found


def _whence(sent: Sent, feature: Feature, row: int) -> tuple[Tensor, str]:
    """The tensor that a feature came in, and the JSON pointer of its value in a row."""
    tensor, form = next(pair for pair in sent if feature.name in pair[1].names)
    return tensor, tensor.pointer(row, form.names.index(feature.name), len(form.names))


def _number_problem(sent: Sent, feature: Feature, row: int, value: float) -> Problem:
    tensor, pointer = _whence(sent, feature, row)
    expected = describe_expected(feature)
    if feature.kind is Kind.DATETIME and not tensor.is_text:
        expected = SECONDS
    return Problem(row, feature.name, pointer, expected, _number_got(tensor, value))


def _number_got(tensor: Tensor, value: float) -> str:
    """A number as the caller wrote it, in words."""
    if math.isnan(value):
        return describe("") if tensor.is_text else tensor.missing
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return describe(value)
