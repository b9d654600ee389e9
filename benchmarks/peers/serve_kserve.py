"""A custom model in KServe's Python server, asked by its V1 protocol."""

from __future__ import annotations

import os
from typing import Any

import kserve
import uvicorn
from served_model import ServedModel


class Classifier(kserve.Model):
    """The model under its name.

    Args:
        name: in the route.
        path: of the file.
    """

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._path = path
        self.load()

    def __reduce__(self) -> tuple[Any, ...]:
        """Each worker opens the file by itself, for a session can't be sent to it."""
        return Classifier, (self.name, self._path)

    def load(self) -> bool:
        """Open the file."""
        self._model = ServedModel(self._path)
        self.ready = True
        return self.ready

    def predict(
        self,
        payload: dict[str, Any],
        headers: dict[str, str] | None = None,  # noqa: ARG002 - its interface
        response_headers: dict[str, str] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Label and probabilities of each row."""
        return {"predictions": self._model.predictions(payload["instances"])}


class Loopback(uvicorn.Config):
    """The server's settings with another address: it listens on all of them, and can't be told."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "host": "127.0.0.1"})


if __name__ == "__main__":
    uvicorn.Config = Loopback
    kserve.ModelServer().start([Classifier(os.environ["NAME"], os.environ["MODEL"])])
