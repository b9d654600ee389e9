"""MLflow's own client of a scoring server, with pandas' frames and numpy's arrays.

python mlflow_client.py HOST PORT    HOST may begin with a user and a token: user:token@127.0.0.1
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["NO_PROXY"] = "127.0.0.1"

import numpy as np
import pandas as pd
from asking import print_answers
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

FRAME = pd.DataFrame({"height_cm": [172, 180], "weight_kg": [95.0, 50.0]})


def invoked(
    client: ScoringServerClient, data: Any, params: dict[str, Any] | None = None
) -> Callable[[], dict[str, Any]]:
    """Asks for predictions, and reads them as the client does: as they are, and as a frame."""

    def invoke() -> dict[str, Any]:
        answer = client.invoke(data, params)
        frame = answer.get_predictions()
        return {
            "predictions": answer["predictions"],
            "labels": frame["label"].tolist(),
            "probabilities": frame["probability"].tolist(),
            "array": len(answer.get_predictions("ndarray", object)),
        }

    return invoke


if __name__ == "__main__":
    client = ScoringServerClient(sys.argv[1], sys.argv[2])
    print_answers(
        {
            "ping": client.ping,
            "wait_ready": lambda: client.wait_server_ready(timeout=5),
            "version": client.get_version,
            "frame": invoked(client, FRAME),
            "reordered": invoked(client, FRAME[["weight_kg", "height_cm"]]),
            "indexed": invoked(client, FRAME.set_index(pd.Index(["a", "b"]))),
            "array": invoked(client, FRAME.to_numpy()),
            "integers": invoked(client, FRAME.to_numpy().astype(np.int64)),
            "list": invoked(client, FRAME.to_dict("records")),
            # As text, which the client passes on as it is: of a dict it can't make columns.
            "columns": invoked(client, json.dumps({"inputs": FRAME.to_dict("list")})),
            "rows": invoked(client, json.dumps({"instances": FRAME.to_dict("records")})),
            "records": invoked(client, json.dumps({"dataframe_records": FRAME.to_dict("records")})),
            "params": invoked(client, FRAME, {"temperature": 0.5}),
            "wrong": invoked(client, FRAME.rename(columns={"height_cm": "height"})),
        }
    )
