"""The class names of a file made elsewhere, read from its graph.

Where an exporter leaves the ZipMap out, the probabilities are a plain matrix, and the names of its
columns stand inside the graph alone: at the node that the label comes from. So the way goes from
the label output backwards, until something holds a list of names:

- a classifier node, in its ``classlabels_`` attributes, or
- a node that picks from a constant list by place, which is how converters write most others.

Anything else ends the way, and no name is found. Where one classifier node gives both label and
probabilities, its names are those of the columns by what the operator means. All else is a claim of
the file: whoever takes it holds it against what the graph answers.

onnxruntime tells nothing of nodes, and the service has no other reader of ONNX, so this one takes
the few fields that it needs from the protobuf bytes. It looks at a bounded number of fields, and
copies nothing but names. Where it can't read on, it finds nothing: to refuse a file is not its part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

FIELD_LIMIT = 200_000
"""Fields and numbers that are looked at in one file, which takes some tenths of a second. Ensembles
of hundreds of members have tens of thousands; what a member learned isn't looked at."""

ML = "ai.onnx.ml"

CLASSIFIERS = {
    (ML, name) for name in ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")
}
"""Their first result is the label, and one of their attributes names the columns of the second."""

CLASS_LABELS = ("classlabels_strings", "classlabels_ints", "classlabels_int64s")

PICKING = {(ML, "ArrayFeatureExtractor"), ("", "Gather")}
"""Their first input is a list, their second the places of what they pick from it."""

PASSING = {
    ("", name)
    for name in ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
}
"""They give their first input in another form."""

UNMOVED = {("", name) for name in ("Cast", "Identity")}
"""Of those, what leaves every column where it is."""

CONSTANT = ("", "Constant")

# Wire types of protobuf. Groups, of which ONNX has none, are not read.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

VARINT_BITS = 64

LAST_OF_VARINT = 0x80
"""Each byte of a number is at least this, but for the last one."""

TEXT_BYTES = 64
"""So many bytes of text count as one field more, which bounds what names may take to some MB."""

# Numbers of fields, as in onnx.proto.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 4, 5, 7
ATTRIBUTE_NAME, ATTRIBUTE_TENSOR, ATTRIBUTE_INTS, ATTRIBUTE_STRINGS = 1, 5, 8, 9
TENSOR_DIMS, TENSOR_TYPE, TENSOR_STRINGS, TENSOR_NAME, TENSOR_RAW = 1, 2, 6, 8, 9

STRING = 8
"""The element type of tensors of text."""

WHOLE_NUMBERS = {6: (5, "<i4"), 7: (7, "<i8")}
"""By element type: the field of its values, and what the raw bytes that may stand instead hold."""

Value = int | memoryview
Message = dict[int, list[Value]]


class UnreadableGraph(Exception):
    """Bytes that are no ONNX model, say something twice, or hold more than is looked at."""


@dataclass(frozen=True)
class ClassNames:
    """What a graph's label is chosen from.

    Attributes:
        names: in the order of their places, whole numbers as their digits; empty where they can't
            be told.
        certain: whether they are surely the names of the probabilities' columns, in this order.
    """

    names: tuple[str, ...] = ()
    certain: bool = False


def find_class_names(content: bytes, label: str, probabilities: str) -> ClassNames:
    """Find the names of a graph's classes.

    Args:
        content: the bytes of the file, whatever they are.
        label: the output of the graph that is the label.
        probabilities: the output that is the probabilities.
    """
    try:
        names, certain = _Reader().names(memoryview(content), label, probabilities)
    except (UnreadableGraph, UnicodeDecodeError):
        return ClassNames()
    return ClassNames(tuple(names), certain and bool(names))


