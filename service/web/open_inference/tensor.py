"""Tensors of the Open Inference Protocol: what a request sends, read from JSON or from bytes.

In JSON ``data`` is flat or nested, row by row. As bytes the elements follow each other in
little-endian order; a text (BYTES) is four bytes of length and then so many of UTF-8.
"""

from __future__ import annotations

import json
import re
import struct
from base64 import b64decode
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NoReturn, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import InvalidRequest, UnreadableBody
from ...model.signature import category_text
from ...model.validation import describe, truncate

T = TypeVar("T")

BYTES, BOOL, FP16, BF16 = "BYTES", "BOOL", "FP16", "BF16"

BYTES_ALONE = (FP16, BF16)
"""Datatypes that stand in bytes and not in JSON."""

ELEMENTS: dict[str, np.dtype[Any]] = {
    BOOL: np.dtype("u1"),
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    BF16: np.dtype("<u2"),
}
"""How each datatype but BYTES stands in bytes. A BF16 is the upper half of an FP32."""

DATATYPES = dict.fromkeys((*ELEMENTS, BYTES))
"""All that are taken, to be looked up."""

WHOLE: dict[str, np.iinfo[Any]] = {
    name: np.iinfo(dtype) for name, dtype in ELEMENTS.items() if "INT" in name
}
"""The ranges of those that hold whole numbers."""

HALF_BITS = 16
"""How much further up the bits of a BF16 stand in an FP32."""

_LENGTH = struct.Struct("<I")
"""Before each text."""

COUNTED_DATA_BYTES = 2**20
"""Longer JSON data is counted before any of it becomes an object, which takes far more room."""

_PLACED = re.compile(r"(?P<said>.*) - at `\$(?P<path>.*)`", re.DOTALL)
"""How msgspec ends a message: ``... - at `$.inputs[0].name```."""

_STEP = re.compile(r"[.\[]([^.\[\]]+)\]?")


def _decoder(element: Any) -> msgspec.json.Decoder[list[Any]]:
    """Reads a flat list or a list of lists; null is missing, for JSON has no NaN."""
    return msgspec.json.Decoder(list[element | list[element | None] | None])


_DECODERS: dict[str, msgspec.json.Decoder[list[Any]]] = {
    BYTES: _decoder(str),
    BOOL: _decoder(bool | Literal[0, 1]),
    **dict.fromkeys(WHOLE, _decoder(int | float)),  # 3.0 is whole too
    **dict.fromkeys(("FP32", "FP64"), _decoder(float)),
}
"""How each datatype stands in JSON, but for those that the protocol has as bytes alone."""


class MistypedData(InvalidRequest):
    """JSON data that holds values which are not of the datatype that is said."""


