"""The machine that the benchmarks run on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, str | int]:
    """Return processor, usable cores, memory in GB, operating system and Python version."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def machine_sentence(machine: Mapping[str, Any] | None = None) -> str:
    """Return a description of a machine in one line; this machine by default."""
    facts = machine or describe_machine()
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gb']} GB, "
        f"{facts['system']}, Python {facts['python']}."
    )


def _processor() -> str:
    try:
        cpu_info = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        cpu_info = ""
    name = re.search(r"^model name\s*:\s*(.+)$", cpu_info, re.MULTILINE)
    return name.group(1) if name else platform.machine()
