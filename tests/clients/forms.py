"""Every form in which rows can be asked and answered: how each is written, and how it is read.

What stands here knows the protocols as their clients do and nothing of the service's own code, so
that a form can't be right here only because both sides are wrong in one way.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

Row = Mapping[str, Any]

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"

NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"

LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Asked:
    """A model as a client knows it.

    Attributes:
        name: of the model.
        features: name and kind of each, in signature order.
        classes: in signature order.
    """

    name: str
    features: Sequence[tuple[str, str]]
    classes: Sequence[str]

    @property
    def names(self) -> list[str]:
        """The features' names."""
        return [name for name, _ in self.features]


@dataclass(frozen=True)
class Sent:
    """A request without its method, which is POST."""

    path: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InferenceResult:
    """What an answer says of its rows.

    Attributes:
        labels: None where the form has no place for them.
        probabilities: float32 (rows, classes).
    """

    labels: list[str] | None
    probabilities: np.ndarray


def exactly(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Probabilities as float32; what is written in decimals must be one to the last digit."""
    doubles = np.array(rows, np.float64)
    singles = doubles.astype(np.float32)
    assert (singles == doubles).all()
    return singles


Read = Callable[[httpx.Response, Asked], InferenceResult]
Write = Callable[[Asked, Sequence[Row]], Sent]


@dataclass(frozen=True)
class Form:
    """A way to ask and a way to be answered.

    Attributes:
        write: makes the request.
        read: reads the answer.
        takes: whether rows of a model can be written so.
        points: whether its errors name the rows' problems, each with its row and feature.
    """

    write: Write
    read: Read
    takes: Callable[[Asked], bool] = lambda asked: True
    accept: str | None = None


def _predictions(answer: httpx.Response, asked: Asked) -> InferenceResult:
    return _of_predictions(answer.json()["predictions"], asked)


def _of_predictions(predictions: Sequence[Mapping[str, Any]], asked: Asked) -> InferenceResult:
    for one in predictions:
        assert one["probability"] == one["probabilities"][one["label"]]
    rows = [[one["probabilities"][name] for name in asked.classes] for one in predictions]
    return InferenceResult([one["label"] for one in predictions], exactly(rows))


def _outputs(answer: httpx.Response, asked: Asked) -> InferenceResult:
    outputs = answer.json()["outputs"]
    columns = [outputs["probabilities"][name] for name in asked.classes]
    return InferenceResult(outputs["label"], exactly(list(zip(*columns, strict=True))))


def _lines(answer: httpx.Response, asked: Asked) -> InferenceResult:
    assert answer.headers["Content-Type"] == NDJSON
    return _of_predictions([json.loads(line) for line in answer.text.splitlines()], asked)


def _results(answer: httpx.Response, asked: Asked) -> InferenceResult:
    results = answer.json()["results"]
    assert [[label for label, _ in pairs] for pairs in results] == [
        list(asked.classes) for _ in results
    ]
    return InferenceResult(None, exactly([[score for _, score in pairs] for pairs in results]))


def _csv_answer(answer: httpx.Response, asked: Asked) -> InferenceResult:
    table = list(csv.DictReader(io.StringIO(answer.text)))
    rows = [[float(row[f"probability_{name}"]) for name in asked.classes] for row in table]
    return InferenceResult([row["label"] for row in table], exactly(rows))


def _npy_answer(answer: httpx.Response, asked: Asked) -> InferenceResult:
    probabilities = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert probabilities.dtype == np.float32
    assert probabilities.shape[1] == len(asked.classes)
    return InferenceResult(None, probabilities)


def _arrow_answer(answer: httpx.Response, asked: Asked) -> InferenceResult:
    table = pa.ipc.open_stream(answer.content).read_all()
    columns = [table.column(f"probability_{name}") for name in asked.classes]
    assert {str(column.type) for column in columns} == {"float"}
    rows = np.array([column.to_numpy() for column in columns]).T
    return InferenceResult(table.column("label").to_pylist(), rows)


def _tensors(answer: httpx.Response, asked: Asked) -> InferenceResult:
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    rows = np.array(outputs["probabilities"]).reshape(-1, len(asked.classes))
    return InferenceResult(outputs["label"], exactly(rows))


def _tensor_bytes(answer: httpx.Response, asked: Asked) -> InferenceResult:
    length = int(answer.headers[LENGTH])
    found: dict[str, bytes] = {}
    at = length
    for output in json.loads(answer.content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = answer.content[at : at + size]
        at += size
    assert at == len(answer.content)
    labels, rest = [], found["label"]
    while rest:
        size = int.from_bytes(rest[:4], "little")
        labels.append(rest[4 : 4 + size].decode())
        rest = rest[4 + size :]
    probabilities = np.frombuffer(found["probabilities"], "<f4")
    return InferenceResult(labels, probabilities.reshape(-1, len(asked.classes)))


def _classification(answer: httpx.Response, asked: Asked) -> InferenceResult:
    (output,) = answer.json()["outputs"]
    count = len(asked.classes)
    rows = np.zeros((output["shape"][0], count))
    for place, text in enumerate(output["data"]):
        score, index, label = text.split(":", 2)
        assert asked.classes[int(index)] == label
        rows[place // count, int(index)] = float(score)
    return InferenceResult(None, exactly(rows))


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def _rows_at(path: str, key: str, *, listed: bool = False) -> Write:
    """Rows as JSON under a key."""

    def write(asked: Asked, rows: Sequence[Row]) -> Sent:
        values = [[row.get(name) for name in asked.names] for row in rows] if listed else list(rows)
        return Sent(path.format(name=asked.name), _encoded({key: values}), {"Content-Type": JSON})

    return write


def _columns_at(path: str) -> Write:
    def write(asked: Asked, rows: Sequence[Row]) -> Sent:
        columns = {name: [row.get(name) for row in rows] for name in asked.names}
        return Sent(path.format(name=asked.name), _encoded({"inputs": columns}))

    return write


def _split_at(path: str) -> Write:
    def write(asked: Asked, rows: Sequence[Row]) -> Sent:
        names = asked.names[::-1]
        frame = {"columns": names, "data": [[row.get(name) for name in names] for row in rows]}
        return Sent(path, _encoded({"dataframe_split": frame}), {"Content-Type": JSON})

    return write


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case _:
            return str(value)


def _csv_at(path: str, *, header: bool = True) -> Write:
    def write(asked: Asked, rows: Sequence[Row]) -> Sent:
        written = io.StringIO()
        table = csv.writer(written, lineterminator="\n")
        if header:
            table.writerow(asked.names)
        table.writerows([_cell(row.get(name)) for name in asked.names] for row in rows)
        media_type = CSV if header else f"{CSV}; header=absent"
        return Sent(path, written.getvalue().encode(), {"Content-Type": media_type})

    return write


def _lines_at(path: str, *, listed: bool = False) -> Write:
    def write(asked: Asked, rows: Sequence[Row]) -> Sent:
        values = [[row.get(name) for name in asked.names] for row in rows] if listed else rows
        content = b"".join(_encoded(row) + b"\n" for row in values)
        return Sent(path.format(name=asked.name), content, {"Content-Type": NDJSON})

    return write


def _as_number(kind: str, value: Any) -> float:
    """What stands for a value among numbers."""
    if value is None:
        return math.nan
    if kind == "datetime":
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    return float(value)


def _matrix(asked: Asked, rows: Sequence[Row]) -> np.ndarray:
    """Every feature that is no category, (rows, features)."""
    features = [(name, kind) for name, kind in asked.features if kind != "category"]
    return np.array([[_as_number(kind, row.get(name)) for name, kind in features] for row in rows])


def _texts(asked: Asked, rows: Sequence[Row]) -> list[list[str]]:
    names = [name for name, kind in asked.features if kind == "category"]
    return [["" if row.get(name) is None else str(row[name]) for name in names] for row in rows]


def _npy_matrix(asked: Asked, rows: Sequence[Row]) -> Sent:
    return _saved(_matrix(asked, rows))


def _npy_fields(asked: Asked, rows: Sequence[Row]) -> Sent:
    """A structured array: each feature by its name."""
    types = {"number": "<f8", "boolean": "?", "datetime": "<f8", "category": "<U40"}
    array = np.zeros(len(rows), [(name, types[kind]) for name, kind in asked.features])
    for name, kind in asked.features:
        for place, row in enumerate(rows):
            value = row.get(name)
            if kind == "category":
                array[name][place] = "" if value is None else value
            else:
                array[name][place] = _as_number(kind, value)
    return _saved(array)


def _saved(array: np.ndarray) -> Sent:
    written = io.BytesIO()
    np.save(written, array)
    return Sent("/predict", written.getvalue(), {"Content-Type": NPY})


def _arrow(asked: Asked, rows: Sequence[Row]) -> Sent:
    types = {"number": pa.float64(), "boolean": pa.bool_(), "category": pa.string()}
    columns = {}
    for name, kind in asked.features:
        values = [row.get(name) for row in rows]
        if kind == "datetime":
            seconds = [None if v is None else int(_as_number(kind, v) * 1e6) for v in values]
            columns[name] = pa.array(seconds, pa.timestamp("us"))
        else:
            columns[name] = pa.array(values, types[kind])
    table = pa.table(columns)
    written = io.BytesIO()
    with pa.ipc.new_stream(written, table.schema) as stream:
        stream.write_table(table)
    return Sent("/predict", written.getvalue(), {"Content-Type": ARROW})


def _packed(write: Write) -> Write:
    def packed(asked: Asked, rows: Sequence[Row]) -> Sent:
        sent = write(asked, rows)
        headers = {**sent.headers, "Content-Encoding": "gzip"}
        return Sent(sent.path, gzip.compress(sent.content), headers)

    return packed


def _graph_tensors(*, binary: bool, **request: Any) -> Write:
    """The tensors of a trained graph: numbers, and categories where it has any."""

    def write(asked: Asked, rows: Sequence[Row]) -> Sent:
        numbers, texts = _matrix(asked, rows), _texts(asked, rows)
        tensors = []
        if numbers.size:
            tensors.append(("numbers", "FP64", numbers.shape, numbers.ravel().tolist()))
        if texts[0]:
            flat = [text for row in texts for text in row]
            tensors.append(("categories", "BYTES", (len(rows), len(texts[0])), flat))
        return _v2(asked, tensors, request, binary=binary)

    return write


def _feature_tensors(*, binary: bool, **request: Any) -> Write:
    """A tensor for each feature, of which one that is nowhere given is left out."""
    datatypes = {"number": "FP64", "boolean": "BOOL", "datetime": "BYTES", "category": "BYTES"}

    def write(asked: Asked, rows: Sequence[Row]) -> Sent:
        tensors = []
        for name, kind in asked.features:
            values: list[Any] = [row.get(name) for row in rows]
            if datatypes[kind] == "BYTES":
                values = ["" if value is None else value for value in values]
            elif binary and kind == "number":
                values = [math.nan if value is None else value for value in values]
            tensors.append((name, datatypes[kind], (len(rows),), values))
        return _v2(asked, tensors, request, binary=binary)

    return write


def _v2(
    asked: Asked,
    tensors: Sequence[tuple[str, str, Sequence[int], list[Any]]],
    request: Mapping[str, Any],
    *,
    binary: bool,
) -> Sent:
    inputs, behind = [], b""
    for name, datatype, shape, values in tensors:
        told: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(shape)}
        if binary:
            content = _tensor_content(datatype, values)
            told["parameters"] = {"binary_data_size": len(content)}
            behind += content
        else:
            told["data"] = [None if value != value else value for value in values]  # noqa: PLR0124 - NaN
        inputs.append(told)
    head = _encoded({"inputs": inputs, **request})
    headers = {LENGTH: str(len(head))} if binary else {}
    return Sent(f"/v2/models/{asked.name}/infer", head + behind, headers)


def _tensor_content(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.array(values, {"FP64": "<f8", "BOOL": "u1"}[datatype]).tobytes()


def _has_no_texts(asked: Asked) -> bool:
    return all(kind != "category" for _, kind in asked.features)


_MODEL = "/v1/models/{name}:predict"

_ALL_CLASSES = [{"name": "probabilities", "parameters": {"classification": 99}}]

FORMS: dict[str, Form] = {
    "objects": Form(_rows_at("/predict", "instances"), _predictions),
    "lists": Form(_rows_at("/predict", "instances", listed=True), _predictions),
    "columns": Form(_columns_at("/predict"), _outputs),
    "rows as inputs": Form(_rows_at("/predict", "inputs"), _outputs),
    "objects in gzip": Form(_packed(_rows_at("/predict", "instances")), _predictions),
    "csv": Form(_csv_at("/predict"), _predictions),
    "csv without a header": Form(_csv_at("/predict", header=False), _predictions),
    "ndjson objects": Form(_lines_at("/predict"), _lines),
    "ndjson lists": Form(_lines_at(_MODEL, listed=True), _lines),
    "npy": Form(_npy_matrix, _predictions, _has_no_texts),
    "npy by names": Form(_npy_fields, _predictions),
    "arrow": Form(_arrow, _predictions),
    "answered in csv": Form(_rows_at("/predict", "instances"), _csv_answer, accept=CSV),
    "answered in npy": Form(_rows_at("/predict", "instances"), _npy_answer, accept=NPY),
    "answered in arrow": Form(_rows_at("/predict", "instances"), _arrow_answer, accept=ARROW),
    "arrow both ways": Form(_arrow, _arrow_answer, accept=ARROW),
    "model objects": Form(_rows_at(_MODEL, "instances"), _predictions),
    "model columns": Form(_columns_at(_MODEL), _outputs),
    "version lists": Form(
        _rows_at("/v1/models/{name}/versions/1:predict", "instances", listed=True), _predictions
    ),
    "classify": Form(_rows_at("/v1/models/{name}:classify", "examples"), _results),
    "v2 json": Form(_graph_tensors(binary=False), _tensors),
    "v2 bytes": Form(
        _graph_tensors(binary=True, parameters={"binary_data_output": True}), _tensor_bytes
    ),
    "v2 features": Form(_feature_tensors(binary=False), _tensors),
    "v2 features as bytes": Form(_feature_tensors(binary=True), _tensors),
    "v2 classification": Form(_graph_tensors(binary=False, outputs=_ALL_CLASSES), _classification),
    "invocations split": Form(_split_at("/invocations"), _predictions),
    "invocations records": Form(_rows_at("/invocations", "dataframe_records"), _predictions),
    "invocations instances": Form(_rows_at("/invocations", "instances", listed=True), _predictions),
    "invocations inputs": Form(_columns_at("/invocations"), _predictions),
    "invocations csv": Form(_csv_at("/invocations"), _predictions),
    "invocations csv both ways": Form(_csv_at("/invocations"), _csv_answer, accept=CSV),
    "invocations lines": Form(_lines_at("/invocations"), _lines),
}
"""Every form, by a name of its own."""
