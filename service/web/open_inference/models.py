"""Metadata, readiness, configuration and statistics of the Open Inference Protocol (V2).

Statistics and configuration are Triton's extensions. Metadata lists the tensors of the graph and, if
the file describes its features, a tensor per feature. Clients send rows in either form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np
from flask import Blueprint, Response

from pigeonhole import __version__

from ...errors import UnknownVersion
from ...model.artifact import Model
from ...model.session import GraphInput
from ...model.signature import Kind
from ...serving.live_models import LiveModels, ModelState
from ...serving.statistics import Statistics
from ..errors import JSON, NOT_READY
from .datatypes import BF16, BOOL, BYTES, ELEMENTS
from .protocol import LABEL, PROBABILITIES

NAME = "pigeonhole"

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
)
"""Supported extensions, by Triton's names."""

PLATFORM = "onnx_onnxv1"
"""The protocol's name for models in ONNX."""

TRITON_PLATFORM, TRITON_BACKEND = "onnxruntime_onnx", "onnxruntime"
"""Triton's names for the same."""

ANY = -1
"""A dimension of variable size."""

FP32, FP64 = "FP32", "FP64"

GRAPH_DATATYPES: dict[np.dtype[Any], str] = {
    **{dtype: name for name, dtype in ELEMENTS.items() if name not in (BOOL, BF16)},
    np.dtype(np.bool_): BOOL,
    np.dtype(np.object_): BYTES,
}
"""Datatypes of a graph's inputs."""

FEATURE_DATATYPES = {
    Kind.NUMBER: FP64,
    Kind.BOOLEAN: BOOL,
    Kind.DATETIME: BYTES,
    Kind.CATEGORY: BYTES,
}
"""Datatypes of tensors that hold one feature; other widths are accepted too."""


class _TensorMetadata(msgspec.Struct, frozen=True):
    """A tensor in the metadata."""

    name: str
    datatype: str
    shape: list[int]


def open_inference_models_blueprint(
    live: LiveModels, statistics: Callable[[], Mapping[tuple[str, int], Statistics]], max_rows: int
) -> Blueprint:
    """Return the blueprint of ``GET /v2`` and of the routes below ``/v2/models``.

    Args:
        live: the live models.
        statistics: returns the statistics of every version, over all workers.
        max_rows: most rows per request.
    """
    blueprint = Blueprint("open_inference_models", __name__)

    def get(path: str, view: Callable[..., Response]) -> None:
        """Add a path below a model (its newest version) and below each version."""
        for middle in ("", "/versions/<version>"):
            rule = f"/v2/models/<name>{middle}{path}"
            blueprint.add_url_rule(rule, view_func=view, methods=["GET"])

    @blueprint.get("/v2")
    def server_metadata() -> Response:
        return _json({"name": NAME, "version": __version__, "extensions": EXTENSIONS})

    @blueprint.get("/v2/models")
    def model_names() -> Response:
        return _json({"models": sorted(live.states)})

    @blueprint.get("/v2/models/stats")
    def all_statistics() -> Response:
        states = sorted(live.states.items())
        versions = [(name, version) for name, state in states for version in sorted(state.live)]
        return _json(_model_statistics(versions, statistics()))

    def model_metadata(name: str, version: str | None = None) -> Response:
        return _json(metadata(live.find(name, version), live.state(name)))

    def model_ready(name: str, version: str | None = None) -> Response:
        body = readiness(name, version, live.state(name))
        status = HTTPStatus.OK if body["ready"] else HTTPStatus.SERVICE_UNAVAILABLE
        return _json(body, status)

    def model_statistics(name: str, version: str | None = None) -> Response:
        model = live.find(name, version)
        versions = [model.version] if version else sorted(live.state(name).live)
        return _json(_model_statistics([(name, number) for number in versions], statistics()))

    def model_config(name: str, version: str | None = None) -> Response:
        return _json(configuration(live.find(name, version), max_rows))

    get("", model_metadata)
    get("/ready", model_ready)
    get("/stats", model_statistics)
    get("/config", model_config)
    return blueprint


