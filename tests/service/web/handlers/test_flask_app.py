"""The Flask app: headers of every response, errors, compression, logs."""

from __future__ import annotations

import json
import logging
import os
import time
import zlib

import pytest
from flask import Blueprint

from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.shared_state import SharedState
from pigeonhole.service.web.auth import Authenticator
from pigeonhole.service.web.handlers.flask_app import SECURITY_HEADERS, make_http_app
from pigeonhole.service.web.monitoring.access_log import AccessLog
from pigeonhole.service.web.monitoring.request_log import RequestLog

REQUESTS = [
    ("GET", "/", 200),
    ("GET", "/docs", 200),
    ("GET", "/static/docs.css", 200),
    ("GET", "/static/../app.py", 404),
    ("GET", "/openapi.json", 200),
    ("GET", "/metrics", 200),
    ("GET", "/health/live", 200),
    ("HEAD", "/health/ready", 200),
    ("GET", "/v1/models/bodymass", 200),
    ("GET", "/v1/models/nobody", 404),
    ("GET", "/v1/models/bodymass/versions/7", 404),
    ("POST", "/predict", 400),
    ("GET", "/predict", 405),
    ("OPTIONS", "/predict", 200),
    ("DELETE", "/v1/models/bodymass:predict", 405),
    ("POST", "/v1/models/nobody:predict", 404),
    ("BREW", "/docs", 405),
    ("GET", "/v1//models", 404),
    ("GET", "/nowhere/%00/%ff/\u00e9", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_response_has_a_request_id_and_security_headers(
    lasting_client, method: str, path: str, status: int
) -> None:
    response = lasting_client.open(
        path, method=method, headers={"X-Request-Id": "mine"}, buffered=True
    )
    assert response.status_code == status
    assert response.headers.getlist("X-Request-Id") == ["mine"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == (
        "no-cache" if path.endswith(".css") else SECURITY_HEADERS["Cache-Control"]
    )
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "Server" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"), [case for case in REQUESTS if case[2] >= 400]
)
def test_every_error_has_the_same_shape(lasting_client, failed, method, path, status) -> None:
    failed(lasting_client.open(path, method=method), status)


def test_head_response_has_headers_only(lasting_client) -> None:
    head, get = lasting_client.head("/v1/models"), lasting_client.get("/v1/models")
    assert head.data == b""
    assert head.headers["Content-Length"] == str(len(get.data))


@pytest.mark.parametrize("path", ["/docs/", "/predict/", "/v1/models/", "/healthz/"])
def test_trailing_slash_is_ignored(lasting_client, path: str) -> None:
    method = "POST" if path == "/predict/" else "GET"
    with_slash = lasting_client.open(path, method=method)
    without = lasting_client.open(path.rstrip("/"), method=method)
    assert (with_slash.status_code, with_slash.data) == (without.status_code, without.data)


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/docs"])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_long_pages_are_compressed_for_clients_that_accept_it(
    lasting_client, path: str, coding: str
) -> None:
    plain = lasting_client.get(path)
    assert plain.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in plain.headers
    headers = {"Accept-Encoding": coding}
    compressed = lasting_client.get(path, headers=headers)
    assert compressed.headers["Vary"] == "Accept-Encoding"
    assert compressed.headers["Content-Encoding"] == coding
    assert compressed.headers["Content-Length"] == str(len(compressed.data))
    assert len(compressed.data) < len(plain.data) / 2
    decompressed = zlib.decompress(compressed.data, {"gzip": 31, "deflate": 15}[coding])
    assert path == "/metrics" or decompressed == plain.data
    head = lasting_client.head(path, headers=headers)
    assert (head.data, head.headers["Content-Encoding"]) == (b"", coding)
    assert path == "/metrics" or head.headers["Content-Length"] == str(len(compressed.data))


def test_short_pages_and_errors_are_not_compressed(lasting_client) -> None:
    for path in ("/health/live", "/nowhere", "/v1/models"):
        response = lasting_client.get(path, headers={"Accept-Encoding": "gzip"})
        assert not {"Vary", "Content-Encoding"} & set(response.headers.keys())


def failing() -> Blueprint:
    """Return a blueprint whose only route raises."""
    blueprint = Blueprint("failing", __name__)

    @blueprint.get("/fails")
    def fails() -> str:
        raise RuntimeError("a secret detail")

    return blueprint


@pytest.fixture
def app():
    counters = SharedState(slots=1)
    counters.claim(0)
    metrics = Metrics(counters.worker(0))
    return make_http_app(
        [failing()],
        metrics,
        authenticator=Authenticator(None),
        max_body_bytes=100,
        request_log=None,
    )


def test_unexpected_exception_is_logged_with_the_request_id(app, failed, caplog) -> None:
    response = app.test_client().get("/fails", headers={"X-Request-Id": "mine"})
    body = failed(response, 500, "internal_error")
    assert "a secret detail" not in json.dumps(body)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.request_id == response.headers["X-Request-Id"] == "mine"
    assert record.exc_info[1].args == ("a secret detail",)


def test_access_log_is_off_by_default(lasting_client, capfd) -> None:
    lasting_client.get("/health/live")
    lasting_client.post("/predict", data="{}")
    lasting_client.get("/nowhere")
    assert capfd.readouterr().err == ""


def test_access_log_has_a_streamed_response_when_it_has_ended(start, models, capfd) -> None:
    client = start(models=models, access_log=True)
    body = b"\n".join([b"[172, 95]"] * 3000)
    with client.post("/predict", data=body, content_type="application/x-ndjson") as response:
        chunks = response.iter_encoded()
        next(chunks)
        time.sleep(0.05)
        assert capfd.readouterr().err == ""
        assert b"".join(chunks).count(b"\n") == 2000
    deadline = time.monotonic() + 5
    written = ""
    while not written and time.monotonic() < deadline:
        time.sleep(0.01)
        written = capfd.readouterr().err
    line = json.loads(written)
    assert (line["path"], line["status"]) == ("/predict", 200)
    assert line["milliseconds"] > 50


def test_access_log_has_one_line_per_request() -> None:
    counters = SharedState(slots=1)
    counters.claim(0)
    metrics = Metrics(counters.worker(0))
    reader, writer = os.pipe()
    access_log = AccessLog(writer)
    app = make_http_app(
        [failing()],
        metrics,
        authenticator=Authenticator(None),
        max_body_bytes=100,
        request_log=RequestLog(access_log, None),
    )
    with_id = app.test_client().get("/a%0Ab?token=secret", headers={"X-Request-Id": "mine"})
    without_id = app.test_client().post("/fails")
    access_log.close()
    os.close(writer)
    with os.fdopen(reader) as written:
        lines = written.read().splitlines()
    unknown, rejected = map(json.loads, lines)
    assert unknown["request_id"] == with_id.headers["X-Request-Id"] == "mine"
    assert (unknown["method"], unknown["path"], unknown["status"]) == ("GET", "/a\nb", 404)
    assert rejected["request_id"] == without_id.headers["X-Request-Id"]
    assert (rejected["method"], rejected["path"], rejected["status"]) == ("POST", "/fails", 405)
    assert 0 < rejected["milliseconds"] < 10_000
    assert "secret" not in "".join(lines)
