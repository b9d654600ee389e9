"""Layers: each with its formula, its gradient and the same formula as ONNX nodes.

A layer declares the shapes of its parameters, and the network gives it views of its flat vectors.
Buffers are allocated once for the largest batch, so a training step allocates no array of a batch's
size.
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
