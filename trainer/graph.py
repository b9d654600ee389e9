"""An ONNX graph under construction: adding a node returns the name of its result.

Features and layers write themselves into a ``Graph``, each right below the numpy formula that it
repeats. They know nothing else of ``onnx``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 10
"""Pinned, because many installed runtimes can't read the default version of ``onnx``."""

OPSETS = {"": 21, "ai.onnx.ml": 3}
"""Versions of the operator sets, pinned for the same reason."""

ELEMENT_TYPES = {
    "double": TensorProto.DOUBLE,
    "float": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "string": TensorProto.STRING,
}


class Graph:
    """The nodes, constants, inputs and outputs of one ONNX graph, in the order of their addition.

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
        """Declare ``value`` as the output ``name``, of shape (N,), or (N, columns) if given."""
        shape: list[str | int | None] = ["N"] if columns is None else ["N", columns]
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(
            helper.make_tensor_value_info(name, ELEMENT_TYPES[element_type], shape)
        )

    def constant(self, value: np.ndarray[Any, Any] | np.generic, hint: str) -> str:
        """Store an array in the file and return its name, which starts with ``hint``."""
        name = self._unique_name(hint)
        self._constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one result and return the result's name."""
        name = self._unique_name(operator.lower())
        self._nodes.append(
            helper.make_node(operator, list(inputs), [name], name=name, domain=domain, **attributes)
        )
        return name

    def columns(self, value: str, start: int, stop: int) -> str:
        """Slice columns ``start`` to ``stop`` of the last axis and return the result's name."""
        bounds = [self.constant(np.array([bound]), "bound") for bound in (start, stop, -1)]
        return self.add("Slice", value, *bounds)

    def model(self, metadata: dict[str, str], producer_version: str) -> onnx.ModelProto:
        """Return the model, with ``metadata`` as its metadata_props; it is not checked yet."""
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

    def _unique_name(self, hint: str) -> str:
        self._counts[hint] += 1
        return f"{hint}_{self._counts[hint]}"
