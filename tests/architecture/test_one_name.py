"""A process holds each module under one name: twins would have two sets of classes and settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.running_service import RunningService

PACKAGES = ("pigeonhole", "service", "trainer")

PROGRAM = """
import json, os, runpy, sys
from pathlib import Path

folder, module, *arguments = sys.argv[1:]
sys.argv[1:] = arguments
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    files = {
        name: os.path.realpath(module.__file__)
        for name, module in sys.modules.items()
        if name != "__main__" and getattr(module, "__file__", None)
    }
    Path(folder, f"{os.getpid()}.json").write_text(json.dumps(files))
"""
"""Runs a module as ``python -m`` does, and writes the file of each module when a process ends."""


def command(folder: Path, arguments: Sequence[str | Path]) -> list[str | Path]:
    return [sys.executable, "-c", PROGRAM, folder, *arguments]


def check(folder: Path, repository: Path) -> int:
    """Fail for a file that one process imported under two names; return the number of processes."""
    reports = list(folder.glob("*.json"))
    for report in reports:
        names: dict[str, list[str]] = {}
        for name, file in json.loads(report.read_text()).items():
            if any(Path(file).is_relative_to(repository / package) for package in PACKAGES):
                names.setdefault(file, []).append(name)
        assert names
        assert [twins for twins in names.values() if len(twins) > 1] == []
    return len(reports)


@pytest.mark.parametrize("package", ["service", "trainer", "pigeonhole"])
def test_help_imports_each_module_once(package: str, repository: Path, tmp_path: Path) -> None:
    subprocess.run(
        command(tmp_path, [package, "--help"]), cwd=repository, check=True, capture_output=True
    )
    assert check(tmp_path, repository) == 1


@pytest.mark.parametrize("package", ["trainer", "pigeonhole"])
def test_fit_imports_each_module_once(package: str, repository: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = (f"{n % 17}.5,{'high' if n % 3 else 'low'}" for n in range(100))
    table.write_text("\n".join(["x,class", *rows]))
    flags = ["--target", "class", "--name", "m", "--preset", "classic", "--epochs", "1"]
    fit = [package, "fit", table, *flags, "--models", tmp_path / "models"]
    subprocess.run(command(tmp_path, fit), cwd=repository, check=True, capture_output=True)
    assert check(tmp_path, repository) == 1


@pytest.mark.parametrize("package", ["service", "pigeonhole"])
def test_serve_imports_each_module_once_in_parent_and_worker(
    package: str, repository: Path, tmp_path: Path
) -> None:
    models = repository / "models"
    flags = ["--port", "0", "--workers", "1", "--drain-seconds", "0"]
    serve = command(tmp_path, [package, "serve", "--models", models, *flags])
    server = RunningService(models, tmp_path / "log", command=serve)
    try:
        # A worker that was never ready may end before it can write its file.
        server.until(lambda: server.get("/readyz").status_code == 200)
    finally:
        assert server.stop() == 0
    assert check(tmp_path, repository) == 2
