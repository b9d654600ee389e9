"""How to call a model: a row as it is sent, in a shell and in Python."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ADDRESS = "http://127.0.0.1:8000/v1/models/{name}:predict"

SHOWN_FEATURES = 60
"""A wider row would be pages long."""


@dataclass(frozen=True)
class Calls:
    """The same call in several words.

    Attributes:
        serve: the command that serves the model.
        curl: the call in a shell.
        python: the call in Python, with nothing but what comes with it.
        answer: what comes back, JSON.
    """

    serve: str
    curl: str
    python: str
    answer: str


def calls(name: str, example: Mapping[str, Any]) -> Calls | None:
    """How a row is sent, and what comes back.

    Args:
        name: of the model.
        example: ``row``, ``label`` and ``probabilities``, as in the file's golden rows.

    Returns:
        None where the row has too many values to be read.
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
    return Calls(
        serve="pigeonhole serve --models models",
        curl=f"curl -s {address} -d {shlex.quote(body)}",
        python=PYTHON.format(row=f"{{\n{lines}}}", address=address),
        answer=_json({"predictions": [prediction]}, indent=1),
    )


def _json(value: Any, indent: int | None = None) -> str:
    """JSON with the letters of any language as they are, and what can't be printed escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(
        sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text
    )


PYTHON = """\
import json
import urllib.request

row = {row}
body = json.dumps({{"instances": [row]}}).encode()
with urllib.request.urlopen("{address}", body) as reply:
    print(json.load(reply)["predictions"][0])
"""
