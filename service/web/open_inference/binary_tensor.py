"""Tensors whose values are binary data behind the JSON.

Elements are in little-endian order. A text (BYTES) is four bytes of length, then UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .datatypes import BF16, BOOL, ELEMENTS
from .tensor import RequestTensor

BF16_SHIFT = 16
"""Bits between a BF16 and the FP32 that it is the upper half of."""

_LENGTH = struct.Struct("<I")
"""The length before each text."""


class BinaryTensor(RequestTensor):
    """An input with ``binary_data_size``; see `RequestTensor`.

    Args:
        place: JSON pointer of the tensor.
        name: from the request.
        datatype: from the request.
        shape: from the request.
        content: the values.
    """

    __slots__ = ("_content",)

    missing = "NaN"
    count_place = "parameters/binary_data_size"

    def __init__(
        self, place: str, name: str, datatype: str, shape: list[int], content: memoryview
    ) -> None:
        super().__init__(place, name, datatype, shape)
        self._content = content

    def pointer(self, _row: int, _column: int, _columns: int) -> str:
        """Return the pointer of the tensor: binary values have no places in JSON."""
        return self.place

    def numbers(self, rows: int, columns: int) -> npt.NDArray[np.float64]:
        """Return the values, float64 (rows, columns); NaN is missing. Aligned doubles are not copied.

        Raises:
            InvalidRequest: if their number or datatype is wrong.
        """
        values = self._array(rows * columns)
        # Runtimes need aligned doubles; a copy is aligned.
        can_be_used = values.dtype == np.float64 and values.flags.aligned
        return (values if can_be_used else values.astype(np.float64)).reshape(rows, columns)

    def _elements(self, rows: int, columns: int) -> list[Any]:
        count = rows * columns
        return self._texts(count) if self.is_text else self._array(count).tolist()

    def _array(self, count: int) -> npt.NDArray[Any]:
        dtype = ELEMENTS[self.datatype]
        if len(self._content) != count * dtype.itemsize:
            self.reject(
                f"got {len(self._content)} bytes, expected {count * dtype.itemsize} "
                f"for {count} elements of {self.datatype}",
                self.count_place,
            )
        values = np.frombuffer(self._content, dtype)
        if self.datatype == BOOL and count and values.max() > 1:
            self.reject("expected bytes of 0 and 1 for BOOL, got others")
        if self.datatype == BF16:
            return (values.astype("<u4") << BF16_SHIFT).view("<f4")
        return values

    def _texts(self, count: int) -> list[str]:
        texts: list[str] = []
        at, end = 0, len(self._content)
        while at < end:
            start = at + _LENGTH.size
            at = start + _LENGTH.unpack_from(self._content, at)[0] if start <= end else start
            if at > end:
                self.reject(f"element {len(texts)} of BYTES is longer than the remaining bytes")
            try:
                texts.append(str(self._content[start:at], "utf-8"))
            except UnicodeDecodeError:
                self.reject(f"element {len(texts)} of BYTES is not UTF-8")
        self.check_count(len(texts), count)
        return texts


def encode_texts(texts: Sequence[str]) -> bytes:
    """Return texts as the binary data of a BYTES tensor; each distinct text is encoded once."""
    encoded = {}
    for text in set(texts):
        content = text.encode("utf-8")
        encoded[text] = _LENGTH.pack(len(content)) + content
    return b"".join([encoded[text] for text in texts])
