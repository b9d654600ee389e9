"""A service whose metrics have all their series: predictions, failures, and a rejected model."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.running_service import RunningService

REQUESTS = {
    # One row within the training range and one outside, a wrong row, a missing model and route.
    "/predict": {"instances": [[172, 95], [1, 95]]},
    "/v1/models/animals:predict": {"instances": [["heavy"]]},
    "/v1/models/unknown:predict": {"instances": []},
    "/v1/models/bodymass:classify": {"examples": [{"height_cm": 172, "weight_kg": 40}]},
    "/nowhere": {},
}

DEFAULT = ("--default-model", "bodymass")
"""The flags that these requests need."""


def sample_models(repository: Path, folder: Path) -> Path:
    """Copy the sample models, and publish a version 2 of bodymass that is not a model."""
    models = folder / "models"
    shutil.copytree(repository / "models", models)
    reject(models)
    return models


def reject(models: Path, name: str = "bodymass", version: int = 2) -> None:
    """Publish a version that the service rejects."""
    folder = models / name / str(version)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"not a model")


def ask(server: RunningService) -> None:
    """Send every request once, and ignore the status."""
    for path, body in REQUESTS.items():
        request = urllib.request.Request(server.address + path, json.dumps(body).encode())
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()


def metrics(server: RunningService) -> str:
    """Return the metrics page, once a model was rejected and all requests are counted."""
    ask(server)
    deadline = time.monotonic() + 10
    while True:
        with urllib.request.urlopen(f"{server.address}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        if 'outcome="rejected"' in text and "pigeonhole_unusual_values_total{" in text:
            return text
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
