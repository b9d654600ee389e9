"""Find the class names of a model file without metadata in its ONNX graph.

Without a ZipMap, the probabilities are a plain matrix. The names of its columns are then only in the
node that the label comes from. So the search starts at the label output and follows the nodes
backwards until one of them holds a list of names:

- a classifier node, in its ``classlabels_`` attributes, or
- a node that picks from a constant list by index, as most converters write it.

The search ends without names at any other node. The names are certain if one classifier node returns
both label and probabilities, because the operator defines their order. Otherwise the caller must
compare the names with the graph's answers.

onnxruntime does not give access to nodes, and the service does not depend on ``onnx``. So this module
parses the few protobuf fields that it needs. It reads a bounded number of fields and copies only
names. If it can't parse a file, it returns no names, and leaves rejecting the file to others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

FIELD_LIMIT = 200_000
"""Limit of fields and numbers read from one file, which takes some tenths of a second. Ensembles of
hundreds of members have tens of thousands, because learned parameters are not read."""

ML = "ai.onnx.ml"

CLASSIFIER_OPERATORS = {
    (ML, name) for name in ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")
}
"""Operators whose first output is the label. An attribute names the columns of the second output."""

CLASS_LABELS = ("classlabels_strings", "classlabels_ints", "classlabels_int64s")

PICK_OPERATORS = {(ML, "ArrayFeatureExtractor"), ("", "Gather")}
"""Operators whose first input is a list, and whose second input is the indices to pick from it."""

RESHAPE_OPERATORS = {
    ("", name)
    for name in ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
}
"""Operators that return their first input in another type or shape."""

COLUMN_PRESERVING = {("", name) for name in ("Cast", "Identity")}
"""Reshape operators that keep the order of columns."""

CONSTANT = ("", "Constant")

# Wire types of protobuf, except groups, which ONNX does not use.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

VARINT_BITS = 64

CONTINUATION_BIT = 0x80
"""Set in every byte of a varint except the last one."""

TEXT_BYTES = 64
"""Bytes of text that count as one field. This limits the memory of names to a few MB."""

# Field numbers of onnx.proto.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 4, 5, 7
ATTRIBUTE_NAME, ATTRIBUTE_TENSOR, ATTRIBUTE_INTS, ATTRIBUTE_STRINGS = 1, 5, 8, 9
TENSOR_DIMS, TENSOR_TYPE, TENSOR_STRINGS, TENSOR_NAME, TENSOR_RAW = 1, 2, 6, 8, 9

STRING = 8
"""Element type of tensors of strings."""

INTEGERS = {6: (5, "<i4"), 7: (7, "<i8")}
"""By element type: the field of its values, and the numpy type of raw bytes used instead."""

Value = int | memoryview
Message = dict[int, list[Value]]


class UnreadableGraph(Exception):
    """Bytes are not an ONNX model, repeat a single-valued field, or exceed the limit."""


@dataclass(frozen=True)
class ClassNames:
    """The class names found in a graph.

    Attributes:
        names: in the order of their indices, with integers as digits; empty if none were found.
        certain: whether they surely name the columns of the probabilities in this order.
    """

    names: tuple[str, ...] = ()
    certain: bool = False


def find_class_names(content: bytes, label: str, probabilities: str) -> ClassNames:
    """Return the class names in a graph.

    Args:
        content: the bytes of the file.
        label: the graph's output of labels.
        probabilities: the graph's output of probabilities.
    """
    try:
        names, certain = _Reader().find_names(memoryview(content), label, probabilities)
    except (UnreadableGraph, UnicodeDecodeError):
        return ClassNames()
    return ClassNames(tuple(names), certain and bool(names))


class _Reader:
    """Parses one file and counts the fields that it reads."""

    def __init__(self) -> None:
        self._remaining = FIELD_LIMIT

    def find_names(
        self, model: memoryview, label: str, probabilities: str
    ) -> tuple[list[str], bool]:
        """Return the names behind the label, and whether one node returns both outputs."""
        graph = self._message(_view(_only(self._message(model), MODEL_GRAPH)))
        is_picked = False
        # Nodes are in topological order, so one pass in reverse follows the whole path.
        for value in reversed(graph.get(GRAPH_NODE, [])):
            node = self._message(_view(value))
            outputs = self._texts(node.get(NODE_OUTPUT, []))
            if label not in outputs and probabilities not in outputs:
                continue
            inputs = self._texts(node.get(NODE_INPUT, []))
            operator = (self._text(node, NODE_DOMAIN), self._text(node, NODE_OPERATOR))
            if probabilities in outputs and operator in COLUMN_PRESERVING and inputs:
                probabilities = inputs[0]
            if label not in outputs:
                continue
            if is_picked:
                return (self._constant(node) if operator == CONSTANT else []), False
            if operator in CLASSIFIER_OPERATORS and label == outputs[0]:
                return self._class_labels(node), probabilities in outputs[1:]
            if operator not in RESHAPE_OPERATORS | PICK_OPERATORS or not inputs:
                return [], False
            label, is_picked = inputs[0], operator in PICK_OPERATORS
        return (self._initializer(graph, label) if is_picked else []), False

    def _class_labels(self, node: Message) -> list[str]:
        lists = []
        for name in CLASS_LABELS:
            for attribute in self._named(node, NODE_ATTRIBUTE, ATTRIBUTE_NAME, name):
                lists.append(self._texts(attribute.get(ATTRIBUTE_STRINGS, [])))
                lists.append(self._digits(attribute.get(ATTRIBUTE_INTS, [])))
        non_empty = [names for names in lists if names]
        return non_empty[0] if len(non_empty) == 1 else []

    def _constant(self, node: Message) -> list[str]:
        values = self._named(node, NODE_ATTRIBUTE, ATTRIBUTE_NAME, "value")
        tensors = [self._message(_view(_only(value, ATTRIBUTE_TENSOR))) for value in values]
        return self._list(tensors[0]) if len(tensors) == 1 else []

    def _initializer(self, graph: Message, name: str) -> list[str]:
        tensors = self._named(graph, GRAPH_INITIALIZER, TENSOR_NAME, name)
        return self._list(tensors[0]) if len(tensors) == 1 else []

    def _list(self, tensor: Message) -> list[str]:
        """Return the values of a tensor with one row; empty for other shapes and external data."""
        element_type = _only(tensor, TENSOR_TYPE)
        if element_type == STRING:
            names = self._texts(tensor.get(TENSOR_STRINGS, []))
        elif element_type in INTEGERS:
            field, raw = INTEGERS[element_type]
            names = self._digits(tensor.get(field, []))
            for value in tensor.get(TENSOR_RAW, []):
                names += self._raw_digits(_view(value), np.dtype(raw))
        else:
            return []
        dims = self._integers(tensor.get(TENSOR_DIMS, []))
        if not dims or dims[-1] != len(names) or any(size != 1 for size in dims[:-1]):
            return []
        return names

    def _raw_digits(self, raw: memoryview, dtype: np.dtype[np.signedinteger]) -> list[str]:
        self._count(len(raw) // dtype.itemsize)
        if len(raw) % dtype.itemsize:
            raise UnreadableGraph
        return [str(number) for number in np.frombuffer(raw, dtype).tolist()]

    def _digits(self, values: list[Value]) -> list[str]:
        return [str(number) for number in self._integers(values)]

    def _integers(self, values: list[Value]) -> list[int]:
        """Return a repeated integer field, packed or not."""
        numbers = []
        for value in values:
            if isinstance(value, int):
                numbers.append(value)
                continue
            position = 0
            while position < len(value):
                self._count(1)
                number, position = _varint(value, position)
                numbers.append(number)
        half = 1 << (VARINT_BITS - 1)
        return [number - 2 * half if number >= half else number for number in numbers]

    def _text(self, message: Message, field: int) -> str:
        return self._texts([_only(message, field)])[0] if field in message else ""

    def _texts(self, values: list[Value]) -> list[str]:
        views = [_view(value) for value in values]
        self._count(sum(map(len, views)) // TEXT_BYTES)
        return [str(view, "utf-8") for view in views]

    def _named(self, message: Message, field: int, name_field: int, name: str) -> list[Message]:
        """Return the messages in a repeated field that have this name."""
        named = []
        for value in message.get(field, []):
            # Read up to the name only, because the weights of a network may follow.
            found = next((v for f, v in self._fields(_view(value)) if f == name_field), None)
            if found is not None and bytes(_view(found)[: len(name) + 1]) == name.encode():
                named.append(self._message(_view(value)))
        return named

    def _message(self, content: memoryview) -> Message:
        message: Message = {}
        for field, value in self._fields(content):
            message.setdefault(field, []).append(value)
        return message

    def _fields(self, content: memoryview) -> Iterator[tuple[int, Value]]:
        """Yield number and value of each field in order, except fields of fixed size."""
        position = 0
        while position < len(content):
            self._count(1)
            key, position = _varint(content, position)
            field, wire_type = key >> 3, key & 7
            if wire_type == VARINT:
                value, position = _varint(content, position)
                yield field, value
            elif wire_type == LENGTH:
                size, position = _varint(content, position)
                if size > len(content) - position:
                    raise UnreadableGraph
                yield field, content[position : position + size]
                position += size
            elif wire_type in FIXED_BYTES:
                position += FIXED_BYTES[wire_type]
            else:
                raise UnreadableGraph

    def _count(self, fields: int) -> None:
        """Count fields that are read."""
        self._remaining -= fields
        if self._remaining < 0:
            raise UnreadableGraph


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """Return an unsigned integer of at most 64 bits, 7 in a byte, and the position after it."""
    number = 0
    for shift in range(0, VARINT_BITS, 7):
        if position >= len(content):
            raise UnreadableGraph
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if not byte & CONTINUATION_BIT:
            return number & ((1 << VARINT_BITS) - 1), position
    raise UnreadableGraph


def _only(message: Message, field: int) -> Value:
    """Return the value of a single-valued field; reject repeats, which parsers read differently."""
    values = message.get(field, [])
    if len(values) != 1:
        raise UnreadableGraph
    return values[0]


def _view(value: Value) -> memoryview:
    if isinstance(value, int):
        raise UnreadableGraph
    return value
