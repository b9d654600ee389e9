"""The Open Inference Protocol (V2) beside inference: what there is, what it takes, what it has done.

The published shapes, with Triton's extensions: statistics and the model's configuration. A model's
tensors are those of its graph and, where the file describes its features, each of these by its own
name: either way says the same, and one is enough.
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
from .protocol import LABEL, PROBABILITIES
from .tensor import BF16, BOOL, BYTES, ELEMENTS

NAME = "pigeonhole"

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
)
"""What is served of what the protocol leaves open, by Triton's names."""

PLATFORM = "onnx_onnxv1"
"""What the models are made for, as the protocol calls it."""

TRITON_PLATFORM, TRITON_BACKEND = "onnxruntime_onnx", "onnxruntime"
"""The same, as Triton's configurations call it."""

ANY = -1
"""A dimension of any size."""

FP32, FP64 = "FP32", "FP64"

GRAPH_DATATYPES: dict[np.dtype[Any], str] = {
    **{dtype: name for name, dtype in ELEMENTS.items() if name not in (BOOL, BF16)},
    np.dtype(np.bool_): BOOL,
    np.dtype(np.object_): BYTES,
}
"""The protocol's names of what a graph takes."""

FEATURE_DATATYPES = {
    Kind.NUMBER: FP64,
    Kind.BOOLEAN: BOOL,
    Kind.DATETIME: BYTES,
    Kind.CATEGORY: BYTES,
}
"""What a feature is as a tensor of its own; JSON and other widths are taken as well."""


class _Described(msgspec.Struct, frozen=True):
    """A tensor as metadata tells of it."""

    name: str
    datatype: str
    shape: list[int]


def open_inference_models_blueprint(
    live: LiveModels, statistics: Callable[[], Mapping[tuple[str, int], Statistics]], max_rows: int
) -> Blueprint:
    """``GET /v2`` and ``/v2/models`` with what is below it.

    Args:
        live: the models.
        statistics: gives those of every version, over all workers.
        max_rows: rows in one request at most.
    """
    blueprint = Blueprint("open_inference_models", __name__)

    def get(path: str, view: Callable[..., Response]) -> None:
        """A path below a model, whose newest version is meant, and below one of its versions."""
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
        return _json(_told(versions, statistics()))

    def model_metadata(name: str, version: str | None = None) -> Response:
        return _json(metadata(live.find(name, version), live.state(name)))

    def model_ready(name: str, version: str | None = None) -> Response:
        answer = readiness(name, version, live.state(name))
        status = HTTPStatus.OK if answer["ready"] else HTTPStatus.SERVICE_UNAVAILABLE
        return _json(answer, status)

    def model_statistics(name: str, version: str | None = None) -> Response:
        model = live.find(name, version)
        versions = [model.version] if version else sorted(live.state(name).live)
        return _json(_told([(name, number) for number in versions], statistics()))

    def model_config(name: str, version: str | None = None) -> Response:
        return _json(configuration(live.find(name, version), max_rows))

    get("", model_metadata)
    get("/ready", model_ready)
    get("/stats", model_statistics)
    get("/config", model_config)
    return blueprint


def readiness(name: str, version: str | None, state: ModelState) -> dict[str, Any]:
    """Whether a model, or one version of it, answers; where not, in the shape of a failure too.

    Raises:
        UnknownVersion: for a version that nobody wants to be live.
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
    """What a version takes and gives, and which versions of it are live."""
    return {
        "name": model.name,
        "versions": [str(version) for version in sorted(state.live)],
        "platform": PLATFORM,
        "inputs": [*_graph_inputs(model), *_feature_inputs(model)],
        "outputs": _outputs(model),
    }


def configuration(model: Model, max_rows: int) -> dict[str, Any]:
    """The same as Triton's clients ask for it: each dimension but that of the rows.

    Features are told to be optional, so that who sends all that must be there sends the graph's
    tensors alone.
    """
    return {
        "name": model.name,
        "platform": TRITON_PLATFORM,
        "backend": TRITON_BACKEND,
        "max_batch_size": max_rows,
        "input": [
            *[_configured(tensor) for tensor in _graph_inputs(model)],
            *[_configured(tensor) | {"optional": True} for tensor in _feature_inputs(model)],
        ],
        "output": [_configured(output) for output in _outputs(model)],
        "dynamic_batching": {},
    }


def _graph_inputs(model: Model) -> list[_Described]:
    return [_graph_input(tensor) for tensor in model.session.inputs]


def _graph_input(tensor: GraphInput) -> _Described:
    shape = [ANY] if tensor.flat else [ANY, tensor.columns]
    return _Described(tensor.name, GRAPH_DATATYPES[np.dtype(tensor.dtype)], shape)


def _feature_inputs(model: Model) -> list[_Described]:
    """The features of a file that names them; one that is called as an input means the input."""
    if not model.has_metadata:
        return []
    taken = {tensor.name for tensor in model.session.inputs}
    return [
        _Described(feature.name, FEATURE_DATATYPES[feature.kind], [ANY])
        for feature in model.signature.features
        if feature.name not in taken
    ]


def _outputs(model: Model) -> list[_Described]:
    return [
        _Described(LABEL, BYTES, [ANY]),
        _Described(PROBABILITIES, FP32, [ANY, len(model.signature.classes)]),
    ]


def _configured(tensor: _Described) -> dict[str, Any]:
    """A tensor in Triton's words; one without a second dimension has one value a row."""
    datatype = "STRING" if tensor.datatype == BYTES else tensor.datatype
    told: dict[str, Any] = {"name": tensor.name, "data_type": f"TYPE_{datatype}"}
    if dimensions := tensor.shape[1:]:
        return told | {"dims": dimensions}
    return told | {"dims": [1], "reshape": {"shape": []}}


def _told(
    versions: Sequence[tuple[str, int]], statistics: Mapping[tuple[str, int], Statistics]
) -> dict[str, Any]:
    """The statistics of some versions of models, in Triton's shape."""
    nothing = Statistics()
    return {
        "model_stats": [
            _version_statistics(name, version, statistics.get((name, version), nothing))
            for name, version in versions
        ]
    }


def _version_statistics(name: str, version: int, done: Statistics) -> dict[str, Any]:
    """One version's. Runs are counted as such: several requests may have been answered by one."""
    requests = done.successes
    return {
        "name": name,
        "version": str(version),
        "last_inference": done.last_ms,
        "inference_count": done.rows,
        "execution_count": done.runs,
        "inference_stats": {
            "success": _duration(requests, done.success_s),
            "fail": _duration(done.failures, done.failed_s),
            "queue": _duration(requests, done.waited_s),
            "compute_input": _duration(requests, done.reading_s),
            "compute_infer": _duration(done.runs, done.run_s),
            "compute_output": _duration(requests, done.writing_s),
            # There is no cache; clients that look for one don't expect it to be left out.
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "batch_stats": [],
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}


def _json(answer: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(answer), status, content_type=JSON)
