"""Values that other packages make from a model, once per model: decoders, batchers, specs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from .artifact import Model

Made = TypeVar("Made")


class PerModel(Generic[Made]):
    """Makes a value from a model at the first call and returns the same value at later calls.

    The model holds the values, so they live as long as the model does.

        decoder_of = PerModel(lambda model: msgspec.json.Decoder(model.row_types.object_row))
        decoder_of(model).decode(body)

    Args:
        make: makes the value. If two threads call it for one model at the same time, both get the
            value that was stored first.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[Model], Made]) -> None:
        self._make = make

    def __call__(self, model: Model) -> Made:
        """Return the value for this model."""
        # Every request comes here, so the usual case is one lookup without a lock.
        try:
            value: Made = model.per_model[self]
        except KeyError:
            value = model.per_model.setdefault(self, self._make(model))
        return value
