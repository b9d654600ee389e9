"""A collector of traces: receives spans by OTLP over HTTP, decodes them and stores them."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_S = 20


@dataclass(frozen=True)
class Span:
    """A received span.

    Attributes:
        name: the span's name.
        trace_id, span_id, parent_id: ids in hexadecimal digits.
        state: the trace state.
        kind: the span kind of OTLP.
        start_ns, end_ns: nanoseconds since 1970.
        status: the status code of OTLP.
        attributes: of the span.
        resource: attributes of the exporting process.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """Listens on loopback until it is closed.

    Attributes:
        paths: the path of each request.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector._spans += decode_spans(body)
                collector.paths.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """The value for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self, **attributes: Any) -> list[Span]:
        """Return the spans so far that have these ``pigeonhole.`` attributes."""
        pairs = {f"pigeonhole.{name}": value for name, value in attributes.items()}
        return [span for span in list(self._spans) if pairs.items() <= span.attributes.items()]

    def until(self, condition: Callable[[], Any]) -> Any:
        """Poll until a condition holds; return its value."""
        deadline = time.monotonic() + WAIT_S
        while not (found := condition()):
            assert time.monotonic() < deadline, self._spans
            time.sleep(0.02)
        return found

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def decode_spans(body: bytes) -> list[Span]:
    """Return the spans in an export request."""
    found = []
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = values(resource_spans.resource.attributes)
        found += [
            Span(
                span.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.trace_state,
                span.kind,
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                span.status.code,
                values(span.attributes),
                resource,
            )
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]
    return found


def values(pairs: Any) -> dict[str, Any]:
    """Return attributes by name."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
