"""The service under gunicorn: real processes on loopback."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pigeonhole.service.gunicorn_server import GunicornServer
from pigeonhole.service.settings import Settings

pytestmark = pytest.mark.slow

BODY = b'{"instances": [[172, 95]]}'
QUICK = ("--workers", "2", "--drain-seconds", "0.1")


@pytest.fixture(scope="module")
def running(serve, tmp_path_factory, write_model):
    """A server with two workers, shared by tests that only send requests."""
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    server = serve(models, *QUICK, "--max-body-bytes", "100000")
    server.until(lambda: ready_workers(server) == 2)
    return server


WEB = httpx.Client(trust_env=False, timeout=10, limits=httpx.Limits(max_keepalive_connections=0))
"""Opens a new connection for each request, so that any worker may answer."""


def get(server, path: str) -> httpx.Response:
    return WEB.get(server.address + path)


def post(server, body: Any = BODY, **headers: str) -> httpx.Response:
    return WEB.post(server.address + "/predict", content=body, headers=headers)


def status(server, path: str) -> int:
    """Return the status of a response, or 0 without a response."""
    try:
        return get(server, path).status_code
    except httpx.TransportError:
        return 0


WORKER_GAUGES = ("pigeonhole_workers", "pigeonhole_workers_ready", "pigeonhole_model_live")
"""Gauges that count workers, in total or in some state."""


def totals(server) -> dict[str, float]:
    """Return every counter and histogram on /metrics, and the worker gauges, by name and labels."""
    answer = get(server, "/metrics")
    assert answer.status_code == 200
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if family.type in ("counter", "histogram") or sample.name in WORKER_GAUGES
    }


def all_ready(samples: dict[str, float]) -> bool:
    return samples["pigeonhole_workers_ready[]"] == samples["pigeonhole_workers[]"] == 2


def live_workers(server, model: str, version: int) -> float:
    """Return how many workers serve a version, by the metrics."""
    labels = [("model", model), ("version", str(version))]
    return scraped(server).get(f"pigeonhole_model_live{labels}", 0)


def ready_workers(server) -> float:
    """Return how many workers are ready, by the metrics."""
    return scraped(server)["pigeonhole_workers_ready[]"]


def predicted_rows(samples: dict[str, float]) -> float:
    return sum(v for k, v in samples.items() if k.startswith("pigeonhole_rows_total"))


def send_raw(server, *parts: bytes, seconds: float = 5) -> bytes:
    """Send bytes as they are; return all bytes received until the connection is closed."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        for part in parts:
            connection.sendall(part)
        try:
            while piece := connection.recv(65536):
                received += piece
        except TimeoutError:
            received += b"<still open>"
    return received


def test_every_worker_answers(running) -> None:
    assert len(running.workers()) == 2
    before = totals(running)
    for _ in range(40):
        answer = post(running)
        assert answer.status_code == 200
        assert answer.json()["predictions"][0]["label"] == "overweight"
    after = totals(running)
    assert predicted_rows(after) - predicted_rows(before) == 40
    assert after["pigeonhole_workers[]"] == 2


def test_log_has_only_the_address_and_the_live_models(running) -> None:
    get(running, "/nowhere")
    assert {line["message"] for line in running.lines()} == {"listening", "model live"}
    assert len(running.lines("model live")) == 2


def test_parent_process_has_no_runtime(running) -> None:
    for pid, expected in ((running.process.pid, False), (running.workers()[0], True)):
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert ("onnxruntime" in mapped) is expected


def test_errors_of_the_server_have_the_common_shape(running, failed) -> None:
    failed(get(running, "/nowhere/%ff?q=%00"), 404, "unknown_route")
    failed(get(running, "/predict"), 405, "method_not_allowed")
    failed(post(running, b"\xff"), 400, "unreadable_body")
    failed(post(running, b"x" * 100_001), 413, "body_too_large")
    failed(post(running, **{"Content-Encoding": "br"}), 415, "unsupported_encoding")


