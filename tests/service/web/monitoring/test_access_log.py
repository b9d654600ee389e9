"""The access log: lines, their order, and slow readers."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pigeonhole.service.web.monitoring.access_log import ATOMIC_BYTES, MAX_WAITING, AccessLog
from pigeonhole.service.web.monitoring.finished_request import FinishedRequest


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def note(access_log: AccessLog, number: int) -> None:
    path = f"/v1/models/é\n{number}"
    access_log.note(FinishedRequest(f"id-{number}", "POST", path, 200, 0.0012345))


def read_lines(descriptor: int, count: int) -> list[dict]:
    received = b""
    while received.count(b"\n") < count:
        received += os.read(descriptor, 65536)
    return [json.loads(line) for line in received.splitlines()]


def test_line_has_the_request_and_a_timestamp(pipe) -> None:
    reader, writer = pipe
    access_log = AccessLog(writer)
    before = datetime.now(UTC)
    note(access_log, 1)
    (line,) = read_lines(reader, 1)
    assert before <= datetime.fromisoformat(line.pop("timestamp")) <= datetime.now(UTC)
    assert line == {
        "level": "INFO",
        "logger": "service.access",
        "message": "request",
        "process": os.getpid(),
        "request_id": "id-1",
        "method": "POST",
        "path": "/v1/models/é\n1",
        "status": 200,
        "milliseconds": 1.234,
    }
    access_log.close()


def test_line_has_the_name_of_the_key(pipe) -> None:
    reader, writer = pipe
    access_log = AccessLog(writer)
    access_log.note(FinishedRequest("id", "GET", "/", 200, 0.001, "alice"))
    (line,) = read_lines(reader, 1)
    assert line["key"] == "alice"
    access_log.close()


def test_closed_log_has_written_all_lines_in_order(pipe) -> None:
    reader, writer = pipe
    access_log = AccessLog(writer)
    for number in range(200):
        note(access_log, number)
    access_log.close()
    ids = [line["request_id"] for line in read_lines(reader, 200)]
    assert ids == [f"id-{number}" for number in range(200)]


def test_lines_of_several_workers_are_not_mixed(pipe) -> None:
    reader, writer = pipe
    logs = [AccessLog(writer) for _ in range(4)]

    def fill(access_log: AccessLog) -> None:
        for number in range(2000):
            note(access_log, number)

    threads = [threading.Thread(target=fill, args=(access_log,)) for access_log in logs]
    for thread in threads:
        thread.start()
    assert len(read_lines(reader, 8000)) == 8000  # each line is JSON
    for thread in threads:
        thread.join()
    for access_log in logs:
        access_log.close()


@pytest.mark.parametrize("blocking", [True, False])
def test_slow_reader_delays_no_request_and_dropped_lines_are_logged(pipe, caplog, blocking) -> None:
    reader, writer = pipe
    os.set_blocking(writer, blocking)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, ATOMIC_BYTES)
    access_log = AccessLog(writer)
    count = MAX_WAITING + 500
    for number in range(count):
        note(access_log, number)
    received: list[bytes] = []
    reading = threading.Thread(
        target=lambda: received.extend(iter(lambda: os.read(reader, 65536), b""))
    )
    reading.start()
    with caplog.at_level(logging.WARNING):
        access_log.close(60)
    os.dup2(reader, writer)  # closes the last writing end, so that the reader ends
    reading.join()
    (record,) = caplog.records
    assert record.getMessage() == "access log lines were dropped because their reader is too slow"
    assert 0 < record.lines <= 500
    numbers = [json.loads(line)["request_id"] for line in b"".join(received).splitlines()]
    assert numbers == [f"id-{number}" for number in range(count - record.lines)]


def test_full_device_does_not_stop_the_writer() -> None:
    access_log = AccessLog(os.open("/dev/full", os.O_WRONLY))
    note(access_log, 1)
    note(access_log, 2)
    access_log.close()
    assert not access_log._thread.is_alive()
