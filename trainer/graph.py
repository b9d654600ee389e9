"""An ONNX graph under construction: add a node, get the name of its result back.

This is where ``onnx`` enters the trainer. Features and layers write themselves into a ``Graph``
right below the numpy formula that they repeat, and know nothing else of the format.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 10
"""Pinned: what ``onnx`` writes by default is newer than many installed runtimes can read."""

OPSETS = {"": 21, "ai.onnx.ml": 3}
"""Operator set versions, pinned for the same reason."""

ELEMENT_TYPES = {
    "double": TensorProto.DOUBLE,
    "float": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "string": TensorProto.STRING,
}


class Graph:
    """Nodes, constants, inputs and outputs of one ONNX graph, in the order they were added.

    Args:
        name: the graph's name, for viewers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._counts: Counter[str] = Counter()

    def input(self, name: str, element_type: str, columns: int) -> str:
        """Declare an input of shape (N, columns) and return its name."""
        shape: list[str | int | None] = ["N", columns]
        self._inputs.append(helper.make_tensor_value_info(name, ELEMENT_TYPES[element_type], shape))
        return name

    def output(self, value: str, name: str, element_type: str, columns: int | None) -> None:
        """Make ``value`` an output called ``name`` of shape (N,), or (N, columns) where given."""
        shape: list[str | int | None] = ["N"] if columns is None else ["N", columns]
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(
            helper.make_tensor_value_info(name, ELEMENT_TYPES[element_type], shape)
        )

    def constant(self, value: np.ndarray[Any, Any] | np.generic, hint: str) -> str:
        """Store an array in the file and return its name; ``hint`` says what it is."""
        name = self._fresh(hint)
        self._constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one result and return that result's name."""
        name = self._fresh(operator.lower())
        self._nodes.append(
            helper.make_node(operator, list(inputs), [name], name=name, domain=domain, **attributes)
        )
        return name

    def columns(self, value: str, start: int, stop: int) -> str:
        """Cut columns ``start`` to ``stop`` of the last axis out, and return their name."""
        bounds = [self.constant(np.array([bound]), "bound") for bound in (start, stop, -1)]
        return self.add("Slice", value, *bounds)

    def model(self, metadata: dict[str, str], producer_version: str) -> onnx.ModelProto:
        """The finished model, with ``metadata`` as its metadata_props, not yet checked."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, self._constants
        )
        model = helper.make_model(
            graph,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid(domain, n) for domain, n in OPSETS.items()],
            producer_name="pigeonhole",
            producer_version=producer_version,
        )
        helper.set_model_props(model, metadata)
        return model

    def _fresh(self, hint: str) -> str:
        self._counts[hint] += 1
        return f"{hint}_{self._counts[hint]}"
