"""The service of one worker, put together from its parts. No other module knows them all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

from flask import Blueprint, Flask

from pigeonhole import __version__

from .api_keys import REFRESH_S, KeyFile, open_keys
from .cores import usable_cores
from .model.artifact import Model, load_model
from .model.repository import Repository
from .serving.batcher import Running, RunPool
from .serving.live_models import LiveModels
from .serving.metrics import Metrics
from .serving.metrics_collector import MetricsCollector
from .serving.predictor import Predictor
from .serving.process_metrics import ProcessMetrics
from .serving.reconciler import Reconciler
from .serving.reloader import Reloader
from .serving.shared_state import SharedState, WorkerSlot
from .serving.statistics import read_statistics
from .settings import Settings
from .web.api_docs.openapi import openapi_blueprint
from .web.api_docs.page import pages_blueprint
from .web.auth import Authenticator
from .web.handlers.fast_path import FastPathHandler
from .web.handlers.flask_app import make_http_app
from .web.handlers.inference_routes import InferencePath, inference_blueprint, inference_paths
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
from .web.tensorflow_serving.models import tensorflow_serving_models_blueprint

PAGE_THREADS = 2
"""Threads for requests that are neither predictions nor probes, mostly metrics."""

PAGES_WAITING = 1024
"""Most such requests, and probes, in the queue for a thread; each takes about a millisecond."""


class Service:
    """One worker's service, put together and started.

    Args:
        settings: the settings.
        slot: this worker's slot in the shared map; None for a map of its own.
        keys: the key file of the settings, if it is open already.

    Attributes:
        flask: the complete Flask app.
        handler: answers requests under our own server: Flask, or the fast path in front of it.
        live: the live models.
        reconciler: loads and unloads models.
        authenticator: checks the API keys of requests.
    """

    def __init__(
        self,
        settings: Settings,
        slot: WorkerSlot | None = None,
        keys: KeyFile | None = None,
    ) -> None:
        slot, keys = slot or _unshared_slot(), keys or open_keys(settings.keys)
        self._settings, self._slot, self._draining = settings, slot, Event()
        self._metrics = Metrics(slot)
        self._metrics.limits(connections=settings.max_connections, waiting=settings.max_waiting)
        self.live = LiveModels(settings.effective_default_model)
        load = partial(_load, threads=settings.model_threads, max_bytes=settings.max_model_bytes)
        repository = Repository(settings.models, settings.model_name)
        self.reconciler = Reconciler(self.live, repository, load, slot, self._metrics)
        self._pool = RunPool(
            settings.run_threads,
            max_waiting=settings.max_waiting,
            max_wait_s=settings.max_wait_seconds,
            on_change=self._metrics.waiting,
        )
        self._predictor = Predictor(
            self.live, self._pool, [self._metrics.predicted], self._metrics.model_ran
        )
        self._access_log = AccessLog() if settings.access_log else None
        self._spans = open_spans(os.environ)
        is_logged = self._access_log is not None or self._spans is not None
        self._request_log = RequestLog(self._access_log, self._spans) if is_logged else None
        self.authenticator = Authenticator(keys)
        paths = inference_paths(self._make_route, settings.max_rows)
        self.flask = make_http_app(
            self._blueprints(paths),
            self._metrics,
            authenticator=self.authenticator,
            max_body_bytes=settings.max_body_bytes,
            request_log=self._request_log,
        )
        self._reloaders = self._start_reloaders(keys)
        self._threads = HandlerThreads(
            work=ResponseThreads(settings.request_threads, settings.max_waiting, "request"),
            probes=ResponseThreads(1, PAGES_WAITING, "probe"),
            pages=ResponseThreads(PAGE_THREADS, PAGES_WAITING, "page"),
        )
        self.handler = self._make_handler(paths)

    def _make_route(
        self, name: str, protocol: InferenceProtocol, streams: StreamProtocol | None
    ) -> InferenceRoute:
        limit = self._settings.max_body_bytes
        return InferenceRoute(
            name, protocol, streams, self._predictor, self._metrics, max_body_bytes=limit
        )

    def _blueprints(self, paths: Sequence[InferencePath]) -> list[Blueprint]:
        """Return the routes of the Flask app."""
        live, shared, max_rows = self.live, self._slot.shared, self._settings.max_rows
        processes = ProcessMetrics(self._slot, self._settings.models, usable_cores)
        return [
            inference_blueprint(paths),
            tensorflow_serving_models_blueprint(live),
            health_blueprint(live, self._draining),
            open_inference_models_blueprint(live, partial(read_statistics, shared), max_rows),
            open_inference_repository_blueprint(live, self.reconciler),
            exposition_blueprint(MetricsCollector(shared, __version__, processes.measure)),
            openapi_blueprint(live, max_rows, has_keys=self.authenticator.has_keys),
            pages_blueprint(live),
        ]

    def _start_reloaders(self, keys: KeyFile | None) -> list[Reloader]:
        """Start the threads that read the model folder and the key file; wait for the models."""
        settings, reconciler = self._settings, self.reconciler
        models = Reloader(reconciler.refresh, settings.reload_seconds, reconciler.is_behind)
        models.start(settings.load_wait_seconds)
        if keys is None:
            return [models]
        key_file = Reloader(keys.refresh, REFRESH_S)
        key_file.start(0)
        return [models, key_file]

    def _make_handler(self, paths: Sequence[InferencePath]) -> Handler:
        """Return the handler that the settings name."""
        wsgi = WsgiHandler(self.flask, self._metrics, self._threads, request_log=self._request_log)
        if self._settings.handler != "fast":
            return wsgi
        return FastPathHandler(
            paths,
            wsgi,
            self._predictor,
            self._metrics,
            work=self._threads.work,
            authenticator=self.authenticator if self.authenticator.has_keys else None,
            request_log=self._request_log,
        )

    def stuck(self, seconds: float) -> Running | None:
        """Return the longest model run in progress if it has lasted longer than this, else None."""
        return self._pool.stuck(seconds)

    def reject_queued(self) -> None:
        """Reject all calls in the queues, now and from now on."""
        self._pool.close(0)

    def drain(self) -> None:
        """Fail readiness from now on; requests are answered as before."""
        self._draining.set()

    def close(self) -> None:
        """Stop the threads. No request may follow."""
        for reloader in self._reloaders:
            reloader.stop()
        self._threads.close()
        self._pool.close()
        if self._access_log is not None:
            self._access_log.close()
        if self._spans is not None:
            self._spans.close()


def create_app(settings: Settings | None = None) -> Flask:
    """Return the complete Flask app, for test clients and ``flask --app service.app run``.

    Args:
        settings: the settings; read from the environment for None.
    """
    return Service(settings or Settings.read(os.environ)).flask


def _unshared_slot() -> WorkerSlot:
    """Return the slot of a worker that has no others beside it."""
    shared = SharedState(slots=1)
    shared.claim(0)
    return shared.worker(0)


def _load(path: Path, name: str, version: int, *, threads: int, max_bytes: int) -> Model:
    return load_model(path, name=name, version=version, threads=threads, max_bytes=max_bytes)
