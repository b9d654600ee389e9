"""The table of inference routes, and the blueprint that serves them through Flask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from flask import Blueprint, Response, g, request
from werkzeug.datastructures import Headers

from ..inference.content_coding import compress_response
from ..inference.protocol import InferenceProtocol, StreamProtocol
from ..inference.route import InferenceRoute
from ..open_inference.protocol import OpenInferenceProtocol
from ..request_id import HEADER
from ..rows.invocations import InvocationsProtocol
from ..rows.ndjson_stream import NdjsonProtocol
from ..rows.protocol import RowsProtocol
from ..tensorflow_serving.classify import ClassifyProtocol


@dataclass(frozen=True)
class InferencePath:
    """A URL rule and its route.

    Attributes:
        rule: in Flask's notation; ``<name>`` and ``<version>`` select the model.
        route: responds to requests.
    """

    rule: str
    route: InferenceRoute


MakeRoute = Callable[[str, InferenceProtocol, StreamProtocol | None], InferenceRoute]
"""Returns the route for a name, a protocol and, if the route accepts streams, their protocol."""


def inference_paths(make_route: MakeRoute, max_rows: int) -> list[InferencePath]:
    """Return all inference paths. A new protocol needs one line in the table.

    Args:
        make_route: creates a route.
        max_rows: limit of rows in one request.
    """
    rows, lines = RowsProtocol(max_rows), NdjsonProtocol()
    classify, invocations = ClassifyProtocol(max_rows), InvocationsProtocol(max_rows)
    tensors = OpenInferenceProtocol(max_rows)
    table: list[tuple[str, InferenceProtocol, StreamProtocol | None, tuple[str, ...]]] = [
        ("predict", rows, lines, ("/predict",)),
        ("model_predict", rows, lines, _model_rules("/v1/models", ":predict")),
        ("classify", classify, None, _model_rules("/v1/models", ":classify")),
        ("invocations", invocations, lines, ("/invocations",)),
        ("infer", tensors, None, _model_rules("/v2/models", "/infer")),
    ]
    paths: list[InferencePath] = []
    for name, protocol, streams, rules in table:
        route = make_route(name, protocol, streams)
        paths += [InferencePath(rule, route) for rule in rules]
    return paths


def _model_rules(base: str, action: str) -> tuple[str, str]:
    """Return the rules for a model's newest version and for a given version."""
    return f"{base}/<name>{action}", f"{base}/<name>/versions/<version>{action}"


def inference_blueprint(paths: Sequence[InferencePath]) -> Blueprint:
    """Return a Flask blueprint with the inference routes."""
    blueprint = Blueprint("inference", __name__)
    # The endpoint's name is the route's name in metrics, also of requests that fail before the view.
    views = {path.route.name: _view(path.route) for path in paths}
    for path in paths:
        name = path.route.name
        blueprint.add_url_rule(path.rule, name, views[name], methods=["POST"])
    return blueprint


def _view(route: InferenceRoute) -> Callable[..., Response]:
    def on_end(_status: int) -> None:
        route.metrics.in_flight(-1)

    def view(name: str | None = None, version: str | None = None) -> Response:
        body = request.get_data(cache=False)
        g.counted = True  # the route records the request in metrics itself
        call = g.call = route.begin(_header)
        route.metrics.in_flight(1)
        response = route(_header, body, name, version, call, on_end)
        route.predictor.notify_observers()
        if response.chunks is not None:
            response = compress_response(response, _header("accept-encoding"))
        headers = Headers([(HEADER, call.identity), *response.headers])
        result = Response(
            response.body, response.status, headers, content_type=response.content_type
        )
        if response.chunks is not None:
            result.response = chain((response.body,), response.chunks)
            result.call_on_close(response.chunks.close)
            del result.headers["Content-Length"]
        return result

    return view


def _header(name: str) -> str | None:
    return request.headers.get(name)
