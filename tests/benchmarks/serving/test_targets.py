"""The performance targets, and the medians that they are compared with."""

import pytest

from benchmarks.serving.bare_runtime import BareRuntime
from benchmarks.serving.loads import HEAVY, LARGE, LARGE_BINARY, SMALL, SMALL_16_CONNECTIONS
from benchmarks.serving.servers import CONSTANT, OURS
from benchmarks.serving.targets import verdicts


def verdict_on(words, records, runtime=None):
    found = verdicts({record.server: record for record in records}, runtime)
    (verdict,) = (each for each in found if words in each.quantity)
    return verdict


def test_figures_are_medians_over_rounds_with_summed_errors(record, measurement):
    ours = record(OURS, *(measurement(SMALL, rate, errors=1) for rate in (900, 100, 300)))
    median = ours.median_over_rounds(SMALL)
    assert (median.requests_per_second, median.errors) == (300, 3)
    assert ours.median_over_rounds(HEAVY) is None


@pytest.mark.parametrize(("ours", "met"), [(650, True), (649, False)])
def test_ratio_is_met_from_its_target_on(record, measurement, ours, met):
    records = [record(OURS, measurement(SMALL, ours)), record(CONSTANT, measurement(SMALL, 1000))]
    verdict = verdict_on(f"requests/s: {SMALL}, relative to {CONSTANT}", records)
    assert (verdict.met, verdict.target) == (met, ">= x 0.65")


@pytest.mark.parametrize(("ours", "met"), [(2.0, True), (2.1, False)])
def test_p99_may_not_exceed_the_peers(record, measurement, ours, met):
    records = [
        record(OURS, measurement(SMALL_16_CONNECTIONS, 1, p99_ms=ours)),
        record("FastAPI", measurement(SMALL_16_CONNECTIONS, 1, p99_ms=2.0)),
    ]
    assert verdict_on("p99", records).met is met


def test_binary_tensors_are_compared_with_our_json(record, measurement):
    ours = record(OURS, measurement(LARGE, 100), measurement(LARGE_BINARY, 700))
    verdict = verdict_on("relative to JSON", [ours])
    assert (verdict.measured, verdict.met) == ("x 7.00", True)


def test_rows_per_second_are_compared_with_the_best_of_the_runtime(record, measurement):
    ours = record(OURS, measurement(HEAVY, 1000))
    runtime = BareRuntime("heavy", "now", {1: 500.0, 64: 2000.0, 128: 1900.0})
    verdict = verdict_on(f"{HEAVY}, relative to the bare runtime", [ours], runtime)
    assert (verdict.measured, verdict.met) == ("x 0.50", False)


def test_start_is_the_median_of_all_starts(record):
    verdict = verdict_on("first response", [record(OURS)])
    assert (verdict.measured, verdict.met) == ("0.50 s", True)


def test_target_without_a_measured_peer_is_not_met(record, measurement):
    verdict = verdict_on("to MLflow", [record(OURS, measurement(SMALL, 1))])
    assert (verdict.measured, verdict.met) == ("-", None)


def test_verdict_names_sides_from_separate_runs(record, measurement):
    records = [
        record(OURS, measurement(SMALL, 1000), started_at="today"),
        record("FastAPI", measurement(SMALL, 100), started_at="yesterday"),
    ]
    assert not verdict_on(f"requests/s: {SMALL}, relative to FastAPI", records).same_run
