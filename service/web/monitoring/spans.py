"""Spans of requests, made with OpenTelemetry: the only place that knows it.

A span is made when its request has ended, with its times set back. So a request that is not sampled
costs a few microseconds, nothing is carried along while it is answered, and there are as many spans
as there are counted requests. They are sent by a thread of OpenTelemetry's, which drops them where
its queue is full: no request waits for a collector.
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
from .health import PROBES
from .request_log import UNREAD, FinishedRequest

log = logging.getLogger(__name__)

NAME = "pigeonhole"
"""Of the service, unless the environment gives it another, and of what makes the spans."""

UNTRACED = PROBES | {"/metrics"}
"""Paths that are asked every few seconds, by machines that follow no trace."""

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""The methods that the conventions know (RFC 9110, section 9, and those that came later)."""

UNSAMPLED_PARENT = re.compile(
    r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][02468ace]", re.ASCII
)
"""A ``traceparent`` that is not sampled (W3C Trace Context, section 3.2). Behind a gateway that samples
a few requests most are such, so they are told by this, not by the library at ten times the cost."""

SERVER_ERROR = 500
"""The first status that says that the fault is ours."""

HOST_LENGTH = 260
"""Of a server's name with its port: longer ones are none (RFC 1035), and spans wait in memory."""

FLUSH_S = 2.0
"""How long a worker that stops goes on sending spans."""

COMPLAINTS_S = 60.0
"""How often it is logged that spans can't be sent."""

LIBRARY = logging.getLogger("opentelemetry")

Attributes = dict[str, str | int | float]


class Spans:
    """Makes a span of each request that is sampled.

    Args:
        provider: says which are, and sends them.
    """

    def __init__(self, provider: TracerProvider) -> None:
        _be_brief()
        self._provider = provider
        self._ids = provider.id_generator = _Ids()
        self._sample = provider.sampler.should_sample
        self._start = provider.get_tracer(NAME, __version__).start_span
        self._extract = TraceContextTextMapPropagator().extract
        self._follows_parents = isinstance(provider.sampler, ParentBased)

    def __call__(self, ended: FinishedRequest) -> str:
        """Make the span of a request that has just ended, if there is to be one.

        Args:
            ended: the request. Its ``traceparent`` and ``tracestate`` name the span's parent; what
                is malformed there is passed over.

        Returns:
            The id of the trace in hexadecimal digits, or nothing where there is no span.
        """
        if ended.method == UNREAD or ended.path.rstrip("/") in UNTRACED:
            return ""
        parent = ended.header("traceparent")
        if parent is not None and self._follows_parents and UNSAMPLED_PARENT.fullmatch(parent):
            return ""
        method = ended.method if ended.method in METHODS else "HTTP"
        name = f"{method} {ended.rule}" if ended.rule else method
        if parent is None:
            # Asked here, for a span that is not sampled takes three times as long to make.
            trace_id = self._ids.generate_trace_id()
            sampled = self._sample(_NO_PARENT, trace_id, name, SpanKind.SERVER)
            if sampled.decision is Decision.DROP:
                return ""
            self._ids.give(trace_id)
        now = time.time_ns()
        span = self._start(
            name,
            _NO_PARENT if parent is None else self._extract(ended.header, _NO_PARENT, _HEADERS),
            SpanKind.SERVER,
            start_time=now - int(1e9 * ended.seconds),
        )
        if not span.is_recording():
            return ""
        span.set_attributes(_of_http(ended))
        span.set_attributes(_of_ours(ended))
        if ended.status >= SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end(now)
        return format_trace_id(span.get_span_context().trace_id)

    def close(self, wait_s: float = FLUSH_S) -> None:
        """Send what is left, for a while: the provider alone would wait as long as it tries."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(wait_s)


def exporting_provider() -> TracerProvider:
    """What samples and sends spans as the environment says; with a thread, so after the fork.

    Raises:
        ValueError: for a variable that can't be used.
    """
    said = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": NAME, "service.version": __version__, **said})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _of_http(ended: FinishedRequest) -> Attributes:
    """What OpenTelemetry's conventions want to know of a request to a server."""
    known: Attributes = {
        "http.response.status_code": ended.status,
        "url.scheme": "http",
        "url.path": ended.path,
        "client.address": ended.client,
    }
    if ended.method in METHODS:
        known["http.request.method"] = ended.method
    else:
        known |= {"http.request.method": "_OTHER", "http.request.method_original": ended.method}
    if ended.rule:
        known["http.route"] = ended.rule
    if ended.status >= SERVER_ERROR:
        known["error.type"] = str(ended.status)
    host = (ended.header("host") or "")[:HOST_LENGTH]
    name, _, port = host.rpartition(":")
    if name and port.isascii() and port.isdigit() and len(port) <= len("65535"):
        known |= {"server.address": name, "server.port": int(port)}
    elif host:
        known["server.address"] = host
    return known


def _of_ours(ended: FinishedRequest) -> Attributes:
    """What only this service knows of it."""
    call = ended.call
    known: Attributes = {"pigeonhole.request_id": ended.identity}
    if ended.key:
        known["pigeonhole.key"] = ended.key
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
    """Draws ids; the next trace of a thread may be given one, by which it was sampled already."""

    def __init__(self) -> None:
        self._given = threading.local()

    def give(self, trace_id: int) -> None:
        """Have the next trace of this thread get this id."""
        self._given.trace_id = trace_id

    def generate_trace_id(self) -> int:
        return self._given.__dict__.pop("trace_id", 0) or super().generate_trace_id()


class _Headers(Getter[Header]):
    """Reads a request's headers for OpenTelemetry."""

    def get(self, carrier: Header, key: str) -> list[str] | None:
        value = carrier(key)
        return None if value is None else [value]

    def keys(self, carrier: Header) -> list[str]:  # noqa: ARG002 - trace context asks for none
        return []


_HEADERS, _NO_PARENT = _Headers(), Context()


class _Complaints(logging.Handler):
    """Passes on what OpenTelemetry complains of: one line in a while, whatever it says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._silent_until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + COMPLAINTS_S
            log.warning("spans may be lost", extra={"reason": record.getMessage()})


def _be_brief() -> None:
    """Keep OpenTelemetry's own log lines few.

    It has one for each attempt to reach a collector, and for headers that are malformed, of which
    anybody may send any number.
    """
    LIBRARY.handlers, LIBRARY.propagate = [_Complaints()], False
    LIBRARY.setLevel(logging.WARNING)
    LIBRARY.getChild("trace").setLevel(logging.CRITICAL)
