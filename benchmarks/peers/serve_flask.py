"""A Flask application after its quickstart, run by gunicorn."""

from __future__ import annotations

import os

from flask import Flask, Response, jsonify, request
from served_model import ServedModel

model = ServedModel(os.environ["MODEL"])

app = Flask(__name__)


@app.post("/predict")
def predict() -> Response:
    """Return label and probabilities of each row."""
    return jsonify(predictions=model.predictions(request.get_json()["instances"]))
