"""Usage examples: the command that serves a model, and a request from a shell and from Python."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ADDRESS = "http://127.0.0.1:8000/v1/models/{name}:predict"

SHOWN_FEATURES = 60
"""Most features of an example row; a wider row would fill pages."""

PYTHON = """\
import json
import urllib.request

row = {row}
body = json.dumps({{"instances": [row]}}).encode()
with urllib.request.urlopen("{address}", body) as response:
    print(json.load(response)["predictions"][0])
"""


@dataclass(frozen=True)
class UsageExamples:
    """Commands to serve and call a model.

    Attributes:
        serve: the command that serves the model.
        curl: a request from a shell.
        python: the same request from Python, with the standard library.
        response: the response's predictions, JSON.
    """

    serve: str
    curl: str
    python: str
    response: str


def usage_examples(name: str, example: Mapping[str, Any]) -> UsageExamples | None:
    """Return the usage examples of a model; None if the row has more than `SHOWN_FEATURES`.

    Args:
        name: the model's name.
        example: ``row``, ``label`` and ``probabilities``, as in the file's golden rows.
    """
    row = dict(example["row"])
    if len(row) > SHOWN_FEATURES:
        return None
    address, body = ADDRESS.format(name=name), _json({"instances": [row]})
    lines = "".join(f"    {name!r}: {value!r},\n" for name, value in row.items())
    label = example["label"]
    prediction = {
        "label": label,
        "probability": example["probabilities"][label],
        "probabilities": example["probabilities"],
    }
    return UsageExamples(
        serve="pigeonhole serve --models models",
        curl=f"curl -s {address} -d {shlex.quote(body)}",
        python=PYTHON.format(row=f"{{\n{lines}}}", address=address),
        response=_json({"predictions": [prediction]}, indent=1),
    )


def _json(value: Any, indent: int | None = None) -> str:
    """Return JSON with unprintable characters escaped and all others as they are."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in text
    )
