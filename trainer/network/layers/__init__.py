"""Layers: small siblings, each with its formula, its gradient and its ONNX twin.

A layer owns no parameter: it says what shapes it needs, and the network hands it views of its flat
vectors. Buffers are made once for the largest batch, so a training step makes no array of a
batch's size.
"""

from trainer.network.layers.activation import Activation
from trainer.network.layers.dense import Dense
from trainer.network.layers.dropout import Dropout
from trainer.network.layers.embedding import Embedding
from trainer.network.layers.layer import ActivatedLayer, Layer
from trainer.network.layers.normalization import BatchNormalization
from trainer.network.layers.periodic import PeriodicEmbedding
from trainer.network.layers.scaling import Scaling

__all__ = [
    "ActivatedLayer",
    "Activation",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Embedding",
    "Layer",
    "PeriodicEmbedding",
    "Scaling",
]
