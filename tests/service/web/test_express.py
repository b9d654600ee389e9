"""The express door: what runs on the loop and together, what waits elsewhere, and what gives up."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import current_thread
from typing import Any

import pytest

from service.model.artifact import Model, load_model
from service.model.columns import Columns
from service.serving.batcher import RunPool
from service.serving.counters import CounterMap
from service.serving.live_models import LiveModels
from service.serving.metrics import Metrics, MetricsCollector
from service.serving.observation import Observation
from service.serving.predictor import Predictor
from service.web.access_log import AccessLog
from service.web.answer_threads import AnswerThreads
from service.web.door import Request
from service.web.express import Express
from service.web.flask_door import DoorThreads, FlaskDoor
from service.web.hot_routes import hot_blueprint, hot_routes
from service.web.http_app import make_http_app
from service.web.inference import CLIENT_GONE, LONG_BYTES, InferenceProtocol, InferenceRoute
from tests.service.heavy_model import write_heavy_model
from tests.service.web.asking_doors import Told, answers

GOOD = b'{"instances": [[172, 95]]}'
WRONG = b'{"instances": [["tall", 95]]}'
HEAVY = b'{"instances": [[2]]}'
LARGE = GOOD.ljust(LONG_BYTES)


class Watched(Predictor):
    """The predictor, and how many calls each run on the loop was made of."""

    together: list[int]

    def run_together(self, model: Model, parts: Sequence[Columns]) -> Any:
        self.together.append(len(parts))
        return super().run_together(model, parts)


@dataclass
class Parts:
    """An express door with what stands around it."""

    door: Express
    predictor: Watched
    counters: CounterMap
    observed: list[list[Observation]]
    access_log: AccessLog
    lines: int

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


def loaded(path: Path, name: str, version: int) -> Model:
    return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)


@pytest.fixture
def parts(models) -> Iterator[Parts]:
    """The door, with room for one heavy call that waits, and one large body beside it."""
    counters = CounterMap(slots=1)
    counters.take(0)
    metrics = Metrics(counters.worker(0))
    live = LiveModels(models, loaded, metrics, "bodymass")
    live.refresh()
    pool = RunPool(1, max_waiting=1, max_wait_s=60, told=metrics.waiting)
    observed: list[list[Observation]] = []
    predictor = Watched(live, pool, [metrics.predicted, lambda seen: observed.append(list(seen))])
    predictor.together = []

    def route(name: str, protocol: InferenceProtocol) -> InferenceRoute:
        return InferenceRoute(name, protocol, predictor, metrics, max_body_bytes=2 * LONG_BYTES)

    routes = hot_routes(route, max_rows=100)
    app = make_http_app(
        [hot_blueprint(routes)], metrics, max_body_bytes=2 * LONG_BYTES, access_log=None
    )
    threads = AnswerThreads(1, 1, "work")
    flask = FlaskDoor(app, metrics, DoorThreads(threads, threads, threads))
    lines, end = os.pipe()
    os.set_blocking(lines, False)
    access_log = AccessLog(end)
    door = Express(routes, flask, predictor, metrics, work=threads, access_log=access_log)
    yield Parts(door, predictor, counters, observed, access_log, lines)
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
    found = answers(parts.door, *(asked(body=body, x_request_id=str(body[-5])) for body in bodies))
    assert parts.predictor.together == [4]
    labels = [json.loads(answer.data)["predictions"][0]["label"] for answer in found]
    assert labels == ["underweight"] * 2 + ["overweight"] * 2
    alone = [answers(parts.door, asked(body=body))[0] for body in bodies]
    for together, by_itself in zip(found, alone, strict=True):
        assert json.loads(together.data)["predictions"] == json.loads(by_itself.data)["predictions"]


def test_a_wrong_call_fails_alone(parts, failed) -> None:
    good, wrong, another = answers(parts.door, asked(), asked(body=WRONG), asked())
    assert good.status_code == another.status_code == 200
    failed(wrong, 400, "invalid_rows")
    assert parts.codes() == {"200": 2, "400": 1}


@pytest.mark.parametrize("body", [GOOD, WRONG])
def test_no_call_is_answered_while_it_is_read(parts, body: bytes) -> None:
    """Else whoever sends many at once has them read and answered before anyone else's."""

    async def ask() -> int:
        found: list[Any] = []
        parts.door(asked(body=body), found.append)
        at_once = len(found)
        await asyncio.sleep(0)
        assert len(found) == 1
        return at_once

    assert asyncio.run(ask()) == 0


def test_a_quick_call_is_answered_by_the_loop_before_it_waits_for_anything_else(parts) -> None:
    async def ask() -> list[str]:
        answered_in: list[str] = []
        parts.door(asked(), lambda _answer: answered_in.append(current_thread().name))
        await asyncio.sleep(0)
        return answered_in

    assert asyncio.run(ask()) == ["MainThread"]


def test_observers_are_told_of_all_answers_of_a_turn_at_once_after_them(parts) -> None:
    async def ask() -> list[int]:
        told_before: list[int] = []
        for _ in range(3):
            parts.door(asked(), lambda _answer: told_before.append(len(parts.observed)))
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
        parts.door(heavy(), slow.set_result)
        parts.door(asked(), quick.set_result)
        await asyncio.wait_for(quick, 30)
        was_first = not slow.done()
        return was_first, Told(await asyncio.wait_for(slow, 30))

    was_first, answer = asyncio.run(ask())
    assert was_first
    assert json.loads(answer.data)["predictions"][0]["label"] == "more"
    assert parts.predictor.together == [1]


def test_a_heavy_call_that_finds_no_room_is_refused_at_once_with_its_id(parts, failed) -> None:
    found = answers(parts.door, *(heavy(x_request_id=f"id-{number}") for number in range(6)))
    assert {answer.status_code for answer in found} == {200, 503}
    for number, answer in enumerate(found):
        assert answer.headers["X-Request-Id"] == f"id-{number}"
        if answer.status_code == 503:
            failed(answer, 503, "overloaded")
            assert answer.headers["Retry-After"]
    assert sum(parts.codes().values()) == 6


def test_a_large_body_is_answered_elsewhere_and_alike(parts) -> None:
    large, small = answers(parts.door, asked(body=LARGE), asked())
    assert json.loads(large.data)["predictions"] == json.loads(small.data)["predictions"]
    assert parts.predictor.together == [1]
    assert parts.codes() == {"200": 2}


def test_large_bodies_that_find_no_thread_are_refused(parts, failed) -> None:
    found = answers(parts.door, *[asked(body=LARGE)] * 5)
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
        parts.door(make(), first.set_result)
        if make is heavy:
            await asyncio.sleep(0.01)  # for the pool to begin with it
        cancel = parts.door(make(), lambda _answer: pytest.fail("nobody is there"))
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
    assert answers(parts.door, request_)[0].status_code == status


def test_paths_that_clients_make_up_are_not_remembered(parts) -> None:
    for start in range(0, 1024, 256):
        names = range(start, start + 256)
        found = answers(parts.door, *(asked(f"/v1/models/m{name}:predict") for name in names))
        assert {answer.status_code for answer in found} == {404}
    assert not parts.door._targets
    assert answers(parts.door, asked("/v1/models/bodymass:predict"))[0].status_code == 200
