"""Spans of requests: attributes, parents, sampling."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from pigeonhole.service.web.inference.route import InferenceCall
from pigeonhole.service.web.monitoring.finished_request import UNREAD, FinishedRequest
from pigeonhole.service.web.monitoring.spans import Spans, exporting_provider

pytestmark = pytest.mark.usefixtures("own_loggers")

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = (f"00-{TRACE}-{PARENT}-{flag}" for flag in ("01", "00"))


class RecordingSampler(Sampler):
    """Samples one trace in four by its id, and records the ids."""

    def __init__(self) -> None:
        self.trace_ids: set[int] = set()

    def should_sample(
        self, parent_context: Context | None, trace_id: int, name: str, *_: Any, **__: Any
    ) -> SamplingResult:
        self.trace_ids.add(trace_id)
        return SamplingResult(Decision.DROP if trace_id % 4 else Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "one of four"


def record(
    finished: FinishedRequest, sampler: Sampler | None = None
) -> tuple[str, list[ReadableSpan]]:
    """Return a request's trace id and its spans."""
    provider = TracerProvider(sampler=sampler or ParentBased(ALWAYS_ON), shutdown_on_exit=False)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_id = Spans(provider)(finished)
    return trace_id, list(exporter.get_finished_spans())


def request(headers: dict[str, str] | None = None, **changes: Any) -> FinishedRequest:
    facts: dict[str, Any] = {
        "identity": "mine",
        "method": "POST",
        "path": "/v1/models/animals:predict",
        "status": 200,
        "seconds": 0.25,
        "rule": "/v1/models/<name>:predict",
        "client": "10.0.0.9",
    }
    return FinishedRequest(**facts | changes, header=(headers or {}).get)


def test_trace_keeps_the_id_that_it_was_sampled_by() -> None:
    sampler = RecordingSampler()
    provider = TracerProvider(sampler=ParentBased(sampler), shutdown_on_exit=False)
    spans = Spans(provider)
    trace_ids = [spans(request()) for _ in range(400)]
    sampled = {format_trace_id(trace_id) for trace_id in sampler.trace_ids if trace_id % 4 == 0}
    assert {trace_id for trace_id in trace_ids if trace_id} == sampled
    assert 50 < len(sampled) < 150
    # A request with a malformed parent gets a new id.
    trace_ids = [spans(request({"traceparent": "00-0"})) for _ in range(400)]
    assert 50 < len({trace_id for trace_id in trace_ids if trace_id}) < 150


def test_span_describes_request_and_response() -> None:
    before = time.time_ns()
    call = InferenceCall("mine", 0.0, rows=3, decode_seconds=0.01, encode_seconds=0.02)
    _, (span,) = record(request({"host": "models.example:8000"}, call=call, key="alice"))
    assert span.name == "POST /v1/models/<name>:predict"
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert span.end_time is not None
    assert span.start_time is not None
    assert before <= span.end_time <= time.time_ns()
    assert span.end_time - span.start_time == 250_000_000
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/models/<name>:predict",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/v1/models/animals:predict",
        "server.address": "models.example",
        "server.port": 8000,
        "client.address": "10.0.0.9",
        "pigeonhole.request_id": "mine",
        "pigeonhole.key": "alice",
        "pigeonhole.rows": 3,
        "pigeonhole.reading_s": 0.01,
        "pigeonhole.writing_s": 0.02,
    }


def test_only_server_errors_are_errors_of_the_span() -> None:
    _, (server_error,) = record(request(status=503))
    _, (client_error,) = record(request(status=422))
    assert server_error.status.status_code is StatusCode.ERROR
    assert (server_error.attributes or {})["error.type"] == "503"
    assert client_error.status.status_code is StatusCode.UNSET
    assert "error.type" not in (client_error.attributes or {})


def test_span_is_a_child_of_the_callers_span() -> None:
    trace_id, (span,) = record(request({"traceparent": SAMPLED, "tracestate": "one=1,two=2"}))
    assert trace_id == TRACE
    assert span.context.trace_id == int(TRACE, 16)
    assert span.context.trace_state.to_header() == "one=1,two=2"
    assert span.parent is not None
    assert span.parent.span_id == int(PARENT, 16)
    assert span.parent.is_remote


