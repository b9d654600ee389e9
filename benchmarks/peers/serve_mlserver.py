"""A custom MLServer runtime with the Open Inference Protocol, run by ``mlserver start``."""

from __future__ import annotations

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from served_model import ServedModel


class Classifier(MLModel):
    """The model; each worker opens the file."""

    async def load(self) -> bool:
        """Open the model file."""
        self._model = ServedModel(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return label and probabilities of each row."""
        arrays = {}
        for tensor in payload.inputs:
            if tensor.datatype == "BYTES":
                strings = np.array(StringCodec.decode_input(tensor), dtype=object)
                arrays[tensor.name] = strings.reshape(tensor.shape)
            else:
                arrays[tensor.name] = NumpyCodec.decode_input(tensor)
        labels, probabilities = self._model.run(arrays)
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output("label", labels.tolist()),
                NumpyCodec.encode_output("probabilities", probabilities),
            ],
        )
