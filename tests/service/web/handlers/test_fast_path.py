"""The express door: what runs on the loop and together, what waits elsewhere, and what gives up."""

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
from tests.service.web.handlers.asking_handlers import Told, answers, whole
from tests.tiny_models import write_heavy_model

GOOD = b'{"instances": [[172, 95]]}'
WRONG = b'{"instances": [["tall", 95]]}'
HEAVY = b'{"instances": [[2]]}'
LARGE = GOOD.ljust(SLOW_DECODE_BYTES)


class Watched(Predictor):
    """The predictor, and how many calls each run on the loop was made of.

    What is in ``failures`` is what comes of the next runs elsewhere.
    """

    together: list[int]
    failures: list[Exception | None]

    def run(self, model: Model, columns: Columns, deadline: float | None = None) -> Observation:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return super().run(model, columns, deadline)

    def run_together(self, model: Model, parts: Sequence[Columns]) -> Any:
        self.together.append(len(parts))
        return super().run_together(model, parts)


@dataclass
class Parts:
    """An express door with what stands around it."""

    handler: FastPathHandler
    predictor: Watched
    counters: SharedState
    observed: list[list[Observation]]
    access_log: AccessLog
    lines: int
    threads: ResponseThreads

    def logged(self) -> list[tuple[str, str, int]]:
        """Id, path and status of each line in the access log, which ends with this."""
        self.access_log.close()
        with os.fdopen(os.dup(self.lines), "rb") as stream:
            found = [json.loads(line) for line in stream.read1().splitlines()]
        return [(line["request_id"], line["path"], line["status"]) for line in found]

    def figures(self, name: str) -> dict[tuple[str, ...], float]:
        """What a scrape tells of one metric, by the values of its labels."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in MetricsCollector(self.counters, "1.2.3").collect()
            for sample in family.samples
            if sample.name == name
        }

    def codes(self) -> dict[str, float]:
        """How many requests ended, by their status."""
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
    # The checks of the heavy model at load time take half a second, so the tests share it.
    return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)


@pytest.fixture
def parts(models) -> Iterator[Parts]:
    """The door, with room for one heavy call that waits, and one large body beside it."""
    counters = SharedState(slots=1)
    counters.claim(0)
    slot = counters.worker(0)
    metrics = Metrics(slot)
    live = LiveModels("bodymass")
    Reconciler(live, Repository(models), loaded, slot, metrics).refresh()
    pool = RunPool(1, max_waiting=1, max_wait_s=60, on_change=metrics.waiting)
    observed: list[list[Observation]] = []
    predictor = Watched(live, pool, [metrics.predicted, lambda seen: observed.append(list(seen))])
    predictor.together, predictor.failures = [], []

    def route(
        name: str, protocol: InferenceProtocol, streams: StreamProtocol | None
    ) -> InferenceRoute:
        most = 2 * SLOW_DECODE_BYTES
        return InferenceRoute(name, protocol, streams, predictor, metrics, max_body_bytes=most)

    routes = inference_paths(route, max_rows=400)
    app = make_http_app(
        [inference_blueprint(routes)],
        metrics,
        authenticator=Authenticator(None),
        max_body_bytes=2 * SLOW_DECODE_BYTES,
        request_log=None,
    )
    threads = ResponseThreads(1, 1, "work")
    flask = WsgiHandler(app, metrics, HandlerThreads(threads, threads, threads))
    lines, end = os.pipe()
    os.set_blocking(lines, False)
    access_log = AccessLog(end)
    handler = FastPathHandler(
        routes,
        flask,
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


def asked(path: str = "/predict", body: bytes = GOOD, method: str = "POST", **headers: str):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, path, b"", {"host": "x", **given}, body, "1.1", "127.0.0.1")


def test_quick_calls_of_one_turn_run_together_and_each_gets_its_own_answer(parts) -> None:
    bodies = [b'{"instances": [[172, %d]]}' % weight for weight in (40, 64, 66, 95)]
    found = answers(
        parts.handler, *(asked(body=body, x_request_id=str(body[-5])) for body in bodies)
    )
    assert parts.predictor.together == [4]
    labels = [json.loads(answer.data)["predictions"][0]["label"] for answer in found]
    assert labels == ["underweight"] * 2 + ["overweight"] * 2
    alone = [answers(parts.handler, asked(body=body))[0] for body in bodies]
    for together, by_itself in zip(found, alone, strict=True):
        assert json.loads(together.data)["predictions"] == json.loads(by_itself.data)["predictions"]


def test_a_large_body_that_finds_no_thread_is_refused_as_its_models(parts, failed) -> None:
    """Else it would count as a request to a model that is not ready."""
    found = answers(parts.handler, *[asked(body=LARGE)] * 3, asked("/v1/models/no:predict", LARGE))
    refused = [answer for answer in found[:3] if answer.status_code == 503]
    assert refused
    for answer in refused:
        failed(answer, 503, "overloaded")
    failed(found[3], 404, "unknown_model")
    counted = parts.figures("pigeonhole_requests_total")
    models = {labels[1] for labels, number in counted.items() if "503" in labels and number}
    assert models == {"bodymass"}, counted


def test_a_wrong_call_fails_alone(parts, failed) -> None:
    good, wrong, another = answers(parts.handler, asked(), asked(body=WRONG), asked())
    assert good.status_code == another.status_code == 200
    failed(wrong, 400, "invalid_rows")
    assert parts.codes() == {"200": 2, "400": 1}


@pytest.mark.parametrize("body", [GOOD, WRONG])
def test_no_call_is_answered_while_it_is_read(parts, body: bytes) -> None:
    """Else whoever sends many at once has them read and answered before anyone else's."""

    async def ask() -> int:
        found: list[Any] = []
        parts.handler(asked(body=body), found.append)
        at_once = len(found)
        await asyncio.sleep(0)
        assert len(found) == 1
        return at_once

    assert asyncio.run(ask()) == 0


