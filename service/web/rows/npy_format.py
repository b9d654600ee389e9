r"""Rows as one array in NumPy's .npy format: ``application/x-npy``.

An array (rows, features) has its columns in signature order; one of n values is n rows of a model
with one feature, else one row. Fields of a structured array are columns by name. Numbers mean what
they mean in tensors: NaN is missing, a datetime is seconds since 1970-01-01T00:00:00 UTC, and what
stands for a category is spelled as one. Text is read as cells of CSV are.

The header is read here and not by NumPy, whose reader knows no version 3 in its public part and
writes warnings that a caller could have it write without end. Nothing is ever unpickled.
"""

from __future__ import annotations

import ast
import math
import re
import struct
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InvalidRequest, UnreadableBody
from ...model.columns import Columns
from ...model.row_types import check_row_count
from ...model.signature import Feature, Kind, Signature
from ...model.table_validation import Coded, Numbers, columns_from_matrix, columns_from_table
from ...model.validation import check_names, check_unique, truncate
from .csv_format import cells_column

MAGIC = b"\x93NUMPY"

VERSIONS = {1: ("<H", "latin-1"), 2: ("<I", "latin-1"), 3: ("<I", "utf-8")}
"""How each version of the format writes the length of its header, and the header."""

LONGEST_HEADER = 16 * 1024
"""Bytes. The names of some hundred fields take less."""

_TOKENS = re.compile(r"""(?:[\s{}()\[\],:]|\d+|True|False|'[^'\\]*'|"[^"\\]*")*+""", re.ASCII)
"""All that a header is made of. Python's parser is asked nothing else: it warns of some."""

_TYPE = re.compile(r"[<>|=]?(?:\?|b1|[iu][1248]|f[248]|[SU][1-9]\d{0,6})", re.ASCII)

_TAKEN = "booleans, whole numbers, floats of 2, 4 or 8 bytes, or text (S or U)"

MATRIX = 2
"""Dimensions of rows and features."""

LONGEST_SIDE = 2**31
"""Of no rows there may be any number of columns: NumPy takes no shape of very large numbers."""


def read_npy(body: bytes, signature: Signature, max_rows: int) -> Columns:
    """The rows of a .npy body.

    Args:
        body: all of it.
        signature: which features there are, in which order.
        max_rows: rows in one request at most.

    Raises:
        UnreadableBody: for what is no such file, or not all of one.
        InvalidRequest: for an array of another type or shape than is taken.
        InvalidRows: for values that don't fit, every problem named.
        TooManyRows: for more than ``max_rows``, before anything is made of them.
    """
    array = _array(body)
    if array.dtype.names is not None:
        return _from_fields(array, signature, max_rows)
    matrix = _matrix(array, len(signature.features))
    check_row_count(len(matrix), max_rows)
    if matrix.dtype.kind not in "SU" and not signature.categories:
        return columns_from_matrix(signature, _doubles(matrix), "NaN")
    columns = {
        feature.name: _column(feature, matrix[:, place])
        for place, feature in enumerate(signature.features)
    }
    return columns_from_table(signature, columns, len(matrix), "NaN")


def _from_fields(array: npt.NDArray[Any], signature: Signature, max_rows: int) -> Columns:
    if array.ndim != 1:
        raise InvalidRequest(
            f"expected a structured array of the shape (rows,), got {truncate(str(array.shape))}"
        )
    names = list(array.dtype.names or ())
    check_row_count(len(array), max_rows)
    check_names(signature, names)
    columns = {name: _column(signature.by_name[name], array[name]) for name in names}
    return columns_from_table(signature, columns, len(array), "NaN")


def _matrix(array: npt.NDArray[Any], features: int) -> npt.NDArray[Any]:
    """An array as rows and features; one of one dimension is either many rows of one or one row."""
    if array.ndim == 1 and (features == 1 or len(array) == features):
        return array.reshape(-1, features)
    if array.ndim != MATRIX or array.shape[1] != features:
        raise InvalidRequest(
            f"expected an array of the shape (rows, {features}), got {truncate(str(array.shape))}"
        )
    return array


