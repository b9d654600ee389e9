"""A model file read from the disk."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ..errors import ExportError


def read_model(path: Path) -> tuple[bytes, onnx.ModelProto]:
    """A file's bytes, and what they hold.

    Raises:
        ExportError: when there is no such file, or it is no ONNX model.
    """
    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
    except OSError as error:
        raise ExportError(f"{path} can't be read: {error.strerror}") from None
    except (DecodeError, ValueError):
        model = onnx.ModelProto()
    if not model.graph.node:  # an empty file, for one, reads as an empty model
        raise ExportError(f"{path} is no ONNX model")
    return content, model
