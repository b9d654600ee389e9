"""The fast path: calls on the loop, in the batcher and in threads; streams; cancellation."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import current_thread
from typing import Any

import msgspec
import pytest

from pigeonhole.service.errors import DeadlineExceeded, Overloaded, PredictionFailed
from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.model.repository import Repository
from pigeonhole.service.serving.batcher import RunPool
from pigeonhole.service.serving.live_models import LiveModels
from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.metrics_collector import MetricsCollector
from pigeonhole.service.serving.observation import Observation
from pigeonhole.service.serving.predictor import Predictor
from pigeonhole.service.serving.reconciler import Reconciler
from pigeonhole.service.serving.shared_state import SharedState
from pigeonhole.service.web.auth import Authenticator
from pigeonhole.service.web.errors import CLIENT_GONE
from pigeonhole.service.web.handlers.fast_path import FastPathHandler
from pigeonhole.service.web.handlers.flask_app import make_http_app
from pigeonhole.service.web.handlers.inference_routes import inference_blueprint, inference_paths
from pigeonhole.service.web.handlers.threads import ResponseThreads
from pigeonhole.service.web.handlers.wsgi import HandlerThreads, WsgiHandler
from pigeonhole.service.web.http.messages import Request, WireResponse
from pigeonhole.service.web.inference import content_coding
from pigeonhole.service.web.inference.protocol import InferenceProtocol, StreamProtocol
from pigeonhole.service.web.inference.route import SLOW_DECODE_BYTES, InferenceRoute
from pigeonhole.service.web.monitoring.access_log import AccessLog
from pigeonhole.service.web.monitoring.request_log import RequestLog
from tests.service.web.handlers.handler_client import ClientResponse, read_response, responses_of
from tests.tiny_models import write_heavy_model

GOOD = b'{"instances": [[172, 95]]}'
WRONG = b'{"instances": [["tall", 95]]}'
HEAVY = b'{"instances": [[2]]}'
LARGE = GOOD.ljust(SLOW_DECODE_BYTES)


class RecordingPredictor(Predictor):
    """A predictor that records runs on the loop and can fail in others.

    Attributes:
        run_sizes: calls of each run on the loop.
        failures: the outcomes of the next runs in threads; None for success.
    """

    run_sizes: list[int]
    failures: list[Exception | None]

    def run(self, model: Model, columns: Columns, deadline: float | None = None) -> Observation:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return super().run(model, columns, deadline)

    def run_together(self, model: Model, parts: Sequence[Columns]) -> Any:
        self.run_sizes.append(len(parts))
        return super().run_together(model, parts)


@dataclass
class Parts:
    """A fast path handler and its collaborators."""

    handler: FastPathHandler
    predictor: RecordingPredictor
    counters: SharedState
    observed: list[list[Observation]]
    access_log: AccessLog
    lines: int
    threads: ResponseThreads

    def logged(self) -> list[tuple[str, str, int]]:
        """Close the access log; return id, path and status of each line."""
        self.access_log.close()
        with os.fdopen(os.dup(self.lines), "rb") as stream:
            found = [json.loads(line) for line in stream.read1().splitlines()]
        return [(line["request_id"], line["path"], line["status"]) for line in found]

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """Return the samples of one metric, by the values of its labels."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in MetricsCollector(self.counters, "1.2.3").collect()
            for sample in family.samples
            if sample.name == name
        }

    def codes(self) -> dict[str, float]:
        """Return the number of finished requests by status."""
        ended: dict[str, float] = {}
        for family in MetricsCollector(self.counters, "1.2.3").collect():
            for sample in family.samples:
                if sample.name == "pigeonhole_requests_total" and sample.value:
                    code = sample.labels["code"]
                    ended[code] = ended.get(code, 0) + sample.value
        return ended


@pytest.fixture(scope="module")
def models(tmp_path_factory, write_model) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    write_heavy_model(folder, products=8)
    return folder


@cache
def loaded(path: Path, name: str, version: int) -> Model:
    # Shared, because the checks of the heavy model at load time take half a second.
    return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)


