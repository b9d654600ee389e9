"""A LitAPI after LitServe's documentation, with two workers and two API servers."""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve
from served_model import ServedModel


class Classifier(litserve.LitAPI):
    """Decoding, prediction and encoding; prediction runs on a worker."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - the base's signature
        """Open the model file."""
        self._model = ServedModel(os.environ["MODEL"])

    # With a type annotation, LitServe reads the request from the query.
    def decode_request(self, request) -> list[dict[str, Any]]:  # noqa: ANN001
        """Return the rows of a request."""
        return request["instances"]

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return label and probabilities of each row."""
        return self._model.predictions(rows)

    def encode_response(self, predictions: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the response."""
        return {"predictions": predictions}


if __name__ == "__main__":
    server = litserve.LitServer(
        Classifier(), accelerator="cpu", workers_per_device=2, timeout=False
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=2,
        log_level="warning",
        generate_client_file=False,
    )
