"""Prints the test time of each folder beside its budget, slowest first.

python -m tests.folder_budgets JUNIT_FILE...
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

BUDGETS_S = {
    "tests.architecture": 25,
    "tests.benchmarks": 45,
    "tests.browser": 25,
    "tests.clients": 80,
    "tests.contract": 15,
    "tests.deploy": 380,
    "tests.documents": 70,
    "tests.end_to_end": 75,
    "tests.pigeonhole": 40,
    "tests.service": 260,
    "tests.service.model": 20,
    "tests.service.serving": 30,
    "tests.service.web": 100,
    "tests.trainer": 130,
}
"""Seconds of test time on two idle cores, summed over four processes; waiting counts, too."""


def folder_of(classname: str) -> str:
    """Return the folder with a budget that a test module belongs to."""
    parts = classname.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((name for name in names if name in BUDGETS_S), classname)


def main(reports: Iterable[Path]) -> None:
    """Print the table."""
    seconds: Counter[str] = Counter()
    for report in reports:
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by pytest
            seconds[folder_of(case.get("classname", ""))] += float(case.get("time", 0))
    print(f"{'folder':<24}{'seconds':>8}{'budget':>8}")
    for folder, spent in seconds.most_common():
        budget = BUDGETS_S.get(folder, 0)
        note = "  over its budget" if spent > budget else ""
        print(f"{folder:<24}{spent:>8.0f}{budget:>8}{note}")
    print(f"{'all':<24}{sum(seconds.values()):>8.0f}{sum(BUDGETS_S.values()):>8}")


if __name__ == "__main__":
    main(map(Path, sys.argv[1:]))
