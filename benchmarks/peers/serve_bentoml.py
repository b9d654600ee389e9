"""A BentoML service after its documentation, run by ``bentoml serve``."""

import os
from typing import Any

import bentoml
from served_model import ServedModel


@bentoml.service(workers=2)
class Classifier:
    """The model; each worker opens the file."""

    def __init__(self) -> None:
        self._model = ServedModel(os.environ["MODEL"])

    @bentoml.api
    def predict(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """Return label and probabilities of each row."""
        return {"predictions": self._model.predictions(instances)}