@pytest.fixture
def parts(models) -> Iterator[Parts]:
    """Make a handler with a queue of one heavy call, and one thread with a queue of one body."""
    counters = SharedState(slots=1)
    counters.claim(0)
    slot = counters.worker(0)
    metrics = Metrics(slot)
    live = LiveModels("bodymass")
    Reconciler(live, Repository(models), loaded, slot, metrics).refresh()
    pool = RunPool(1, max_waiting=1, max_wait_s=60, on_change=metrics.waiting)
    observed: list[list[Observation]] = []
    predictor = RecordingPredictor(
        live, pool, [metrics.predicted, lambda observations: observed.append(list(observations))]
    )
    predictor.run_sizes, predictor.failures = [], []

    def route(
        name: str, protocol: InferenceProtocol, streams: StreamProtocol | None
    ) -> InferenceRoute:
        limit = 2 * SLOW_DECODE_BYTES
        return InferenceRoute(name, protocol, streams, predictor, metrics, max_body_bytes=limit)

    paths = inference_paths(route, max_rows=400)
    app = make_http_app(
        [inference_blueprint(paths)],
        metrics,
        authenticator=Authenticator(None),
        max_body_bytes=2 * SLOW_DECODE_BYTES,
        request_log=None,
    )
    threads = ResponseThreads(1, 1, "work")
    wsgi = WsgiHandler(app, metrics, HandlerThreads(threads, threads, threads))
    lines, end = os.pipe()
    os.set_blocking(lines, False)
    access_log = AccessLog(end)
    handler = FastPathHandler(
        paths,
        wsgi,
        predictor,
        metrics,
        work=threads,
        authenticator=None,
        request_log=RequestLog(access_log, None),
    )
    yield Parts(handler, predictor, counters, observed, access_log, lines, threads)
    access_log.close()
    os.close(lines)
    os.close(end)
    threads.close()
    pool.close()


def make_request(path: str = "/predict", body: bytes = GOOD, method: str = "POST", **headers: str):
    lower = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, path, b"", {"host": "x", **lower}, body, "1.1", "127.0.0.1")


def test_quick_calls_of_one_turn_run_together(parts) -> None:
    bodies = [b'{"instances": [[172, %d]]}' % weight for weight in (40, 64, 66, 95)]
    found = responses_of(
        parts.handler, *(make_request(body=body, x_request_id=str(body[-5])) for body in bodies)
    )
    assert parts.predictor.run_sizes == [4]
    labels = [json.loads(response.data)["predictions"][0]["label"] for response in found]
    assert labels == ["underweight"] * 2 + ["overweight"] * 2
    single = [responses_of(parts.handler, make_request(body=body))[0] for body in bodies]
    for together, alone in zip(found, single, strict=True):
        assert json.loads(together.data)["predictions"] == json.loads(alone.data)["predictions"]


def test_large_body_rejected_for_lack_of_threads_counts_for_its_model(parts, failed) -> None:
    """Otherwise it would count as a request to a model that is not ready."""
    found = responses_of(
        parts.handler, *[make_request(body=LARGE)] * 3, make_request("/v1/models/no:predict", LARGE)
    )
    rejected = [response for response in found[:3] if response.status_code == 503]
    assert rejected
    for response in rejected:
        failed(response, 503, "overloaded")
    failed(found[3], 404, "unknown_model")
    counted = parts.samples("pigeonhole_requests_total")
    models = {labels[1] for labels, number in counted.items() if "503" in labels and number}
    assert models == {"bodymass"}, counted


def test_invalid_call_fails_alone(parts, failed) -> None:
    good, invalid, another = responses_of(
        parts.handler, make_request(), make_request(body=WRONG), make_request()
    )
    assert good.status_code == another.status_code == 200
    failed(invalid, 400, "invalid_rows")
    assert parts.codes() == {"200": 2, "400": 1}


