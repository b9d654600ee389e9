"""A model run that does not end: its worker is replaced, and no other request is lost."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.tiny_models import LARGEST, write_heavy_model

pytestmark = pytest.mark.slow

QUICK = "/v1/models/bodymass:predict", {"instances": [[172, 95]]}
HEAVY = "/v1/models/heavy:predict", {"instances": [[1]]}
ENDLESS = "/v1/models/heavy:predict", {"instances": [[LARGEST]]}
"""A run of many seconds; the worker is replaced long before its end."""

FLAGS = ("--stuck-seconds", "3", "--drain-seconds", "0.1")


@pytest.fixture
def models(tmp_path: Path, write_model) -> Path:
    write_model(tmp_path)
    write_heavy_model(tmp_path, growth=5)
    return tmp_path


def ask(server, path: str, body: object) -> httpx.Response:
    """Send a request on a new connection."""
    return httpx.post(server.address + path, content=json.dumps(body), trust_env=False, timeout=60)


def loaded_workers(server) -> int:
    """Return how many workers have loaded the heavy model so far."""
    return len([line for line in server.lines("model live") if line["model"] == "heavy"])


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as threads:
        yield threads


def is_lost(response: Future[httpx.Response]) -> bool:
    return isinstance(response.exception(60), httpx.TransportError)


@pytest.mark.parametrize("handler", ["fast", "flask"])
def test_stuck_worker_is_replaced_and_only_the_endless_call_is_lost(
    serve, models, threads, handler: str
) -> None:
    server = serve(models, *FLAGS, "--workers", "1", "--handler", handler)
    server.until(lambda: loaded_workers(server) == 1)
    (old,) = server.workers()
    endless = threads.submit(ask, server, *ENDLESS)
    server.until(lambda: metric(server, "pigeonhole_requests_in_flight") == 1)
    server.until(lambda: metric(server, "pigeonhole_calls_waiting") == 0)
    waiting = [threads.submit(ask, server, *HEAVY) for _ in range(2)]
    server.until(lambda: metric(server, "pigeonhole_calls_waiting") == 2)
    assert ask(server, *QUICK).status_code == 200
    server.until(lambda: server.lines("model run stuck"), 10)
    newcomer = threads.submit(ask, server, *QUICK)
    assert is_lost(endless)
    for response in waiting:
        assert (response.result(60).status_code, response.result().json()["code"]) == (
            503,
            "overloaded",
        )
    assert newcomer.result(60).status_code == 200
    server.until(lambda: loaded_workers(server) == 2)
    (line,) = server.lines("model run stuck")
    assert (line["level"], line["process"]) == ("ERROR", old)
    assert (line["model"], line["version"]) == ("heavy", 1)
    assert 3 < line["seconds"] < 60
    assert ask(server, *HEAVY).status_code == 200
    assert server.workers() != [old]
    assert metric(server, "pigeonhole_worker_starts_total") == 2
    assert server.stop() == 0


def metric(server, name: str) -> float:
    """Return the value of a metric without labels."""
    text = httpx.get(server.address + "/metrics", trust_env=False, timeout=30).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))


def test_other_workers_answer_while_one_is_stuck(serve, models, threads) -> None:
    server = serve(models, *FLAGS, "--workers", "2")
    server.until(lambda: loaded_workers(server) == 2)
    over = threading.Event()
    answered, failures = [0], []

    def load() -> None:
        while not over.is_set():
            try:
                status = ask(server, *QUICK).status_code
            except httpx.TransportError as error:
                failures.append(error)
            else:
                answered[0] += 1
                failures.extend([status] if status != 200 else [])

    quick = [threads.submit(load) for _ in range(4)]
    endless = threads.submit(ask, server, *ENDLESS)
    server.until(lambda: loaded_workers(server) == 3)
    over.set()
    for thread in quick:
        thread.result(60)
    assert is_lost(endless)
    assert failures == []
    assert answered[0] > 20
    assert server.stop() == 0


def test_stuck_seconds_0_allows_a_run_of_any_length(serve, models) -> None:
    server = serve(models, "--workers", "1", "--stuck-seconds", "0", "--drain-seconds", "0.1")
    server.until(lambda: loaded_workers(server) == 1)
    assert ask(server, ENDLESS[0], {"instances": [[LARGEST // 4]]}).status_code == 200
    assert server.lines("model run stuck") == []