def test_a_quick_call_is_answered_by_the_loop_before_it_waits_for_anything_else(parts) -> None:
    async def ask() -> list[str]:
        answered_in: list[str] = []
        parts.handler(asked(), lambda _answer: answered_in.append(current_thread().name))
        await asyncio.sleep(0)
        return answered_in

    assert asyncio.run(ask()) == ["MainThread"]


def test_observers_are_told_of_all_answers_of_a_turn_at_once_after_them(parts) -> None:
    async def ask() -> list[int]:
        told_before: list[int] = []
        for _ in range(3):
            parts.handler(asked(), lambda _answer: told_before.append(len(parts.observed)))
        await asyncio.sleep(0.01)
        return told_before

    assert asyncio.run(ask()) == [0, 0, 0]
    (seen,) = parts.observed
    assert sum(len(observation.prediction.labels) for observation in seen) == 3


def heavy(body: bytes = HEAVY, **headers: str) -> Request:
    return asked("/v1/models/heavy:predict", body, **headers)


def test_the_loop_goes_on_while_a_heavy_model_runs(parts) -> None:
    async def ask() -> tuple[bool, Told]:
        loop = asyncio.get_running_loop()
        slow, quick = loop.create_future(), loop.create_future()
        parts.handler(heavy(), slow.set_result)
        parts.handler(asked(), quick.set_result)
        await asyncio.wait_for(quick, 30)
        was_first = not slow.done()
        return was_first, Told(await asyncio.wait_for(slow, 30))

    was_first, answer = asyncio.run(ask())
    assert was_first
    assert json.loads(answer.data)["predictions"][0]["label"] == "more"
    assert parts.predictor.together == [1]


def test_a_heavy_call_that_finds_no_room_is_refused_at_once_with_its_id(parts, failed) -> None:
    found = answers(parts.handler, *(heavy(x_request_id=f"id-{number}") for number in range(6)))
    assert {answer.status_code for answer in found} == {200, 503}
    for number, answer in enumerate(found):
        assert answer.headers["X-Request-Id"] == f"id-{number}"
        if answer.status_code == 503:
            failed(answer, 503, "overloaded")
            assert answer.headers["Retry-After"]
    assert sum(parts.codes().values()) == 6


def test_a_large_body_is_answered_elsewhere_and_alike(parts) -> None:
    large, small = answers(parts.handler, asked(body=LARGE), asked())
    assert json.loads(large.data)["predictions"] == json.loads(small.data)["predictions"]
    assert parts.predictor.together == [1]
    assert parts.codes() == {"200": 2}


def test_large_bodies_that_find_no_thread_are_refused(parts, failed) -> None:
    found = answers(parts.handler, *[asked(body=LARGE)] * 5)
    assert {answer.status_code for answer in found} == {200, 503}
    for answer in found[2:]:
        failed(answer, 503, "overloaded")


