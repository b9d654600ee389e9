"""A custom MLServer runtime, asked by the Open Inference Protocol; ``mlserver start`` runs it."""

from __future__ import annotations

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from served_model import ServedModel


class Classifier(MLModel):
    """The model, opened by each worker."""

    async def load(self) -> bool:
        """Open the file."""
        self._model = ServedModel(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The graph's outputs for the graph's inputs."""
        arrays = {}
        for given in payload.inputs:
            if given.datatype == "BYTES":
                texts = np.array(StringCodec.decode_input(given), dtype=object)
                arrays[given.name] = texts.reshape(given.shape)
            else:
                arrays[given.name] = NumpyCodec.decode_input(given)
        labels, probabilities = self._model.run(arrays)
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output("label", labels.tolist()),
                NumpyCodec.encode_output("probabilities", probabilities),
            ],
        )