class Tensor:
    """One tensor of a request: what it says of itself was read, its values were not yet.

    Args:
        place: its JSON pointer, such as ``/inputs/0``.
        name: as the caller names it.
        datatype: as the caller says it.
        shape: as the caller says it.
        data: its values as JSON; None where they are bytes.
        content: its values as bytes; None where they are JSON.
        is_base64: whether texts in JSON are the base64 of what they mean.

    Raises:
        InvalidRequest: for a datatype that there is not, or one as JSON that is bytes alone.
    """

    __slots__ = (
        *("_content", "_data", "_is_base64", "_nested", "datatype", "name", "place", "shape"),
    )

    def __init__(
        self,
        place: str,
        name: str,
        datatype: str,
        shape: list[int],
        data: msgspec.Raw | None,
        content: memoryview | None,
        *,
        is_base64: bool = False,
    ) -> None:
        self.place, self.name, self.datatype, self.shape = place, name, datatype, shape
        self._data, self._content, self._nested = data, content, False
        self._is_base64 = is_base64
        if datatype not in DATATYPES:
            known = ", ".join(DATATYPES)
            self.refuse(
                f"datatype '{truncate(datatype)}' is not known, expected one of {known}", "datatype"
            )
        if content is None and datatype in BYTES_ALONE:
            self.refuse(
                f"{datatype} is taken as bytes only: JSON has no half precision", "datatype"
            )

    @property
    def is_text(self) -> bool:
        """Whether its elements are texts."""
        return self.datatype == BYTES

    def pointer(self, row: int, column: int, columns: int) -> str:
        """Where a value stands, once the values were read; bytes have no places in JSON."""
        if self._data is None:
            return self.place
        if self._nested:
            return f"{self.place}/data/{row}/{column}"
        return f"{self.place}/data/{row * columns + column}"

    @property
    def missing(self) -> str:
        """How a missing number was written, in words."""
        return "NaN" if self._data is None else "null"

    def numbers(self, rows: int, columns: int) -> npt.NDArray[np.float64]:
        """The values as float64 (rows, columns); NaN is missing.

        JSON numbers are read as doubles whatever the width of their datatype, so that they mean the
        same as in every other protocol. Bytes that are doubles already are not copied.

        Raises:
            InvalidRequest: when they are not as many, or not of the datatype.
        """
        if self._content is not None:
            values = self._elements(self._content, rows * columns)
            # An array that begins between two doubles is for no runtime; a copy begins on one.
            fits = values.dtype == np.float64 and values.flags.aligned
            return (values if fits else values.astype(np.float64)).reshape(rows, columns)
        return self._doubles(self._listed(rows, columns)).reshape(rows, columns)

    def texts(self, rows: int, columns: int) -> list[str]:
        """The values as texts without blanks at both ends, row by row; the empty one is missing.

        What is no text is spelled as a category is.

        Raises:
            InvalidRequest: when they are not as many, or not of the datatype.
        """
        if self._content is None:
            values = self._listed(rows, columns)
            if self.datatype in WHOLE:
                self._doubles(values)  # which holds them to their range
            elif self._is_base64:
                values = [self._out_of_base64(value) for value in values]
        elif self.is_text:
            values = self._framed(self._content, rows * columns)
        else:
            values = self._elements(self._content, rows * columns).tolist()
        if self.datatype == BOOL:
            values = [value if value is None else bool(value) for value in values]
        return [value.strip() if type(value) is str else self._spelled(value) for value in values]

    def _out_of_base64(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return b64decode(value, validate=True).decode("utf-8")
        except ValueError:
            self.refuse(f"{describe(value)} is no base64 of UTF-8, as content_type says", "data")

    def _spelled(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, list):
            self._refuse_mixture()
        if value != value:  # noqa: PLR0124 - NaN, which is missing too
            return ""
        return category_text(value)

    def _doubles(self, values: list[Any]) -> npt.NDArray[np.float64]:
        """Values from JSON in an array; whole numbers are held to their datatype's range."""
        try:
            numbers = np.array(values, dtype=np.float64)
        except (ValueError, TypeError):
            self._refuse_mixture()
        except OverflowError:
            self.refuse("a number is beyond the range of doubles", "data", MistypedData)
        if self.datatype in WHOLE:
            self._check_whole(numbers)
        return numbers

    def _elements(self, content: memoryview, count: int) -> npt.NDArray[Any]:
        dtype = ELEMENTS[self.datatype]
        if len(content) != count * dtype.itemsize:
            self.refuse(
                f"{len(content)} bytes, but {count} elements of {self.datatype} "
                f"take {count * dtype.itemsize}",
                "parameters/binary_data_size",
            )
        values = np.frombuffer(content, dtype)
        if self.datatype == BOOL and count and values.max() > 1:
            self.refuse("BOOL is bytes of 0 and 1, there are others")
        if self.datatype == BF16:
            return (values.astype("<u4") << HALF_BITS).view("<f4")
        return values

    def _framed(self, content: memoryview, count: int) -> list[str]:
        texts: list[str] = []
        at, end = 0, len(content)
        while at < end:
            start = at + _LENGTH.size
            at = start + _LENGTH.unpack_from(content, at)[0] if start <= end else start
            if at > end:
                self.refuse(f"element {len(texts)} of BYTES is longer than the bytes that are left")
            try:
                texts.append(str(content[start:at], "utf-8"))
            except UnicodeDecodeError:
                self.refuse(f"element {len(texts)} of BYTES is not UTF-8")
        self._check_count(len(texts), count)
        return texts

    def _listed(self, rows: int, columns: int) -> list[Any]:
        """The JSON values in one list, whether they were nested or not."""
        data = memoryview(self._data)  # type: ignore[arg-type]
        count = rows * columns
        if len(data) > COUNTED_DATA_BYTES and not self.is_text:
            commas = int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord(",")))
            if commas >= max(count, 1):
                self._check_count(commas + 1, count)
        try:
            values = _DECODERS[self.datatype].decode(data)
        except msgspec.ValidationError as error:
            said, pointer = explained(error)
            raise MistypedData(
                f"data of {self.datatype}: {said}", f"{self.place}/data{pointer}"
            ) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise unreadable(error) from None
        if values and type(values[0]) is list:
            self._nested = True
            self._check_nested(values, rows, columns)
            return list(chain.from_iterable(values))
        self._check_count(len(values), count)
        return values

    def plain(self, rows: int, columns: int) -> list[Any] | None:
        """The JSON values, whatever they are, row by row; None where they are not as many.

        Where much more may stand than that, it is not looked at: each list takes far more room than
        its two bytes.
        """
        data, cells = bytes(self._data or b""), rows * columns
        if data.count(b"[") + data.count(b"{") > cells + rows + 1 or data.count(b",") > 4 * cells:
            return None
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if isinstance(values, list) and values and all(type(value) is list for value in values):
            self._nested = True
            if len(values) != rows or any(len(listed) != columns for listed in values):
                return None
            values = list(chain.from_iterable(values))
        return values if isinstance(values, list) and len(values) == cells else None

    def _check_nested(self, values: list[Any], rows: int, columns: int) -> None:
        if len(self.shape) == 1:
            self.refuse(f"nested data for the shape {[rows]}, expected a flat list", "data")
        if len(values) != rows:
            self.refuse(f"{len(values)} lists for the shape {[rows, columns]}", "data")
        for row, listed in enumerate(values):
            if type(listed) is not list or len(listed) != columns:
                self.refuse(
                    f"expected a list of {columns} values, got {describe(listed)}", f"data/{row}"
                )

    def _check_count(self, got: int, count: int) -> None:
        if got != count:
            self.refuse(
                f"{got} values for the shape {self.shape}, which holds {count}",
                "data" if self._data is not None else "parameters/binary_data_size",
            )

    def _check_whole(self, numbers: npt.NDArray[np.float64]) -> None:
        """Refuse what is no whole number of the datatype's range; NaN, missing, passes."""
        limits = WHOLE[self.datatype]
        wrong = (numbers != np.rint(numbers)) & ~np.isnan(numbers)
        wrong |= (numbers < limits.min) | (numbers > limits.max)
        if wrong.any():
            value = float(numbers[wrong.argmax()])
            self.refuse(
                f"expected whole numbers from {limits.min} to {limits.max}, as {self.datatype} says, "
                f"got {describe(value)}",
                "data",
            )

    def _refuse_mixture(self) -> NoReturn:
        said = "data holds values and lists side by side, expected one or the other"
        self.refuse(said, "data", MistypedData)

    def refuse(
        self, what: str, where: str = "", error: type[InvalidRequest] = InvalidRequest
    ) -> NoReturn:
        """Say that this tensor is wrong.

        Args:
            what: the reason.
            where: which part of the tensor; empty for all of it.
            error: what is raised.

        Raises:
            InvalidRequest: always.
        """
        place = f"{self.place}/{where}" if where else self.place
        raise error(f"input '{truncate(self.name)}': {what}", place)