@pytest.mark.parametrize("body", [GOOD, WRONG])
def test_no_call_is_answered_before_the_turn_ends(parts, body: bytes) -> None:
    """Otherwise a client with many pipelined requests would delay all others."""

    async def send() -> int:
        found: list[Any] = []
        parts.handler(make_request(body=body), found.append)
        at_once = len(found)
        await asyncio.sleep(0)
        assert len(found) == 1
        return at_once

    assert asyncio.run(send()) == 0


def test_quick_call_is_answered_at_the_end_of_the_turn(parts) -> None:
    async def send() -> list[str]:
        thread_names: list[str] = []
        parts.handler(make_request(), lambda _response: thread_names.append(current_thread().name))
        await asyncio.sleep(0)
        return thread_names

    assert asyncio.run(send()) == ["MainThread"]


def test_observers_are_notified_once_per_turn_after_the_responses(parts) -> None:
    async def send() -> list[int]:
        observed_before: list[int] = []
        for _ in range(3):
            parts.handler(
                make_request(), lambda _response: observed_before.append(len(parts.observed))
            )
        await asyncio.sleep(0.01)
        return observed_before

    assert asyncio.run(send()) == [0, 0, 0]
    (observations,) = parts.observed
    assert sum(len(observation.prediction.labels) for observation in observations) == 3


def heavy(body: bytes = HEAVY, **headers: str) -> Request:
    return make_request("/v1/models/heavy:predict", body, **headers)


def test_loop_continues_while_a_heavy_model_runs(parts) -> None:
    async def send() -> tuple[bool, ClientResponse]:
        loop = asyncio.get_running_loop()
        slow, quick = loop.create_future(), loop.create_future()
        parts.handler(heavy(), slow.set_result)
        parts.handler(make_request(), quick.set_result)
        await asyncio.wait_for(quick, 30)
        was_first = not slow.done()
        return was_first, ClientResponse(await asyncio.wait_for(slow, 30))

    was_first, response = asyncio.run(send())
    assert was_first
    assert json.loads(response.data)["predictions"][0]["label"] == "more"
    assert parts.predictor.run_sizes == [1]


def test_heavy_call_is_rejected_when_the_queue_is_full(parts, failed) -> None:
    found = responses_of(
        parts.handler, *(heavy(x_request_id=f"id-{number}") for number in range(6))
    )
    assert {response.status_code for response in found} == {200, 503}
    for number, response in enumerate(found):
        assert response.headers["X-Request-Id"] == f"id-{number}"
        if response.status_code == 503:
            failed(response, 503, "overloaded")
            assert response.headers["Retry-After"]
    assert sum(parts.codes().values()) == 6


def test_large_body_in_a_thread_gets_the_same_predictions(parts) -> None:
    large, small = responses_of(parts.handler, make_request(body=LARGE), make_request())
    assert json.loads(large.data)["predictions"] == json.loads(small.data)["predictions"]
    assert parts.predictor.run_sizes == [1]
    assert parts.codes() == {"200": 2}


def test_large_body_is_rejected_when_all_threads_are_busy(parts, failed) -> None:
    found = responses_of(parts.handler, *[make_request(body=LARGE)] * 5)
    assert {response.status_code for response in found} == {200, 503}
    for response in found[2:]:
        failed(response, 503, "overloaded")


@pytest.mark.parametrize("make", [heavy, lambda: make_request(body=LARGE)])
def test_queued_call_of_a_disconnected_client_is_counted_and_not_run(
    parts, make: Callable[[], Request]
) -> None:
    async def send() -> None:
        loop = asyncio.get_running_loop()
        first = loop.create_future()
        parts.handler(make(), first.set_result)
        if make is heavy:
            await asyncio.sleep(0.01)  # until the pool has started it
        cancel = parts.handler(make(), lambda _response: pytest.fail("the client has disconnected"))
        assert cancel is not None
        cancel()
        cancel()
        await asyncio.wait_for(first, 30)
        await asyncio.sleep(0.02)

    asyncio.run(send())
    codes = parts.codes()
    disconnected = codes.pop(str(CLIENT_GONE), 0)
    assert disconnected <= 1
    assert set(codes) == {"200"}
    assert [status for _, _, status in parts.logged()].count(CLIENT_GONE) == disconnected
    assert parts.samples("pigeonhole_requests_in_flight") == {(): 0}
    assert parts.samples("pigeonhole_calls_waiting") == {(): 0}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (make_request("/nowhere"), 404),
        (make_request("/predict/"), 200),
        (make_request("/v1/models/:predict"), 404),
        (make_request(method="GET"), 405),
        (make_request("/v1/models/nobody:predict"), 404),
        (make_request("/v1/models/bodymass/versions/1:predict"), 200),
    ],
)
def test_other_routes_are_answered_by_flask(parts, request_: Any, status: int) -> None:
    assert responses_of(parts.handler, request_)[0].status_code == status


