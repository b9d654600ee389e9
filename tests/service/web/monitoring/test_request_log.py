"""The request log: access log lines and spans of finished requests."""

from __future__ import annotations

import json
import os

import pytest

from pigeonhole.service.web.monitoring.access_log import AccessLog
from pigeonhole.service.web.monitoring.finished_request import FinishedRequest
from pigeonhole.service.web.monitoring.request_log import MakeSpan, RequestLog


def line(make_span: MakeSpan | None) -> dict:
    """Return the access log line of one request."""
    reader, writer = os.pipe()
    access_log = AccessLog(writer)
    RequestLog(access_log, make_span).note(
        FinishedRequest("id", "GET", "/there", 404, 0.5, "alice")
    )
    access_log.close()
    os.close(writer)
    with os.fdopen(reader) as written:
        return json.loads(written.read())


def test_line_has_the_trace_id() -> None:
    logged = line(lambda finished: f"trace of {finished.path}")
    facts = ("request_id", "method", "path", "status", "milliseconds", "key", "trace_id")
    assert [logged[fact] for fact in facts] == [
        *("id", "GET", "/there", 404, 500.0, "alice"),
        "trace of /there",
    ]


@pytest.mark.parametrize("traced", [None, lambda _finished: ""])
def test_line_of_an_untraced_request_has_no_trace_id(traced) -> None:
    assert "trace_id" not in line(traced)


def test_failing_span_is_logged_and_the_line_is_written(caplog) -> None:
    def fail(_finished: FinishedRequest) -> str:
        raise RuntimeError("the reason")

    assert line(fail)["path"] == "/there"
    (record,) = caplog.records
    assert str(record.exc_info[1]) == "the reason"


def test_spans_are_made_without_access_log() -> None:
    traced_requests: list[FinishedRequest] = []
    finished = FinishedRequest("id", "GET", "/", 200, 0.5)

    def traced(finished: FinishedRequest) -> str:
        traced_requests.append(finished)
        return ""

    RequestLog(None, traced).note(finished)
    assert traced_requests == [finished]
