"""Rows as one array in NumPy's .npy format: ``application/x-npy``.

| array | rows |
|---|---|
| (rows, features) | columns in signature order |
| (n,) | n rows of a model with one feature; otherwise one row |
| structured (rows,) | columns by field name |

Numbers mean the same as in tensors: NaN is missing, and a datetime is seconds since
1970-01-01T00:00:00 UTC. Text is parsed as CSV cells are.

The header has a parser of its own. NumPy's parser, tried on the hostile headers of the tests:

- takes 0.6 s for a header of 10,000 brackets, because it falls back to a Python 2 tokenizer;
- lets the client trigger a warning with every request;
- raises five kinds of exception, with messages of up to 9,000 characters;
- reads version 3 only in private functions, and only together with the data, which it allocates
  before it compares the sizes.

Nothing is ever unpickled.
"""

from __future__ import annotations

import ast
import math
import re
import struct
import sys
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import InvalidRequest, UnreadableBody
from ...model.columns import Columns
from ...model.row_types import check_row_count
from ...model.signature import Feature, Kind, Signature
from ...model.table_validation import (
    DictionaryColumn,
    Numbers,
    columns_from_matrix,
    columns_from_table,
)
from ...model.validation import check_column_names, check_unique_columns, truncate
from .csv_format import parse_column

MAGIC = b"\x93NUMPY"

VERSIONS = {1: ("<H", "latin-1"), 2: ("<I", "latin-1"), 3: ("<I", "utf-8")}
"""Struct format of the header length, and encoding of the header, by format version."""

MAX_HEADER_BYTES = 16 * 1024
"""Enough for the names of several hundred fields."""

MAX_DIMENSIONS = 2

MAX_SIDE = 2**31
"""NumPy fails on larger dimensions, which an empty array could have."""

_HEADER_TOKENS = re.compile(
    r"""(?:[\s{}()\[\],:]|\d+|True|False|'[^'\\]*'|"[^"\\]*")*+""", re.ASCII
)
"""The tokens of a header. Other text never reaches Python's parser, which warns about some."""

_ELEMENT_TYPE = re.compile(r"[<>|=]?(?:\?|b1|[iu][1248]|f[248]|[SU][1-9]\d{0,6})", re.ASCII)

_ACCEPTED = "booleans, whole numbers, floats of 2, 4 or 8 bytes, or text (S or U)"


class _Header(msgspec.Struct, frozen=True):
    """A parsed header.

    Attributes:
        dtype: of the elements.
        order: ``F`` for column-major values, otherwise ``C``.
        shape: at most two dimensions.
        end: offset of the values in the body.
    """

    dtype: np.dtype[Any]
    order: Any
    shape: tuple[int, ...]
    end: int


def read_npy(body: bytes, signature: Signature, max_rows: int) -> Columns:
    """Return the rows of a .npy body.

    Args:
        body: the whole file.
        signature: the features and their order.
        max_rows: limit of rows in one request.

    Raises:
        UnreadableBody: for a body that is not a complete .npy file.
        InvalidRequest: for an array of an unsupported type or shape.
        InvalidRows: for values that do not fit their feature.
        TooManyRows: for more than ``max_rows`` rows, before any value is converted.
    """
    array = _read_array(body)
    if array.dtype.names is not None:
        return _columns_from_fields(array, signature, max_rows)
    matrix = _to_matrix(array, len(signature.features))
    check_row_count(len(matrix), max_rows)
    if matrix.dtype.kind not in "SU" and not signature.categories:
        return columns_from_matrix(signature, _to_doubles(matrix), "NaN")
    columns = {
        feature.name: _column(feature, matrix[:, index])
        for index, feature in enumerate(signature.features)
    }
    return columns_from_table(signature, columns, len(matrix), "NaN")


def _columns_from_fields(array: npt.NDArray[Any], signature: Signature, max_rows: int) -> Columns:
    """Return the rows of a structured array."""
    if array.ndim != 1:
        raise InvalidRequest(
            f"expected a structured array of the shape (rows,), got {truncate(str(array.shape))}"
        )
    names = list(array.dtype.names or ())
    check_row_count(len(array), max_rows)
    check_column_names(signature, names)
    columns = {name: _column(signature.by_name[name], array[name]) for name in names}
    return columns_from_table(signature, columns, len(array), "NaN")


def _to_matrix(array: npt.NDArray[Any], features: int) -> npt.NDArray[Any]:
    """Return the array as (rows, features)."""
    if array.ndim == 1 and (features == 1 or len(array) == features):
        return array.reshape(-1, features)
    if array.ndim != MAX_DIMENSIONS or array.shape[1] != features:
        raise InvalidRequest(
            f"expected an array of the shape (rows, {features}), got {truncate(str(array.shape))}"
        )
    return array


