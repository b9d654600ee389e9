"""A Python model in MLflow's format; this program saves it and then becomes MLflow's server."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from served_model import ServedModel


class Classifier(mlflow.pyfunc.PythonModel):
    """The model; each worker opens the file."""

    def load_context(self, context: Any) -> None:
        """Open the model file."""
        self._model = ServedModel(context.artifacts["model"])

    def predict(
        self,
        context: Any,  # noqa: ARG002 - the base's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """Return label and probabilities of each row."""
        return self._model.predictions(model_input.to_dict("records"))


def save(path: str, folder: str) -> None:
    """Save the model as code, with the signature of its columns."""
    model = ServedModel(path)
    columns = [ColSpec("double", name) for name in model.numbers]
    columns += [ColSpec("string", name) for name in model.categories]
    mlflow.pyfunc.save_model(
        folder,
        python_model=__file__,
        artifacts={"model": path},
        code_paths=[str(Path(__file__).with_name("served_model.py"))],
        signature=ModelSignature(Schema(columns)),
        pip_requirements=[],
    )


if __name__ == "__main__":
    folder = str(Path(tempfile.mkdtemp()) / "model")
    save(os.environ["MODEL"], folder)
    programs = str(Path(sys.executable).parent)
    os.environ["PATH"] = programs + os.pathsep + os.environ["PATH"]
    serve = ["models", "serve", "--model-uri", folder, "--env-manager", "local", "--workers", "2"]
    serve += ["--host", "127.0.0.1", "--port", sys.argv[1]]
    os.execv(f"{programs}/mlflow", [f"{programs}/mlflow", *serve])  # noqa: S606
else:
    mlflow.models.set_model(Classifier())
