"""Spans of requests. The only module that imports OpenTelemetry.

A span is made after its request has finished, with its times set back. So an unsampled request costs
a few microseconds, and spans and counted requests agree. OpenTelemetry's thread sends the spans and
drops them when its queue is full: no request waits for a collector.
"""

from __future__ import annotations

import logging
import re
import threading
import time

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pigeonhole import __version__

from ..inference.protocol import Header
from .finished_request import UNREAD, FinishedRequest
from .health import PROBES

log = logging.getLogger(__name__)

NAME = "pigeonhole"
"""Default name of the service, and name of the tracer."""

UNTRACED = PROBES | {"/metrics"}
"""Paths that machines request every few seconds."""

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""Methods of the semantic conventions (RFC 9110, section 9, and later ones)."""

UNSAMPLED_PARENT = re.compile(
    r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][02468ace]", re.ASCII
)
"""An unsampled ``traceparent`` (W3C Trace Context, section 3.2). Behind a gateway with sampling most
requests have one; the library would take ten times as long to find out."""

SERVER_ERROR = 500
"""The first status of a server error."""

MAX_HOST = 260
"""Longest host with port (RFC 1035), in characters; spans wait in memory."""

FLUSH_S = 2.0
"""Time for a stopping worker to send spans."""

WARNING_INTERVAL_S = 60.0
"""Least time between two warnings about lost spans."""

LIBRARY = logging.getLogger("opentelemetry")

Attributes = dict[str, str | int | float]


class Spans:
    """Makes a span of each sampled request.

    Args:
        provider: samples and sends spans.
    """

    def __init__(self, provider: TracerProvider) -> None:
        _limit_library_logs()
        self._provider = provider
        self._ids = provider.id_generator = _Ids()
        self._sample = provider.sampler.should_sample
        self._start = provider.get_tracer(NAME, __version__).start_span
        self._extract = TraceContextTextMapPropagator().extract
        self._follows_parents = isinstance(provider.sampler, ParentBased)

    def __call__(self, finished: FinishedRequest) -> str:
        """Make the span of a request that has just finished, if it is sampled.

        Args:
            finished: the request. ``traceparent`` and ``tracestate`` name the parent; malformed
                values are ignored.

        Returns:
            The trace's id in hexadecimal digits; empty without a span.
        """
        if finished.method == UNREAD or finished.path.rstrip("/") in UNTRACED:
            return ""
        parent = finished.header("traceparent")
        if parent is not None and self._follows_parents and UNSAMPLED_PARENT.fullmatch(parent):
            return ""
        method = finished.method if finished.method in METHODS else "HTTP"
        name = f"{method} {finished.rule}" if finished.rule else method
        if parent is None:
            # Sampled here, because an unsampled span takes three times as long to make.
            trace_id = self._ids.generate_trace_id()
            sampled = self._sample(_NO_PARENT, trace_id, name, SpanKind.SERVER)
            if sampled.decision is Decision.DROP:
                return ""
            self._ids.reserve(trace_id)
        now = time.time_ns()
        span = self._start(
            name,
            _NO_PARENT if parent is None else self._extract(finished.header, _NO_PARENT, _HEADERS),
            SpanKind.SERVER,
            start_time=now - int(1e9 * finished.seconds),
        )
        if not span.is_recording():
            return ""
        span.set_attributes(_http_attributes(finished))
        span.set_attributes(_own_attributes(finished))
        if finished.status >= SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end(now)
        return format_trace_id(span.get_span_context().trace_id)

    def close(self, wait_s: float = FLUSH_S) -> None:
        """Send remaining spans for up to ``wait_s`` seconds; the provider alone might wait longer."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(wait_s)


def exporting_provider() -> TracerProvider:
    """Return a provider that samples and sends spans; call it after the fork, as it has a thread.

    Raises:
        ValueError: if an environment variable is invalid.
    """
    attributes = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": NAME, "service.version": __version__, **attributes})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _http_attributes(finished: FinishedRequest) -> Attributes:
    """Return the attributes of OpenTelemetry's HTTP conventions."""
    known: Attributes = {
        "http.response.status_code": finished.status,
        "url.scheme": "http",
        "url.path": finished.path,
        "client.address": finished.client,
    }
    if finished.method in METHODS:
        known["http.request.method"] = finished.method
    else:
        known |= {"http.request.method": "_OTHER", "http.request.method_original": finished.method}
    if finished.rule:
        known["http.route"] = finished.rule
    if finished.status >= SERVER_ERROR:
        known["error.type"] = str(finished.status)
    host = (finished.header("host") or "")[:MAX_HOST]
    name, _, port = host.rpartition(":")
    if name and port.isascii() and port.isdigit() and len(port) <= len("65535"):
        known |= {"server.address": name, "server.port": int(port)}
    elif host:
        known["server.address"] = host
    return known


def _own_attributes(finished: FinishedRequest) -> Attributes:
    """Return the attributes of this service."""
    call = finished.call
    known: Attributes = {"pigeonhole.request_id": finished.identity}
    if finished.key:
        known["pigeonhole.key"] = finished.key
    if call is not None and call.model is not None:
        known |= {"pigeonhole.model": call.model.name, "pigeonhole.version": call.model.version}
    if call is not None and call.rows is not None:
        known |= {
            "pigeonhole.rows": call.rows,
            "pigeonhole.reading_s": call.decode_seconds,
            "pigeonhole.writing_s": call.encode_seconds,
        }
    return known


class _Ids(RandomIdGenerator):
    """Generates ids. A thread may reserve the id of its next trace, which was sampled by it."""

    def __init__(self) -> None:
        self._reserved = threading.local()

    def reserve(self, trace_id: int) -> None:
        """Use this id for the next trace of this thread."""
        self._reserved.trace_id = trace_id

    def generate_trace_id(self) -> int:
        return self._reserved.__dict__.pop("trace_id", 0) or super().generate_trace_id()


class _Headers(Getter[Header]):
    """Reads a request's headers for OpenTelemetry."""

    def get(self, carrier: Header, key: str) -> list[str] | None:
        value = carrier(key)
        return None if value is None else [value]

    def keys(self, carrier: Header) -> list[str]:  # noqa: ARG002 - trace context calls it never
        return []


_HEADERS, _NO_PARENT = _Headers(), Context()


class _LibraryWarnings(logging.Handler):
    """Logs OpenTelemetry's warnings, at most one per interval."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._silent_until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + WARNING_INTERVAL_S
            log.warning("spans may be lost", extra={"reason": record.getMessage()})


def _limit_library_logs() -> None:
    """Limit OpenTelemetry's own log lines.

    It logs every failed attempt to reach a collector, and every malformed header.
    """
    LIBRARY.handlers, LIBRARY.propagate = [_LibraryWarnings()], False
    LIBRARY.setLevel(logging.WARNING)
    LIBRARY.getChild("trace").setLevel(logging.CRITICAL)
