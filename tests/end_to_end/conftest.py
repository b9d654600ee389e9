"""The trainer as its command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Fit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Runs ``pigeonhole fit`` with these arguments; the model folder is ``tmp_path/models``."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pigeonhole", "fit", *map(str, arguments)]
        return subprocess.run(
            [*command, "--models", str(tmp_path / "models")],
            check=False,
            capture_output=True,
            text=True,
            timeout=280,
        )

    return run