@pytest.mark.parametrize("make", [heavy, lambda: asked(body=LARGE)])
def test_a_call_whose_client_has_gone_before_its_turn_is_counted_and_not_run(
    parts, make: Callable[[], Request]
) -> None:
    async def ask() -> None:
        loop = asyncio.get_running_loop()
        first = loop.create_future()
        parts.handler(make(), first.set_result)
        if make is heavy:
            await asyncio.sleep(0.01)  # for the pool to begin with it
        cancel = parts.handler(make(), lambda _answer: pytest.fail("nobody is there"))
        assert cancel is not None
        cancel()
        cancel()
        await asyncio.wait_for(first, 30)
        await asyncio.sleep(0.02)

    asyncio.run(ask())
    codes = parts.codes()
    gone = codes.pop(str(CLIENT_GONE), 0)
    assert gone <= 1
    assert set(codes) == {"200"}
    assert [status for _, _, status in parts.logged()].count(CLIENT_GONE) == gone
    assert parts.figures("pigeonhole_requests_in_flight") == {(): 0}
    assert parts.figures("pigeonhole_calls_waiting") == {(): 0}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asked("/nowhere"), 404),
        (asked("/predict/"), 200),
        (asked("/v1/models/:predict"), 404),
        (asked(method="GET"), 405),
        (asked("/v1/models/nobody:predict"), 404),
        (asked("/v1/models/bodymass/versions/1:predict"), 200),
    ],
)
def test_what_is_no_hot_route_is_flasks(parts, request_: Any, status: int) -> None:
    assert answers(parts.handler, request_)[0].status_code == status


LINES = b"\n".join([b"[172, 95]"] * 2500)
NDJSON = {"content_type": "application/x-ndjson"}


def lines(body: bytes = LINES, path: str = "/predict", **headers: str) -> Request:
    return asked(path, body, **NDJSON, **headers)


def test_rows_in_lines_are_answered_elsewhere_however_few_and_as_in_json(parts) -> None:
    streamed, small, usual = answers(parts.handler, lines(), lines(b"[172, 95]"), asked())
    (expected,) = json.loads(usual.data)["predictions"]
    assert [json.loads(line) for line in streamed.data.splitlines()] == [expected] * 2500
    assert json.loads(small.data) == expected
    assert "Content-Length" not in streamed.headers
    assert small.headers["Content-Length"] == str(len(small.data))
    assert small.headers["X-Model-Name"] == "bodymass"
    assert parts.predictor.together == [1]
    assert parts.codes() == {"200": 3}


async def first_slice(parts: Parts, request: Request) -> WireResponse:
    waiting = asyncio.get_running_loop().create_future()
    parts.handler(request, waiting.set_result)
    answer: WireResponse = await asyncio.wait_for(waiting, 30)
    return answer


def test_an_answer_in_slices_is_counted_at_its_end_and_its_rows_as_they_come(parts) -> None:
    async def ask() -> None:
        answer = await first_slice(parts, lines(x_request_id="mine"))
        assert parts.codes() == {}
        assert parts.figures("pigeonhole_requests_in_flight") == {(): 1}
        assert parts.figures("pigeonhole_rows_total") == {("bodymass", "1"): 1000}
        told = await whole(answer)
        assert told.data.count(b"\n") == 2500

    asyncio.run(ask())
    assert parts.codes() == {"200": 1}
    assert parts.figures("pigeonhole_requests_in_flight") == {(): 0}
    assert parts.figures("pigeonhole_rows_total") == {("bodymass", "1"): 2500}
    assert parts.logged() == [("mine", "/predict", 200)]


def test_an_answer_in_slices_whose_reader_goes_away_ends_and_is_counted_so(parts) -> None:
    async def ask() -> None:
        answer = await first_slice(parts, lines())
        answer.stream.close()
        answer.stream.close()

    asyncio.run(ask())
    assert parts.codes() == {str(CLIENT_GONE): 1}
    assert parts.figures("pigeonhole_requests_in_flight") == {(): 0}
    assert parts.figures("pigeonhole_rows_total") == {("bodymass", "1"): 1000}
    assert [status for _, _, status in parts.logged()] == [CLIENT_GONE]