LINES = b"\n".join([b"[172, 95]"] * 2500)
NDJSON = {"content_type": "application/x-ndjson"}


def lines(body: bytes = LINES, path: str = "/predict", **headers: str) -> Request:
    return make_request(path, body, **NDJSON, **headers)


def test_ndjson_rows_in_a_thread_get_the_same_predictions_as_json(parts) -> None:
    streamed, small, usual = responses_of(
        parts.handler, lines(), lines(b"[172, 95]"), make_request()
    )
    (expected,) = json.loads(usual.data)["predictions"]
    assert [json.loads(line) for line in streamed.data.splitlines()] == [expected] * 2500
    assert json.loads(small.data) == expected
    assert "Content-Length" not in streamed.headers
    assert small.headers["Content-Length"] == str(len(small.data))
    assert small.headers["X-Model-Name"] == "bodymass"
    assert parts.predictor.run_sizes == [1]
    assert parts.codes() == {"200": 3}


async def first_slice(parts: Parts, request: Request) -> WireResponse:
    waiting = asyncio.get_running_loop().create_future()
    parts.handler(request, waiting.set_result)
    response: WireResponse = await asyncio.wait_for(waiting, 30)
    return response


def test_stream_is_counted_at_its_end_and_its_rows_per_slice(parts) -> None:
    async def send() -> None:
        response = await first_slice(parts, lines(x_request_id="mine"))
        assert parts.codes() == {}
        assert parts.samples("pigeonhole_requests_in_flight") == {(): 1}
        assert parts.samples("pigeonhole_rows_total") == {("bodymass", "1"): 1000}
        told = await read_response(response)
        assert told.data.count(b"\n") == 2500

    asyncio.run(send())
    assert parts.codes() == {"200": 1}
    assert parts.samples("pigeonhole_requests_in_flight") == {(): 0}
    assert parts.samples("pigeonhole_rows_total") == {("bodymass", "1"): 2500}
    assert parts.logged() == [("mine", "/predict", 200)]


def test_stream_of_a_disconnected_client_ends_and_is_counted(parts) -> None:
    async def send() -> None:
        response = await first_slice(parts, lines())
        response.stream.close()
        response.stream.close()

    asyncio.run(send())
    assert parts.codes() == {str(CLIENT_GONE): 1}
    assert parts.samples("pigeonhole_requests_in_flight") == {(): 0}
    assert parts.samples("pigeonhole_rows_total") == {("bodymass", "1"): 1000}
    assert [status for _, _, status in parts.logged()] == [CLIENT_GONE]


def test_stream_retries_a_slice_when_the_queue_is_full(parts) -> None:
    parts.predictor.failures = [None, Overloaded(1), Overloaded(1), None, None]
    (response,) = responses_of(parts.handler, lines())
    assert response.data.count(b'"label"') == 2500
    assert parts.predictor.failures == []


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (DeadlineExceeded(), 504, "deadline_exceeded"),
        (PredictionFailed("the reason"), 500, "prediction_failed"),
    ],
)
def test_failing_stream_ends_with_a_line_that_names_the_first_missing_row(
    parts, caplog, failure: Exception, status: int, code: str
) -> None:
    parts.predictor.failures = [None, failure]
    (response,) = responses_of(parts.handler, lines())
    *good, last = (json.loads(line) for line in response.data.splitlines())
    assert len(good) == 1000
    assert (last["row"], last["code"]) == (1000, code)
    assert parts.codes() == {str(status): 1}
    assert len(caplog.records) == (status == 500)


