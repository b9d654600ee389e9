"""Memory stays flat under load, whatever numbers of rows the requests have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone


def growth(what: str, place: Path, repository: Path) -> float:
    """MiB that a process of its own grew: in this one, other tests' leavings would count."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.service.memory_soak", what, str(place)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return float(ended.stdout)


def test_runs_of_all_sizes_leave_nothing_behind(repository: Path) -> None:
    # With onnxruntime's own defaults a plan for each size stays: above 5 MiB.
    file = repository / "models" / "bodymass" / "1" / "model.onnx"
    assert growth("runs", file, repository) < 3


def test_requests_of_all_sizes_leave_nothing_behind(
    write_mixed_model, tmp_path: Path, repository: Path
) -> None:
    write_mixed_model(tmp_path / "models")
    assert growth("requests", tmp_path / "models", repository) < 8
