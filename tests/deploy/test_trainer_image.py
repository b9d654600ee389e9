"""The trainer's image fits a mounted table, and the service loads the published model."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from tests.deploy.containers import ANSWER_S, HARDENED, Container, Docker

pytestmark = pytest.mark.slow

QUICK = ("--preset", "classic", "--hidden", "3", "--epochs", "20")
FIT = ("fit", "/data/table.csv", "--target", "bodymass", "--name", "people")


@pytest.fixture
def volume(docker: Docker, label: str) -> str:
    """A new volume."""
    return docker("volume", "create", "--label", label)


@pytest.fixture
def tables(docker: Docker, trainer_image: str, tmp_path) -> tuple[str, ...]:
    """Flags that mount a folder with a sample table."""
    sample = docker("run", "--rm", *HARDENED, trainer_image, "sample", "bodymass", "--rows", "600")
    (tmp_path / "table.csv").write_text(sample + "\n")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return ("--volume", f"{tmp_path}:/data:ro")


def test_image_prints_its_commands(docker: Docker, trainer_image: str):
    printed = docker("run", "--rm", *HARDENED, trainer_image)
    for command in ("fit", "evaluate", "inspect", "sample"):
        assert f"\n  {command} " in printed


def test_published_model_is_served_without_a_restart(
    docker: Docker,
    trainer_image: str,
    service_image: str,
    run_container: Callable[..., Container],
    tables: tuple[str, ...],
    volume: str,
):
    flags = ("--publish", "127.0.0.1::8000", "--env", "PIGEONHOLE_ALLOW_ANONYMOUS=on")
    service = run_container(service_image, *HARDENED, *flags, "--volume", f"{volume}:/models:ro")
    service.until_ready()
    train = ("run", "--rm", *HARDENED, *tables, "--volume", f"{volume}:/models", trainer_image)
    assert "Published models/people/1/model.onnx" in docker(*train, *FIT, *QUICK)

    def answer() -> httpx.Response:
        rows = {"instances": [{"height_cm": 172, "weight_kg": 130}]}
        predict = f"{service.address()}/v1/models/people:predict"
        return httpx.post(predict, json=rows, timeout=ANSWER_S)

    service.until(lambda: answer().status_code == 200)
    assert answer().json()["predictions"][0]["label"] == "overweight"
    again = (*FIT, *QUICK, "--seed", "1")
    assert "Published models/people/2/model.onnx" in docker(*train, *again)
    service.until(lambda: answer().json()["version"] == "2")


def test_unknown_target_exits_with_code_2(
    docker: Docker, trainer_image: str, tables: tuple[str, ...], volume: str
):
    wrong = ("fit", "/data/table.csv", "--target", "bodymas", "--name", "people")
    flags = (*HARDENED, *tables, "--volume", f"{volume}:/models")
    printed = docker("run", "--rm", *flags, trainer_image, *wrong, exit_code=2)
    assert "column 'bodymas'" in printed


def test_stopped_fit_publishes_nothing(
    docker: Docker,
    trainer_image: str,
    run_container: Callable[..., Container],
    tables: tuple[str, ...],
    volume: str,
):
    mounted = (*tables, "--volume", f"{volume}:/models")
    trainer = run_container(
        trainer_image, *HARDENED, *mounted, command=(*FIT, "--epochs", "100000")
    )
    trainer.until(lambda: "Sequential" in trainer.logs() or "RealMLP" in trainer.logs())
    time.sleep(1)
    assert trainer.stop() == 130
    assert "Interrupted; nothing was published." in trainer.logs()
    find = ("run", "--rm", "--entrypoint", "find", "--volume", f"{volume}:/models", trainer_image)
    assert docker(*find, "/models", "-type", "f") == ""


def test_image_holds_neither_service_nor_installers(docker: Docker, trainer_image: str):
    run = ("run", "--rm", "--entrypoint", "python", trainer_image, "-c")
    absent = ("pigeonhole.service", "flask", "gunicorn", "pip", "setuptools", "wheel", "ensurepip")
    find = f"import importlib.util as i; print([m for m in {absent} if i.find_spec(m)])"
    assert docker(*run, find) == "[]"
