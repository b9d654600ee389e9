"""All servers in turn, round by round, and what is kept of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.processes import CommandFailed
from benchmarks.serving.loads import Load
from benchmarks.serving.measurement import Measured, take_turn
from benchmarks.serving.models import Model
from benchmarks.serving.protocols import WrongAnswer
from benchmarks.serving.servers import Server

Say = Callable[[str], None]

_ADDRESSES = re.compile(r"\w+://[^\s'\"]+")

_FOLDERS = re.compile(r"(?<![\w/.])/(?:[^\s/'\":]+/)+")


@dataclass
class Record:
    """One server over all rounds.

    Attributes:
        server: its name.
        version: of it.
        run: when this was measured; what has the same stamp was measured in turns.
        installed_bytes: on disk; None where it has no environment of its own.
        start_seconds: of each turn.
        measured: of each turn and load.
        failures: what went wrong, if anything did; it got no further turn then.
    """

    server: str
    version: str
    run: str
    installed_bytes: int | None = None
    start_seconds: list[float] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Record:
        """A record as it is kept in JSON."""
        measured = [
            Measured(**{**each, "load": Load(**each["load"])}) for each in stored["measured"]
        ]
        return cls(**{**stored, "measured": measured})

    def over_rounds(self, load: Load) -> Measured | None:
        """The median of each figure of a load, errors added up; None where it wasn't measured."""
        found = [each for each in self.measured if each.load == load]
        if not found:
            return None
        return Measured(
            load,
            median(each.requests_per_second for each in found),
            median(each.p50_ms for each in found),
            median(each.p99_ms for each in found),
            sum(each.errors for each in found),
            median(each.cpu_ms_per_request for each in found),
            int(median(each.memory_bytes for each in found)),
        )


def compare(
    servers: Sequence[Server],
    models: Sequence[Model],
    *,
    rounds: int,
    seconds: float,
    run: str,
    say: Say,
) -> list[Record]:
    """Measure servers in turn; one that fails is left out from then on, and told of.

    Args:
        servers: in the order of their turns.
        models: that each serves, one after the other.
        rounds: how often the whole is done; a slow minute of the machine then hits all alike.
        seconds: of each load.
        run: the stamp of the records.
        say: told of each turn.
    """
    records = {server.name: _prepared(server, run, say) for server in servers}
    for turn in range(rounds):
        for model in models:
            for server in servers:
                record = records[server.name]
                loads = [load for load in server.loads if load.model == model.name]
                if loads and not record.failures:
                    _take_turn(server, model, loads, seconds, record)
                    shown = record.failures[-1] if record.failures else _shown(record, loads)
                    say(f"round {turn + 1}, {server.name}: {shown}")
    return list(records.values())


def _prepared(server: Server, run: str, say: Say) -> Record:
    record = Record(server.name, "-", run)
    say(f"preparing {server.name}")
    try:
        server.prepare()
        record.version, record.installed_bytes = server.version, server.installed_bytes()
    except CommandFailed as error:
        record.failures.append(portable(str(error)))
        say(f"{server.name}: {error}")
    return record


def _take_turn(
    server: Server, model: Model, loads: Sequence[Load], seconds: float, record: Record
) -> None:
    try:
        turn = take_turn(server, model, loads, seconds)
    except (CommandFailed, WrongAnswer, OSError) as error:
        record.failures.append(portable(f"{model.name}: {error}"))
    else:
        record.start_seconds.append(turn.start_seconds)
        record.measured += turn.measured


def portable(text: str) -> str:
    """A text without addresses of the network and folders of this machine: results are kept."""
    return _FOLDERS.sub("", _ADDRESSES.sub("(address)", text))


def _shown(record: Record, loads: Sequence[Load]) -> str:
    latest = record.measured[-len(loads) :]
    shown = [f"{each.load}: {each.requests_per_second:,.0f}/s" for each in latest]
    return "; ".join([f"first answer after {record.start_seconds[-1]:.2f} s", *shown])
