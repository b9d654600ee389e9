from __future__ import annotations

import ast
import json
import shlex

import pytest

from pigeonhole.trainer.report.usage import SHOWN_FEATURES, usage_examples

ROWS = [
    {"height_cm": 172, "weight_kg": 95.5},
    {"it's": "O'Neil", 'a "b"': "$HOME `x` \\n {row}", "flag": True, "näme": "日本"},
]


def example(row: dict[str, object]) -> dict[str, object]:
    return {"row": row, "label": "b", "probabilities": {"a": 0.25, "b": 0.75}}


@pytest.mark.parametrize("row", ROWS)
def test_curl_command_sends_the_row(row: dict[str, object]) -> None:
    usage = usage_examples("pets", example(row))
    *_, address, flag, body = shlex.split(usage.curl)
    assert flag == "-d"
    assert json.loads(body) == {"instances": [row]}
    assert address.endswith("/v1/models/pets:predict")  # the service may have several models


@pytest.mark.parametrize("row", ROWS)
def test_python_program_sends_the_row(row: dict[str, object]) -> None:
    tree = ast.parse(usage_examples("pets", example(row)).python)
    (literal,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "row"
    ]
    assert ast.literal_eval(literal) == row


def test_response_is_the_prediction_of_the_golden_row() -> None:
    assert json.loads(usage_examples("pets", example(ROWS[0])).response) == {
        "predictions": [
            {"label": "b", "probability": 0.75, "probabilities": {"a": 0.25, "b": 0.75}}
        ]
    }


def test_very_wide_row_has_no_usage_examples() -> None:
    row = {f"column {number}": number for number in range(SHOWN_FEATURES + 1)}
    assert usage_examples("pets", example(row)) is None