def _column(feature: Feature, values: npt.NDArray[Any]) -> Coded | Numbers:
    """The values of one feature."""
    if values.dtype.kind in "SU":
        return cells_column(feature, _texts(values))
    if feature.kind is not Kind.CATEGORY:
        return _doubles(values)
    listed: list[Any] = values.tolist()
    if values.dtype.kind == "f":
        listed = [None if math.isnan(value) else value for value in listed]
    return Coded.of(listed)


def _doubles(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
        if (values > 1).any():
            raise InvalidRequest("booleans are bytes of 0 and 1, the array has others")
    return values.astype(np.float64)


def _texts(values: npt.NDArray[Any]) -> list[str]:
    listed: list[Any]
    if values.dtype.kind == "U":
        native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
        if (native.view(np.uint32) > sys.maxunicode).any():
            raise UnreadableBody("a text of the array is not Unicode")
        listed = native.tolist()
        return listed
    try:
        listed = [text.decode("utf-8") for text in values.tolist()]
    except UnicodeDecodeError:
        raise UnreadableBody("a text of the array is not UTF-8") from None
    return listed


def _array(body: bytes) -> npt.NDArray[Any]:
    """The array in a body, which must hold just as many bytes as it says; none of them is copied."""
    dtype, is_fortran, shape, start = _header(body)
    count = math.prod(shape)
    if count * dtype.itemsize != len(body) - start:
        raise UnreadableBody(
            f"the array should take {count * dtype.itemsize} bytes by its header, "
            f"there are {len(body) - start}"
        )
    values = np.frombuffer(body, dtype, count, start)
    return values.reshape(shape, order="F" if is_fortran else "C")


def _header(body: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """What a .npy file says of itself: type, Fortran's order, shape, and where the values begin."""
    if not body.startswith(MAGIC):
        raise UnreadableBody("the body is no .npy file" if body else "the body is empty")
    version = body[len(MAGIC)] if len(body) > len(MAGIC) else 0
    if version not in VERSIONS:
        raise UnreadableBody(f"version {version} of the .npy format is not known")
    length_format, encoding = VERSIONS[version]
    length_type = struct.Struct(length_format)
    start = len(MAGIC) + 2 + length_type.size
    if len(body) < start:
        raise UnreadableBody("the .npy header is cut short")
    (length,) = length_type.unpack_from(body, start - length_type.size)
    if length > min(LONGEST_HEADER, len(body) - start):
        raise UnreadableBody(f"the .npy header can't be {length} bytes long")
    end = start + length
    match _literal(body[start:end], encoding):
        case {"descr": descr, "fortran_order": bool(is_fortran), "shape": tuple(shape)}:
            pass
        case _:
            raise UnreadableBody("the .npy header has no descr, fortran_order and shape")
    fits = all(type(length) is int and length <= LONGEST_SIDE for length in shape)
    if len(shape) > MATRIX or not fits:
        raise InvalidRequest(f"expected an array of rows and features, got {truncate(str(shape))}")
    return _dtype(descr), is_fortran, shape, end


def _literal(header: bytes, encoding: str) -> Any:
    """The header's text as the Python literal that it is."""
    try:
        text = header.decode(encoding)
        if not _TOKENS.fullmatch(text):
            raise UnreadableBody("the .npy header is not understood")
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise UnreadableBody("the .npy header is not understood") from None


def _dtype(descr: Any) -> np.dtype[Any]:
    if isinstance(descr, str):
        return np.dtype(_known(descr))
    match descr:
        case [*fields] if fields and all(_is_field(field) for field in fields):
            names = [name for name, _ in fields]
            check_unique(names, "the array")
            return np.dtype([(name, _known(kind)) for name, kind in fields])
    raise InvalidRequest(f"expected an array of {_TAKEN}, or of fields of these")


def _is_field(field: Any) -> bool:
    match field:
        case (str(name), str()):
            return bool(name)
    return False


def _known(kind: str) -> str:
    if not _TYPE.fullmatch(kind):
        raise InvalidRequest(
            f"elements of type {truncate(kind)!r} are not taken, expected {_TAKEN}"
        )
    return kind
