"""JSON data that is not of its tensor's datatype: looked at again, to name everything wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import Problem
from ...model.signature import Feature, Kind, category_text
from ...model.validation import PROBLEM_LIMIT, describe, mismatch
from .tensor import Tensor

SECONDS = "seconds since 1970-01-01T00:00:00 UTC"
"""What a datetime is in an input of the graph, in words."""


def read_leniently(
    tensor: Tensor,
    features: Sequence[Feature],
    rows: int,
    found: list[Problem],
    *,
    in_seconds: bool,
) -> npt.NDArray[Any] | None:
    """The values of a tensor, (rows, features), with stand-ins that pass for those that won't do.

    Args:
        tensor: whose data is not of its datatype.
        features: those that it holds, side by side.
        rows: how many there are.
        found: gets a problem for each value that won't do, up to one more than are told.
        in_seconds: whether datetimes are numbers here.

    Returns:
        None where its features would take all of it: then the datatype alone is wrong.
    """
    width = len(features)
    values = tensor.plain(rows, width)
    if values is None:
        return None
    is_text = features[0].kind is Kind.CATEGORY
    block = np.full((rows, width), "?", dtype=object) if is_text else np.zeros((rows, width))
    wrong = 0
    for index, value in enumerate(values):
        row, place = divmod(index, width)
        feature = features[place]
        expected = _refusal(feature, value, in_seconds=in_seconds)
        if expected is None:
            block[row, place] = _read(feature, value)
            continue
        where = tensor.pointer(row, place, width)
        found.append(Problem(row, feature.name, where, expected, describe(value)))
        wrong += 1
        if wrong > PROBLEM_LIMIT:
            break
    return block if wrong else None


def _refusal(feature: Feature, value: Any, *, in_seconds: bool) -> str | None:
    """What was expected where a value won't do; None where it will."""
    if not in_seconds or feature.kind is not Kind.DATETIME:
        return mismatch(feature, value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if is_number or (value is None and not feature.required) else SECONDS


def _read(feature: Feature, value: Any) -> str | float:
    if feature.kind is Kind.CATEGORY:
        return "" if value is None else category_text(value)
    if value is None:
        return float("nan")
    return feature.seconds(value) if isinstance(value, str) else float(value)
