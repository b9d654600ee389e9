"""Promises of benchmarks.serving.targets and of the medians that they compare."""

import pytest

from benchmarks.serving.bare_runtime import Alone
from benchmarks.serving.loads import HEAVY, LARGE, LARGE_BINARY, SMALL, SMALL_FEW
from benchmarks.serving.servers import CONSTANT, OURS
from benchmarks.serving.targets import verdicts


def verdict(records, words, alone=None):
    found = verdicts({record.server: record for record in records}, alone)
    (verdict,) = (each for each in found if words in each.promise)
    return verdict


def test_figures_are_medians_over_the_rounds_and_errors_add_up(record, measured):
    ours = record(OURS, *(measured(SMALL, each, errors=1) for each in (900, 100, 300)))
    over = ours.over_rounds(SMALL)
    assert (over.requests_per_second, over.errors) == (300, 3)
    assert ours.over_rounds(HEAVY) is None


@pytest.mark.parametrize(("ours", "met"), [(650, True), (649, False)])
def test_a_ratio_is_met_from_its_bar_on(record, measured, ours, met):
    records = [record(OURS, measured(SMALL, ours)), record(CONSTANT, measured(SMALL, 1000))]
    found = verdict(records, f"requests a second: {SMALL}, over {CONSTANT}")
    assert (found.met, found.bar) == (met, ">= x 0.65")


@pytest.mark.parametrize(("ours", "met"), [(2.0, True), (2.1, False)])
def test_slowest_answers_may_be_as_slow_as_the_peers_at_most(record, measured, ours, met):
    records = [
        record(OURS, measured(SMALL_FEW, 1, p99_ms=ours)),
        record("FastAPI", measured(SMALL_FEW, 1, p99_ms=2.0)),
    ]
    assert verdict(records, "p99").met is met


def test_bytes_are_compared_with_json_of_our_own(record, measured):
    ours = record(OURS, measured(LARGE, 100), measured(LARGE_BINARY, 700))
    found = verdict([ours], "over JSON")
    assert (found.found, found.met) == ("x 7.00", True)


def test_rows_a_second_are_held_against_the_best_of_the_runtime(record, measured):
    ours = record(OURS, measured(HEAVY, 1000))
    alone = Alone("heavy", "now", {1: 500.0, 64: 2000.0, 128: 1900.0})
    found = verdict([ours], f"{HEAVY}, over the runtime alone", alone)
    assert (found.found, found.met) == ("x 0.50", False)


def test_the_start_is_the_median_of_all_turns(record):
    found = verdict([record(OURS)], "first answer")
    assert (found.found, found.met) == ("0.50 s", True)


def test_what_has_no_other_side_is_not_measured_and_never_met(record, measured):
    found = verdict([record(OURS, measured(SMALL, 1))], "over MLflow")
    assert (found.found, found.met) == ("-", None)


def test_sides_of_two_runs_are_told_apart(record, measured):
    records = [
        record(OURS, measured(SMALL, 1000), run="today"),
        record("FastAPI", measured(SMALL, 100), run="yesterday"),
    ]
    assert not verdict(records, f"requests a second: {SMALL}, over FastAPI").one_run
