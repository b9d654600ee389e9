"""Health: live while the process answers, ready while every model that is expected has one live."""

from __future__ import annotations

from http import HTTPStatus
from threading import Event

import msgspec
from flask import Blueprint, Response, g

from ...serving.live_models import LiveModels
from ..errors import JSON, NOT_READY

LIVE = ("/health/live", "/healthz", "/v2/health/live")

READY = ("/health/ready", "/readyz", "/v2/health/ready", "/ping", "/health")
"""The last two are SageMaker's and MLflow's, who look at the status alone."""

PROBES = frozenset(LIVE + READY)
"""The paths that are asked to find out whether the service is to be trusted or ended."""


def health_blueprint(live: LiveModels, draining: Event) -> Blueprint:
    """``/health/live`` and ``/health/ready``, with the names that other protocols give them.

    Args:
        live: whose readiness is told.
        draining: set when the worker was told to stop; readiness fails from then on.
    """
    blueprint = Blueprint("health", __name__)

    def health_live() -> Response:
        return Response(b'{"live":true}', content_type=JSON)

    def health_ready() -> Response:
        problems = [
            f"model '{name}': {problem}" if name else problem
            for name, said in live.problems().items()
            for problem in said
        ]
        is_ready = live.is_ready and not draining.is_set()
        if draining.is_set():
            problems.insert(0, "the worker is stopping")
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        answer: dict[str, object] = {"ready": is_ready, "live": True}
        is_anonymous = g.get("is_anonymous", False)  # who has no key though there are keys
        if not is_ready:
            reason = "; ".join(problems) or "the models are still being loaded"
            reason = "why is told to whoever has a key" if is_anonymous else reason
            answer |= {"error": f"not ready: {reason}", "code": NOT_READY}
        if is_anonymous:
            return Response(msgspec.json.encode(answer), status, content_type=JSON)
        answer["models"] = {
            name: {"ready": bool(state.live), "versions": [str(v) for v in sorted(state.live)]}
            for name, state in sorted(live.states.items())
        }
        if problems:
            answer["problems"] = problems
        return Response(msgspec.json.encode(answer), status, content_type=JSON)

    for paths, view in ((LIVE, health_live), (READY, health_ready)):
        for path in paths:
            blueprint.add_url_rule(path, view_func=view)
    return blueprint
