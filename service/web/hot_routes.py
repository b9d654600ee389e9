"""The hot inference routes by path, and the blueprint that serves them through Flask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, g, request

from service.web.inference import InferenceRoute
from service.web.request_id import HEADER


@dataclass(frozen=True)
class HotRoute:
    """A rule in Flask's notation and what answers it.

    Attributes:
        rule: may hold ``<name>`` and ``<version>``, the model that is meant.
        answer: the route's object.
    """

    rule: str
    answer: InferenceRoute


def rows_routes(predict: InferenceRoute, model_predict: InferenceRoute) -> list[HotRoute]:
    """The paths of the rows protocol."""
    return [
        HotRoute("/predict", predict),
        HotRoute("/v1/models/<name>:predict", model_predict),
        HotRoute("/v1/models/<name>/versions/<version>:predict", model_predict),
    ]


def open_inference_routes(infer: InferenceRoute) -> list[HotRoute]:
    """The paths of the Open Inference Protocol."""
    return [
        HotRoute("/v2/models/<name>/infer", infer),
        HotRoute("/v2/models/<name>/versions/<version>/infer", infer),
    ]


def hot_blueprint(routes: Sequence[HotRoute]) -> Blueprint:
    """The hot routes as a complete Flask app serves them."""
    blueprint = Blueprint("inference", __name__)
    # Called as the route is in metrics, where failures before its turn are counted too.
    views = {route.answer.name: _view(route.answer) for route in routes}
    for route in routes:
        name = route.answer.name
        blueprint.add_url_rule(route.rule, name, views[name], methods=["POST"])
    return blueprint


def _view(answer: InferenceRoute) -> Callable[..., Response]:
    def view(name: str | None = None, version: str | None = None) -> Response:
        body = request.get_data(cache=False)
        # From here on the route counts the request itself.
        g.counted = True
        call = answer.begin(_header)
        answer.metrics.in_flight(1)
        reply = answer(_header, body, name, version, call)
        answer.metrics.in_flight(-1)
        answer.predictor.tell_observers()
        headers: Mapping[str, str] = {HEADER: call.identity, **dict(reply.headers)}
        return Response(reply.body, reply.status, headers, content_type=reply.content_type)

    return view


def _header(name: str) -> str | None:
    return request.headers.get(name)
