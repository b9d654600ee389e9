"""The wheel: installed outside the repository it fits, serves and predicts by itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NAME = "pigeonhole-ml"
"""The distribution. The name `pigeonhole` on the package index belongs to another project."""

START_S = 60

TEXTS = {".md", ".py", ".toml", ".yml", ".yaml", ".html", ".js", ".Dockerfile", ".txt", ""}


@pytest.fixture(scope="module")
def wheel(repository: Path, checkout: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy of it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in checkout:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(repository / name, folder / "source" / name, follow_symlinks=False)
    build = ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(
        [sys.executable, *build, "--no-build-isolation", "--wheel-dir", folder, folder / "source"],
        check=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; dependencies are borrowed from this environment."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", wheel], check=True)
    # A line of a .pth file only lengthens the path: the editable install there stays unknown.
    (site_packages(folder) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def site_packages(venv: Path) -> Path:
    (found,) = venv.glob("lib/python3*/site-packages")
    return found


def environment(venv: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIGEONHOLE_", "PYTHON"))}
    return clean | {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}


def run(venv: Path, folder: Path, *command: str) -> str:
    finished = subprocess.run(
        command, cwd=folder, env=environment(venv), check=False, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_wheel_holds_templates_static_files_and_the_typing_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "pigeonhole/py.typed",
        "pigeonhole/__main__.py",
        "pigeonhole/service/app.py",
        "pigeonhole/service/web/api_docs/templates/docs.html",
        "pigeonhole/service/web/api_docs/static/docs.css",
        "pigeonhole/service/web/api_docs/static/docs.js",
        "pigeonhole/trainer/run.py",
        "pigeonhole/trainer/report/template.html",
        "pigeonhole/trainer/report/report.css",
    } <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"pigeonhole", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}


def test_only_pigeonhole_stands_at_the_top_of_site_packages(installed: Path) -> None:
    tops = {path.name for path in site_packages(installed).iterdir() if path.is_dir()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"pigeonhole"}
    assert (installed / "bin" / "pigeonhole").is_file()


def test_installed_package_is_imported_from_its_environment(
    installed: Path, tmp_path: Path
) -> None:
    program = "import pigeonhole.service.app as a, pigeonhole.trainer.run as r; print(a.__file__)"
    found = run(installed, tmp_path, "python", "-c", program).strip()
    assert Path(found).is_relative_to(site_packages(installed))


@pytest.fixture
def free_port() -> int:
    """A port that no program listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def service(installed: Path, tmp_path: Path, free_port: int) -> Iterator[int]:
    """The port of a service of a model that the installed command fitted."""
    table = run(installed, tmp_path, "pigeonhole", "sample", "bodymass", "--rows", "300")
    (tmp_path / "table.csv").write_text(table)
    fit = ("pigeonhole", "fit", "table.csv", "--target", "bodymass", "--name", "mine")
    run(installed, tmp_path, *fit, "--preset", "classic", "--hidden", "3", "--epochs", "2")
    assert (tmp_path / "models" / "mine" / "1" / "report.html").is_file()
    serve = ["pigeonhole", "serve", "--port", str(free_port), "--workers", "1"]
    process = subprocess.Popen(
        [str(installed / "bin" / serve[0]), *serve[1:]], cwd=tmp_path, env=environment(installed)
    )
    probe = ("pigeonhole", "probe", "--ready", "--port", str(free_port))
    for _ in range(START_S):
        asked = subprocess.run(
            probe, cwd=tmp_path, env=environment(installed), check=False, capture_output=True
        )
        if asked.returncode == 0:
            break
    assert asked.returncode == 0, asked.stderr
    yield free_port
    process.terminate()
    assert process.wait(timeout=30) == 0


@pytest.mark.slow
def test_installed_commands_fit_serve_and_predict(service: int) -> None:
    body = json.dumps({"instances": [{"height_cm": 172, "weight_kg": 95}]}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{service}/predict", body) as response:
        answer = json.load(response)
    assert answer["model"] == "mine"
    assert sum(answer["predictions"][0]["probabilities"].values()) == pytest.approx(1)
    with urllib.request.urlopen(f"http://127.0.0.1:{service}/docs") as response:
        assert b"mine" in response.read()


def test_distribution_has_its_own_name(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == NAME


def test_no_text_installs_a_distribution_of_another_name(
    repository: Path, checkout: list[Path]
) -> None:
    installs = re.compile(
        r"""(?:pip3?|pipx|uv(?: pip| tool)?)\s+install\b[^\n]*?(pigeonhole[\w-]*)"""
    )
    requires = re.compile(r"""["'](pigeonhole(?:-\w+)?)\[""")
    for name in checkout:
        if name.suffix not in TEXTS or not (repository / name).is_file():
            continue
        text = (repository / name).read_text("utf-8", "replace")
        for found in (*installs.findall(text), *requires.findall(text)):
            assert found == NAME, f"{name} installs {found}"
