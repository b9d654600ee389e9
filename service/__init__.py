"""The prediction service: loads ONNX classifiers and answers HTTP requests with them.

Three floors, each knowing only those below it: ``web`` (HTTP), ``serving`` (models at work) and
``model`` (what a model is). ``app.create_app`` puts them together. Never imports the trainer.
"""

from __future__ import annotations

__version__ = "0.1.0"
