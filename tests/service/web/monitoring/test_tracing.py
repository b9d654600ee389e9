"""Tracing by environment variables: when it is on, and what is logged when it can't be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from pigeonhole.service.app import Service
from pigeonhole.service.settings import Settings
from pigeonhole.service.web.monitoring.tracing import open_spans
from tests.service.collector import Collector

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture
def collector(monkeypatch, own_loggers) -> Iterator[Collector]:
    """Run a collector, and name it in the environment."""
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    yield collector
    collector.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "mine", "OTEL_TRACES_SAMPLER": "always_on"},
        ENDPOINT | {"OTEL_SDK_DISABLED": "True"},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_tracing_is_off_without_an_endpoint(environ, caplog) -> None:
    assert open_spans(environ) is None
    assert not caplog.records


def test_unknown_exporter_is_logged_and_turns_tracing_off(caplog) -> None:
    assert open_spans(ENDPOINT | {"OTEL_TRACES_EXPORTER": "zipkin"}) is None
    (record,) = caplog.records
    assert "zipkin" in record.reason


def test_unsupported_protocol_is_logged(collector, caplog) -> None:
    spans = open_spans(ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert spans is not None
    spans.close()
    (record,) = caplog.records
    assert record.getMessage() == "spans are sent by http/protobuf"
    assert "grpc" in record.reason


def test_invalid_variable_is_logged_and_turns_tracing_off(collector, monkeypatch, caplog) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    assert open_spans(ENDPOINT) is None
    (record,) = caplog.records
    assert record.getMessage() == "requests are not traced"
    assert "max_queue_size" in record.reason


def test_missing_extra_is_named_and_requests_are_answered(
    models, monkeypatch, caplog, collector
) -> None:
    monkeypatch.setitem(sys.modules, "pigeonhole.service.web.monitoring.spans", None)
    service = Service(Settings(models=models, reload_seconds=3600))
    response = service.flask.test_client().post("/predict", json={"instances": [[172, 95]]})
    service.close()
    assert response.status_code == 200
    (warning,) = [
        r for r in caplog.records if r.name == "pigeonhole.service.web.monitoring.tracing"
    ]
    assert "pigeonhole-ml[tracing]" in warning.getMessage()


def test_opentelemetry_is_not_imported_without_tracing(models) -> None:
    code = (
        "import sys; from pigeonhole.service.app import create_app; from pigeonhole.service.settings import Settings\n"
        f"app = create_app(Settings.read({{'PIGEONHOLE_MODELS': {str(models)!r}}}))\n"
        "app.test_client().post('/predict', json={'instances': [[172, 95]]})\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout.strip() == "[]"


def test_each_request_has_one_span(models, collector) -> None:
    service = Service(Settings(models=models, reload_seconds=3600))
    client = service.flask.test_client()
    body = {"instances": [[172, 95], [160, 70]]}
    response = client.post("/predict", json=body, headers={"X-Request-Id": "mine"})
    client.post("/v1/models/bodymass/versions/1:predict", json=body)
    client.get("/v1/models/bodymass")
    client.get("/nowhere")
    client.get("/health/ready")
    client.get("/metrics")
    service.close()
    names = [span.name for span in collector.spans()]
    assert response.status_code == 200
    assert sorted(names) == [
        "GET",
        "GET /v1/models/<name>",
        "POST /predict",
        "POST /v1/models/<name>/versions/<version>:predict",
    ]
    (first,) = collector.spans(request_id="mine")
    assert first.resource["service.name"] == "pigeonhole"
    assert first.attributes["pigeonhole.model"] == "bodymass"
    assert first.attributes["pigeonhole.version"] == 1
    assert first.attributes["pigeonhole.rows"] == 2
    assert set(collector.paths) == {"/v1/traces"}
