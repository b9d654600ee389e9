"""Traces of the running service as a collector receives them, from both handlers."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.collector import Collector

pytestmark = pytest.mark.slow

BODY = b'{"instances": [[172, 95], [160, 70]]}'
QUICK = ("--workers", "2", "--drain-seconds", "0.1")
SERVER_KIND, ERROR = 2, 2
"""Values of OTLP."""

WEB = httpx.Client(trust_env=False, timeout=10, limits=httpx.Limits(max_keepalive_connections=0))


@pytest.fixture(scope="module")
def models(tmp_path_factory, write_model) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    return folder


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(params=["fast", "flask"])
def handler(request) -> str:
    return request.param


def start(serve, models: Path, endpoint: str, *flags: str, **variables: str) -> Any:
    """Start a service that exports its spans every tenth of a second; wait until it is ready."""
    defaults = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    server = serve(models, *QUICK, *flags, **defaults | variables)
    server.until(lambda: WEB.get(f"{server.address}/health/ready").status_code == 200)
    return server


def post(server, body: bytes = BODY, path: str = "/predict", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WEB.post(server.address + path, content=body, headers=named)


def parent(number: int, flag: str = "01") -> dict[str, str]:
    """Return the headers of a request whose parent span has this number."""
    return {
        "traceparent": f"00-{number:032x}-{number:016x}-{flag}",
        "tracestate": f"there={number}",
        "x_request_id": f"id-{number}",
    }


def test_request_span_is_a_child_of_the_parent_in_its_headers(
    serve, models, collector, handler
) -> None:
    server = start(serve, models, collector.endpoint, "--handler", handler, "--access-log", "on")
    before = time.time_ns()
    answer = post(server, **parent(7))
    assert answer.status_code == 200
    assert "traceparent" not in answer.headers
    (span,) = collector.until(lambda: collector.spans(request_id="id-7"))
    assert span.name == "POST /predict"
    assert (span.trace_id, span.parent_id) == (f"{7:032x}", f"{7:016x}")
    assert (span.state, span.kind, span.status) == ("there=7", SERVER_KIND, 0)
    assert before < span.start_ns < span.end_ns < time.time_ns()
    seconds = [span.attributes.pop(f"pigeonhole.{name}") for name in ("reading_s", "writing_s")]
    assert 0 < sum(seconds) < (span.end_ns - span.start_ns) / 1e9
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/predict",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "client.address": "127.0.0.1",
        "pigeonhole.request_id": "id-7",
        "pigeonhole.model": "bodymass",
        "pigeonhole.version": 1,
        "pigeonhole.rows": 2,
    }
    assert span.resource["service.name"] == "pigeonhole"
    server.until(lambda: [x for x in server.lines("request") if x["request_id"] == "id-7"])
    (line,) = [x for x in server.lines("request") if x["request_id"] == "id-7"]
    assert line["trace_id"] == span.trace_id


def test_every_kind_of_request_has_a_span(serve, models, collector, handler) -> None:
    server = start(serve, models, collector.endpoint, "--handler", handler)
    address = server.address
    lines = b"\n".join([b"[172, 95]"] * 5000)
    kinds = [
        ("POST", "/predict", BODY, {}, 200, "POST /predict"),
        ("POST", "/v1/models/none:predict", BODY, {}, 404, "POST /v1/models/<name>:predict"),
        ("POST", "/predict", b"[", {}, 400, "POST /predict"),
        ("POST", "/predict", lines, {"content-type": "application/x-ndjson"}, 200, "POST /predict"),
        ("GET", "/v1/models/bodymass", None, {}, 200, "GET /v1/models/<name>"),
        ("GET", "/predict", None, {}, 405, "GET"),
        ("GET", "/nowhere", None, {}, 404, "GET"),
    ]
    for number, (method, path, body, headers, status, _) in enumerate(kinds):
        all_headers = headers | {"x-request-id": f"kind-{number}"}
        response = WEB.request(method, address + path, content=body, headers=all_headers)
        assert response.status_code == status, path
    WEB.get(f"{address}/metrics")
    WEB.get(f"{address}/health/live")
    assert server.stop() == 0
    found = {span.attributes["pigeonhole.request_id"]: span for span in collector.spans()}
    assert len(found) == len(collector.spans()) == len(kinds)
    for number, (_, path, _, _, status, name) in enumerate(kinds):
        span = found[f"kind-{number}"]
        assert (span.name, span.parent_id) == (name, "")
        assert span.attributes["url.path"] == path
        assert span.attributes["http.response.status_code"] == status
    assert found["kind-3"].attributes["pigeonhole.rows"] == 5000


def test_span_of_a_stream_ends_with_the_stream(serve, models, collector, handler) -> None:
    server = start(serve, models, collector.endpoint, "--handler", handler)
    rows = b"\n".join([b"[172, 95]"] * 200_000)  # more than the socket buffers hold
    headers = {
        "content-type": "application/x-ndjson",
        "accept-encoding": "identity",
        "x-request-id": "slowly",
    }
    with WEB.stream("POST", f"{server.address}/predict", content=rows, headers=headers) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        first_piece_ns = time.time_ns()
        time.sleep(0.3)
        next_piece_ns = time.time_ns()
        for _ in pieces:
            pass
    (span,) = collector.until(lambda: collector.spans(request_id="slowly"))
    assert span.start_ns < first_piece_ns < next_piece_ns < span.end_ns
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["pigeonhole.rows"] == 200_000

    sender = socket.create_connection(("127.0.0.1", server.port))
    head = "POST /predict HTTP/1.1\r\nHost: a\r\nX-Request-Id: gone\r\n"
    head += f"Content-Type: application/x-ndjson\r\nContent-Length: {len(rows)}\r\n\r\n"
    sender.sendall(head.encode() + rows)
    sender.recv(100)
    sender.close()
    (span,) = collector.until(lambda: collector.spans(request_id="gone"))
    assert span.attributes["http.response.status_code"] == 499
    assert span.attributes["pigeonhole.rows"] < 200_000


def test_parent_and_environment_decide_what_is_sampled(serve, models, collector) -> None:
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    server = start(serve, models, collector.endpoint, "--access-log", "on", **sampler)
    assert post(server, **parent(1)).status_code == 200
    assert post(server, **parent(2, flag="00")).status_code == 200
    assert post(server, x_request_id="root").status_code == 200
    assert server.stop() == 0
    assert [span.attributes["pigeonhole.request_id"] for span in collector.spans()] == ["id-1"]
    lines = {line["request_id"]: line.get("trace_id") for line in server.lines("request")}
    assert (lines["id-1"], lines["id-2"], lines["root"]) == (f"{1:032x}", None, None)


def test_no_span_is_lost_when_the_service_stops(serve, models, collector, handler) -> None:
    server = start(
        *(serve, models, collector.endpoint, "--handler", handler),
        OTEL_BSP_SCHEDULE_DELAY="3600000",
        OTEL_SERVICE_NAME="named",
    )
    for number in range(1, 301):
        assert post(server, **parent(number)).status_code == 200
    assert not collector.spans()
    assert server.stop() == 0
    found = collector.spans()
    assert sorted(int(span.trace_id, 16) for span in found) == list(range(1, 301))
    assert all(span.parent_id == f"{int(span.trace_id, 16):016x}" for span in found)
    assert {span.resource["service.name"] for span in found} == {"named"}


@pytest.mark.parametrize("collector_state", ["closed", "silent"])
def test_requests_are_answered_without_a_collector_and_logged_once(
    serve, models, collector_state
) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)  # accepts, and never responds
    port = listener.getsockname()[1]
    if collector_state == "closed":
        listener.close()
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
    server = start(serve, models, f"http://127.0.0.1:{port}", "--workers", "1", **small)
    bad = {"traceparent": "what?", "tracestate": "=" * 5000}
    for number in range(200):
        assert post(server, **(bad if number % 2 else parent(number + 1))).status_code == 200
    if collector_state == "closed":
        server.until(lambda: server.lines("spans may be lost"))
    assert server.stop() == 0
    listener.close()
    lines = server.lines()
    assert len([line for line in lines if line["message"] == "spans may be lost"]) <= 1
    assert not [line for line in lines if line["level"] in ("ERROR", "CRITICAL")]
    assert not [line for line in lines if line["logger"].startswith(("opentelemetry", "urllib3"))]


def test_malformed_or_repeated_trace_headers_start_a_new_trace(
    serve, models, collector, handler
) -> None:
    server = start(serve, models, collector.endpoint, "--handler", handler)
    sampled = parent(9)["traceparent"]
    malformed = [
        [("traceparent", sampled), ("traceparent", sampled)],
        [("traceparent", "00-" + "f" * 20_000)],
        [("traceparent", sampled + "-more")],
        [("traceparent", b"\xff\xfe"), ("tracestate", b"\x80=\x81")],
        [("tracestate", "there=1"), ("baggage", "user=mallory")],
    ]
    for number, headers in enumerate(malformed):
        named = [*headers, ("x-request-id", f"bad-{number}")]
        assert WEB.post(f"{server.address}/predict", content=BODY, headers=named).status_code == 200
    huge = [("traceparent", sampled), ("tracestate", "a=" + "b" * 20_000)]
    named = [*huge, ("x-request-id", "huge")]
    assert WEB.post(f"{server.address}/predict", content=BODY, headers=named).status_code == 200
    assert server.stop() == 0
    found = {span.attributes["pigeonhole.request_id"]: span for span in collector.spans()}
    assert len(found) == len(malformed) + 1
    without_state = found.pop("huge")
    assert (without_state.trace_id, without_state.state) == (f"{9:032x}", "")
    for span in found.values():
        assert (span.parent_id, span.state) == ("", "")
        assert "mallory" not in str(span.attributes)
    assert not [line for line in server.lines() if line["level"] != "INFO"]


def test_successor_of_a_killed_worker_sends_spans(serve, models, collector) -> None:
    server = start(serve, models, collector.endpoint, "--workers", "1")
    (killed,) = server.workers()
    assert post(server, x_request_id="before").status_code == 200
    (before,) = collector.until(lambda: collector.spans(request_id="before"))
    os.kill(killed, signal.SIGKILL)
    server.until(lambda: server.workers() not in ([], [killed]))

    def is_answering() -> bool:
        try:
            return post(server, x_request_id="after").status_code == 200
        except httpx.TransportError:
            return False

    server.until(is_answering)
    (after,) = collector.until(lambda: collector.spans(request_id="after"))
    instance = "service.instance.id"
    assert before.resource[instance] != after.resource[instance]
    assert server.stop() == 0
