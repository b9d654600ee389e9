"""Answers as tables: CSV, .npy and Arrow, for those who ask for them by ``Accept``.

A table has no place for the model, so headers tell it; what was unusual in the rows is told in JSON
alone.
"""

from __future__ import annotations

import csv
import io
from http import HTTPStatus

import numpy as np

from ..inference.protocol import InferenceResult
from ..reply import Response, model_headers
from .arrow_format import STREAM

# The bare type, without a charset: SageMaker's deserializers compare it letter by letter.
CSV, NPY = "text/csv", "application/x-npy"


def csv_answer(answered: InferenceResult, *, has_header: bool = True) -> Response:
    """A header line, then a line a row; numbers read back as the same bits."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if has_header:
        writer.writerow(_names(answered))
    writer.writerows(
        (label, probability, *row)
        for label, probability, row in zip(
            answered.prediction.labels,
            _probability(answered).tolist(),
            answered.prediction.probabilities.tolist(),
            strict=True,
        )
    )
    return _reply(answered, text.getvalue().encode("utf-8"), CSV)


def npy_answer(answered: InferenceResult) -> Response:
    """The probabilities alone, float32 (rows, classes), in the order of the signature's classes."""
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(answered.prediction.probabilities), allow_pickle=False)
    return _reply(answered, content.getvalue(), NPY)


def arrow_answer(answered: InferenceResult) -> Response:
    """A stream of one batch with the columns of the CSV answer: text, then float32."""
    import pyarrow as pa  # noqa: PLC0415 - only who asks for Arrow pays for it

    columns = [
        pa.array(answered.prediction.labels, pa.string()),
        pa.array(_probability(answered)),
        *(pa.array(column) for column in answered.prediction.probabilities.T),
    ]
    batch = pa.RecordBatch.from_arrays(columns, _names(answered))
    content = pa.BufferOutputStream()
    with pa.ipc.new_stream(content, batch.schema) as stream:
        stream.write_batch(batch)
    return _reply(answered, content.getvalue().to_pybytes(), STREAM)


def _names(answered: InferenceResult) -> list[str]:
    classes = answered.model.signature.classes
    return ["label", "probability", *(f"probability_{name}" for name in classes)]


def _probability(answered: InferenceResult) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The probability of each row's label."""
    prediction = answered.prediction
    places = {label: place for place, label in enumerate(answered.model.signature.classes)}
    chosen = np.array([places[label] for label in prediction.labels], np.intp)
    return prediction.probabilities[np.arange(len(chosen)), chosen]


def _reply(answered: InferenceResult, body: bytes, content_type: str) -> Response:
    return Response(HTTPStatus.OK, body, content_type, model_headers(answered.model))
