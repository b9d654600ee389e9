"""Fixtures that write small ONNX files without metadata, and load them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeonhole.service.model.artifact import Model, load_model
from tests.tiny_models import write_foreign_model

Load = Callable[..., Model]
WriteGraph = Callable[..., Path]


@pytest.fixture
def load() -> Load:
    """Return a function that loads a model file as the service does."""

    def load(path: Path, max_bytes: int = 2**20) -> Model:
        return load_model(path, name="m", version=1, threads=1, max_bytes=max_bytes)

    return load


@pytest.fixture
def write_graph(tmp_path: Path) -> WriteGraph:
    """Return `tests.tiny_models.write_foreign_model` for the path ``foreign.onnx``."""

    def write(*graph: Any, **more: Any) -> Path:
        return write_foreign_model(tmp_path / "foreign.onnx", *graph, **more)

    return write
