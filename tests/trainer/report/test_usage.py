from __future__ import annotations

import ast
import json
import shlex

import pytest

from pigeonhole.trainer.report.usage import SHOWN_FEATURES, calls

ROWS = [
    {"height_cm": 172, "weight_kg": 95.5},
    {"it's": "O'Neil", 'a "b"': "$HOME `x` \\n {row}", "flag": True, "näme": "日本"},
]


def example(row: dict[str, object]) -> dict[str, object]:
    return {"row": row, "label": "b", "probabilities": {"a": 0.25, "b": 0.75}}


@pytest.mark.parametrize("row", ROWS)
def test_a_shell_sends_the_row_as_it_is(row: dict[str, object]) -> None:
    made = calls("pets", example(row))
    *_, address, flag, body = shlex.split(made.curl)
    assert flag == "-d"
    assert json.loads(body) == {"instances": [row]}
    assert address.endswith("/v1/models/pets:predict")  # others may be served beside it


@pytest.mark.parametrize("row", ROWS)
def test_python_sends_the_same(row: dict[str, object]) -> None:
    tree = ast.parse(calls("pets", example(row)).python)
    (literal,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "row"
    ]
    assert ast.literal_eval(literal) == row


def test_the_answer_is_that_of_the_golden_row() -> None:
    assert json.loads(calls("pets", example(ROWS[0])).answer) == {
        "predictions": [
            {"label": "b", "probability": 0.75, "probabilities": {"a": 0.25, "b": 0.75}}
        ]
    }


def test_a_row_that_nobody_would_read_is_not_shown() -> None:
    row = {f"column {number}": number for number in range(SHOWN_FEATURES + 1)}
    assert calls("pets", example(row)) is None