@pytest.mark.parametrize("failure", [DeadlineExceeded(), Overloaded(1)])
def test_failure_before_the_first_slice_is_an_error_response(parts, failed, failure) -> None:
    parts.predictor.failures = [failure]
    (response,) = responses_of(parts.handler, lines())
    failed(response)
    assert parts.codes() == {str(response.status_code): 1}


@pytest.mark.parametrize(
    "request_",
    [
        lines(bytearray(LINES)),
        lines(bytearray(b"[" * 100_000)),
        lines(bytearray(LINES), x_request_timeout_ms="0"),
        make_request(body=bytearray(b"[" * SLOW_DECODE_BYTES)),
        make_request(body=bytearray(b"x" * (2 * SLOW_DECODE_BYTES + 1))),
    ],
)
@pytest.mark.parametrize("is_read", [True, False])
def test_body_is_freed_when_its_response_ends(parts, request_: Request, is_read: bool) -> None:
    """It must not wait for the garbage collector, which does not know its size."""
    body = bytes(request_.body)

    async def send() -> None:
        request = Request(**{**msgspec.structs.asdict(request_), "body": body})
        found: asyncio.Queue[WireResponse] = asyncio.Queue()
        parts.handler(request, found.put_nowait)
        response = await asyncio.wait_for(found.get(), 30)
        if is_read:
            await read_response(response)
        elif response.stream is not None:
            response.stream.close()

    gc.collect()
    gc.disable()
    try:
        asyncio.run(send())
        parts.threads._pool.shutdown(wait=True)
        assert sys.getrefcount(body) == 2  # the local name and the argument
    finally:
        gc.enable()


def test_long_responses_are_compressed_for_clients_that_accept_it(parts) -> None:
    rows = b'{"instances": [' + b",".join([b"[172, 95]"] * 100) + b"]}"
    request = make_request(body=rows, accept_encoding="gzip")
    plain, compressed = responses_of(
        parts.handler, make_request(body=rows, x_request_id="a"), request
    )
    assert plain.headers["Vary"] == compressed.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in plain.headers
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.headers["Content-Length"] == str(len(compressed.data))
    decompressed = json.loads(gzip.decompress(compressed.data))
    assert decompressed["predictions"] == json.loads(plain.data)["predictions"]
    (short,) = responses_of(parts.handler, make_request(accept_encoding="gzip"))
    assert not {"Vary", "Content-Encoding"} & set(short.headers)


def test_large_response_is_not_compressed_when_all_threads_are_busy(
    parts,
) -> None:
    rows = b'{"instances": [' + b",".join([b"[172, 95]"] * 400) + b"]}"
    found = responses_of(parts.handler, *[make_request(body=rows, accept_encoding="gzip")] * 5)
    compressed = [response for response in found if "Content-Encoding" in response.headers]
    assert 1 <= len(compressed) < 5
    for response in found:
        assert response.headers["Vary"] == "Accept-Encoding"
        data = gzip.decompress(response.data) if response in compressed else response.data
        assert len(data) > content_coding.OFF_LOOP_BYTES
        assert data.count(b'"label"') == 400
    assert parts.codes() == {"200": 5}


def test_stream_is_compressed_slice_by_slice(parts) -> None:
    plain, compressed = responses_of(parts.handler, lines(), lines(accept_encoding="deflate"))
    assert compressed.headers["Content-Encoding"] == "deflate"
    assert zlib.decompress(compressed.data) == plain.data


def test_unknown_paths_are_not_cached(parts) -> None:
    for start in range(0, 1024, 256):
        names = range(start, start + 256)
        found = responses_of(
            parts.handler, *(make_request(f"/v1/models/m{name}:predict") for name in names)
        )
        assert {response.status_code for response in found} == {404}
    assert not parts.handler._targets
    assert (
        responses_of(parts.handler, make_request("/v1/models/bodymass:predict"))[0].status_code
        == 200
    )
