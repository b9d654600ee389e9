"""Graphs that were made elsewhere: small ONNX files built node by node, without metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pigeonhole.service.model.artifact import Model, load_model

Load = Callable[..., Model]
WriteGraph = Callable[..., Path]


@pytest.fixture
def load() -> Load:
    """Loads a model file as the service does."""

    def load(path: Path, max_bytes: int = 2**20) -> Model:
        return load_model(path, name="m", version=1, threads=1, max_bytes=max_bytes)

    return load


@pytest.fixture
def write_graph(tmp_path: Path) -> WriteGraph:
    """Writes nodes between declared inputs and outputs as ``foreign.onnx``.

    A node is (operator, inputs, output) or (operator, inputs, output, attributes), where output
    may be a list of several; the graph's inputs and outputs are (element type, shape) by name;
    constants are arrays by name.
    """

    def write(
        nodes: Sequence[tuple],
        inputs: Mapping[str, tuple[int, list]],
        outputs: Mapping[str, tuple[int, list] | onnx.TypeProto],
        constants: Mapping[str, np.ndarray] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Path:
        graph = helper.make_graph(
            [
                helper.make_node(
                    node[0],
                    node[1],
                    [node[2]] if isinstance(node[2], str) else node[2],
                    **(node[3] if node[3:] else {}),
                )
                for node in nodes
            ],
            "foreign",
            [helper.make_tensor_value_info(name, *declared) for name, declared in inputs.items()],
            [
                helper.make_tensor_value_info(name, *declared)
                if isinstance(declared, tuple)
                else helper.make_value_info(name, declared)
                for name, declared in outputs.items()
            ],
            [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()],
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
        model = helper.make_model(graph, ir_version=10, opset_imports=opsets)
        helper.set_model_props(model, dict(metadata or {}))
        path = tmp_path / "foreign.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write
