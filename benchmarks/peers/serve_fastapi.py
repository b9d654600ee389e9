"""A FastAPI application after its tutorial, with pydantic models of request and response."""

import os
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, create_model
from served_model import ServedModel

model = ServedModel(os.environ["MODEL"])

columns: dict[str, Any] = dict.fromkeys(model.numbers, (float, ...))
columns |= dict.fromkeys(model.categories, (str, ...))
Row = create_model("Row", **columns)


class Request(BaseModel):
    """The rows to predict."""

    instances: list[Row]


class Prediction(BaseModel):
    """The prediction of one row."""

    label: str
    probabilities: dict[str, float]


class Response(BaseModel):
    """The predictions in the order of the rows."""

    predictions: list[Prediction]


app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Return label and probabilities of each row."""
    rows = [instance.model_dump() for instance in request.instances]
    return Response(predictions=model.predictions(rows))
