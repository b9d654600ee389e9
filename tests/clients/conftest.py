"""Running services with sample models, tiny models and a fitted one."""

from __future__ import annotations

import csv
import hashlib
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.client_programs import HANDLERS, TOKEN
from tests.running_service import RunningService
from tests.tiny_models import write_dated_model, write_mixed_model, write_single_model


@pytest.fixture(scope="session")
def sample_models(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A model folder with both sample models, tiny models and a fitted one with all features."""
    folder = tmp_path_factory.mktemp("clients") / "models"
    for name in ("bodymass", "animals"):
        shutil.copytree(repository / "models" / name, folder / name)
    write_mixed_model(folder)
    write_dated_model(folder)
    write_single_model(folder)
    fit_everything(folder)
    return folder


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key file whose one key has every scope."""
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    scopes = '["predict", "read", "metrics", "admin"]'
    path.write_text(f'[tester]\nsha256 = "{digest}"\nscopes = {scopes}\n', "utf-8")
    return path


@pytest.fixture(scope="session")
def serving(
    tmp_path_factory: pytest.TempPathFactory, sample_models: Path
) -> Iterator[Callable[..., RunningService]]:
    """Returns the service with these flags: starts it once, and stops it after the last test."""
    services: dict[tuple[str, ...], RunningService] = {}

    def service(*flags: str) -> RunningService:
        if flags not in services:
            log = tmp_path_factory.mktemp("server") / "stderr"
            always = ("--default-model", "bodymass", "--workers", "2", "--drain-seconds", "0")
            services[flags] = RunningService(sample_models, log, *always, *flags)
            services[flags].until_live(len(list(sample_models.iterdir())))
        return services[flags]

    yield service
    for started in services.values():
        started.process.terminate()  # all at once: they drain in parallel
    for started in services.values():
        started.stop()


@pytest.fixture(scope="session", params=HANDLERS)
def server(
    request: pytest.FixtureRequest, serving: Callable[..., RunningService]
) -> RunningService:
    """A service without keys, with each handler."""
    return serving("--handler", request.param)


@pytest.fixture(scope="session", params=HANDLERS)
def keyed_server(
    request: pytest.FixtureRequest, serving: Callable[..., RunningService], key_file: Path
) -> RunningService:
    """A service that requires keys, with each handler."""
    return serving("--handler", request.param, "--keys", str(key_file))


def fit_everything(folder: Path) -> None:
    """Fit a model whose probabilities depend on features of every kind, with missing values."""
    chance = random.Random(5)  # noqa: S311 - a table needs no secret numbers
    table = folder.parent / "everything.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("age", "income", "member", "color", "size/cm", "joined", "outcome"))
        for _ in range(300):
            age, income, size = chance.uniform(18, 90), chance.gauss(40, 9), chance.uniform(1, 9)
            member, month = chance.random() < 0.5, chance.randrange(1, 13)
            color = chance.choice(("red", "green", "blue, dark", 'a "b"'))
            score = age / 30 + member + 2 * (color == "red") + month / 6 + chance.gauss(0, 0.4)
            rows.writerow(
                (
                    "" if chance.random() < 0.1 else age,
                    income,
                    "true" if member else "false",
                    "" if chance.random() < 0.1 else color,
                    size,
                    f"2024-{month:02}-{chance.randrange(1, 29):02}",
                    "low" if score < 3.5 else "middle" if score < 5 else "high",
                )
            )
    flags = ["--target", "outcome", "--name", "everything", "--preset", "classic"]
    subprocess.run(
        [sys.executable, "-m", "pigeonhole", "fit", str(table), *flags, "--models", str(folder)],
        check=True,
        capture_output=True,
    )