def readiness(name: str, version: str | None, state: ModelState) -> dict[str, Any]:
    """Return the body of a readiness response: of a model, or of one version.

    If it is not live, the body has the keys of an error too.

    Raises:
        UnknownVersion: if the version is neither live nor rejected nor missing.
    """
    if version is None:
        which, is_ready = f"model '{name}'", bool(state.live)
    else:
        which, is_ready = f"version {version} of model '{name}'", bool(state.live_number(version))
        if not is_ready and version not in map(str, (*state.rejected, *state.missing)):
            raise UnknownVersion(name, version, sorted(state.live))
    if is_ready:
        return {"name": name, "ready": True}
    return {"name": name, "ready": False, "error": f"{which} is not live", "code": NOT_READY}


def metadata(model: Model, state: ModelState) -> dict[str, Any]:
    """Return the inputs and outputs of a version, and the live versions of its model."""
    return {
        "name": model.name,
        "versions": [str(version) for version in sorted(state.live)],
        "platform": PLATFORM,
        "inputs": [*_graph_inputs(model), *_feature_inputs(model)],
        "outputs": _outputs(model),
    }


def configuration(model: Model, max_rows: int) -> dict[str, Any]:
    """Return the metadata as a Triton configuration, whose dimensions exclude that of the rows.

    Features are optional, so a client that sends all required inputs sends the graph's tensors.
    """
    return {
        "name": model.name,
        "platform": TRITON_PLATFORM,
        "backend": TRITON_BACKEND,
        "max_batch_size": max_rows,
        "input": [
            *[_triton_tensor(tensor) for tensor in _graph_inputs(model)],
            *[_triton_tensor(tensor) | {"optional": True} for tensor in _feature_inputs(model)],
        ],
        "output": [_triton_tensor(output) for output in _outputs(model)],
        "dynamic_batching": {},
    }


def _graph_inputs(model: Model) -> list[_TensorMetadata]:
    return [_graph_input(tensor) for tensor in model.session.inputs]


def _graph_input(tensor: GraphInput) -> _TensorMetadata:
    shape = [ANY] if tensor.flat else [ANY, tensor.columns]
    return _TensorMetadata(tensor.name, GRAPH_DATATYPES[np.dtype(tensor.dtype)], shape)


def _feature_inputs(model: Model) -> list[_TensorMetadata]:
    """Return the features of a file with metadata; the name of an input means the input."""
    if not model.has_metadata:
        return []
    names = {tensor.name for tensor in model.session.inputs}
    return [
        _TensorMetadata(feature.name, FEATURE_DATATYPES[feature.kind], [ANY])
        for feature in model.signature.features
        if feature.name not in names
    ]


def _outputs(model: Model) -> list[_TensorMetadata]:
    return [
        _TensorMetadata(LABEL, BYTES, [ANY]),
        _TensorMetadata(PROBABILITIES, FP32, [ANY, len(model.signature.classes)]),
    ]


def _triton_tensor(tensor: _TensorMetadata) -> dict[str, Any]:
    """Return a tensor in Triton's terms; without a second dimension it has one value per row."""
    datatype = "STRING" if tensor.datatype == BYTES else tensor.datatype
    entry: dict[str, Any] = {"name": tensor.name, "data_type": f"TYPE_{datatype}"}
    if dimensions := tensor.shape[1:]:
        return entry | {"dims": dimensions}
    return entry | {"dims": [1], "reshape": {"shape": []}}


def _model_statistics(
    versions: Sequence[tuple[str, int]], statistics: Mapping[tuple[str, int], Statistics]
) -> dict[str, Any]:
    """Return the statistics of versions, in Triton's structure."""
    zero = Statistics()
    return {
        "model_stats": [
            _version_statistics(name, version, statistics.get((name, version), zero))
            for name, version in versions
        ]
    }


def _version_statistics(name: str, version: int, total: Statistics) -> dict[str, Any]:
    """Return the statistics of one version; several requests may share a run."""
    requests = total.successes
    return {
        "name": name,
        "version": str(version),
        "last_inference": total.last_ms,
        "inference_count": total.rows,
        "execution_count": total.runs,
        "inference_stats": {
            "success": _duration(requests, total.success_s),
            "fail": _duration(total.failures, total.failed_s),
            "queue": _duration(requests, total.waited_s),
            "compute_input": _duration(requests, total.reading_s),
            "compute_infer": _duration(total.runs, total.run_s),
            "compute_output": _duration(requests, total.writing_s),
            # The service has no cache, but clients expect these keys.
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "batch_stats": [],
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}


def _json(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(body), status, content_type=JSON)
