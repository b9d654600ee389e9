"""The table of hot inference routes, and the blueprint that serves them through Flask."""

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
    """A rule in Flask's notation and what answers it.

    Attributes:
        rule: may hold ``<name>`` and ``<version>``, the model that is meant.
        answer: the route's object.
    """

    rule: str
    answer: InferenceRoute


Make = Callable[[str, InferenceProtocol, StreamProtocol | None], InferenceRoute]
"""Makes the route of a name, a protocol, and one for streams beside it."""


def inference_paths(make: Make, max_rows: int) -> list[InferencePath]:
    """Every hot route: one line of the table for each, which is all that a new protocol needs here.

    Args:
        make: makes a route's object.
        max_rows: rows in one request at most.
    """
    rows, lines = RowsProtocol(max_rows), NdjsonProtocol()
    classify, invocations = ClassifyProtocol(max_rows), InvocationsProtocol(max_rows)
    tensors = OpenInferenceProtocol(max_rows)
    table: list[tuple[str, InferenceProtocol, StreamProtocol | None, tuple[str, ...]]] = [
        ("predict", rows, lines, ("/predict",)),
        ("model_predict", rows, lines, _of_models("/v1/models", ":predict")),
        ("classify", classify, None, _of_models("/v1/models", ":classify")),
        ("invocations", invocations, lines, ("/invocations",)),
        ("infer", tensors, None, _of_models("/v2/models", "/infer")),
    ]
    routes: list[InferencePath] = []
    for name, protocol, streams, rules in table:
        answer = make(name, protocol, streams)
        routes += [InferencePath(rule, answer) for rule in rules]
    return routes


def _of_models(base: str, action: str) -> tuple[str, ...]:
    """The rules of what is asked of a model: of its newest version, and of one that is named."""
    return f"{base}/<name>{action}", f"{base}/<name>/versions/<version>{action}"


def inference_blueprint(routes: Sequence[InferencePath]) -> Blueprint:
    """The hot routes as a complete Flask app serves them."""
    blueprint = Blueprint("inference", __name__)
    # Called as the route is in metrics, where failures before its turn are counted too.
    views = {route.answer.name: _view(route.answer) for route in routes}
    for route in routes:
        name = route.answer.name
        blueprint.add_url_rule(route.rule, name, views[name], methods=["POST"])
    return blueprint


def _view(answer: InferenceRoute) -> Callable[..., Response]:
    def ended(_status: int) -> None:
        answer.metrics.in_flight(-1)

    def view(name: str | None = None, version: str | None = None) -> Response:
        body = request.get_data(cache=False)
        # From here on the route counts the request itself.
        g.counted = True
        call = g.call = answer.begin(_header)
        answer.metrics.in_flight(1)
        reply = answer(_header, body, name, version, call, ended)
        answer.predictor.notify_observers()
        if reply.rest is not None:
            reply = compress_response(reply, _header("accept-encoding"))
        headers = Headers([(HEADER, call.identity), *reply.headers])
        response = Response(reply.body, reply.status, headers, content_type=reply.content_type)
        if reply.rest is not None:
            response.response = chain((reply.body,), reply.rest)
            response.call_on_close(reply.rest.close)
            del response.headers["Content-Length"]
        return response

    return view


def _header(name: str) -> str | None:
    return request.headers.get(name)
