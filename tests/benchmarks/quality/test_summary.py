"""Promises of benchmarks.quality.summary."""

import pytest

from benchmarks.quality.records import Record
from benchmarks.quality.summary import answers, common, comparisons, lines


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


def test_each_table_counts_once_however_many_seeds_it_has():
    ours, theirs = sorted(lines(answers(RECORDS, SPLITS, [])), key=lambda line: line.label)
    assert ours.accuracy == pytest.approx((0.7 + 0.9) / 2)
    assert theirs.log_loss == pytest.approx((0.75 + 0.1) / 2)
    assert (ours.seconds, theirs.seconds) == (4, 10)


def test_ranks_share_their_places_where_methods_tie():
    found = {line.label: line for line in lines(answers(RECORDS, SPLITS, []))}
    # Table t: alone first, then tied; table u: second.
    assert found["ours"].accuracy_rank == pytest.approx(((1 + 1.5) / 2 + 2) / 2)
    assert found["ours"].log_loss_rank == pytest.approx((1 + 2) / 2)


def test_a_comparison_is_over_what_both_answered():
    shown = answers(RECORDS[:5], SPLITS, ["ours", "theirs"])
    (ours,) = comparisons(shown, "theirs")
    assert (ours.pairs, ours.tables, ours.better) == (2, 1, 1)
    assert ours.accuracy == pytest.approx(0.05)
    assert ours.log_loss == pytest.approx(-0.15)
    assert ours.seconds == pytest.approx(2 / 8)
    assert ours.fit_seconds == pytest.approx(2 / 4)
    assert ours.typical == pytest.approx(1 / 4)


def test_large_tables_do_not_decide_the_typical_ratio():
    (ours,) = comparisons(answers(RECORDS, SPLITS, []), "theirs")
    assert ours.typical == pytest.approx((1 / 4 * 1 / 4 * 1) ** (1 / 3))


def test_failures_and_answers_to_other_splits_are_not_shown():
    failed = record("broken", "t", 0, None, None, error="no memory")
    stale = RECORDS[0].__class__(**{**RECORDS[0].__dict__, "label": "old", "split": "before"})
    assert set(answers([*RECORDS, failed, stale], SPLITS, ["broken"])) == {"ours", "theirs"}


def test_a_method_that_was_not_asked_for_is_shown_if_it_answered_nearly_all():
    some = [record("some", "t", 0, 0.5, 0.5)]
    assert "some" not in answers([*RECORDS, *some], SPLITS, ["ours"])
    assert "some" in answers([*RECORDS, *some], SPLITS, ["some"])
    assert common(answers([*RECORDS, *some], SPLITS, ["some"])) == [("t", 0)]


def test_nothing_in_common_gives_no_lines():
    assert lines({}) == []
    one, other = record("a", "t", 0, 0.5, 0.5), record("b", "u", 0, 0.5, 0.5)
    assert lines(answers([one, other], SPLITS, ["a", "b"])) == []
