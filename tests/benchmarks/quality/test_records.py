"""Stored results."""

import dataclasses

from benchmarks.processes import CommandFailed
from benchmarks.quality.methods import Limits
from benchmarks.quality.records import Record, Records


def record_of(method, split):
    return Record.of(method, split, method.fit_and_predict(split, Limits(1)))


def test_record_is_found_by_its_method_and_split(tmp_path, method, small_split):
    records = Records(tmp_path / "runs")
    assert records.find(method(), small_split) is None
    record = record_of(method(), small_split)
    records.save(record)
    assert records.find(method(), small_split) == record
    assert list(records) == [record]


def test_record_of_another_version_label_or_split_is_not_found(tmp_path, method, small_split):
    records = Records(tmp_path / "runs")
    records.save(record_of(method(), small_split))
    assert records.find(method(identity="2"), small_split) is None
    assert records.find(method(label="uniform --again"), small_split) is None
    changed = dataclasses.replace(small_split, digest="other")
    assert records.find(method(), changed) is None


def test_labels_with_the_same_slug_have_separate_files(tmp_path, method, small_split):
    records = Records(tmp_path / "runs")
    for label in ("ours --rate 1", "ours --rate=1"):
        records.save(record_of(method(label=label), small_split))
    assert len(list(records)) == 2


def test_failure_is_stored_but_measured_again(tmp_path, method, small_split):
    records = Records(tmp_path / "runs")
    records.save(Record.failed(method(), small_split, CommandFailed("out of memory")))
    assert records.find(method(), small_split) is None
    assert next(iter(records)).error == "out of memory"
