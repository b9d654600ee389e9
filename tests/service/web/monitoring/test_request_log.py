"""What is kept of a request: its line names its trace, and neither hinders the other."""

from __future__ import annotations

import json
import os

import pytest

from pigeonhole.service.web.monitoring.access_log import AccessLog
from pigeonhole.service.web.monitoring.request_log import FinishedRequest, RequestLog, Traced


def line(traced: Traced | None) -> dict:
    """The access log's line of one request."""
    reader, writer = os.pipe()
    access_log = AccessLog(writer)
    RequestLog(access_log, traced).note(FinishedRequest("id", "GET", "/there", 404, 0.5, "alice"))
    access_log.close()
    os.close(writer)
    with os.fdopen(reader) as written:
        return json.loads(written.read())


def test_line_has_the_trace_id() -> None:
    told = line(lambda ended: f"trace of {ended.path}")
    facts = ("request_id", "method", "path", "status", "milliseconds", "key", "trace_id")
    assert [told[fact] for fact in facts] == [
        *("id", "GET", "/there", 404, 500.0, "alice"),
        "trace of /there",
    ]


@pytest.mark.parametrize("traced", [None, lambda _ended: ""])
def test_line_of_an_untraced_request_has_no_trace_id(traced) -> None:
    assert "trace_id" not in line(traced)


def test_failing_span_is_logged_and_the_line_is_written(caplog) -> None:
    def fail(_ended: FinishedRequest) -> str:
        raise RuntimeError("the reason")

    assert line(fail)["path"] == "/there"
    (record,) = caplog.records
    assert str(record.exc_info[1]) == "the reason"


def test_spans_are_made_without_access_log() -> None:
    seen: list[FinishedRequest] = []
    ended = FinishedRequest("id", "GET", "/", 200, 0.5)

    def traced(ended: FinishedRequest) -> str:
        seen.append(ended)
        return ""

    RequestLog(None, traced).note(ended)
    assert seen == [ended]
