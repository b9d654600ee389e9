"""All servers measured in rounds, and the record of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.processes import CommandFailed
from benchmarks.serving.loads import Load
from benchmarks.serving.measurement import Measurement, measure_server
from benchmarks.serving.models import Model
from benchmarks.serving.protocols import WrongResponse
from benchmarks.serving.servers import Server

Log = Callable[[str], None]

_URL = re.compile(r"\w+://[^\s'\"]+")

_FOLDERS = re.compile(r"(?<![\w/.])/(?:[^\s/'\":]+/)+")


@dataclass
class Record:
    """The measurements of one server over all rounds.

    Attributes:
        server: name of the server.
        version: version of the server.
        started_at: start of the benchmark, ISO 8601. Servers with the same value were measured in
            alternation.
        installed_bytes: bytes on disk; None without an environment.
        start_seconds: seconds of each start to its first response.
        measurements: measurements of all rounds and loads.
        failures: errors. After the first one, the server is not measured again.
    """

    server: str
    version: str
    started_at: str
    installed_bytes: int | None = None
    start_seconds: list[float] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Record:
        """Return a record as it is stored in JSON."""
        measurements = [
            Measurement(**{**each, "load": Load(**each["load"])}) for each in stored["measurements"]
        ]
        return cls(**{**stored, "measurements": measurements})

    def median_over_rounds(self, load: Load) -> Measurement | None:
        """Return the medians of a load with the sum of its errors, or None if not measured."""
        rounds = [each for each in self.measurements if each.load == load]
        if not rounds:
            return None
        return Measurement(
            load,
            requests_per_second=median(each.requests_per_second for each in rounds),
            p50_ms=median(each.p50_ms for each in rounds),
            p99_ms=median(each.p99_ms for each in rounds),
            errors=sum(each.errors for each in rounds),
            cpu_ms_per_request=median(each.cpu_ms_per_request for each in rounds),
            memory_bytes=int(median(each.memory_bytes for each in rounds)),
        )

    def add_round(
        self, server: Server, model: Model, loads: Sequence[Load], seconds: float
    ) -> None:
        """Measure the server with a model once more, and add measurements or a failure."""
        try:
            measured = measure_server(server, model, loads, seconds)
        except (CommandFailed, WrongResponse, OSError) as error:
            self.failures.append(without_paths(f"{model.name}: {error}"))
        else:
            self.start_seconds.append(measured.start_seconds)
            self.measurements += measured.measurements


def compare(
    servers: Sequence[Server],
    models: Sequence[Model],
    *,
    rounds: int,
    seconds: float,
    started_at: str,
    log: Log,
) -> list[Record]:
    """Measure servers in rounds, so that a slow minute of the machine affects all of them.

    A server that fails is not measured again.

    Args:
        servers: the servers, in order.
        models: the models that each serves, one after the other.
        rounds: number of rounds.
        seconds: duration of each load.
        started_at: start of the benchmark, ISO 8601.
        log: receives a line per measurement.
    """
    records = {server.name: _prepare(server, started_at, log) for server in servers}
    for number in range(1, rounds + 1):
        for model in models:
            for server in servers:
                record = records[server.name]
                loads = [load for load in server.loads if load.model == model.name]
                if loads and not record.failures:
                    record.add_round(server, model, loads, seconds)
                    log(f"round {number}, {server.name}: {_latest(record, len(loads))}")
    return list(records.values())


def _prepare(server: Server, started_at: str, log: Log) -> Record:
    """Install a server, and return its empty record."""
    record = Record(server.name, "-", started_at)
    log(f"preparing {server.name}")
    try:
        server.prepare()
        record.version, record.installed_bytes = server.version, server.installed_bytes()
    except CommandFailed as error:
        record.failures.append(without_paths(str(error)))
        log(f"{server.name}: {error}")
    return record


def without_paths(text: str) -> str:
    """Return a text without URLs and folders, because results are published."""
    return _FOLDERS.sub("", _URL.sub("(address)", text))


def _latest(record: Record, loads: int) -> str:
    if record.failures:
        return record.failures[-1]
    rates = [f"{each.load}: {each.requests_per_second:,.0f}/s" for each in record.measurements]
    return "; ".join([f"first response after {record.start_seconds[-1]:.2f} s", *rates[-loads:]])