class _Reader:
    """Reads one file, and counts what it looks at."""

    def __init__(self) -> None:
        self._left = FIELD_LIMIT

    def names(self, model: memoryview, label: str, scores: str) -> tuple[list[str], bool]:
        """The names behind the label, and whether the scores come from where it comes from."""
        graph = self._message(_view(_only(self._message(model), MODEL_GRAPH)))
        wanted, picked = label, False
        # A node stands after those that it takes from, so once through them is the whole way.
        for value in reversed(graph.get(GRAPH_NODE, [])):
            node = self._message(_view(value))
            outputs = self._texts(node.get(NODE_OUTPUT, []))
            if wanted not in outputs and scores not in outputs:
                continue
            inputs = self._texts(node.get(NODE_INPUT, []))
            operator = (self._text(node, NODE_DOMAIN), self._text(node, NODE_OPERATOR))
            if scores in outputs and operator in UNMOVED and inputs:
                scores = inputs[0]
            if wanted not in outputs:
                continue
            if picked:
                return (self._constant(node) if operator == CONSTANT else []), False
            if operator in CLASSIFIERS and wanted == outputs[0]:
                return self._class_labels(node), scores in outputs[1:]
            if operator not in PASSING | PICKING or not inputs:
                return [], False
            wanted, picked = inputs[0], operator in PICKING
        return (self._initializer(graph, wanted) if picked else []), False

    def _class_labels(self, node: Message) -> list[str]:
        lists = []
        for name in CLASS_LABELS:
            for attribute in self._named(node, NODE_ATTRIBUTE, ATTRIBUTE_NAME, name):
                lists.append(self._texts(attribute.get(ATTRIBUTE_STRINGS, [])))
                lists.append(self._digits(attribute.get(ATTRIBUTE_INTS, [])))
        there = [names for names in lists if names]
        return there[0] if len(there) == 1 else []

    def _constant(self, node: Message) -> list[str]:
        values = self._named(node, NODE_ATTRIBUTE, ATTRIBUTE_NAME, "value")
        tensors = [self._message(_view(_only(value, ATTRIBUTE_TENSOR))) for value in values]
        return self._list(tensors[0]) if len(tensors) == 1 else []

    def _initializer(self, graph: Message, name: str) -> list[str]:
        tensors = self._named(graph, GRAPH_INITIALIZER, TENSOR_NAME, name)
        return self._list(tensors[0]) if len(tensors) == 1 else []

    def _list(self, tensor: Message) -> list[str]:
        """What a tensor of one row holds; nothing of another shape, or values kept elsewhere."""
        element_type = _only(tensor, TENSOR_TYPE)
        if element_type == STRING:
            names = self._texts(tensor.get(TENSOR_STRINGS, []))
        elif element_type in WHOLE_NUMBERS:
            field, raw = WHOLE_NUMBERS[element_type]
            names = self._digits(tensor.get(field, []))
            for value in tensor.get(TENSOR_RAW, []):
                names += self._raw_digits(_view(value), np.dtype(raw))
        else:
            return []
        dims = self._whole_numbers(tensor.get(TENSOR_DIMS, []))
        if not dims or dims[-1] != len(names) or any(size != 1 for size in dims[:-1]):
            return []
        return names

    def _raw_digits(self, raw: memoryview, dtype: np.dtype[np.signedinteger]) -> list[str]:
        self._count(len(raw) // dtype.itemsize)
        if len(raw) % dtype.itemsize:
            raise UnreadableGraph
        return [str(number) for number in np.frombuffer(raw, dtype).tolist()]

    def _digits(self, values: list[Value]) -> list[str]:
        return [str(number) for number in self._whole_numbers(values)]

    def _whole_numbers(self, values: list[Value]) -> list[int]:
        """Repeated whole numbers, each in a field of its own or many in one."""
        numbers = []
        for value in values:
            if isinstance(value, int):
                numbers.append(value)
                continue
            place = 0
            while place < len(value):
                self._count(1)
                number, place = _varint(value, place)
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
        """Those of the repeated messages in this field that have this name."""
        named = []
        for value in message.get(field, []):
            # No further than to the name: what follows may be the weights of a whole network.
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
        """Number and value of each field, from left to right; those of fixed size are left out."""
        place = 0
        while place < len(content):
            self._count(1)
            key, place = _varint(content, place)
            field, wire_type = key >> 3, key & 7
            if wire_type == VARINT:
                value, place = _varint(content, place)
                yield field, value
            elif wire_type == LENGTH:
                size, place = _varint(content, place)
                if size > len(content) - place:
                    raise UnreadableGraph
                yield field, content[place : place + size]
                place += size
            elif wire_type in FIXED_BYTES:
                place += FIXED_BYTES[wire_type]
            else:
                raise UnreadableGraph

    def _count(self, more: int) -> None:
        self._left -= more
        if self._left < 0:
            raise UnreadableGraph


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits, 7 in a byte, and the place after it."""
    number = 0
    for shift in range(0, VARINT_BITS, 7):
        if place >= len(content):
            raise UnreadableGraph
        byte = content[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < LAST_OF_VARINT:
            return number & ((1 << VARINT_BITS) - 1), place
    raise UnreadableGraph


def _only(message: Message, field: int) -> Value:
    """The value of a field that must stand there once: of several, readers differ in what counts."""
    values = message.get(field, [])
    if len(values) != 1:
        raise UnreadableGraph
    return values[0]


def _view(value: Value) -> memoryview:
    if isinstance(value, int):
        raise UnreadableGraph
    return value