def test_head_and_options_have_no_body(running) -> None:
    head = WEB.head(running.address + "/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(get(running, "/v1/models").content)
    options = WEB.options(running.address + "/predict")
    assert options.status_code == 200
    assert set(options.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_non_ascii_path_and_query_are_answered(running) -> None:
    answer = get(running, "/v1/models/\u00e9\U0001f600?q=\u00fc")
    assert answer.status_code == 404
    assert "'\u00e9\U0001f600'" in answer.json()["error"]


def test_client_that_expects_100_continue_gets_it(running) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(BODY)
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_client_that_expects_100_continue_is_rejected_before_a_large_body(running) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(head + b"Content-Length: 100001\r\n\r\n")
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer


def test_chunked_body_is_answered(running, failed) -> None:
    pieces = [BODY[:7], BODY[7:]]
    assert post(running, iter(pieces)).status_code == 200
    failed(post(running, iter([b"x" * 50_000] * 3)), 413, "body_too_large")


@pytest.mark.parametrize("chunked", [False, True])
def test_client_that_sends_an_oversized_body_gets_its_error(running, chunked: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    try:
        body: Any = (b"x" * 65536 for _ in range(320)) if chunked else bytes(20 * 2**20)
        connection.request("POST", "/predict", body, encode_chunked=chunked)
        answer = connection.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read())["code"] == "body_too_large"
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"nonsense\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b" 400 "),
        (
            (
                b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Length: 5\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
            ),
            b" 400 ",
        ),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", b" 400 "),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b" 414 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40_000 + b"\r\n\r\n", b" 431 "),
    ],
)
def test_invalid_http_is_rejected_once_and_the_connection_closed(
    running, request_bytes: bytes, expected: bytes
) -> None:
    answer = send_raw(running, request_bytes)
    assert answer.split(b"\r\n")[0].startswith(b"HTTP/1.1" + expected)
    assert answer.count(b"HTTP/1.1") == 1
    assert not answer.endswith(b"<still open>")


