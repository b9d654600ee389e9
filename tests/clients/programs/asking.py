"""What all these programs do: ask questions of a server with one client, and print the answers.

The programs run in the environment of the clients, which knows nothing of this project's packages.
What they print is JSON: for each question what the client made of the answer, or what it raised.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Questions = Mapping[str, Callable[[], Any]]


def print_answers(questions: Questions) -> None:
    """Ask every question, whatever became of those before it.

    Args:
        questions: what to call, by name.
    """
    # What clients say of their own dependencies is not under test.
    warnings.simplefilter("ignore")
    answers: dict[str, dict[str, Any]] = {}
    for name, ask in questions.items():
        try:
            answers[name] = {"returned": ask()}
        except Exception as error:  # noqa: BLE001 - what a client makes of an answer is the answer
            answers[name] = {"raised": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(answers, default=_plain))


def _plain(value: Any) -> Any:
    """A client's own types as JSON."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return value.decode()
    raise TypeError(f"{type(value).__name__} is not to be printed")
