"""The measurement of all methods on all splits, and the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.machine import describe_machine, machine_sentence
from benchmarks.processes import CommandFailed
from benchmarks.quality.chart import draw
from benchmarks.quality.methods import Limits, Method
from benchmarks.quality.page import page, summary_table
from benchmarks.quality.records import Record, Records
from benchmarks.quality.scores import UnscorableError
from benchmarks.quality.splits import Split
from benchmarks.quality.summary import RecordsByMethod, Summary, common_pairs, select, summarize
from pigeonhole.trainer.errors import TrainerError

Log = Callable[[str], None]


def measure(
    splits: Sequence[Split],
    methods: Sequence[Method],
    records: Records,
    *,
    limits: Limits,
    again: Sequence[str],
    log: Log,
) -> list[Record]:
    """Measure each method on each split that has no record, one at a time.

    Args:
        splits: the splits.
        methods: the methods.
        records: stored records, which are extended.
        limits: timeout and threads.
        again: names or labels of methods to measure again.
        log: receives a line per measurement.

    Returns:
        The records of failures.
    """
    for method in methods:
        method.prepare()
    failures = []
    for split in splits:
        for method in methods:
            forced = {method.label, method.label.split()[0]} & set(again)
            if not forced and records.find(method, split):
                continue
            record = _measure_one(method, split, limits)
            records.save(record)
            if record.error is not None:
                failures.append(record)
            log(_sentence(record))
    return failures


def _measure_one(method: Method, split: Split, limits: Limits) -> Record:
    try:
        record = Record.of(method, split, method.fit_and_predict(split, limits))
    except (CommandFailed, UnscorableError, TrainerError) as error:
        return Record.failed(method, split, error)
    if limits.threads:
        return replace(record, facts=record.facts | {"threads": limits.threads})
    return record


def _sentence(record: Record) -> str:
    measured = f"{record.table}, seed {record.seed}, {record.label}"
    if record.error is not None:
        return f"{measured}: failed, {record.error.splitlines()[-1]}"
    return (
        f"{measured}: accuracy {record.accuracy:.4f}, log loss {record.log_loss:.4f}, "
        f"{record.seconds:.1f} s"
    )


@dataclass(frozen=True)
class Report:
    """The results to publish.

    Attributes:
        records: records of the methods that are shown.
        splits: digests of the requested splits, by table and seed.
        failures: records of failures.
    """

    records: RecordsByMethod
    splits: dict[tuple[str, int], str]
    failures: Sequence[Record]

    def write(self, out: Path) -> str:
        """Write quality.md, quality.json and quality.svg, and return a summary."""
        summaries, pairs = summarize(self.records), common_pairs(self.records)
        text = page(self.records, self.splits, self.failures, machine_sentence())
        (out / "quality.md").write_text(text, "utf-8")
        content = json.dumps(self._content(summaries, len(pairs)), indent=1)
        (out / "quality.json").write_text(content + "\n", "utf-8")
        files = f"\nWrote {out / 'quality.md'}, quality.json and quality.svg"
        if not summaries:
            return files
        draw(summaries, len(pairs), out / "quality.svg")
        heading = f"Over the {len(pairs)} splits that all methods completed:"
        return f"\n{heading}\n{summary_table(summaries)}\n{files}"

    def _content(self, summaries: Sequence[Summary], splits: int) -> dict[str, object]:
        shown = [record for by_pair in self.records.values() for record in by_pair.values()]
        return {
            "machine": describe_machine(),
            "splits": splits,
            "summary": [asdict(summary) for summary in summaries],
            "records": [asdict(record) for record in shown],
            "failures": [asdict(record) for record in self.failures],
        }


def report(
    splits: Sequence[Split],
    methods: Sequence[Method],
    records: Records,
    failures: Sequence[Record],
) -> Report:
    """Return the report on some splits and methods."""
    requested = {(split.table, split.seed): split.digest for split in splits}
    shown = select(records, requested, [method.label for method in methods])
    return Report(shown, requested, failures)
