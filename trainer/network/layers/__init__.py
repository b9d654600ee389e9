"""Layers: small siblings, each with its formula, its gradient and its ONNX twin.

A layer owns no parameter: it says what shapes it needs, and the network hands it views of its flat
vectors. Buffers are made once for the largest batch, so a training step makes no array of a
batch's size.
"""

from .activation import Activation
from .dense import Dense
from .dropout import Dropout
from .embedding import Embedding
from .layer import ActivatedLayer, Layer
from .normalization import BatchNormalization
from .periodic import PeriodicEmbedding
from .scaling import Scaling

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
