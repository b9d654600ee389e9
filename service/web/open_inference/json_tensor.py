"""Tensors whose values are JSON: ``data`` is flat or nested, row by row."""

from __future__ import annotations

import json
from base64 import b64decode
from itertools import chain
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ...model.validation import describe
from .datatypes import BINARY_ONLY, BOOL, BYTES, INTEGERS
from .request_json import locate_error, unreadable_body
from .tensor import DatatypeMismatch, RequestTensor

COUNTED_DATA_BYTES = 2**20
"""Values of longer data are counted before decoding, because objects take far more memory."""


def _decoder(element: Any) -> msgspec.json.Decoder[list[Any]]:
    """Return a decoder of a flat list or a list of lists; null is missing, as JSON has no NaN."""
    return msgspec.json.Decoder(list[element | list[element | None] | None])


_DECODERS: dict[str, msgspec.json.Decoder[list[Any]]] = {
    BYTES: _decoder(str),
    BOOL: _decoder(bool | Literal[0, 1]),
    **dict.fromkeys(INTEGERS, _decoder(int | float)),  # 3.0 is an integer too
    **dict.fromkeys(("FP32", "FP64"), _decoder(float)),
}


class JsonTensor(RequestTensor):
    """An input with ``data``; see `RequestTensor`.

    Args:
        place: JSON pointer of the tensor.
        name: from the request.
        datatype: from the request.
        shape: from the request.
        data: the values as JSON.
        is_base64: whether texts are base64, as MLServer's codec writes them.

    Raises:
        InvalidRequest: if the datatype is unknown, or exists only in binary data.
    """

    __slots__ = ("_data", "_is_base64", "_is_nested")

    missing = "null"
    count_place = "data"

    def __init__(
        self,
        place: str,
        name: str,
        datatype: str,
        shape: list[int],
        data: msgspec.Raw,
        *,
        is_base64: bool = False,
    ) -> None:
        super().__init__(place, name, datatype, shape)
        self._data, self._is_base64, self._is_nested = data, is_base64, False
        if datatype in BINARY_ONLY:
            self.reject(
                f"{datatype} is supported in binary data only: JSON has no half precision",
                "datatype",
            )

    def pointer(self, row: int, column: int, columns: int) -> str:
        """Return the JSON pointer of a value; valid after the values were read."""
        if self._is_nested:
            return f"{self.place}/data/{row}/{column}"
        return f"{self.place}/data/{row * columns + column}"

    def numbers(self, rows: int, columns: int) -> npt.NDArray[np.float64]:
        """Return the values, float64 (rows, columns); NaN is missing.

        JSON numbers are read as doubles whatever the width of their datatype, as in every other
        protocol.

        Raises:
            InvalidRequest: if their number or datatype is wrong.
        """
        return self._doubles(self._flat_values(rows, columns)).reshape(rows, columns)

    def _elements(self, rows: int, columns: int) -> list[Any]:
        values = self._flat_values(rows, columns)
        if self.datatype in INTEGERS:
            self._doubles(values)  # checks the range
        elif self._is_base64:
            values = [self._decode_base64(value) for value in values]
        return values

    def untyped_values(self, rows: int, columns: int) -> list[Any] | None:
        """Return the values row by row without their datatype, or None if their number is wrong.

        Data that may hold many more values is not parsed: each list takes far more memory than its
        two bytes.
        """
        data, cells = bytes(self._data), rows * columns
        if data.count(b"[") + data.count(b"{") > cells + rows + 1 or data.count(b",") > 4 * cells:
            return None
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if isinstance(values, list) and values and all(type(value) is list for value in values):
            self._is_nested = True
            if len(values) != rows or any(len(listed) != columns for listed in values):
                return None
            values = list(chain.from_iterable(values))
        return values if isinstance(values, list) and len(values) == cells else None

    def _flat_values(self, rows: int, columns: int) -> list[Any]:
        """Return the values in one list, nested or not."""
        data, count = memoryview(self._data), rows * columns
        if len(data) > COUNTED_DATA_BYTES and not self.is_text:
            commas = int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord(",")))
            if commas >= max(count, 1):
                self.check_count(commas + 1, count)
        values = self._decode(data)
        if values and type(values[0]) is list:
            self._is_nested = True
            self._check_nesting(values, rows, columns)
            return list(chain.from_iterable(values))
        self.check_count(len(values), count)
        return values

    def _decode(self, data: memoryview) -> list[Any]:
        try:
            return _DECODERS[self.datatype].decode(data)
        except msgspec.ValidationError as error:
            reason, pointer = locate_error(error)
            raise DatatypeMismatch(
                f"data of {self.datatype}: {reason}", f"{self.place}/data{pointer}"
            ) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise unreadable_body(error) from None

    def _check_nesting(self, values: list[Any], rows: int, columns: int) -> None:
        if len(self.shape) == 1:
            self.reject(f"nested data for shape {[rows]}, expected a flat list", "data")
        if len(values) != rows:
            self.reject(f"got {len(values)} lists for shape {[rows, columns]}", "data")
        for row, listed in enumerate(values):
            if type(listed) is not list or len(listed) != columns:
                self.reject(
                    f"expected a list of {columns} values, got {describe(listed)}", f"data/{row}"
                )

    def _doubles(self, values: list[Any]) -> npt.NDArray[np.float64]:
        """Return values as an array; integers are checked against their datatype's range."""
        try:
            numbers = np.array(values, dtype=np.float64)
        except (ValueError, TypeError):
            self.reject_mixed_nesting()
        except OverflowError:
            self.reject("a number is outside the range of doubles", "data", DatatypeMismatch)
        if self.datatype in INTEGERS:
            self._check_integers(numbers)
        return numbers

    def _check_integers(self, numbers: npt.NDArray[np.float64]) -> None:
        """Raise InvalidRequest for a value that is not an integer in range; NaN is missing."""
        limits = INTEGERS[self.datatype]
        wrong = (numbers != np.rint(numbers)) & ~np.isnan(numbers)
        wrong |= (numbers < limits.min) | (numbers > limits.max)
        if wrong.any():
            value = float(numbers[wrong.argmax()])
            self.reject(
                f"expected integers from {limits.min} to {limits.max} for {self.datatype}, "
                f"got {describe(value)}",
                "data",
            )

    def _decode_base64(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return b64decode(value, validate=True).decode("utf-8")
        except ValueError:
            self.reject(
                f"expected base64 of UTF-8, as content_type says, got {describe(value)}", "data"
            )
