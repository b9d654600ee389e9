"""Runs the passes of the suite one after the other, also after a failed one, and sums them up.

python -m tests.passes [parallel] [bare] [with-programs] [quick] [alone] [thorough] [chaos]

    parallel       all tests except those that need the machine for themselves
    bare           the same without the programs that only tests need: tests that need one must skip
    with-programs  the tests that skipped in bare
    quick          tests that start no service and no container
    alone          tests of memory, latency and throughput, one at a time
    thorough       long forms of tests, and property-based tests with many examples
    chaos          restarts, kills and drains under long load

Without arguments: parallel and alone. The exit code is 1 if a pass failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from tests import folder_budgets

REPOSITORY = Path(__file__).resolve().parent.parent

RESULTS = REPOSITORY / "build" / "tests"
"""The folder of the JUnit files."""

NOT_BY_DEFAULT = "not thorough and not chaos"

IN_PARALLEL = (
    # Two processes more than cores: both groups of Docker tests mostly wait.
    *("--numprocesses", str((os.cpu_count() or 1) + 2)),
    *("--dist", "loadgroup", "--no-loadscope-reorder"),
)


@dataclass(frozen=True)
class Pass:
    """One run of pytest.

    Attributes:
        select: the expression of markers that selects its tests.
        flags: further flags of pytest.
        environment: variables to set; an empty value unsets one.
    """

    select: str
    flags: tuple[str, ...] = IN_PARALLEL
    environment: dict[str, str] = field(default_factory=dict)


PASSES = {
    "parallel": Pass(f"not alone and {NOT_BY_DEFAULT}"),
    # -rfE: without a line for each skipped test.
    "bare": Pass(f"not alone and {NOT_BY_DEFAULT}", (*IN_PARALLEL, "-rfE"), {"CI": ""}),
    "quick": Pass(f"not slow and not alone and {NOT_BY_DEFAULT}"),
    "with-programs": Pass(f"program and not alone and {NOT_BY_DEFAULT}"),
    "alone": Pass(f"alone and {NOT_BY_DEFAULT}", ()),
    "thorough": Pass(
        "(thorough or hypothesis) and not chaos",
        (*IN_PARALLEL, "--timeout", "3600"),
        {"HYPOTHESIS_PROFILE": "thorough"},
    ),
    "chaos": Pass("chaos", ("--timeout", "3600")),
}


def run(name: str) -> tuple[int, dict[str, str]]:
    """Run a pass.

    Returns:
        pytest's exit code, and by test its outcome: passed, failed or skipped.
    """
    one = PASSES[name]
    environment = os.environ | one.environment
    if name == "bare":
        bare_path = [REPOSITORY / ".ci" / "bare-path", REPOSITORY / "build" / "bare-path"]
        environment["PATH"] = subprocess.check_output(bare_path, text=True).strip()
    report = RESULTS / f"{name}.xml"
    command = [sys.executable, "-m", "pytest", *one.flags, "-m", one.select]
    print(f"\n{name}: pytest -m {one.select!r}", flush=True)
    code = subprocess.run(
        [*command, f"--junit-xml={report}"],
        cwd=REPOSITORY,
        env={variable: value for variable, value in environment.items() if value},
        check=False,
    ).returncode
    return code, outcomes(report) if report.exists() else {}


def outcomes(report: Path) -> dict[str, str]:
    """Return the outcome of every test in a JUnit file."""
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by pytest
        test = f"{case.get('classname')}::{case.get('name')}"
        outcome = "passed"
        if case.find("skipped") is not None:
            outcome = "skipped"
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        # A test with an error in its teardown has two entries.
        found[test] = "failed" if found.get(test) == "failed" else outcome
    return found


def main(names: list[str]) -> int:
    """Run passes and print the sums; return the exit code."""
    started, interrupted = time.monotonic(), False
    RESULTS.mkdir(parents=True, exist_ok=True)
    for report in RESULTS.glob("*.xml"):
        report.unlink()
    codes, all_outcomes, failures = {}, dict[str, str](), []
    for name in names:
        try:
            codes[name], found = run(name)
        except KeyboardInterrupt:
            interrupted = True
            break
        failures += [f"FAILED in {name}: {test}" for test in found if found[test] == "failed"]
        for test, outcome in found.items():
            # A failure stays; a test that was skipped in an earlier pass may pass in a later one.
            if all_outcomes.get(test) != "failed":
                all_outcomes[test] = outcome
    print()
    folder_budgets.main(sorted(RESULTS.glob("*.xml")))
    print(*failures, sep="\n", end="\n" if failures else "")
    broken = [name for name, code in codes.items() if code]
    print(f"passes: {', '.join(codes)}; failed: {', '.join(broken) or 'none'}")
    counts = Counter(all_outcomes.values())
    sums = ", ".join(
        f"{counts[key]} {key}" for key in ("failed", "passed", "skipped") if counts[key]
    )
    seconds = time.monotonic() - started
    print(f" {sums or 'no tests ran'} in {seconds:.2f}s ".center(80, "="))
    if interrupted:
        return 130
    return 1 if broken else 0


if __name__ == "__main__":
    if unknown := [name for name in sys.argv[1:] if name not in PASSES]:
        sys.exit(f"unknown passes: {', '.join(unknown)}; known: {', '.join(PASSES)}")
    sys.exit(main(sys.argv[1:] or ["parallel", "alone"]))
