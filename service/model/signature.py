"""What a row must look like: the features in order, and the classes that come back.

A signature is read from the model file's metadata. It is the one source for validation, the
OpenAPI document, the pages and every protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property

import msgspec

from service.errors import ModelRejected


class Kind(StrEnum):
    """What a feature's values are.

    Numbers and booleans travel in the ``numbers`` tensor (booleans as 1 and 0), categories in the
    ``categories`` tensor.
    """

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"


class Feature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column that a model asks for.

    Attributes:
        name: as callers name it.
        kind: number, boolean or category.
        required: whether leaving it out, or null, is an error.
        unit: for people, such as ``cm``.
        minimum: smallest value seen in training; None where unknown.
        maximum: largest value seen in training; None where unknown.
        categories: each category seen in training with its count; empty where unknown.
        default: what the graph puts where a number is missing, for people.
    """

    name: str
    kind: Kind
    required: bool = True
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: dict[str, int] = {}
    default: float | None = None


class _SignatureMetadata(msgspec.Struct):
    """The ``signature`` entry of a model file's metadata."""

    features: list[Feature]
    classes: list[str]


class Signature:
    """The features of a model, in order, and its classes, in order.

    Args:
        features: at least one, with names all different.
        classes: the class names in the order of the probabilities, all different.

    Raises:
        ModelRejected: for names that repeat, no features or no classes.
    """

    def __init__(self, features: Sequence[Feature], classes: Sequence[str]) -> None:
        self.features, self.classes = tuple(features), tuple(classes)
        for what, names in (
            ("feature", [feature.name for feature in self.features]),
            ("class", list(self.classes)),
        ):
            if not names:
                raise ModelRejected(f"the signature has no {what}")
            if repeated := {name for name in names if names.count(name) > 1}:
                raise ModelRejected(f"the signature names {what} {min(repeated)!r} twice")

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
        return cls(metadata.features, metadata.classes)

    @cached_property
    def numbers(self) -> tuple[Feature, ...]:
        """The features of the ``numbers`` tensor, in the order of its columns."""
        return tuple(f for f in self.features if f.kind is not Kind.CATEGORY)

    @cached_property
    def categories(self) -> tuple[Feature, ...]:
        """The features of the ``categories`` tensor, in the order of its columns."""
        return tuple(f for f in self.features if f.kind is Kind.CATEGORY)

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """Each feature under its name."""
        return {feature.name: feature for feature in self.features}


EXACT_WHOLE = 2.0**53
"""Up to here doubles hold every whole number, so digits say no more than is known."""


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
