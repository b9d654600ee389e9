"""A model's signature as TensorFlow Serving's metadata tells it: a ``SignatureDef`` in JSON.

What is told is how rows are asked with ``:predict``: each feature is a tensor with a value a row.
"""

from __future__ import annotations

from typing import Any

from ...model.artifact import Model
from ...model.signature import Kind

DTYPES = {
    Kind.NUMBER: "DT_DOUBLE",
    Kind.BOOLEAN: "DT_BOOL",
    Kind.DATETIME: "DT_STRING",
    Kind.CATEGORY: "DT_STRING",
}
"""TensorFlow's name of what stands in JSON for a feature of each kind."""

ANY = -1
"""The size of a dimension that may be anything: the number of rows."""


def metadata_of(model: Model) -> dict[str, Any]:
    """The answer of ``/v1/models/{name}/metadata``."""
    signature = model.signature
    inputs = {
        feature.name: _tensor(feature.name, DTYPES[feature.kind], ANY)
        for feature in signature.features
    }
    outputs = {
        "label": _tensor("label", "DT_STRING", ANY),
        "probability": _tensor("probability", "DT_FLOAT", ANY),
        "probabilities": _tensor("probabilities", "DT_FLOAT", ANY, len(signature.classes)),
    }
    serving_default = {
        "inputs": inputs,
        "outputs": outputs,
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": str(model.version)},
        # Twice, as it is where protocol buffers are written as JSON: a map in a message.
        "metadata": {"signature_def": {"signature_def": {"serving_default": serving_default}}},
    }


def _tensor(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "tensor_shape": {
            # 64-bit integers are texts in the JSON of protocol buffers.
            "dim": [{"size": str(size), "name": ""} for size in shape],
            "unknown_rank": False,
        },
        "name": f"{name}:0",
    }
