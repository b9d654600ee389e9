"""A tensor of an inference request: its description is read, its values are not yet.

`JsonTensor` and `BinaryTensor` read the values. Both have the interface of `RequestTensor`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt

from ...errors import InvalidRequest
from ...model.signature import category_text
from ...model.validation import truncate
from .datatypes import BOOL, BYTES, DATATYPES


class DatatypeMismatch(InvalidRequest):
    """JSON data with values that are not of the tensor's datatype."""


class RequestTensor(ABC):
    """One input of a request.

    Args:
        place: JSON pointer of the tensor, such as ``/inputs/0``.
        name: from the request.
        datatype: from the request.
        shape: from the request.

    Raises:
        InvalidRequest: if the datatype is unknown.
    """

    __slots__ = ("datatype", "name", "place", "shape")

    missing: ClassVar[str]
    """The spelling of a missing number."""

    count_place: ClassVar[str]
    """The part of the tensor that holds a wrong number of values."""

    def __init__(self, place: str, name: str, datatype: str, shape: list[int]) -> None:
        self.place, self.name, self.datatype, self.shape = place, name, datatype, shape
        if datatype not in DATATYPES:
            known = ", ".join(DATATYPES)
            self.reject(
                f"datatype '{truncate(datatype)}' is unknown, expected one of {known}", "datatype"
            )

    @property
    def is_text(self) -> bool:
        """Whether the elements are texts."""
        return self.datatype == BYTES

    @abstractmethod
    def pointer(self, row: int, column: int, columns: int) -> str:
        """Return the JSON pointer of a value; valid after the values were read."""

    @abstractmethod
    def numbers(self, rows: int, columns: int) -> npt.NDArray[np.float64]:
        """Return the values, float64 (rows, columns); NaN is missing.

        Raises:
            InvalidRequest: if their number or datatype is wrong.
        """

    @abstractmethod
    def _elements(self, rows: int, columns: int) -> list[Any]:
        """Return the values row by row, for `texts`."""

    def texts(self, rows: int, columns: int) -> list[str]:
        """Return the values as trimmed texts, row by row; the empty text is missing.

        Numbers and booleans are spelled like categories.

        Raises:
            InvalidRequest: if their number or datatype is wrong.
        """
        values = self._elements(rows, columns)
        if self.datatype == BOOL:
            values = [value if value is None else bool(value) for value in values]
        return [value.strip() if type(value) is str else self._spell(value) for value in values]

    def _spell(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, list):
            self.reject_mixed_nesting()
        if value != value:  # noqa: PLR0124 - NaN is missing too
            return ""
        return category_text(value)

    def check_count(self, got: int, count: int) -> None:
        """Raise InvalidRequest unless the tensor has as many values as its shape."""
        if got != count:
            self.reject(
                f"got {got} values, expected {count} for shape {self.shape}", self.count_place
            )

    def reject_mixed_nesting(self) -> NoReturn:
        """Raise DatatypeMismatch for data that mixes values and lists."""
        self.reject(
            "data mixes values and lists, expected only one of them", "data", DatatypeMismatch
        )

    def reject(
        self, reason: str, part: str = "", error: type[InvalidRequest] = InvalidRequest
    ) -> NoReturn:
        """Raise an error about this tensor.

        Args:
            reason: what is wrong.
            part: the part of the tensor; empty for all of it.
            error: the class to raise.

        Raises:
            InvalidRequest: always.
        """
        place = f"{self.place}/{part}" if part else self.place
        raise error(f"input '{truncate(self.name)}': {reason}", place)
