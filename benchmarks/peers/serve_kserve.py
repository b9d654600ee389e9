"""A custom model in KServe's Python server, with its V1 protocol."""

from __future__ import annotations

import os
from typing import Any

import kserve
import uvicorn
from served_model import ServedModel


class Classifier(kserve.Model):
    """The model under a name.

    Args:
        name: name of the model in the URL.
        path: path of the model file.
    """

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._path = path
        self.load()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path, because each worker must open its own session."""
        return Classifier, (self.name, self._path)

    def load(self) -> bool:
        """Open the model file."""
        self._model = ServedModel(self._path)
        self.ready = True
        return self.ready

    def predict(
        self,
        payload: dict[str, Any],
        headers: dict[str, str] | None = None,  # noqa: ARG002 - the base's signature
        response_headers: dict[str, str] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return label and probabilities of each row."""
        return {"predictions": self._model.predictions(payload["instances"])}


class Loopback(uvicorn.Config):
    """Settings that listen on loopback; KServe has no option for the address."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "host": "127.0.0.1"})


if __name__ == "__main__":
    uvicorn.Config = Loopback
    kserve.ModelServer().start([Classifier(os.environ["NAME"], os.environ["MODEL"])])
