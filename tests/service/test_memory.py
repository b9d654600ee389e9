"""Memory stays flat under load with requests of all sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone


def growth(kind: str, path: Path, repository: Path) -> float:
    """Return by how many MiB a new process grew; this one has the memory of other tests."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.service.memory_soak", kind, str(path)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return float(ended.stdout)


def test_runs_of_all_sizes_do_not_grow_memory(repository: Path) -> None:
    # With its defaults, onnxruntime keeps a memory plan for each size: more than 5 MiB.
    file = repository / "models" / "bodymass" / "1" / "model.onnx"
    assert growth("runs", file, repository) < 3


def test_requests_of_all_sizes_do_not_grow_memory(
    write_mixed_model, tmp_path: Path, repository: Path
) -> None:
    write_mixed_model(tmp_path / "models")
    assert growth("requests", tmp_path / "models", repository) < 8
