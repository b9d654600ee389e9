"""Where everything is put together: the only place that knows all the parts."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from threading import Event

from flask import Flask

from service import __version__
from service.model.artifact import Model, load_model
from service.serving.batcher import RunPool
from service.serving.counters import CounterMap, WorkerCounters
from service.serving.live_models import LiveModels
from service.serving.metrics import Metrics, MetricsCollector
from service.serving.predictor import Predictor
from service.serving.reloader import Reloader
from service.settings import Settings
from service.web.access_log import AccessLog
from service.web.answer_threads import AnswerThreads
from service.web.catalogue import catalogue_blueprint
from service.web.door import Door
from service.web.exposition import exposition_blueprint
from service.web.express import Express
from service.web.flask_door import DoorThreads, FlaskDoor
from service.web.health import health_blueprint
from service.web.hot_routes import hot_blueprint, hot_routes
from service.web.http_app import make_http_app
from service.web.inference import InferenceProtocol, InferenceRoute
from service.web.openapi import openapi_blueprint
from service.web.pages import pages_blueprint

PAGE_THREADS = 2
"""Threads of whatever is no prediction and no probe: metrics, above all."""

PAGES_WAITING = 1024
"""Such requests, and probes, that may wait for a thread; each takes a millisecond or so."""


class Service:
    """One worker's service, put together and started: its parts by name.

    Args:
        settings: as read at the start.
        counters: this worker's slot in the map that all share; None for a map of its own.

    Attributes:
        flask: the complete Flask app.
        door: what answers requests under our own server: Flask, behind the express door or not.
        live: the models.
    """

    def __init__(self, settings: Settings, counters: WorkerCounters | None = None) -> None:
        if counters is None:
            alone = CounterMap(slots=1)
            alone.take(0)
            counters = alone.worker(0)
        metrics = Metrics(counters)
        self._draining = Event()
        load = partial(_load, threads=settings.model_threads, max_bytes=settings.max_model_bytes)
        self.live = LiveModels(settings.models, load, metrics, settings.default_model or None)
        self._pool = RunPool(
            settings.run_threads,
            max_waiting=settings.max_waiting,
            max_wait_s=settings.max_wait_seconds,
            told=metrics.waiting,
        )
        predictor = Predictor(self.live, self._pool, [metrics.predicted])
        self._access_log = AccessLog() if settings.access_log else None

        def route(name: str, protocol: InferenceProtocol) -> InferenceRoute:
            return InferenceRoute(
                name, protocol, predictor, metrics, max_body_bytes=settings.max_body_bytes
            )

        hot = hot_routes(route, settings.max_rows)
        self.flask = make_http_app(
            [
                hot_blueprint(hot),
                catalogue_blueprint(self.live),
                health_blueprint(self.live, self._draining),
                exposition_blueprint(MetricsCollector(counters.shared, __version__)),
                openapi_blueprint(self.live, settings.max_rows),
                pages_blueprint(self.live),
            ],
            metrics,
            max_body_bytes=settings.max_body_bytes,
            access_log=self._access_log,
        )
        self._reloader = Reloader(self.live.refresh, settings.reload_seconds)
        self._reloader.start(settings.load_wait_seconds)
        self._threads = DoorThreads(
            work=AnswerThreads(settings.request_threads, settings.max_waiting, "request"),
            probes=AnswerThreads(1, PAGES_WAITING, "probe"),
            pages=AnswerThreads(PAGE_THREADS, PAGES_WAITING, "page"),
        )
        flask = FlaskDoor(self.flask, metrics, self._threads, access_log=self._access_log)
        self.door: Door = flask
        if settings.front == "express":
            work = self._threads.work
            self.door = Express(
                hot, flask, predictor, metrics, work=work, access_log=self._access_log
            )

    def drain(self) -> None:
        """Fail readiness from now on; requests are answered as before."""
        self._draining.set()

    def close(self) -> None:
        """Stop the threads; requests are no longer to come."""
        self._reloader.stop()
        self._threads.close()
        self._pool.close()
        if self._access_log is not None:
            self._access_log.close()


def create_app(settings: Settings | None = None) -> Flask:
    """The complete Flask app, as ``flask --app service.app run`` and test clients want it.

    Args:
        settings: read from the environment where None.
    """
    return Service(settings or Settings.read(os.environ)).flask


def _load(path: Path, name: str, version: int, *, threads: int, max_bytes: int) -> Model:
    return load_model(path, name=name, version=version, threads=threads, max_bytes=max_bytes)
