"""The page and the chart of the serving benchmark."""

import json
from dataclasses import asdict

import pytest

from benchmarks.serving.bare_runtime import BareRuntime
from benchmarks.serving.chart import draw
from benchmarks.serving.comparison import Record
from benchmarks.serving.loads import LARGE, LARGE_BINARY, SMALL, SMALL_MANY_ROWS
from benchmarks.serving.page import Results, page
from benchmarks.serving.servers import CONSTANT, OURS

RUNTIME = BareRuntime("heavy", "now", {1: 500.0, 64: 2000.0})


@pytest.fixture
def records(record, measurement):
    return [
        record(
            OURS,
            measurement(SMALL, 40_000),
            measurement(LARGE, 100),
            measurement(LARGE_BINARY, 700),
        ),
        record(CONSTANT, measurement(SMALL, 50_000)),
        record(
            "FastAPI", measurement(SMALL, 10_000, errors=7), measurement(SMALL_MANY_ROWS, 3_000)
        ),
        record("KServe", failures=["small: exited with code 1: no such module"]),
    ]


def page_of(records, runtime=None):
    return page(Results(records, runtime, 5, "a machine."))


def row_of(text, *words):
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_page_shows_each_target_beside_the_measurement(records):
    text = page_of(records)
    assert row_of(text, f"to {CONSTANT}", "x 0.80", ">= x 0.65").endswith(" met |")
    assert row_of(text, f"{SMALL}, relative to FastAPI", "x 4.00").endswith(" met |")
    assert row_of(text, "to MLflow").endswith(" not measured |")
    assert row_of(text, "to JSON", "x 7.00").endswith(" met |")


def test_page_shows_a_missed_target(record, measurement):
    records = [record(OURS, measurement(SMALL, 1)), record(CONSTANT, measurement(SMALL, 10))]
    assert row_of(page_of(records), f"to {CONSTANT}").endswith(" not met |")


def test_page_shows_errors_and_rows_per_second(records):
    text = page_of(records)
    assert row_of(text, "FastAPI", "10,000", " 7 ", "x 4.00")
    assert row_of(text, "FastAPI", "300,000")
    assert row_of(text, "binary", "700,000")


def test_page_shows_failed_servers_with_the_reason(records):
    text = page_of(records)
    assert row_of(text, "KServe", "failed").startswith("| KServe")
    assert "## Failures\n\n**KServe**" in text
    assert "no such module" in text


def test_page_shows_the_bare_runtime_by_batch_size(records):
    text = page_of(records, RUNTIME)
    assert row_of(text, "rows/s", "500", "2,000")


def test_results_survive_storage(records):
    stored = json.loads(json.dumps([asdict(record) for record in records]))
    assert [Record.from_json(each) for each in stored] == records
    assert BareRuntime.from_json(json.loads(json.dumps(asdict(RUNTIME)))) == RUNTIME


def test_chart_is_drawn_with_and_without_measurements(records, tmp_path):
    for name, drawn in (("all", records), ("none", records[-1:])):
        draw(drawn, tmp_path / f"{name}.svg")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text("utf-8")
