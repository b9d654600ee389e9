"""A BentoML service as its documentation writes it; ``bentoml serve`` runs it."""

import os
from typing import Any

import bentoml
from served_model import ServedModel


@bentoml.service(workers=2)
class Classifier:
    """The model, opened by each worker."""

    def __init__(self) -> None:
        self._model = ServedModel(os.environ["MODEL"])

    @bentoml.api
    def predict(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """Label and probabilities of each row."""
        return {"predictions": self._model.predictions(instances)}
