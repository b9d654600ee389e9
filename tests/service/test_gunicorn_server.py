"""The service under gunicorn: real processes on loopback, as an operator starts and ends them."""

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

pytestmark = pytest.mark.alone

BODY = b'{"instances": [[172, 95]]}'
QUICK = ("--workers", "2", "--drain-seconds", "0.1")


@pytest.fixture(scope="module")
def running(serve, tmp_path_factory, write_model):
    """A server with two workers that the tests of this module only ask."""
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    server = serve(models, *QUICK, "--max-body-bytes", "100000")
    server.until(lambda: ready_workers(server) == 2)
    return server


WEB = httpx.Client(trust_env=False, timeout=10, limits=httpx.Limits(max_keepalive_connections=0))
"""Each request on a connection of its own, so that any worker may answer."""


def get(server, path: str) -> httpx.Response:
    return WEB.get(server.address + path)


def post(server, body: Any = BODY, **headers: str) -> httpx.Response:
    return WEB.post(server.address + "/predict", content=body, headers=headers)


def status(server, path: str) -> int:
    """The status of an answer, or 0 where nobody answers."""
    try:
        return get(server, path).status_code
    except httpx.TransportError:
        return 0


OF_WORKERS = ("pigeonhole_workers", "pigeonhole_workers_ready", "pigeonhole_model_live")
"""Gauges: how many workers there are, or are in some state."""


def totals(server) -> dict[str, float]:
    """Every total and count on /metrics by its whole name, and how many workers there are."""
    answer = get(server, "/metrics")
    assert answer.status_code == 200
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if family.type in ("counter", "histogram") or sample.name in OF_WORKERS
    }


def all_ready(found: dict[str, float]) -> bool:
    return found["pigeonhole_workers_ready[]"] == found["pigeonhole_workers[]"] == 2


def live_workers(server, model: str, version: int) -> float:
    """How many workers serve a version, as they say themselves."""
    labels = [("model", model), ("version", str(version))]
    return scraped(server).get(f"pigeonhole_model_live{labels}", 0)


def ready_workers(server) -> float:
    """How many workers take requests, as they say themselves."""
    return scraped(server)["pigeonhole_workers_ready[]"]


def predictions(found: dict[str, float]) -> float:
    return sum(v for k, v in found.items() if k.startswith("pigeonhole_rows_total"))


def raw(server, *parts: bytes, seconds: float = 5) -> bytes:
    """Send bytes as they are; whatever comes back until the connection is closed."""
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
    assert predictions(after) - predictions(before) == 40
    assert after["pigeonhole_workers[]"] == 2


def test_it_is_quiet_but_for_where_it_listens_and_what_is_live(running) -> None:
    get(running, "/nowhere")
    assert {line["message"] for line in running.lines()} == {"listening", "model live"}
    assert len(running.lines("model live")) == 2


def test_the_first_process_holds_no_model_and_no_runtime(running) -> None:
    for pid, expected in ((running.process.pid, False), (running.workers()[0], True)):
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert ("onnxruntime" in mapped) is expected


def test_failures_have_the_one_shape_here_too(running, failed) -> None:
    failed(get(running, "/nowhere/%ff?q=%00"), 404, "unknown_route")
    failed(get(running, "/predict"), 405, "method_not_allowed")
    failed(post(running, b"\xff"), 400, "unreadable_body")
    failed(post(running, b"x" * 100_001), 413, "body_too_large")
    failed(post(running, **{"Content-Encoding": "br"}), 415, "unsupported_encoding")