def test_header_with_an_underscore_is_ignored(running) -> None:
    answer = send_raw(
        running,
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX_Request_Id: evil\r\nConnection: close\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"evil" not in answer


@pytest.mark.parametrize("digits", [7, 19, 4000])
def test_content_length_of_many_digits_is_too_large(running, digits: int) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(head % (b"9" * digits))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_dribbling_clients_delay_no_other_client(running) -> None:
    half = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:9]
    slow = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(60)]
    try:
        for index, connection in enumerate(slow):
            connection.sendall((b"", b"POST /pre", half)[index % 3])
        started = time.monotonic()
        for _ in range(20):
            assert post(running).status_code == 200
        assert time.monotonic() - started < 5
        # Some clients finish their requests; the others disconnect.
        for connection in slow[2:20:3]:
            connection.settimeout(5)
            connection.sendall(BODY[9:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in slow:
            connection.close()
    assert post(running).status_code == 200
    assert running.lines()[-1]["message"] in ("listening", "model live")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def test_server_starts_without_a_good_model_and_loads_the_first_one(
    serve, models, write_model, failed
) -> None:
    write_model(models, "damaged", digest="0" * 64)
    server = serve(models, *QUICK)
    server.until(lambda: status(server, "/health/live") == 200)
    problems = failed(get(server, "/health/ready"), 503, "not_ready")["problems"]
    assert problems[0].startswith("model 'damaged': version 1 was rejected: model.onnx has sha256 ")
    failed(post(server), 503, "model_not_ready")
    for version in (2, 3):
        write_model(models, "damaged", version)
        assert server.until(lambda v=version: live_workers(server, "damaged", v) == 2) < 2
        assert everywhere(server, lambda: post(server).json()["version"]) == {str(version)}
    assert everywhere(server, lambda: status(server, "/health/ready")) == {200}
    assert server.stop() == 0


def everywhere(server, ask: Callable[[], Any]) -> set[Any]:
    """Return the different results of enough calls to reach all workers."""
    return {ask() for _ in range(16)}


def test_killed_worker_is_replaced_and_its_counts_are_kept(serve, models, write_model) -> None:
    write_model(models)
    server = serve(models, *QUICK)
    server.until(lambda: ready_workers(server) == 2)
    stop = threading.Event()
    answered, errors = [0], []

    def load() -> None:
        while not stop.is_set():
            try:
                answer = post(server)
            except httpx.TransportError:
                continue  # the connection of a killed worker
            answered[0] += 1
            if answer.status_code != 200:
                errors.append(answer.text)

    client = threading.Thread(target=load)
    client.start()
    try:
        known = scraped(server)
        first = server.workers()
        for wanted, victim in enumerate(first, start=3):
            os.kill(victim, signal.SIGKILL)
            server.until(lambda gone=victim: gone not in server.workers(), 5)
            deadline = time.monotonic() + 20
            while known["pigeonhole_worker_starts_total[]"] < wanted or not all_ready(known):
                assert time.monotonic() < deadline
                known = grown(known, scraped(server))
        assert not set(first) & set(server.workers())
    finally:
        stop.set()
        client.join()
    known = grown(known, scraped(server))
    assert errors == []
    assert predicted_rows(known) >= answered[0] > 50
    assert known["pigeonhole_worker_starts_total[]"] == 4
    assert server.stop() == 0


def scraped(server) -> dict[str, float]:
    """Scrape; repeat a scrape whose connection a killed worker had."""
    try:
        return totals(server)
    except httpx.TransportError:
        return totals(server)


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return the later totals; fail if one is less than before."""
    shrunk = {k: (v, after.get(k)) for k, v in before.items() if after.get(k, -1) < v}
    shrunk = {k: v for k, v in shrunk.items() if not k.startswith(WORKER_GAUGES)}
    assert shrunk == {}
    return after


@pytest.fixture
def kept_open(running_alone) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", running_alone.port, timeout=10)
    yield connection
    connection.close()


@pytest.fixture
def running_alone(serve, models, write_model):
    """A server with one worker that the test may stop."""
    write_model(models)
    server = serve(models, "--workers", "1", "--drain-seconds", "1.2")
    server.until(lambda: ready_workers(server) == 1)
    return server


def test_stop_fails_readiness_first_and_finishes_requests_in_flight(
    running_alone, kept_open
) -> None:
    server = running_alone
    kept_open.request("GET", "/health/live")
    assert kept_open.getresponse().read() == b'{"live":true}'  # idle from now on
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    workers = server.workers()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
        slow.sendall(head + BODY[:9])
        time.sleep(0.1)  # until the worker has received it
        os.kill(server.process.pid, signal.SIGTERM)
        started = time.monotonic()
        server.until(lambda: status(server, "/health/ready") == 503, 1)
        assert "the worker is stopping" in get(server, "/health/ready").json()["problems"]
        answer = post(server)
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        assert status(server, "/health/live") == 200
        # The idle connection is still answered, with Connection: close.
        kept_open.request("POST", "/predict", BODY)
        answer = kept_open.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        answer.read()
        while status(server, "/health/live"):
            assert time.monotonic() < started + 5
            time.sleep(0.02)
        assert time.monotonic() - started > 1
        assert server.process.poll() is None  # one request is still in flight
        slow.sendall(BODY[9:])
        assert slow.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(10) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert {line["level"] for line in server.lines()} == {"INFO"}


def test_client_on_an_open_connection_is_answered_after_the_drain(running_alone, kept_open) -> None:
    kept_open.request("GET", "/health/live")
    kept_open.getresponse().read()
    os.kill(running_alone.process.pid, signal.SIGTERM)
    time.sleep(2)  # the second half is after the drain
    assert status(running_alone, "/health/live") == 0
    kept_open.request("POST", "/predict", BODY)
    answer = kept_open.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert running_alone.process.wait(10) == 0


def test_idle_connections_do_not_delay_a_stop(running_alone, kept_open) -> None:
    kept_open.request("GET", "/health/live")
    kept_open.getresponse().read()
    started = time.monotonic()
    assert running_alone.stop() == 0
    assert time.monotonic() - started < 5


def test_second_signal_ends_the_service_at_once(running_alone) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running_alone.port), timeout=10) as slow:
        slow.sendall(head)
        time.sleep(0.1)
        os.kill(running_alone.process.pid, signal.SIGTERM)
        running_alone.until(lambda: status(running_alone, "/health/ready") == 503, 1)
        os.kill(running_alone.process.pid, signal.SIGINT)
        started = time.monotonic()
        running_alone.process.wait(15)
        assert time.monotonic() - started < 5


def test_used_port_is_named_and_stops_the_start(running, models) -> None:
    command = [sys.executable, "-m", "pigeonhole", "serve", "--models", models]
    ended = subprocess.run(
        [*command, "--port", str(running.port)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    address = f"127.0.0.1:{running.port}"
    assert ended.stderr == f"Error: can't listen on {address}: Address already in use.\n"


def test_server_listens_on_an_ipv6_address() -> None:
    assert GunicornServer(Settings(host="::1", port=80)).cfg.address == [("::1", 80)]


def test_access_log_has_the_request_with_its_id(serve, models, write_model) -> None:
    write_model(models)
    server = serve(models, *QUICK, "--access-log", "on")
    server.until(lambda: ready_workers(server) == 2)
    request_id = post(server).headers["X-Request-Id"]
    server.until(lambda: [li for li in server.lines("request") if li["request_id"] == request_id])
    (line,) = [line for line in server.lines("request") if line["request_id"] == request_id]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", 200)
    assert (line["logger"], line["level"]) == ("service.access", "INFO")


def test_worker_timeout_exceeds_the_wait_for_models() -> None:
    server = GunicornServer(Settings(load_wait_seconds=600, workers=1))
    assert server.cfg.timeout > 600
    assert GunicornServer(Settings(workers=1)).cfg.timeout == 60
