"""Summaries of records."""

import pytest

from benchmarks.quality.records import Record
from benchmarks.quality.summary import common_pairs, compare_with, select, summarize


def record(label, table, seed, accuracy, log_loss, seconds=1.0, fit_seconds=0.5, error=None):
    return Record(
        label,
        table,
        seed,
        "1",
        f"{table}-{seed}",
        100,
        error=error,
        accuracy=accuracy,
        log_loss=log_loss,
        calibration_error=0.1,
        seconds=seconds,
        cpu_seconds=seconds,
        fit_seconds=fit_seconds,
    )


SPLITS = {("t", 0): "t-0", ("t", 1): "t-1", ("u", 0): "u-0"}

RECORDS = [
    record("ours", "t", 0, 0.8, 0.5, seconds=1, fit_seconds=None),
    record("ours", "t", 1, 0.6, 0.7, seconds=1, fit_seconds=None),
    record("ours", "u", 0, 0.9, 0.2, seconds=2, fit_seconds=None),
    record("theirs", "t", 0, 0.7, 0.6, seconds=4, fit_seconds=2),
    record("theirs", "t", 1, 0.6, 0.9, seconds=4, fit_seconds=2),
    record("theirs", "u", 0, 0.95, 0.1, seconds=2, fit_seconds=1),
]


def test_each_table_counts_once_regardless_of_seeds():
    ours, theirs = sorted(summarize(select(RECORDS, SPLITS, [])), key=lambda summary: summary.label)
    assert ours.accuracy == pytest.approx((0.7 + 0.9) / 2)
    assert theirs.log_loss == pytest.approx((0.75 + 0.1) / 2)
    assert (ours.seconds, theirs.seconds) == (4, 10)


def test_tied_methods_share_the_mean_rank():
    found = {summary.label: summary for summary in summarize(select(RECORDS, SPLITS, []))}
    # Table t: first by seed 0, tied by seed 1; table u: second.
    assert found["ours"].accuracy_rank == pytest.approx(((1 + 1.5) / 2 + 2) / 2)
    assert found["ours"].log_loss_rank == pytest.approx((1 + 2) / 2)


def test_comparison_uses_pairs_that_both_completed():
    records = select(RECORDS[:5], SPLITS, ["ours", "theirs"])
    (ours,) = compare_with("theirs", records)
    assert (ours.pairs, ours.tables, ours.better) == (2, 1, 1)
    assert ours.accuracy == pytest.approx(0.05)
    assert ours.log_loss == pytest.approx(-0.15)
    assert ours.seconds == pytest.approx(2 / 8)
    assert ours.fit_seconds == pytest.approx(2 / 4)
    assert ours.typical_seconds == pytest.approx(1 / 4)


def test_typical_seconds_weigh_tables_equally():
    (ours,) = compare_with("theirs", select(RECORDS, SPLITS, []))
    assert ours.typical_seconds == pytest.approx((1 / 4 * 1 / 4 * 1) ** (1 / 3))


def test_failures_and_records_of_other_splits_are_left_out():
    failed = record("broken", "t", 0, None, None, error="no memory")
    stale = RECORDS[0].__class__(**{**RECORDS[0].__dict__, "label": "old", "split": "before"})
    assert set(select([*RECORDS, failed, stale], SPLITS, ["broken"])) == {"ours", "theirs"}


def test_unrequested_method_is_shown_if_it_completed_nearly_all():
    some = [record("some", "t", 0, 0.5, 0.5)]
    assert "some" not in select([*RECORDS, *some], SPLITS, ["ours"])
    assert "some" in select([*RECORDS, *some], SPLITS, ["some"])
    assert common_pairs(select([*RECORDS, *some], SPLITS, ["some"])) == [("t", 0)]


def test_methods_without_common_pairs_have_no_summary():
    assert summarize({}) == []
    one, other = record("a", "t", 0, 0.5, 0.5), record("b", "u", 0, 0.5, 0.5)
    assert summarize(select([one, other], SPLITS, ["a", "b"])) == []
