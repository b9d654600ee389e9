"""A service whose metrics have all their series: answers, failures, and a refused model."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.running_service import RunningService

ASKED = {
    # One row within what training saw and one outside it, a wrong row, and what isn't there.
    "/predict": {"instances": [[172, 95], [1, 95]]},
    "/v1/models/animals:predict": {"instances": [["heavy"]]},
    "/v1/models/nobody:predict": {"instances": []},
    "/v1/models/bodymass:classify": {"examples": [{"height_cm": 172, "weight_kg": 40}]},
    "/nowhere": {},
}

DEFAULT = ("--default-model", "bodymass")
"""The flags that what is asked for here needs."""


def sample_models(repository: Path, folder: Path) -> Path:
    """A copy of the sample models, of which version 2 of bodymass is no model at all."""
    models = folder / "models"
    shutil.copytree(repository / "models", models)
    reject(models)
    return models


def reject(models: Path, name: str = "bodymass", version: int = 2) -> None:
    """Publish a version that is refused."""
    folder = models / name / str(version)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"no model")


def ask(server: RunningService) -> None:
    """Ask everything once, whatever the answers are."""
    for path, body in ASKED.items():
        request = urllib.request.Request(server.address + path, json.dumps(body).encode())
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()


def metrics(server: RunningService) -> str:
    """What the service answers a scrape, once it refuses a model and has counted what was asked."""
    ask(server)
    deadline = time.monotonic() + 10
    while True:
        with urllib.request.urlopen(f"{server.address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        if 'outcome="rejected"' in text and "pigeonhole_unusual_values_total{" in text:
            return text
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
