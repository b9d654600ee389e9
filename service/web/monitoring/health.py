"""Health: live while the process answers, ready while every expected model has a live version."""

from __future__ import annotations

from http import HTTPStatus
from threading import Event

import msgspec
from flask import Blueprint, Response, g

from ...serving.live_models import LiveModels
from ..errors import JSON, NOT_READY

LIVE = ("/health/live", "/healthz", "/v2/health/live")

READY = ("/health/ready", "/readyz", "/v2/health/ready", "/ping", "/health")
"""The last two are SageMaker's and MLflow's, which read only the status."""

PROBES = frozenset(LIVE + READY)
"""Paths of liveness and readiness."""


def health_blueprint(live: LiveModels, draining: Event) -> Blueprint:
    """Return the blueprint of liveness and readiness, with the paths of all protocols.

    Args:
        live: the live models.
        draining: set when the worker stops; readiness fails from then on.
    """
    blueprint = Blueprint("health", __name__)

    def health_live() -> Response:
        return Response(b'{"live":true}', content_type=JSON)

    def health_ready() -> Response:
        problems = _problems(live, draining)
        is_ready = live.is_ready and not draining.is_set()
        is_anonymous = g.get("is_anonymous", False)
        facts: dict[str, object] = {"ready": is_ready, "live": True}
        if not is_ready:
            facts |= _not_ready(problems, is_anonymous=is_anonymous)
        if not is_anonymous:
            facts |= _details(live, problems)
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(msgspec.json.encode(facts), status, content_type=JSON)

    for paths, view in ((LIVE, health_live), (READY, health_ready)):
        for path in paths:
            blueprint.add_url_rule(path, view_func=view)
    return blueprint


def _problems(live: LiveModels, draining: Event) -> list[str]:
    """Return a sentence per problem, the stopping worker first."""
    problems = ["the worker is stopping"] if draining.is_set() else []
    for name, reasons in live.problems().items():
        problems += [f"model '{name}': {reason}" if name else reason for reason in reasons]
    return problems


def _not_ready(problems: list[str], *, is_anonymous: bool) -> dict[str, object]:
    """Return the keys of the error; without an API key, a caller does not learn the reasons."""
    reason = "; ".join(problems) or "the models are still loading"
    if is_anonymous:
        reason = "send an API key to see the reasons"
    return {"error": f"not ready: {reason}", "code": NOT_READY}


def _details(live: LiveModels, problems: list[str]) -> dict[str, object]:
    """Return the models with their live versions, and the problems if there are any."""
    models = {
        name: {"ready": bool(state.live), "versions": [str(v) for v in sorted(state.live)]}
        for name, state in sorted(live.states.items())
    }
    return {"models": models} | ({"problems": problems} if problems else {})
