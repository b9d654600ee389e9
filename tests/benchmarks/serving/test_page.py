"""Promises of benchmarks.serving.page and chart."""

import json
from dataclasses import asdict

import pytest

from benchmarks.serving.bare_runtime import Alone
from benchmarks.serving.chart import draw
from benchmarks.serving.comparison import Record
from benchmarks.serving.loads import LARGE, LARGE_BINARY, SMALL, SMALL_MANY_ROWS
from benchmarks.serving.page import page
from benchmarks.serving.servers import CONSTANT, OURS


@pytest.fixture
def records(record, measured):
    return [
        record(OURS, measured(SMALL, 40_000), measured(LARGE, 100), measured(LARGE_BINARY, 700)),
        record(CONSTANT, measured(SMALL, 50_000)),
        record("FastAPI", measured(SMALL, 10_000, errors=7), measured(SMALL_MANY_ROWS, 3_000)),
        record("KServe", failures=["small: ended with code 1: no such module"]),
    ]


def row_of(text, *words):
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_each_promise_stands_beside_what_was_found(records):
    shown = page(records, None, 5)
    assert row_of(shown, f"over {CONSTANT}", "x 0.80", ">= x 0.65").endswith(" met |")
    assert row_of(shown, f"{SMALL}, over FastAPI", "x 4.00").endswith(" met |")
    assert row_of(shown, "over MLflow").endswith(" not measured |")
    assert row_of(shown, "over JSON", "x 7.00").endswith(" met |")


def test_a_promise_that_is_not_kept_says_so(record, measured):
    records = [record(OURS, measured(SMALL, 1)), record(CONSTANT, measured(SMALL, 10))]
    assert row_of(page(records, None, 5), f"over {CONSTANT}").endswith(" not met |")


def test_servers_are_told_with_errors_and_rows_a_second(records):
    shown = page(records, None, 5)
    assert row_of(shown, "FastAPI", "10,000", " 7 ", "x 4.00")
    assert row_of(shown, "FastAPI", "300,000")
    assert row_of(shown, "binary", "700,000")


def test_a_server_that_failed_is_told_with_the_reason_and_stops_no_other(records):
    shown = page(records, None, 5)
    assert row_of(shown, "KServe", "failed").startswith("| KServe")
    assert "## What failed\n\n**KServe**" in shown
    assert "no such module" in shown


def test_what_the_runtime_gives_alone_is_shown_by_rows_in_a_run(records):
    shown = page(records, Alone("heavy", "now", {1: 500.0, 64: 2000.0}), 5)
    assert row_of(shown, "rows/s", "500", "2,000")


def test_records_are_the_same_after_they_were_kept(records):
    kept = json.loads(json.dumps([asdict(record) for record in records]))
    assert [Record.read(each) for each in kept] == records
    alone = Alone("heavy", "now", {1: 500.0, 64: 2000.0})
    assert Alone.read(json.loads(json.dumps(asdict(alone)))) == alone


def test_a_picture_is_drawn_of_whatever_answered(records, tmp_path):
    for name, shown in (("all", records), ("none", records[-1:])):
        draw(shown, tmp_path / f"{name}.svg")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text("utf-8")
