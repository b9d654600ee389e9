"""``/metrics``: the metrics of all workers, as Prometheus or OpenMetrics text."""

from __future__ import annotations

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ...serving.metrics_collector import MetricsCollector


def exposition_blueprint(collector: MetricsCollector) -> Blueprint:
    """Return the blueprint of ``/metrics``, in the format that the scraper accepts."""
    blueprint = Blueprint("exposition", __name__)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        accept = request.headers.get("Accept", "")
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # prometheus_client fails on a version that is not a number, such as version=x.
            encode, content_type = choose_encoder("")
        return Response(encode(registry), content_type=content_type)

    return blueprint
