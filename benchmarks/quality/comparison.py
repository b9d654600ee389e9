"""A whole comparison: every method on every split, each one alone, then what it came to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.processes import CommandFailed
from benchmarks.quality import summary
from benchmarks.quality.chart import draw
from benchmarks.quality.methods import Method
from benchmarks.quality.page import page, summary_table
from benchmarks.quality.records import Record, Records
from benchmarks.quality.scores import AnswerRefused
from benchmarks.quality.splits import Split
from pigeonhole.trainer.errors import TrainerError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Say = Callable[[str], None]


def measure(
    splits: Sequence[Split],
    methods: Sequence[Method],
    records: Records,
    *,
    limit_s: float,
    threads: int,
    again: Sequence[str],
    say: Say,
) -> list[Record]:
    """Ask every method for every split that it has no record for.

    Args:
        splits: what to answer.
        methods: who is asked, each alone.
        records: where answers are looked up and kept.
        limit_s: seconds for one answer.
        threads: that every method is held to; 0 leaves each its own choice.
        again: names or labels of methods whose records don't count.
        say: told of each answer.

    Returns:
        What gave no answer.
    """
    for method in methods:
        method.prepare()
    failures = []
    for split in splits:
        for method in methods:
            anew = {method.label, method.label.split()[0]} & set(again)
            if not anew and records.find(method, split):
                continue
            record = _ask(method, split, limit_s, threads)
            records.keep(record)
            if record.error is not None:
                failures.append(record)
            say(_sentence(record))
    return failures


def report(
    splits: Sequence[Split],
    methods: Sequence[Method],
    records: Records,
    failures: Sequence[Record],
    out: Path,
    say: Say,
) -> None:
    """Write quality.md, quality.json and quality.svg, and say the summary."""
    asked = {(split.table, split.seed): split.digest for split in splits}
    shown = summary.answers(records, asked, [method.label for method in methods])
    found, pairs = summary.lines(shown), summary.common(shown)
    (out / "quality.md").write_text(page(shown, asked, failures), "utf-8")
    content = {
        "machine": machine(),
        "splits": len(pairs),
        "summary": [asdict(line) for line in found],
        "records": [asdict(record) for by_pair in shown.values() for record in by_pair.values()],
        "failures": [asdict(record) for record in failures],
    }
    (out / "quality.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    if found:
        draw(found, len(pairs), out / "quality.svg")
        say(f"\nOver the {len(pairs)} splits that all answered:\n{summary_table(found)}")
    say(f"\nWrote {out / 'quality.md'}, quality.json and quality.svg")


def _ask(method: Method, split: Split, limit_s: float, threads: int) -> Record:
    environment = dict.fromkeys(THREAD_VARIABLES, str(threads)) if threads else {}
    try:
        record = Record.of(method, split, method.answer(split, limit_s, environment))
    except (CommandFailed, AnswerRefused, TrainerError) as error:
        return Record.failed(method, split, error)
    return replace(record, facts=record.facts | {"threads": threads}) if threads else record


def _sentence(record: Record) -> str:
    where = f"{record.table}, seed {record.seed}, {record.label}"
    if record.error is not None:
        return f"{where}: no answer, {record.error.splitlines()[-1]}"
    return (
        f"{where}: accuracy {record.accuracy:.4f}, log loss {record.log_loss:.4f}, "
        f"{record.seconds:.1f} s"
    )