def test_an_answer_in_slices_waits_when_too_many_do(parts) -> None:
    parts.predictor.failures = [None, Overloaded(1), Overloaded(1), None, None]
    (answer,) = answers(parts.handler, lines())
    assert answer.data.count(b'"label"') == 2500
    assert parts.predictor.failures == []


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (DeadlineExceeded(), 504, "deadline_exceeded"),
        (PredictionFailed("the reason"), 500, "prediction_failed"),
    ],
)
def test_a_failure_amid_an_answer_ends_it_with_a_line_that_names_the_first_row_left(
    parts, caplog, failure: Exception, status: int, code: str
) -> None:
    parts.predictor.failures = [None, failure]
    (answer,) = answers(parts.handler, lines())
    *good, last = (json.loads(line) for line in answer.data.splitlines())
    assert len(good) == 1000
    assert (last["row"], last["code"]) == (1000, code)
    assert parts.codes() == {str(status): 1}
    assert len(caplog.records) == (status == 500)


@pytest.mark.parametrize("failure", [DeadlineExceeded(), Overloaded(1)])
def test_a_failure_before_the_first_slice_is_one_like_any_other(parts, failed, failure) -> None:
    parts.predictor.failures = [failure]
    (answer,) = answers(parts.handler, lines())
    failed(answer)
    assert parts.codes() == {str(answer.status_code): 1}


@pytest.mark.parametrize(
    "request_",
    [
        lines(bytearray(LINES)),
        lines(bytearray(b"[" * 100_000)),
        lines(bytearray(LINES), x_request_timeout_ms="0"),
        asked(body=bytearray(b"[" * SLOW_DECODE_BYTES)),
        asked(body=bytearray(b"x" * (2 * SLOW_DECODE_BYTES + 1))),
    ],
)
@pytest.mark.parametrize("is_read", [True, False])
def test_a_body_is_let_go_as_soon_as_its_answer_has_ended(
    parts, request_: Request, is_read: bool
) -> None:
    """Not by the collector of cycles, which does not know how large it is."""
    body = bytes(request_.body)

    async def ask() -> None:
        request = Request(**{**msgspec.structs.asdict(request_), "body": body})
        found: asyncio.Queue[WireResponse] = asyncio.Queue()
        parts.handler(request, found.put_nowait)
        answer = await asyncio.wait_for(found.get(), 30)
        if is_read:
            await whole(answer)
        elif answer.stream is not None:
            answer.stream.close()

    gc.collect()
    gc.disable()
    try:
        asyncio.run(ask())
        parts.threads._pool.shutdown(wait=True)
        assert sys.getrefcount(body) == 2  # ours, and the argument
    finally:
        gc.enable()


def test_long_answers_are_compressed_for_who_asks(parts) -> None:
    rows = b'{"instances": [' + b",".join([b"[172, 95]"] * 100) + b"]}"
    request = asked(body=rows, accept_encoding="gzip")
    plain, packed = answers(parts.handler, asked(body=rows, x_request_id="a"), request)
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Content-Length"] == str(len(packed.data))
    unpacked = json.loads(gzip.decompress(packed.data))
    assert unpacked["predictions"] == json.loads(plain.data)["predictions"]
    (short,) = answers(parts.handler, asked(accept_encoding="gzip"))
    assert not {"Vary", "Content-Encoding"} & set(short.headers)


def test_longer_answers_are_compressed_elsewhere_or_not_at_all_where_there_is_no_room(
    parts,
) -> None:
    rows = b'{"instances": [' + b",".join([b"[172, 95]"] * 400) + b"]}"
    found = answers(parts.handler, *[asked(body=rows, accept_encoding="gzip")] * 5)
    packed = [answer for answer in found if "Content-Encoding" in answer.headers]
    assert 1 <= len(packed) < 5
    for answer in found:
        assert answer.headers["Vary"] == "Accept-Encoding"
        data = gzip.decompress(answer.data) if answer in packed else answer.data
        assert len(data) > content_coding.OFF_LOOP_BYTES
        assert data.count(b'"label"') == 400
    assert parts.codes() == {"200": 5}


def test_an_answer_in_slices_is_compressed_slice_by_slice(parts) -> None:
    plain, packed = answers(parts.handler, lines(), lines(accept_encoding="deflate"))
    assert packed.headers["Content-Encoding"] == "deflate"
    assert zlib.decompress(packed.data) == plain.data


def test_paths_that_clients_make_up_are_not_remembered(parts) -> None:
    for start in range(0, 1024, 256):
        names = range(start, start + 256)
        found = answers(parts.handler, *(asked(f"/v1/models/m{name}:predict") for name in names))
        assert {answer.status_code for answer in found} == {404}
    assert not parts.handler._targets
    assert answers(parts.handler, asked("/v1/models/bodymass:predict"))[0].status_code == 200
