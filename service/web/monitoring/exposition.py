"""``/metrics``: what all workers counted, as Prometheus or OpenMetrics text."""

from __future__ import annotations

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ...serving.metrics_collector import MetricsCollector


def exposition_blueprint(collector: MetricsCollector) -> Blueprint:
    """``/metrics``, in the format that the scraper asks for."""
    blueprint = Blueprint("exposition", __name__)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        accept = request.headers.get("Accept", "")
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # It stumbles over versions that are no numbers, such as version=x.
            encode, content_type = choose_encoder("")
        return Response(encode(registry), content_type=content_type)

    return blueprint