def test_head_and_options_are_answered_without_a_body(running) -> None:
    head = WEB.head(running.address + "/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(get(running, "/v1/models").content)
    options = WEB.options(running.address + "/predict")
    assert options.status_code == 200
    assert set(options.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_paths_and_queries_that_are_not_ascii_are_answered(running) -> None:
    answer = get(running, "/v1/models/\u00e9\U0001f600?q=\u00fc")
    assert answer.status_code == 404
    assert "'\u00e9\U0001f600'" in answer.json()["error"]


def test_a_client_that_expects_to_be_told_is_told_to_go_on(running) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(BODY)
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_expects_to_be_told_is_spared_a_body_that_is_too_large(running) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(head + b"Content-Length: 100001\r\n\r\n")
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer


def test_a_body_in_chunks_is_answered(running, failed) -> None:
    pieces = [BODY[:7], BODY[7:]]
    assert post(running, iter(pieces)).status_code == 200
    failed(post(running, iter([b"x" * 50_000] * 3)), 413, "body_too_large")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_far_too_much_before_it_reads_still_gets_its_answer(
    running, chunked: bool
) -> None:
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
def test_what_is_no_http_is_refused_once_and_the_connection_closed(
    running, request_bytes: bytes, expected: bytes
) -> None:
    answer = raw(running, request_bytes)
    assert answer.split(b"\r\n")[0].startswith(b"HTTP/1.1" + expected)
    assert answer.count(b"HTTP/1.1") == 1
    assert not answer.endswith(b"<still open>")


def test_a_header_with_an_underscore_counts_for_nothing(running) -> None:
    answer = raw(
        running,
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX_Request_Id: evil\r\nConnection: close\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"evil" not in answer


@pytest.mark.parametrize("digits", [7, 19, 4000])
def test_a_length_of_very_many_digits_is_too_large(running, digits: int) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(head % (b"9" * digits))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_clients_that_dribble_hold_nobody_up(running) -> None:
    half = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:9]
    slow = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(60)]
    try:
        for index, connection in enumerate(slow):
            connection.sendall((b"", b"POST /pre", half)[index % 3])
        started = time.monotonic()
        for _ in range(20):
            assert post(running).status_code == 200
        assert time.monotonic() - started < 5
        # Some finish after all; the others go away in the middle.
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


def test_a_server_starts_without_a_model_and_takes_in_the_first_good_one(
    serve, models, write_model, failed
) -> None:
    write_model(models, "damaged", digest="0" * 64)
    server = serve(models, *QUICK)
    server.until(lambda: status(server, "/health/live") == 200)
    reasons = failed(get(server, "/health/ready"), 503, "not_ready")["problems"]
    assert reasons[0].startswith("model 'damaged': version 1 was rejected: model.onnx has sha256 ")
    failed(post(server), 503, "model_not_ready")
    for version in (2, 3):
        write_model(models, "damaged", version)
        assert server.until(lambda v=version: live_workers(server, "damaged", v) == 2) < 2
        assert everywhere(server, lambda: post(server).json()["version"]) == {str(version)}
    assert everywhere(server, lambda: status(server, "/health/ready")) == {200}
    assert server.stop() == 0


def everywhere(server, ask: Callable[[], Any]) -> set[Any]:
    """Every different answer to a question that is asked often enough to reach all workers."""
    return {ask() for _ in range(16)}


def test_a_worker_that_is_killed_under_load_is_replaced_and_nothing_counted_is_lost(
    serve, models, write_model
) -> None:
    write_model(models)
    server = serve(models, *QUICK)
    server.until(lambda: ready_workers(server) == 2)
    stop = threading.Event()
    answered, refused = [0], []

    def load() -> None:
        while not stop.is_set():
            try:
                answer = post(server)
            except httpx.TransportError:
                continue  # it was on its connection to the worker that was killed
            answered[0] += 1
            if answer.status_code != 200:
                refused.append(answer.text)

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
    assert refused == []
    assert predictions(known) >= answered[0] > 50
    assert known["pigeonhole_worker_starts_total[]"] == 4
    assert server.stop() == 0


def scraped(server) -> dict[str, float]:
    """A scrape; one whose connection a killed worker had taken is made again, as Prometheus does."""
    try:
        return totals(server)
    except httpx.TransportError:
        return totals(server)


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The later totals, none of which is less than it was."""
    shrunk = {k: (v, after.get(k)) for k, v in before.items() if after.get(k, -1) < v}
    shrunk = {k: v for k, v in shrunk.items() if not k.startswith(OF_WORKERS)}
    assert shrunk == {}
    return after


@pytest.fixture
def kept_open(running_alone) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", running_alone.port, timeout=10)
    yield connection
    connection.close()


@pytest.fixture
def running_alone(serve, models, write_model):
    """A server with one worker that a test may end."""
    write_model(models)
    server = serve(models, "--workers", "1", "--drain-seconds", "1.2")
    server.until(lambda: ready_workers(server) == 1)
    return server


def test_a_stop_fails_readiness_first_and_finishes_what_runs(running_alone, kept_open) -> None:
    server = running_alone
    kept_open.request("GET", "/health/live")
    assert kept_open.getresponse().read() == b'{"live":true}'  # and idle from now on
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    workers = server.workers()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
        slow.sendall(head + BODY[:9])
        time.sleep(0.1)  # for the worker to begin with it
        os.kill(server.process.pid, signal.SIGTERM)
        started = time.monotonic()
        server.until(lambda: status(server, "/health/ready") == 503, 1)
        assert "the worker is stopping" in get(server, "/health/ready").json()["problems"]
        answer = post(server)
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        assert status(server, "/health/live") == 200
        # A connection that was idle is still served, and told to close.
        kept_open.request("POST", "/predict", BODY)
        answer = kept_open.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        answer.read()
        while status(server, "/health/live"):
            assert time.monotonic() < started + 5
            time.sleep(0.02)
        assert time.monotonic() - started > 1
        assert server.process.poll() is None  # there is still a request that runs
        slow.sendall(BODY[9:])
        assert slow.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(10) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert {line["level"] for line in server.lines()} == {"INFO"}


def test_who_asks_now_and_then_is_answered_after_the_drain_too(running_alone, kept_open) -> None:
    kept_open.request("GET", "/health/live")
    kept_open.getresponse().read()
    os.kill(running_alone.process.pid, signal.SIGTERM)
    time.sleep(2)  # nobody new is let in for half of it
    assert status(running_alone, "/health/live") == 0
    kept_open.request("POST", "/predict", BODY)
    answer = kept_open.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert running_alone.process.wait(10) == 0


def test_idle_connections_do_not_hold_up_a_stop(running_alone, kept_open) -> None:
    kept_open.request("GET", "/health/live")
    kept_open.getresponse().read()
    started = time.monotonic()
    assert running_alone.stop() == 0
    assert time.monotonic() - started < 5


def test_a_second_signal_ends_it_at_once(running_alone) -> None:
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


def test_a_port_that_is_taken_is_named_and_ends_the_start(running, models) -> None:
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


def test_it_listens_on_addresses_of_ipv6_too() -> None:
    assert GunicornServer(Settings(host="::1", port=80)).cfg.address == [("::1", 80)]


def test_a_request_is_in_the_access_log_with_its_id(serve, models, write_model) -> None:
    write_model(models)
    server = serve(models, *QUICK, "--access-log", "on")
    server.until(lambda: ready_workers(server) == 2)
    made = post(server).headers["X-Request-Id"]
    server.until(lambda: [li for li in server.lines("request") if li["request_id"] == made])
    (line,) = [line for line in server.lines("request") if line["request_id"] == made]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", 200)
    assert (line["logger"], line["level"]) == ("service.access", "INFO")


def test_a_worker_may_wait_for_its_models_as_long_as_it_was_told() -> None:
    patient = GunicornServer(Settings(load_wait_seconds=600, workers=1))
    assert patient.cfg.timeout > 600
    assert GunicornServer(Settings(workers=1)).cfg.timeout == 60
