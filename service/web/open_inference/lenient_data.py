"""Lenient reading of JSON data with a wrong datatype, to report every invalid value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import Problem
from ...model.signature import Feature, Kind, category_text
from ...model.validation import PROBLEM_LIMIT, describe, mismatch
from .json_tensor import JsonTensor

SECONDS = "seconds since 1970-01-01T00:00:00 UTC"
"""The expected value of a datetime in an input of the graph."""


def read_leniently(
    tensor: JsonTensor,
    features: Sequence[Feature],
    rows: int,
    found: list[Problem],
    *,
    in_seconds: bool,
) -> npt.NDArray[Any] | None:
    """Return the values of a tensor as (rows, features), with stand-ins for invalid values.

    Args:
        tensor: its data does not match its datatype.
        features: of the tensor, side by side.
        rows: number of rows.
        found: list to append a problem per invalid value to, at most one more than is reported.
        in_seconds: whether datetimes are seconds, as in graph inputs.

    Returns:
        None if the features accept every value, so that only the datatype is wrong.
    """
    width = len(features)
    values = tensor.untyped_values(rows, width)
    if values is None:
        return None
    is_text = features[0].kind is Kind.CATEGORY
    block = np.full((rows, width), "?", dtype=object) if is_text else np.zeros((rows, width))
    wrong = 0
    for index, value in enumerate(values):
        row, place = divmod(index, width)
        feature = features[place]
        expected = _expected(feature, value, in_seconds=in_seconds)
        if expected is None:
            block[row, place] = _convert(feature, value)
            continue
        where = tensor.pointer(row, place, width)
        found.append(Problem(row, feature.name, where, expected, describe(value)))
        wrong += 1
        if wrong > PROBLEM_LIMIT:
            break
    return block if wrong else None


def _expected(feature: Feature, value: Any, *, in_seconds: bool) -> str | None:
    """Return the expectation that a value fails; None if the value is valid."""
    if not in_seconds or feature.kind is not Kind.DATETIME:
        return mismatch(feature, value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if is_number or (value is None and not feature.required) else SECONDS


def _convert(feature: Feature, value: Any) -> str | float:
    if feature.kind is Kind.CATEGORY:
        return "" if value is None else category_text(value)
    if value is None:
        return float("nan")
    return feature.seconds(value) if isinstance(value, str) else float(value)
