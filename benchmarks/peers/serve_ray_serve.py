"""A Ray Serve deployment of two replicas, on its own Ray cluster."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

import ray
from ray import serve
from served_model import ServedModel
from starlette.requests import Request


@serve.deployment(num_replicas=2)
class Classifier:
    """The model; each replica opens the file.

    Args:
        path: path of the model file.
    """

    def __init__(self, path: str) -> None:
        self._model = ServedModel(path)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Return label and probabilities of each row."""
        rows = (await request.json())["instances"]
        return {"predictions": self._model.predictions(rows)}


if __name__ == "__main__":
    ray.init(
        include_dashboard=False,
        _temp_dir=tempfile.gettempdir(),
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Classifier.bind(os.environ["MODEL"]), route_prefix="/predict", blocking=True)
