"""The offline trainer: reads a table, fits a multilayer perceptron, writes one ONNX file.

``run.train`` is the whole run, readable from top to bottom. Never imports the service.
"""

from __future__ import annotations

__version__ = "0.1.0"
