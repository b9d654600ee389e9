"""The signature of a model: its features and its classes, in order.

It comes from the model file's metadata. Validation, the OpenAPI document, the pages and every
protocol are derived from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property

import msgspec

from ..errors import ModelRejected
from . import datetimes
from .threshold import Threshold

EXACT_WHOLE = 2.0**53
"""Limit of integers as doubles. Below it, a double's digits are exact."""

LONG_WHOLE = 1e6
"""From this number on, the format ``g`` writes an exponent."""


class Kind(StrEnum):
    """The kind of a feature's values.

    Numbers, booleans (1 and 0) and datetimes (seconds since 1970-01-01T00:00:00 UTC) are columns of
    the graph's input ``numbers``, categories are columns of ``categories``.
    """

    NUMBER = "number"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    CATEGORY = "category"


class Feature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A feature of a model: one column of its rows.

    Attributes:
        name: the name in requests.
        kind: number, boolean, datetime or category.
        required: whether a missing value is an error.
        unit: such as ``cm``; for people.
        minimum: smallest value in training, of datetimes in seconds; None if unknown.
        maximum: largest value in training, of datetimes in seconds; None if unknown.
        categories: counts in training by category; empty if unknown.
        default: the value that the graph uses for a missing number; for people.
        format: format of datetimes besides ISO 8601, one of ``datetimes.FORMATS``.
    """

    name: str
    kind: Kind
    required: bool = True
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: dict[str, int] = {}
    default: float | None = None
    format: str | None = None

    def seconds(self, text: str) -> float:
        """Return a datetime's text as seconds since 1970; NaN for blank text.

        Raises:
            ValueError: the text is not a datetime, or is blank and a value is required.
        """
        text = text.strip()
        if not text and not self.required:
            return math.nan
        return datetimes.to_seconds(text, self.format)

    def json_value(self, value: float) -> float | str:
        """Return a value of the ``numbers`` array as responses hold it: a datetime as text."""
        return datetimes.to_text(value, self.format) if self.kind is Kind.DATETIME else value

    def format_value(self, value: float) -> str:
        """Return a value of the ``numbers`` array as text for people."""
        json_value = self.json_value(value)
        if isinstance(json_value, str):
            return json_value
        is_long = LONG_WHOLE <= abs(json_value) < EXACT_WHOLE
        return f"{json_value:.0f}" if is_long else f"{json_value:g}"


class _SignatureMetadata(msgspec.Struct):
    """The ``signature`` entry of a model file's metadata."""

    features: list[Feature]
    classes: list[str]
    threshold: Threshold | None = None


class Signature:
    """The features and the classes of a model, in order.

    Args:
        features: at least one, with unique names.
        classes: at least one unique class name, in the order of the probabilities.
        threshold: the decision threshold; None for the most probable class.

    Raises:
        ModelRejected: names are repeated or missing, a datetime's format is unknown, or the
            threshold does not fit the classes.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        classes: Sequence[str],
        threshold: Threshold | None = None,
    ) -> None:
        self.features, self.classes = tuple(features), tuple(classes)
        self.threshold = threshold
        _check_unique_names("feature", [feature.name for feature in self.features])
        _check_unique_names("class", self.classes)
        for feature in self.features:
            _check_format(feature)
        if threshold is not None:
            threshold.check(self.classes)

    @classmethod
    def from_metadata(cls, text: str) -> Signature:
        """Return the signature in a model file's metadata.

        Raises:
            ModelRejected: the text does not follow the contract.
        """
        try:
            metadata = msgspec.json.decode(text, type=_SignatureMetadata)
        except msgspec.MsgspecError as error:
            raise ModelRejected(f"metadata 'signature': {error}") from None
        return cls(metadata.features, metadata.classes, metadata.threshold)

    @cached_property
    def numbers(self) -> tuple[Feature, ...]:
        """The features of the ``numbers`` array, in the order of its columns."""
        return tuple(f for f in self.features if f.kind is not Kind.CATEGORY)

    @cached_property
    def categories(self) -> tuple[Feature, ...]:
        """The features of the ``categories`` array, in the order of its columns."""
        return tuple(f for f in self.features if f.kind is Kind.CATEGORY)

    @cached_property
    def threshold_json(self) -> msgspec.Raw:
        """The threshold, or null, encoded once because every response holds it."""
        return msgspec.Raw(msgspec.json.encode(self.threshold))

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """The features by name."""
        return {feature.name: feature for feature in self.features}


def category_text(value: str | bool | float) -> str:
    """Return a category as text, by the contract's rule for trainer and service.

    Text is trimmed. Booleans are ``true`` and ``false``. Integers are their digits (3.0 is ``3``).
    Other numbers are the shortest text that reads back as the same number.
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, int) and value.is_integer() and abs(value) < EXACT_WHOLE:
        return str(int(value))
    return repr(value)


def _check_unique_names(noun: str, names: Sequence[str]) -> None:
    if not names:
        raise ModelRejected(f"the signature has no {noun}, expected at least one")
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ModelRejected(
            f"the signature names {noun} {min(repeated)!r} twice, expected unique names"
        )


def _check_format(feature: Feature) -> None:
    is_known = feature.format is None or feature.format in datetimes.FORMATS
    if feature.kind is Kind.DATETIME and not is_known:
        raise ModelRejected(
            f"feature {feature.name!r} has format {feature.format!r}, "
            f"expected one of {', '.join(datetimes.FORMATS)}"
        )
