"""The results as one Markdown page, each promise beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.machine import sentence
from benchmarks.markdown import table
from benchmarks.serving.bare_runtime import Alone
from benchmarks.serving.comparison import Record
from benchmarks.serving.loads import (
    HEAVY,
    HEAVY_BINARY,
    HEAVY_MANY_ROWS,
    LARGE,
    LARGE_BINARY,
    MIXED,
    MIXED_MANY_ROWS,
    SMALL,
    SMALL_ALONE,
    SMALL_FEW,
    SMALL_MANY_ROWS,
    Load,
)
from benchmarks.serving.measurement import Measured
from benchmarks.serving.servers import OURS
from benchmarks.serving.targets import verdicts

METHOD = (
    "Every server has two workers (MLServer, which is quicker so, has one), serves the same files "
    "and runs alone on loopback; wrk, which has one thread, has its share of the cores. Figures are "
    "medians over the rounds, in which servers take turns."
)

Figure = Callable[[Measured], str]


def page(records: Sequence[Record], alone: Alone | None, seconds: float) -> str:
    """The page; what was not measured is shown as "-", or left out where nothing of it was."""
    parts = [
        "# The service beside its peers",
        f"{sentence()} {METHOD} Each load lasted {seconds:g} s.",
        "## Promises",
        _promises(records, alone),
        "## One row, the small model",
        _one_row(records),
        "## Rows a second, c=64",
        _rows(records),
        "## What a server takes",
        _costs(records),
        *_large(records),
        *_alone(alone),
        *_failures(records),
    ]
    return "\n\n".join(parts) + "\n"


def _promises(records: Sequence[Record], alone: Alone | None) -> str:
    found = verdicts({record.server: record for record in records}, alone)
    words = {True: "met", False: "not met", None: "not measured"}
    rows = [
        [
            each.promise,
            each.found,
            each.bar,
            words[each.met] + ("" if each.one_run else ", two runs"),
        ]
        for each in found
    ]
    return table(["of ours", "found", "bar", "verdict"], rows)


def _one_row(records: Sequence[Record]) -> str:
    loads = (SMALL_ALONE, SMALL_FEW, SMALL)
    header = ["server", "version"]
    header += [f"req/s, c={load.connections}" for load in loads]
    header += ["p50 ms, c=64", "p99 ms, c=16", "p99 ms, c=64", "errors", f"{OURS} over it"]
    mine = {record.server: record for record in records}.get(OURS)
    return table(
        header,
        [
            [
                record.server,
                record.version,
                *(_cell(record, load, _requests) for load in loads),
                _cell(record, SMALL, lambda each: f"{each.p50_ms:.2f}"),
                _cell(record, SMALL_FEW, _p99),
                _cell(record, SMALL, _p99),
                _errors(record),
                _ratio(mine, record),
            ]
            for record in records
        ],
    )


def _rows(records: Sequence[Record]) -> str:
    loads = (SMALL, SMALL_MANY_ROWS, HEAVY, HEAVY_MANY_ROWS, HEAVY_BINARY, MIXED, MIXED_MANY_ROWS)
    return table(
        ["server", *(_column(load) for load in loads)],
        [
            [record.server, *(_cell(record, load, _rows_a_second) for load in loads)]
            for record in records
        ],
    )


def _column(load: Load) -> str:
    form = "" if load.form == "json" else f" {load.form}"
    return f"{load.model}, {load.rows}{form}"


def _costs(records: Sequence[Record]) -> str:
    header = ["server", "installed", "start to first answer", "memory", "CPU s for 1,000 requests"]
    return table(
        header,
        [
            [
                record.server,
                "-" if record.installed_bytes is None else _megabytes(record.installed_bytes),
                f"{median(record.start_seconds):.2f} s" if record.start_seconds else "-",
                _cell(record, SMALL, lambda each: _megabytes(each.memory_bytes)),
                _cell(record, SMALL, lambda each: f"{each.cpu_ms_per_request:.3f}"),
            ]
            for record in records
        ],
    )


def _large(records: Sequence[Record]) -> list[str]:
    found = [
        measured
        for record in records
        for load in (LARGE, LARGE_BINARY)
        if (measured := record.over_rounds(load))
    ]
    if not found:
        return []
    rows = [
        [
            each.load.form,
            _requests(each),
            _rows_a_second(each),
            f"{each.p50_ms:.1f}",
            f"{each.p99_ms:.1f}",
            f"{each.cpu_ms_per_request:.3f}",
        ]
        for each in found
    ]
    header = ["form", "req/s", "rows/s", "p50 ms", "p99 ms", "CPU s for 1,000 requests"]
    return [f"## {OURS}, 1,000 rows of 54 numbers, c=16", table(header, rows)]


def _alone(alone: Alone | None) -> list[str]:
    if alone is None:
        return []
    header = ["rows in a run", *(str(batch) for batch in alone.rows_per_second)]
    figures = [f"{figure:,.0f}" for figure in alone.rows_per_second.values()]
    return [
        f"## The runtime alone, {alone.model}, a process for each core",
        table(header, [["rows/s", *figures]]),
    ]


def _failures(records: Sequence[Record]) -> list[str]:
    failed = [
        f"**{record.server}**\n\n```text\n{failure}\n```"
        for record in records
        for failure in record.failures
    ]
    return ["## What failed", *failed] if failed else []


def _cell(record: Record, load: Load, figure: Figure) -> str:
    measured = record.over_rounds(load)
    if measured is None:
        return "failed" if record.failures else "-"
    return figure(measured)


def _errors(record: Record) -> str:
    if not record.measured:
        return "failed" if record.failures else "-"
    return f"{sum(each.errors for each in record.measured):,}"


def _ratio(mine: Record | None, record: Record) -> str:
    ours = mine.over_rounds(SMALL) if mine else None
    theirs = record.over_rounds(SMALL)
    if ours is None or theirs is None or record is mine:
        return "-"
    return f"x {ours.requests_per_second / theirs.requests_per_second:.2f}"


def _requests(each: Measured) -> str:
    return f"{each.requests_per_second:,.0f}"


def _rows_a_second(each: Measured) -> str:
    return f"{each.rows_per_second:,.0f}"


def _p99(each: Measured) -> str:
    return f"{each.p99_ms:.2f}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