def framed(texts: Sequence[str]) -> bytes:
    """Texts as the bytes of a BYTES tensor; each different one is encoded once."""
    each = {}
    for text in set(texts):
        encoded = text.encode("utf-8")
        each[text] = _LENGTH.pack(len(encoded)) + encoded
    return b"".join([each[text] for text in texts])


def explained(error: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec says of the first wrong value, and the JSON pointer of its place."""
    found = _PLACED.fullmatch(str(error))
    said, path = (found["said"], found["path"]) if found else (str(error), "")
    return said[:1].lower() + said[1:], "".join(f"/{step}" for step in _STEP.findall(path))


def decoded(decoder: msgspec.json.Decoder[T], text: bytes, what: str) -> T:
    """A request of the protocol.

    Args:
        decoder: reads it.
        text: its JSON.
        what: it should be, for the message.

    Raises:
        InvalidRequest: for JSON that is no such request.
        UnreadableBody: for what is no JSON.
    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        said, pointer = explained(error)
        raise InvalidRequest(f"this is no {what}: {said}", pointer) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise unreadable(error) from None


def unreadable(error: Exception) -> UnreadableBody:
    """What to raise for JSON that is none."""
    if isinstance(error, RecursionError):
        return UnreadableBody("the JSON is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return UnreadableBody("the body is not UTF-8")
    return UnreadableBody(f"the body is not JSON: {error}")
