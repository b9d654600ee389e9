"""Reads a model file from disk."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ..errors import ExportError


def read_model(path: Path) -> tuple[bytes, onnx.ModelProto]:
    """Return a file's bytes and the ONNX model in them.

    Raises:
        ExportError: the file can't be read, or is not an ONNX model.
    """
    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
    except OSError as error:
        raise ExportError(f"{path} can't be read: {error.strerror}") from None
    except (DecodeError, ValueError):
        model = onnx.ModelProto()
    if not model.graph.node:  # an empty file, for example, parses as an empty model
        raise ExportError(f"{path} is not an ONNX model")
    return content, model
