"""Two states of the service measured in alternation: an earlier commit and the working tree.

Each pair starts, loads and stops both states, in alternating order, so that a slow minute of the
machine affects both. The result is the median ratio of the pairs with its confidence interval.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path
from statistics import median

from benchmarks.markdown import table
from benchmarks.places import BUILD, REPOSITORY
from benchmarks.processes import CommandFailed
from benchmarks.serving.loads import LARGE, MIXED, SMALL, SMALL_MANY_ROWS, Load
from benchmarks.serving.measurement import measure_server
from benchmarks.serving.models import Model
from benchmarks.serving.servers import OURS, SERVERS, Server

PAIRS = 10

LOADS = (SMALL, SMALL_MANY_ROWS, MIXED, LARGE)
"""Small and large requests, numbers and categories: the code that most changes touch."""

CONFIDENCE = 0.95
"""Least coverage of the interval."""

FLAGS = ("--models", "{models}", "--port", "{port}", "--workers", "2")


@dataclass(frozen=True)
class Ratio:
    """Requests per second of the working tree divided by those of the commit.

    Attributes:
        load: the requests.
        pairs: one ratio per pair of measurements.
    """

    load: Load
    pairs: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median of the pairs."""
        return median(self.pairs)

    def interval(self) -> tuple[float, float]:
        """Return the narrowest interval of order statistics that covers the true median.

        The coverage is at least `CONFIDENCE` for every distribution (Conover, Practical
        Nonparametric Statistics, section 3.2). With fewer than six pairs, return the range.
        """
        ordered, n = sorted(self.pairs), len(self.pairs)
        outside, left_out = 0.0, 0
        for k in range(n // 2):
            outside += 2 * comb(n, k) / 2**n
            if outside > 1 - CONFIDENCE:
                break
            left_out = k
        return ordered[left_out], ordered[n - 1 - left_out]


def compare_states(
    commit: str,
    models: Sequence[Model],
    *,
    pairs: int,
    seconds: float,
    log: Callable[[str], None],
    loads: Sequence[Load] = LOADS,
) -> list[Ratio]:
    """Return the ratios of the working tree to a commit, one per load.

    Args:
        commit: anything that git resolves to a commit of this repository.
        models: the models of the loads.
        pairs: measurements of each state.
        seconds: duration of each load.
        log: receives a line per pair.
        loads: the loads.

    Raises:
        CommandFailed: the commit is unknown, or a state does not start.
        WrongResponse: a state's predictions are not the model's.
    """
    states = {"earlier": server_of(checkout(commit)), "current": server_of(REPOSITORY)}
    ratios: dict[Load, list[float]] = {load: [] for load in loads}
    for pair in range(pairs):
        order = list(states) if pair % 2 else list(reversed(states))
        for model in models:
            of_model = [load for load in loads if load.model == model.name]
            if of_model:
                rates = {name: _rates(states[name], model, of_model, seconds) for name in order}
                for load in of_model:
                    ratios[load].append(rates["current"][load] / rates["earlier"][load])
        latest = ", ".join(f"{load}: x{values[-1]:.3f}" for load, values in ratios.items())
        log(f"pair {pair + 1} of {pairs}: {latest}")
    return [Ratio(load, tuple(values)) for load, values in ratios.items()]


def _rates(state: Server, model: Model, loads: Sequence[Load], seconds: float) -> dict[Load, float]:
    """Return requests per second by load."""
    measured = measure_server(state, model, loads, seconds)
    return {each.load: each.requests_per_second for each in measured.measurements}


def checkout(commit: str, folder: Path = BUILD / "serving" / "against") -> Path:
    """Return a folder that holds the files of a commit."""
    resolved = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").decode().strip()
    root = folder / resolved
    if not root.is_dir():
        with tarfile.open(fileobj=io.BytesIO(_git("archive", resolved))) as archive:
            archive.extractall(root, filter="data")
    return root


def _git(*arguments: str) -> bytes:
    finished = subprocess.run(
        ["git", *arguments],  # noqa: S607 - found on the PATH
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if finished.returncode:
        reason = finished.stderr.decode("utf-8", "replace").strip()
        raise CommandFailed(f"git {' '.join(arguments)} failed: {reason or 'unknown commit'}")
    return finished.stdout


def server_of(folder: Path) -> Server:
    """Return the service of the files in a folder, run by this interpreter."""
    has_command = (folder / "pigeonhole" / "__main__.py").is_file()
    # Commits before the package `pigeonhole` have a command for the service alone.
    program = ("pigeonhole", "serve") if has_command else ("service", "run")
    ours = next(server for server in SERVERS if server.name == OURS)
    return replace(ours, command=("{python}", "-m", *program, *FLAGS), folder=folder)


def report(ratios: Sequence[Ratio]) -> str:
    """Return the ratios as a table in Markdown."""
    lines = []
    for ratio in ratios:
        low, high = ratio.interval()
        lines.append([str(ratio.load), f"{ratio.median:.3f}", f"{low:.3f} to {high:.3f}"])
    return table(["load", "requests/s, now / then", f"{CONFIDENCE:.0%} interval"], lines)
