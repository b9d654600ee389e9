"""Where everything is put together: the only place that knows all the parts."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from threading import Event

from flask import Flask

from service import __version__
from service.model.artifact import Model, load_model
from service.serving.counters import CounterMap
from service.serving.live_models import LiveModels
from service.serving.metrics import Metrics, MetricsCollector
from service.serving.predictor import Predictor
from service.serving.reloader import Reloader
from service.settings import Settings
from service.web.bridge import Bridge
from service.web.catalogue import catalogue_blueprint
from service.web.exposition import exposition_blueprint
from service.web.health import health_blueprint
from service.web.hot_routes import hot_blueprint, rows_routes
from service.web.http_app import make_http_app
from service.web.inference import InferenceRoute
from service.web.openapi import openapi_blueprint
from service.web.pages import pages_blueprint
from service.web.rows import RowsProtocol


class Service:
    """One worker's service, put together and started: its parts by name.

    Args:
        settings: as read at the start.
        counters: the map that all workers share; None for one of its own.
        slot: this worker's slot in it.

    Attributes:
        flask: the complete Flask app.
        asgi: the same behind the bridge, for an ASGI server.
        live: the models.
    """

    def __init__(
        self, settings: Settings, counters: CounterMap | None = None, slot: int = 0
    ) -> None:
        if counters is None:
            counters = CounterMap(slots=1)
            counters.take(0)
        metrics = Metrics(counters.worker(slot))
        draining = Event()
        load = partial(_load, threads=settings.model_threads, max_bytes=settings.max_model_bytes)
        self.live = LiveModels(settings.models, load, metrics, settings.default_model or None)
        predictor = Predictor(self.live, [metrics.predicted])
        rows = RowsProtocol(settings.max_rows)

        def route(name: str) -> InferenceRoute:
            return InferenceRoute(
                name, rows, predictor, metrics, max_body_bytes=settings.max_body_bytes
            )

        self.flask = make_http_app(
            [
                hot_blueprint(rows_routes(route("predict"), route("model_predict"))),
                catalogue_blueprint(self.live),
                health_blueprint(self.live, draining),
                exposition_blueprint(MetricsCollector(counters, __version__)),
                openapi_blueprint(self.live, settings.max_rows),
                pages_blueprint(self.live),
            ],
            metrics,
            max_body_bytes=settings.max_body_bytes,
            access_log=settings.access_log,
        )
        self._reloader = Reloader(self.live.refresh, settings.reload_seconds)
        self._reloader.start(settings.load_wait_seconds)
        self.asgi = Bridge(
            self.flask,
            threads=settings.request_threads,
            max_body_bytes=settings.max_body_bytes,
            draining=draining,
            on_shutdown=self.close,
        )

    def close(self) -> None:
        """Stop the threads; requests are no longer to come."""
        self._reloader.stop()


def create_app(settings: Settings | None = None) -> Flask:
    """The complete Flask app, as ``flask --app service.app run`` and test clients want it.

    Args:
        settings: read from the environment where None.
    """
    return Service(settings or Settings.read(os.environ)).flask


def _load(path: Path, name: str, version: int, *, threads: int, max_bytes: int) -> Model:
    return load_model(path, name=name, version=version, threads=threads, max_bytes=max_bytes)