def _column(feature: Feature, values: npt.NDArray[Any]) -> DictionaryColumn | Numbers:
    """Return one feature's values as a column for `columns_from_table`."""
    if values.dtype.kind in "SU":
        return parse_column(feature, _to_texts(values))
    if feature.kind is not Kind.CATEGORY:
        return _to_doubles(values)
    listed: list[Any] = values.tolist()
    if values.dtype.kind == "f":
        listed = [None if math.isnan(value) else value for value in listed]
    return DictionaryColumn.of(listed)


def _to_doubles(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
        if (values > 1).any():
            raise InvalidRequest("expected booleans as bytes of 0 and 1, the array has other bytes")
    return values.astype(np.float64)


def _to_texts(values: npt.NDArray[Any]) -> list[str]:
    texts: list[Any]
    if values.dtype.kind == "U":
        native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
        if (native.view(np.uint32) > sys.maxunicode).any():
            raise UnreadableBody("a text of the array is not Unicode")
        texts = native.tolist()
        return texts
    try:
        texts = [text.decode("utf-8") for text in values.tolist()]
    except UnicodeDecodeError:
        raise UnreadableBody("a text of the array is not UTF-8") from None
    return texts


def _read_array(body: bytes) -> npt.NDArray[Any]:
    """Return the array as a view of the body, after comparing the sizes."""
    header = _read_header(body)
    count = math.prod(header.shape)
    expected_bytes, got_bytes = count * header.dtype.itemsize, len(body) - header.end
    if expected_bytes != got_bytes:
        raise UnreadableBody(
            f"the .npy header describes {expected_bytes} bytes of values, the body has {got_bytes}"
        )
    values = np.frombuffer(body, header.dtype, count, header.end)
    return values.reshape(header.shape, order=header.order)


def _read_header(body: bytes) -> _Header:
    start, end, encoding = _locate_header(body)
    match _parse_literal(body[start:end], encoding):
        case {"descr": descr, "fortran_order": bool(is_fortran), "shape": tuple(shape)}:
            pass
        case _:
            raise UnreadableBody("the .npy header lacks descr, fortran_order or shape")
    fits = all(type(side) is int and side <= MAX_SIDE for side in shape)
    if len(shape) > MAX_DIMENSIONS or not fits:
        raise InvalidRequest(f"expected an array (rows, features), got {truncate(str(shape))}")
    return _Header(_parse_dtype(descr), "F" if is_fortran else "C", shape, end)


def _locate_header(body: bytes) -> tuple[int, int, str]:
    """Return the start, the end and the encoding of the header text."""
    if not body.startswith(MAGIC):
        raise UnreadableBody("the body is not a .npy file" if body else "the body is empty")
    version = body[len(MAGIC)] if len(body) > len(MAGIC) else 0
    if version not in VERSIONS:
        raise UnreadableBody(f"version {version} of the .npy format is not supported")
    length_format, encoding = VERSIONS[version]
    length_type = struct.Struct(length_format)
    start = len(MAGIC) + 2 + length_type.size
    if len(body) < start:
        raise UnreadableBody("the .npy header is cut short")
    (length,) = length_type.unpack_from(body, start - length_type.size)
    longest = min(MAX_HEADER_BYTES, len(body) - start)
    if length > longest:
        raise UnreadableBody(
            f"the .npy header has a length of {length} bytes, expected at most {longest}"
        )
    return start, start + length, encoding


def _parse_literal(header: bytes, encoding: str) -> Any:
    """Return the Python literal in a header."""
    try:
        text = header.decode(encoding)
        if not _HEADER_TOKENS.fullmatch(text):
            raise UnreadableBody("the .npy header is not a dictionary of plain values")
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise UnreadableBody("the .npy header is not a Python dictionary") from None


def _parse_dtype(descr: Any) -> np.dtype[Any]:
    """Return the element type for a header's ``descr``."""
    if isinstance(descr, str):
        return np.dtype(_check_element_type(descr))
    match descr:
        case [*fields] if fields and all(_is_field(field) for field in fields):
            names = [name for name, _ in fields]
            check_unique_columns(names, "the array")
            return np.dtype([(name, _check_element_type(kind)) for name, kind in fields])
    raise InvalidRequest(f"expected an array of {_ACCEPTED}, or of fields of these types")


def _is_field(field: Any) -> bool:
    match field:
        case (str(name), str()):
            return bool(name)
    return False


def _check_element_type(kind: str) -> str:
    if not _ELEMENT_TYPE.fullmatch(kind):
        raise InvalidRequest(
            f"element type {truncate(kind)!r} is not supported, expected {_ACCEPTED}"
        )
    return kind
