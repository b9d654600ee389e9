"""A collector of traces: what an exporter sends by OTLP over HTTP is taken, decoded and kept."""

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
    """A span as it was received; ids are hexadecimal digits, times nanoseconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    kind: int
    began: int
    ended: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """Listens on loopback until it is closed.

    Attributes:
        paths: that were posted to.
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
                collector._spans += decoded(body)
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
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self, **wanted: Any) -> list[Span]:
        """Every span so far, or those with these attributes of ours."""
        pairs = {f"pigeonhole.{name}": value for name, value in wanted.items()}
        return [span for span in list(self._spans) if pairs.items() <= span.attributes.items()]

    def until(self, true: Callable[[], Any]) -> Any:
        """Wait for what is to come; gives what it is."""
        deadline = time.monotonic() + WAIT_S
        while not (found := true()):
            assert time.monotonic() < deadline, self._spans
            time.sleep(0.02)
        return found

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def decoded(body: bytes) -> list[Span]:
    """The spans in a request."""
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
    """Attributes by name."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