def test_sampled_parent_decides() -> None:
    for flags in ("00", "02", "fe"):  # only the last bit is the sampled flag
        assert record(request({"traceparent": f"00-{TRACE}-{PARENT}-{flags}"})) == ("", [])
    assert record(request({"traceparent": f"01-{TRACE}-{PARENT}-00-more"})) == ("", [])
    for flags in ("01", "03", "ff"):
        assert len(record(request({"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}))[1]) == 1
    trace_id, spans = record(request({"traceparent": SAMPLED}), ParentBased(ALWAYS_OFF))
    assert (trace_id, len(spans)) == (TRACE, 1)
    assert record(request(), ParentBased(ALWAYS_OFF)) == ("", [])


def test_sampler_that_ignores_parents_decides() -> None:
    trace_id, (span,) = record(request({"traceparent": UNSAMPLED}), ALWAYS_ON)
    assert trace_id == TRACE
    assert span.parent is not None
    assert record(request({"traceparent": SAMPLED}), ALWAYS_OFF) == ("", [])


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "-",
        "00",
        SAMPLED[:-1],
        SAMPLED.upper(),
        f"{SAMPLED}-more",
        f"{SAMPLED},{SAMPLED}",  # two headers
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-zz",
        f"00-{'0' * 32}-{PARENT}-00",
        f"00-{TRACE}-{'0' * 16}-00",
        f"{UNSAMPLED}-more",
        f"{UNSAMPLED},{UNSAMPLED}",
        "\u0660\u0660-" + SAMPLED[3:],
        "\x00\xff" * 100,
        "0" * 30_000,
        "-" * 30_000,
    ],
)
def test_malformed_parent_is_ignored_without_a_log_line(parent, caplog) -> None:
    trace_id, (span,) = record(request({"traceparent": parent, "tracestate": "a=b"}))
    assert span.parent is None
    assert trace_id == f"{span.context.trace_id:032x}" != TRACE
    assert not caplog.records


@pytest.mark.parametrize(
    "state",
    [
        "=",
        "no equals sign",
        "a=1,a=2",
        "a=" + "b" * 30_000,
        ",".join(f"k{i}=v" for i in range(100)),
        "," * 30_000,
        "a=\xe9",
        "A=1",
    ],
)
def test_malformed_state_is_dropped_and_the_parent_kept(state, caplog) -> None:
    trace_id, (span,) = record(request({"traceparent": SAMPLED, "tracestate": state}))
    assert trace_id == TRACE
    assert span.context.trace_state.to_header() == ""
    assert not caplog.records


@pytest.mark.parametrize(
    "path", ["/health/live", "/healthz", "/v2/health/ready", "/ping", "/metrics", "/metrics/"]
)
def test_probes_and_scrapes_are_not_traced(path) -> None:
    assert record(request({"traceparent": SAMPLED}, method="GET", path=path)) == ("", [])


def test_unparsed_request_is_not_traced() -> None:
    assert record(request(method=UNREAD, path=UNREAD, status=400)) == ("", [])


def test_unknown_paths_and_methods_make_no_new_span_names() -> None:
    _, (nowhere,) = record(request(method="GET", path="/etc/passwd", rule="", status=404))
    _, (strange,) = record(request(method="MKCALENDAR", rule="", status=405))
    assert nowhere.name == "GET"
    assert "http.route" not in (nowhere.attributes or {})
    assert strange.name == "HTTP"
    attributes = strange.attributes or {}
    assert attributes["http.request.method"] == "_OTHER"
    assert attributes["http.request.method_original"] == "MKCALENDAR"


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("localhost", "localhost", None),
        ("[::1]:8000", "[::1]", 8000),
        ("a:", "a:", None),
        ("a:8000000000", "a:8000000000", None),
        ("a:²", "a:²", None),
        (":80", ":80", None),
    ],
)
def test_server_address_is_the_host_header(host, address, port) -> None:
    _, (span,) = record(request({"host": host}))
    attributes = span.attributes or {}
    assert attributes["server.address"] == address
    assert attributes.get("server.port") == port


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "pigeonhole"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=yours,zone=b"}, "yours"),
        ({"OTEL_SERVICE_NAME": "mine", "OTEL_RESOURCE_ATTRIBUTES": "service.name=yours"}, "mine"),
    ],
)
def test_environment_names_the_service(monkeypatch, variables, name) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    provider = exporting_provider()
    attributes = provider.resource.attributes
    assert attributes["service.name"] == name
    assert attributes.get("zone") == ("b" if "zone" in str(variables) else None)
    Spans(provider).close()


def test_warnings_of_the_library_are_rate_limited(caplog) -> None:
    spans = Spans(exporting_provider())
    for number in range(50):
        logging.getLogger("opentelemetry.sdk.anywhere").warning("gone %d", number)
    (record,) = caplog.records
    assert (record.name, record.reason) == ("pigeonhole.service.web.monitoring.spans", "gone 0")
    spans.close()
