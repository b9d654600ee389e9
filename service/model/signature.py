"""What a row must look like: the features in order, and the classes that come back.

A signature is read from the model file's metadata. It is the one source for validation, the
OpenAPI document, the pages and every protocol.
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
"""Up to here doubles hold every whole number, so digits say no more than is known."""

LONG_WHOLE = 1e6
"""From here on ``g`` would write numbers with an exponent."""


class Kind(StrEnum):
    """What a feature's values are.

    Numbers, booleans and datetimes travel in the ``numbers`` tensor (booleans as 1 and 0, datetimes
    as seconds since 1970-01-01T00:00:00 UTC), categories in the ``categories`` tensor.
    """

    NUMBER = "number"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    CATEGORY = "category"


class Feature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column that a model asks for.

    Attributes:
        name: as callers name it.
        kind: number, boolean, datetime or category.
        required: whether leaving it out, or null, is an error.
        unit: for people, such as ``cm``.
        minimum: smallest value seen in training, of datetimes in seconds; None where unknown.
        maximum: largest value seen in training, of datetimes in seconds; None where unknown.
        categories: each category seen in training with its count; empty where unknown.
        default: what the graph puts where a number is missing, for people.
        format: how a datetime may be written besides ISO 8601, one of ``datetimes.FORMATS``.
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
        """The seconds since 1970 that a text means for this datetime; NaN where it is blank.

        Raises:
            ValueError: for a text that is no datetime, and a blank one where it is required.
        """
        text = text.strip()
        if not text and not self.required:
            return math.nan
        return datetimes.to_seconds(text, self.format)

    def json_value(self, value: float) -> float | str:
        """A value of the ``numbers`` tensor as an answer tells it: a datetime as text."""
        return datetimes.to_text(value, self.format) if self.kind is Kind.DATETIME else value

    def format_value(self, value: float) -> str:
        """The same for people to read."""
        readable = self.json_value(value)
        if isinstance(readable, str):
            return readable
        return f"{readable:.0f}" if LONG_WHOLE <= abs(readable) < EXACT_WHOLE else f"{readable:g}"


class _SignatureMetadata(msgspec.Struct):
    """The ``signature`` entry of a model file's metadata."""

    features: list[Feature]
    classes: list[str]
    threshold: Threshold | None = None


class Signature:
    """The features of a model, in order, and its classes, in order.

    Args:
        features: at least one, with names all different.
        classes: the class names in the order of the probabilities, all different.
        threshold: how two classes are decided between; None for the likelier one.

    Raises:
        ModelRejected: for names that repeat, no features or no classes, an unknown format of a
            datetime, or a threshold that can't decide between the classes.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        classes: Sequence[str],
        threshold: Threshold | None = None,
    ) -> None:
        self.features, self.classes = tuple(features), tuple(classes)
        self.threshold = threshold
        for what, names in (
            ("feature", [feature.name for feature in self.features]),
            ("class", list(self.classes)),
        ):
            if not names:
                raise ModelRejected(f"the signature has no {what}")
            if repeated := {name for name in names if names.count(name) > 1}:
                raise ModelRejected(f"the signature names {what} {min(repeated)!r} twice")
        for feature in self.features:
            known = feature.format is None or feature.format in datetimes.FORMATS
            if feature.kind is Kind.DATETIME and not known:
                raise ModelRejected(
                    f"feature {feature.name!r} has format {feature.format!r}, "
                    f"expected one of {', '.join(datetimes.FORMATS)}"
                )
        if threshold is not None:
            threshold.check(self.classes)

    @classmethod
    def from_metadata(cls, text: str) -> Signature:
        """The signature in a model file's metadata.

        Raises:
            ModelRejected: when the text is not what the contract says.
        """
        try:
            metadata = msgspec.json.decode(text, type=_SignatureMetadata)
        except msgspec.MsgspecError as error:
            raise ModelRejected(f"metadata 'signature': {error}") from None
        return cls(metadata.features, metadata.classes, metadata.threshold)

    @cached_property
    def numbers(self) -> tuple[Feature, ...]:
        """The features of the ``numbers`` tensor, in the order of its columns."""
        return tuple(f for f in self.features if f.kind is not Kind.CATEGORY)

    @cached_property
    def categories(self) -> tuple[Feature, ...]:
        """The features of the ``categories`` tensor, in the order of its columns."""
        return tuple(f for f in self.features if f.kind is Kind.CATEGORY)

    @cached_property
    def threshold_json(self) -> msgspec.Raw:
        """The threshold, or null, as JSON: made once, for it stands in every answer."""
        return msgspec.Raw(msgspec.json.encode(self.threshold))

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """Each feature under its name."""
        return {feature.name: feature for feature in self.features}


def category_text(value: str | bool | float) -> str:
    """The one spelling of a category: the rule of the contract, the same in trainer and service.

    Text is trimmed; booleans are ``true`` and ``false``; whole numbers are their digits (3.0 is
    ``3``); other numbers are the shortest text that reads back as the same number.
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, int) and value.is_integer() and abs(value) < EXACT_WHOLE:
        return str(int(value))
    return repr(value)
