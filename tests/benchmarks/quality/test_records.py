"""Promises of benchmarks.quality.records."""

import dataclasses

from benchmarks.processes import CommandFailed
from benchmarks.quality.records import Record, Records


def answered(method, split):
    return Record.of(method, split, method.answer(split, 1))


def test_a_record_is_found_by_the_method_and_split_that_made_it(tmp_path, method, small_split):
    records = Records(tmp_path / "runs")
    assert records.find(method(), small_split) is None
    record = answered(method(), small_split)
    records.keep(record)
    assert records.find(method(), small_split) == record
    assert list(records) == [record]


def test_another_version_label_or_split_is_not_found(tmp_path, method, small_split):
    records = Records(tmp_path / "runs")
    records.keep(answered(method(), small_split))
    assert records.find(method(identity="2"), small_split) is None
    assert records.find(method(label="shares --again"), small_split) is None
    changed = dataclasses.replace(small_split, digest="other")
    assert records.find(method(), changed) is None


def test_labels_that_look_alike_are_kept_apart(tmp_path, method, small_split):
    records = Records(tmp_path / "runs")
    for label in ("ours --rate 1", "ours --rate=1"):
        records.keep(answered(method(label=label), small_split))
    assert len(list(records)) == 2


def test_a_failure_is_kept_but_not_held_against_the_next_call(tmp_path, method, small_split):
    records = Records(tmp_path / "runs")
    records.keep(Record.failed(method(), small_split, CommandFailed("out of memory")))
    assert records.find(method(), small_split) is None
    assert next(iter(records)).error == "out of memory"
