"""The results as a Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.markdown import table
from benchmarks.serving.bare_runtime import BareRuntime
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
    SMALL_1_CONNECTION,
    SMALL_16_CONNECTIONS,
    SMALL_MANY_ROWS,
    Load,
)
from benchmarks.serving.measurement import Measurement
from benchmarks.serving.servers import OURS
from benchmarks.serving.targets import verdicts

METHOD = (
    "All servers serve the same model files with two workers; MLServer has one, because it is faster "
    "so. One server at a time runs, on loopback, and shares the cores with wrk, which has one thread. "
    "Figures are medians over rounds in which the servers alternate."
)

Formatter = Callable[[Measurement], str]


@dataclass(frozen=True)
class Results:
    """The results of a benchmark.

    Attributes:
        records: records of the servers, in order.
        runtime: throughput of the bare runtime; None if not measured.
        seconds: duration of each load.
        machine: description of the machine, one line.
    """

    records: Sequence[Record]
    runtime: BareRuntime | None
    seconds: float
    machine: str


def page(results: Results) -> str:
    """Return the page; a missing figure is "-", and an empty section is left out."""
    records = results.records
    parts = [
        "# The service beside its peers",
        f"{results.machine} {METHOD} Each load lasted {results.seconds:g} s.",
        "## Targets",
        _targets(results),
        "## One row per request, small model",
        _one_row(records),
        "## Rows per second, c=64",
        _rows_by_load(records),
        "## Size, start, memory and CPU",
        _resources(records),
        *_large_requests(records),
        *_bare_runtime(results.runtime),
        *_failures(records),
    ]
    return "\n\n".join(parts) + "\n"


def _targets(results: Results) -> str:
    words = {True: "met", False: "not met", None: "not measured"}
    rows = [
        [
            each.quantity,
            each.measured,
            each.target,
            words[each.met] + ("" if each.same_run else ", separate runs"),
        ]
        for each in verdicts({record.server: record for record in results.records}, results.runtime)
    ]
    return table([OURS, "measured", "target", "verdict"], rows)


def _one_row(records: Sequence[Record]) -> str:
    loads = (SMALL_1_CONNECTION, SMALL_16_CONNECTIONS, SMALL)
    header = ["server", "version", *(f"requests/s, c={load.connections}" for load in loads)]
    header += ["p50 ms, c=64", "p99 ms, c=16", "p99 ms, c=64", "errors", f"{OURS} relative to it"]
    ours = {record.server: record for record in records}.get(OURS)
    return table(
        header,
        [
            [
                record.server,
                record.version,
                *(_cell(record, load, _requests) for load in loads),
                _cell(record, SMALL, lambda each: f"{each.p50_ms:.2f}"),
                _cell(record, SMALL_16_CONNECTIONS, _p99),
                _cell(record, SMALL, _p99),
                _errors(record),
                _ratio(ours, record),
            ]
            for record in records
        ],
    )


def _rows_by_load(records: Sequence[Record]) -> str:
    loads = (SMALL, SMALL_MANY_ROWS, HEAVY, HEAVY_MANY_ROWS, HEAVY_BINARY, MIXED, MIXED_MANY_ROWS)
    return table(
        ["server", *map(_heading, loads)],
        [[record.server, *(_cell(record, load, _rows) for load in loads)] for record in records],
    )


def _heading(load: Load) -> str:
    encoding = "" if load.encoding == "json" else f" {load.encoding}"
    return f"{load.model}, {load.rows}{encoding}"


def _resources(records: Sequence[Record]) -> str:
    header = ["server", "installed", "start to first response", "memory"]
    return table(
        [*header, "CPU s per 1,000 requests"],
        [
            [
                record.server,
                "-" if record.installed_bytes is None else _megabytes(record.installed_bytes),
                f"{median(record.start_seconds):.2f} s" if record.start_seconds else "-",
                _cell(record, SMALL, lambda each: _megabytes(each.memory_bytes)),
                _cell(record, SMALL, _cpu),
            ]
            for record in records
        ],
    )


def _large_requests(records: Sequence[Record]) -> list[str]:
    measurements = [
        measurement
        for record in records
        for load in (LARGE, LARGE_BINARY)
        if (measurement := record.median_over_rounds(load))
    ]
    if not measurements:
        return []
    rows = [
        [
            each.load.encoding,
            _requests(each),
            _rows(each),
            f"{each.p50_ms:.1f}",
            f"{each.p99_ms:.1f}",
            _cpu(each),
        ]
        for each in measurements
    ]
    header = ["encoding", "requests/s", "rows/s", "p50 ms", "p99 ms", "CPU s per 1,000 requests"]
    return [f"## {OURS}, 1,000 rows of 54 numbers per request, c=16", table(header, rows)]


def _bare_runtime(runtime: BareRuntime | None) -> list[str]:
    if runtime is None:
        return []
    header = ["batch size", *map(str, runtime.rows_per_second)]
    rates = [f"{rate:,.0f}" for rate in runtime.rows_per_second.values()]
    return [
        f"## Bare runtime, {runtime.model} model, one process per core",
        table(header, [["rows/s", *rates]]),
    ]


def _failures(records: Sequence[Record]) -> list[str]:
    failures = [
        f"**{record.server}**\n\n```text\n{failure}\n```"
        for record in records
        for failure in record.failures
    ]
    return ["## Failures", *failures] if failures else []


def _cell(record: Record, load: Load, formatter: Formatter) -> str:
    measurement = record.median_over_rounds(load)
    if measurement is None:
        return "failed" if record.failures else "-"
    return formatter(measurement)


def _errors(record: Record) -> str:
    if not record.measurements:
        return "failed" if record.failures else "-"
    return f"{sum(each.errors for each in record.measurements):,}"


def _ratio(ours: Record | None, record: Record) -> str:
    mine = ours.median_over_rounds(SMALL) if ours else None
    theirs = record.median_over_rounds(SMALL)
    if mine is None or theirs is None or record is ours:
        return "-"
    return f"x {mine.requests_per_second / theirs.requests_per_second:.2f}"


def _requests(measurement: Measurement) -> str:
    return f"{measurement.requests_per_second:,.0f}"


def _rows(measurement: Measurement) -> str:
    return f"{measurement.rows_per_second:,.0f}"


def _p99(measurement: Measurement) -> str:
    return f"{measurement.p99_ms:.2f}"


def _cpu(measurement: Measurement) -> str:
    return f"{measurement.cpu_ms_per_request:.3f}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
