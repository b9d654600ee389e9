"""FastAPI as its tutorial writes it: pydantic models of body and answer, run by uvicorn."""

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
    """The rows to answer."""

    instances: list[Row]


class Prediction(BaseModel):
    """The answer to one row."""

    label: str
    probabilities: dict[str, float]


class Answer(BaseModel):
    """The answers, row by row."""

    predictions: list[Prediction]


app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Answer:
    """Label and probabilities of each row."""
    rows = [instance.model_dump() for instance in request.instances]
    return Answer(predictions=model.predictions(rows))
