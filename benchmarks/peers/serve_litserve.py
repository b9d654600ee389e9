"""A LitAPI as LitServe's documentation writes it, on two workers and two API servers."""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve
from served_model import ServedModel


class Classifier(litserve.LitAPI):
    """From a request to an answer in three steps, the middle one on a worker."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - its interface
        """Open the file."""
        self._model = ServedModel(os.environ["MODEL"])

    # A type would tell LitServe to look for the request in the query.
    def decode_request(self, request) -> list[dict[str, Any]]:  # noqa: ANN001
        """The rows in a request."""
        return request["instances"]

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Label and probabilities of each row."""
        return self._model.predictions(rows)

    def encode_response(self, predictions: list[dict[str, Any]]) -> dict[str, Any]:
        """The answer."""
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
