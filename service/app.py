"""Where everything is put together: the only place that knows all the parts."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from threading import Event

from flask import Flask

from pigeonhole import __version__

from .api_keys import READ_AGAIN_S, KeyFile, open_keys
from .cores import usable_cores
from .model.artifact import Model, load_model
from .model.repository import Repository
from .serving.batcher import Running, RunPool
from .serving.live_models import LiveModels
from .serving.metrics import Metrics, MetricsCollector
from .serving.predictor import Predictor
from .serving.process_metrics import ProcessMetrics
from .serving.reloader import Reloader
from .serving.shared_state import SharedState, WorkerCounters
from .serving.statistics import read_statistics
from .settings import Settings
from .web.api_docs.openapi import openapi_blueprint
from .web.api_docs.page import pages_blueprint
from .web.auth import Authenticator
from .web.handlers.fast_path import FastPathHandler
from .web.handlers.flask_app import make_http_app
from .web.handlers.inference_routes import inference_blueprint, inference_paths
from .web.handlers.threads import ResponseThreads
from .web.handlers.wsgi import HandlerThreads, WsgiHandler
from .web.http.messages import Handler
from .web.inference.protocol import InferenceProtocol, StreamProtocol
from .web.inference.route import InferenceRoute
from .web.monitoring.access_log import AccessLog
from .web.monitoring.exposition import exposition_blueprint
from .web.monitoring.health import health_blueprint
from .web.monitoring.request_log import RequestLog
from .web.monitoring.tracing import open_spans
from .web.open_inference.models import open_inference_models_blueprint
from .web.open_inference.repository import open_inference_repository_blueprint
from .web.tensorflow_serving.models import catalogue_blueprint

PAGE_THREADS = 2
"""Threads of whatever is no prediction and no probe: metrics, above all."""

PAGES_WAITING = 1024
"""Such requests, and probes, that may wait for a thread; each takes a millisecond or so."""


class Service:
    """One worker's service, put together and started: its parts by name.

    Args:
        settings: as read at the start.
        counters: this worker's slot in the map that all share; None for a map of its own.
        keys: the key file that the settings name, where it was read already.

    Attributes:
        flask: the complete Flask app.
        door: what answers requests under our own server: Flask, behind the express door or not.
        live: the models.
        guard: asked whether a request's key is good for it.
    """

    def __init__(
        self,
        settings: Settings,
        counters: WorkerCounters | None = None,
        keys: KeyFile | None = None,
    ) -> None:
        keys = keys or open_keys(settings.keys)
        if counters is None:
            alone = SharedState(slots=1)
            alone.take(0)
            counters = alone.worker(0)
        metrics = Metrics(counters)
        metrics.limits(connections=settings.max_connections, waiting=settings.max_waiting)
        machine = ProcessMetrics(counters, settings.models, usable_cores)
        self._draining = Event()
        load = partial(_load, threads=settings.model_threads, max_bytes=settings.max_model_bytes)
        self.live = LiveModels(
            Repository(settings.models, settings.model_name), load, metrics, settings.meant
        )
        self._pool = RunPool(
            settings.run_threads,
            max_waiting=settings.max_waiting,
            max_wait_s=settings.max_wait_seconds,
            told=metrics.waiting,
        )
        predictor = Predictor(self.live, self._pool, [metrics.predicted], metrics.model_ran)
        self._access_log = AccessLog() if settings.access_log else None
        self._spans = open_spans(os.environ)
        is_kept = self._access_log is not None or self._spans is not None
        request_log = RequestLog(self._access_log, self._spans) if is_kept else None
        self.authenticator = Authenticator(keys)

        def route(
            name: str, protocol: InferenceProtocol, streams: StreamProtocol | None
        ) -> InferenceRoute:
            most = settings.max_body_bytes
            return InferenceRoute(name, protocol, streams, predictor, metrics, max_body_bytes=most)

        hot = inference_paths(route, settings.max_rows)
        self.flask = make_http_app(
            [
                inference_blueprint(hot),
                catalogue_blueprint(self.live),
                health_blueprint(self.live, self._draining),
                open_inference_models_blueprint(
                    self.live, partial(read_statistics, counters.shared), settings.max_rows
                ),
                open_inference_repository_blueprint(self.live),
                exposition_blueprint(MetricsCollector(counters.shared, __version__, machine.read)),
                openapi_blueprint(
                    self.live, settings.max_rows, has_keys=self.authenticator.has_keys
                ),
                pages_blueprint(self.live),
            ],
            metrics,
            authenticator=self.authenticator,
            max_body_bytes=settings.max_body_bytes,
            request_log=request_log,
        )
        self._reloader = Reloader(self.live.refresh, settings.reload_seconds, self.live.is_behind)
        self._reloader.start(settings.load_wait_seconds)
        self._keys_reader = Reloader(keys.refresh, READ_AGAIN_S) if keys else None
        if self._keys_reader is not None:
            self._keys_reader.start(0)
        self._threads = HandlerThreads(
            work=ResponseThreads(settings.request_threads, settings.max_waiting, "request"),
            probes=ResponseThreads(1, PAGES_WAITING, "probe"),
            pages=ResponseThreads(PAGE_THREADS, PAGES_WAITING, "page"),
        )
        flask = WsgiHandler(self.flask, metrics, self._threads, request_log=request_log)
        self.handler: Handler = flask
        if settings.handler == "fast":
            work = self._threads.work
            self.handler = FastPathHandler(
                hot,
                flask,
                predictor,
                metrics,
                work=work,
                authenticator=self.authenticator if self.authenticator.has_keys else None,
                request_log=request_log,
            )

    def stuck(self, seconds: float) -> Running | None:
        """The run of a model that has lasted longest, if that is longer; else None."""
        return self._pool.stuck(seconds)

    def give_up(self) -> None:
        """Refuse whatever waits for a run, from now on."""
        self._pool.close(0)

    def drain(self) -> None:
        """Fail readiness from now on; requests are answered as before."""
        self._draining.set()

    def close(self) -> None:
        """Stop the threads; requests are no longer to come."""
        self._reloader.stop()
        if self._keys_reader is not None:
            self._keys_reader.stop()
        self._threads.close()
        self._pool.close()
        if self._access_log is not None:
            self._access_log.close()
        if self._spans is not None:
            self._spans.close()


def create_app(settings: Settings | None = None) -> Flask:
    """The complete Flask app, as ``flask --app service.app run`` and test clients want it.

    Args:
        settings: read from the environment where None.
    """
    return Service(settings or Settings.read(os.environ)).flask


def _load(path: Path, name: str, version: int, *, threads: int, max_bytes: int) -> Model:
    return load_model(path, name=name, version=version, threads=threads, max_bytes=max_bytes)
