"""``pydantic-open-inference``: features and outputs as fields of pydantic models.

python pydantic_client.py URL    where the server is; with a user and a token in it where there are keys
"""

# No "from __future__ import annotations" here: the client looks at the fields' types themselves.

import sys
from typing import Annotated, Any, NamedTuple

from asking import print_answers
from pydantic_open_inference import DatatypeOverride, InputsBaseModel, OutputsBaseModel, RemoteModel

Doubles = Annotated[list[float], DatatypeOverride("FP64")]


class HeightAndWeight(NamedTuple):
    """A row of bodymass."""

    height_cm: float
    weight_kg: float


class Probabilities(NamedTuple):
    """Of two classes."""

    first: float
    second: float


class Features(InputsBaseModel):
    """One tensor for each feature of bodymass."""

    height_cm: Doubles
    weight_kg: Doubles


class Tensor(InputsBaseModel):
    """The input of the graph of bodymass."""

    numbers: Annotated[list[HeightAndWeight], DatatypeOverride("FP64")]


class Mixed(InputsBaseModel):
    """Features of several kinds, of those whose names can be Python's."""

    age: Doubles
    member: list[bool]
    color: list[str]


class Undersized(InputsBaseModel):
    """A feature that bodymass has not."""

    shoe_size: Doubles


class Answer(OutputsBaseModel):
    """What every model of two classes answers."""

    label: list[str]
    probabilities: list[Probabilities]


def remote(model: str, inputs: type[InputsBaseModel], version: str | None = None) -> RemoteModel:
    """A model on the server."""
    return RemoteModel(
        model_name=model,
        model_version=version,
        inputs_model=inputs,
        outputs_model=Answer,
        server_url=sys.argv[1],
    )


def inferred(model: RemoteModel, inputs: InputsBaseModel) -> dict[str, Any]:
    """An answer as plain values."""
    return model.infer(inputs).model_dump(mode="json")


if __name__ == "__main__":
    by_feature, versioned = remote("bodymass", Features), remote("bodymass", Features, "1")
    by_tensor, mixed = remote("bodymass", Tensor), remote("mixed", Mixed)
    rows = Features(height_cm=[172, 180], weight_kg=[95, 50])
    print_answers(
        {
            "ready": by_feature.is_ready,
            "no_model_ready": remote("dogs", Features).is_ready,
            "valid_features": by_feature.validate,
            "valid_version": versioned.validate,
            "valid_tensor": by_tensor.validate,
            "valid_mixed": mixed.validate,
            "invalid": remote("bodymass", Undersized).validate,
            "by_feature": lambda: inferred(by_feature, rows),
            "by_version": lambda: inferred(versioned, rows),
            "by_tensor": lambda: inferred(
                by_tensor, Tensor(numbers=[HeightAndWeight(172, 95), HeightAndWeight(180, 50)])
            ),
            "wrong_model": lambda: inferred(remote("dogs", Features), rows),
        }
    )
