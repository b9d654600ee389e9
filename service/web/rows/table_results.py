"""Predictions as tables, selected by Accept: CSV, .npy and Arrow.

Headers name the model. Warnings about values outside the training range exist only in JSON.
"""

from __future__ import annotations

import csv
import io
from http import HTTPStatus

import numpy as np

from ..inference.protocol import InferenceResult
from ..response import Response, model_headers
from .arrow_format import STREAM

# Without a charset: SageMaker's deserializers compare the whole Content-Type.
CSV, NPY = "text/csv", "application/x-npy"


def encode_csv(result: InferenceResult, *, has_header: bool = True) -> Response:
    """Return a CSV response: a header line, then one line per row; numbers have all their digits."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if has_header:
        writer.writerow(_column_names(result))
    writer.writerows(
        (label, probability, *row)
        for label, probability, row in zip(
            result.prediction.labels,
            _label_probabilities(result).tolist(),
            result.prediction.probabilities.tolist(),
            strict=True,
        )
    )
    return _reply(result, text.getvalue().encode("utf-8"), CSV)


def encode_npy(result: InferenceResult) -> Response:
    """Return the probabilities as .npy: float32 (rows, classes), in signature order."""
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(result.prediction.probabilities), allow_pickle=False)
    return _reply(result, content.getvalue(), NPY)


def encode_arrow(result: InferenceResult) -> Response:
    """Return an Arrow stream of one batch, with the columns of the CSV response."""
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency that takes long to import

    columns = [
        pa.array(result.prediction.labels, pa.string()),
        pa.array(_label_probabilities(result)),
        *(pa.array(column) for column in result.prediction.probabilities.T),
    ]
    batch = pa.RecordBatch.from_arrays(columns, _column_names(result))
    content = pa.BufferOutputStream()
    with pa.ipc.new_stream(content, batch.schema) as stream:
        stream.write_batch(batch)
    return _reply(result, content.getvalue().to_pybytes(), STREAM)


def _column_names(result: InferenceResult) -> list[str]:
    classes = result.model.signature.classes
    return ["label", "probability", *(f"probability_{name}" for name in classes)]


def _label_probabilities(result: InferenceResult) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return the probability of each row's label, float32 (rows,)."""
    prediction = result.prediction
    indexes = {label: index for index, label in enumerate(result.model.signature.classes)}
    chosen = np.array([indexes[label] for label in prediction.labels], np.intp)
    return prediction.probabilities[np.arange(len(chosen)), chosen]


def _reply(result: InferenceResult, body: bytes, content_type: str) -> Response:
    return Response(HTTPStatus.OK, body, content_type, model_headers(result.model))
